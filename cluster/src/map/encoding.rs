//! The map and its commands as bytes. A map that uses nothing new is one that older programs read; one that needs a newer program is
//! told from a damaged one.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{
    FACTOR_MAX, KNOWN_LEVEL, MapCommand, MapReply, MapState, NODES_MAX, NodeIntent, NodeRecord, REPLICAS_MAX,
};
use crate::codec::{Malformed, Reader, Writer};
use crate::ids::{GroupId, PeerId, StoreId};

/// Version of the encodings of what there was from the beginning.
const VERSION: u32 = 1;
/// Version of maps in which groups have places, and of the command that gives them.
const PLACED_VERSION: u32 = 2;
/// Version of the command that says how many vote, and of maps that say what a program must know.
const VOTERS_VERSION: u32 = 3;
const NEEDS_VERSION: u32 = 3;
/// Version of the command that says what a program must know.
const NEED_VERSION: u32 = 4;

/// A map, or a change of it, that this program is too old for.
pub(super) const NEWER: Malformed = Malformed("a map of a newer program");

impl MapState {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        // A map that uses nothing new is one that older programs read.
        let version = match (self.needs, self.placements.is_empty()) {
            (0, true) => VERSION,
            (0, false) => PLACED_VERSION,
            _ => NEEDS_VERSION,
        };
        out.u32(version);
        if version == NEEDS_VERSION {
            out.u32(self.needs);
        }
        out.u64(self.epoch);
        out.u32(self.factor as u32);
        out.u32(self.nodes.len() as u32);
        for (store, node) in &self.nodes {
            out.u64(store.0);
            out.bytes(node.address.as_bytes());
            out.bytes(node.api.as_bytes());
            out.u32(intent_number(node.intent));
            write_replicas(&mut out, &node.replicas);
        }
        if version != VERSION {
            out.u32(self.placements.len() as u32);
            for (group, stores) in &self.placements {
                out.u64(group.0);
                write_stores(&mut out, stores);
            }
        }
        out.0
    }

    /// Reads it back.
    ///
    /// # Errors
    /// When the bytes are not what [`MapState::encode`] writes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let version = reader.u32()?;
        let needs = match version {
            VERSION | PLACED_VERSION => 0,
            NEEDS_VERSION => reader.u32()?,
            _ => return Err(NEWER),
        };
        if needs > KNOWN_LEVEL {
            return Err(NEWER);
        }
        let epoch = reader.u64()?;
        let factor = reader.count(64)?;
        let count = reader.count(NODES_MAX)?;
        let mut nodes = BTreeMap::new();
        for _ in 0..count {
            let store = StoreId(reader.u64()?);
            let (address, api) = (text(&mut reader)?, text(&mut reader)?);
            let intent = read_intent(&mut reader)?;
            nodes.insert(store, NodeRecord { address, api, intent, replicas: read_replicas(&mut reader)? });
        }
        let mut placements = BTreeMap::new();
        if version != VERSION {
            for _ in 0..reader.count(REPLICAS_MAX)? {
                let group = GroupId(reader.u64()?);
                placements.insert(group, read_stores(&mut reader)?);
            }
        }
        reader.end()?;
        Ok(Self { epoch, factor, nodes, placements, needs })
    }
}

impl MapCommand {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u32(match self {
            Self::PutNode { .. } | Self::SetIntent { .. } => VERSION,
            Self::Place { .. } => PLACED_VERSION,
            Self::SetFactor { .. } => VOTERS_VERSION,
            Self::Need { .. } => NEED_VERSION,
        });
        match self {
            Self::PutNode { store, address, api, replicas } => {
                out.u32(1);
                out.u64(store.0);
                out.bytes(address.as_bytes());
                out.bytes(api.as_bytes());
                write_replicas(&mut out, replicas);
            }
            Self::SetIntent { store, intent } => {
                out.u32(2);
                out.u64(store.0);
                out.u32(intent_number(*intent));
            }
            Self::Place { group, from, to } => {
                out.u32(3);
                out.u64(group.0);
                out.u32(u32::from(from.is_some()));
                from.iter().for_each(|from| write_stores(&mut out, from));
                write_stores(&mut out, to);
            }
            Self::SetFactor { factor } => {
                out.u32(4);
                out.u32(*factor as u32);
            }
            Self::Need { level } => {
                out.u32(5);
                out.u32(*level);
            }
        }
        out.0
    }

    /// Reads it back.
    ///
    /// # Errors
    /// When the bytes are of a newer version, or no command.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let version = reader.u32()?;
        let kind = reader.u32()?;
        let command = match (version, kind) {
            (VERSION, 1) => {
                let store = StoreId(reader.u64()?);
                let (address, api) = (text(&mut reader)?, text(&mut reader)?);
                Self::PutNode { store, address, api, replicas: read_replicas(&mut reader)? }
            }
            (VERSION, 2) => {
                Self::SetIntent { store: StoreId(reader.u64()?), intent: read_intent(&mut reader)? }
            }
            (PLACED_VERSION, 3) => {
                let group = GroupId(reader.u64()?);
                let from = match reader.u32()? {
                    0 => None,
                    1 => Some(read_stores(&mut reader)?),
                    _ => return Err(Malformed("where a group was")),
                };
                Self::Place { group, from, to: read_stores(&mut reader)? }
            }
            (VOTERS_VERSION, 4) => Self::SetFactor { factor: reader.count(FACTOR_MAX)? },
            (NEED_VERSION, 5) => match reader.u32()? {
                level @ ..=KNOWN_LEVEL => Self::Need { level },
                _ => return Err(NEWER),
            },
            (VERSION | PLACED_VERSION | VOTERS_VERSION | NEED_VERSION, _) => {
                return Err(Malformed("a change of the map of an unknown kind"));
            }
            _ => return Err(NEWER),
        };
        reader.end()?;
        Ok(command)
    }
}

impl MapReply {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Done => Vec::new(),
            Self::Refused(reason) => reason.as_bytes().to_vec(),
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Self {
        if bytes.is_empty() { Self::Done } else { Self::Refused(String::from_utf8_lossy(bytes).into_owned()) }
    }
}

fn intent_number(intent: NodeIntent) -> u32 {
    match intent {
        NodeIntent::Serving => 0,
        NodeIntent::Draining => 1,
        NodeIntent::Removed => 2,
    }
}

fn read_intent(reader: &mut Reader<'_>) -> Result<NodeIntent, Malformed> {
    match reader.u32()? {
        0 => Ok(NodeIntent::Serving),
        1 => Ok(NodeIntent::Draining),
        2 => Ok(NodeIntent::Removed),
        _ => Err(Malformed("the state of a node")),
    }
}

fn text(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    let bytes = reader.bytes()?;
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Malformed("an address"))
}

fn write_replicas(out: &mut Writer, replicas: &BTreeMap<GroupId, PeerId>) {
    out.u32(replicas.len() as u32);
    for (group, peer) in replicas {
        out.u64(group.0);
        out.u64(peer.0);
    }
}

fn write_stores(out: &mut Writer, stores: &BTreeSet<StoreId>) {
    out.u32(stores.len() as u32);
    stores.iter().for_each(|store| out.u64(store.0));
}

fn read_stores(reader: &mut Reader<'_>) -> Result<BTreeSet<StoreId>, Malformed> {
    let count = reader.count(NODES_MAX)?;
    (0..count).map(|_| Ok(StoreId(reader.u64()?))).collect()
}

fn read_replicas(reader: &mut Reader<'_>) -> Result<BTreeMap<GroupId, PeerId>, Malformed> {
    let count = reader.count(REPLICAS_MAX)?;
    (0..count).map(|_| Ok((GroupId(reader.u64()?), PeerId(reader.u64()?)))).collect()
}
