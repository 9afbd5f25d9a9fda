//! The map as plain data, and the commands that change it. Deterministic: no clock, no random numbers.

use std::collections::{BTreeMap, BTreeSet};

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
/// Nodes a map may have, removed ones included.
const NODES_MAX: usize = 4_096;
/// Replicas a node may have.
const REPLICAS_MAX: usize = 65_536;
/// Replicas of a group that vote, unless somebody says otherwise.
pub(crate) const FACTOR: usize = 3;
/// Most replicas of a group that vote.
const FACTOR_MAX: usize = 9;
/// Nodes a group may be placed on.
const PLACES_MAX: usize = 16;
/// The newest level of what a program must know that this one does.
pub(crate) const KNOWN_LEVEL: u32 = 1;

/// A map, or a change of it, that this program is too old for.
pub(super) const NEWER: Malformed = Malformed("a map of a newer program");

/// What is wanted of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeIntent {
    /// It holds replicas, votes and leads.
    Serving,
    /// It keeps its replicas, gives its votes to others where it can, and does not lead.
    Draining,
    /// It is gone for ever; its store is not listened to.
    Removed,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// `HOST:PORT` other nodes reach it at.
    pub address: String,
    /// `HOST:PORT` of its public port.
    pub api: String,
    /// What is wanted of it.
    pub intent: NodeIntent,
    /// Its replicas by group.
    pub replicas: BTreeMap<GroupId, PeerId>,
}

/// The cluster's map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapState {
    /// Grows by one with every change.
    pub epoch: u64,
    /// Replicas of a group that vote, once there are so many nodes.
    pub factor: usize,
    /// All nodes by store, removed ones included.
    pub nodes: BTreeMap<StoreId, NodeRecord>,
    /// The stores that should hold a group; a group that is not here should be on every node.
    pub placements: BTreeMap<GroupId, BTreeSet<StoreId>>,
    /// What a program must know to take part, a level that whoever uses the cluster gives a meaning; 0: nothing that was not there
    /// from the beginning. A program that does not know it cannot read the map, and so neither joins nor starts.
    pub needs: u32,
}

impl Default for MapState {
    fn default() -> Self {
        Self { epoch: 0, factor: FACTOR, nodes: BTreeMap::new(), placements: BTreeMap::new(), needs: 0 }
    }
}

/// One change of the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MapCommand {
    /// Adds a node, or updates addresses and replicas of one that is there.
    PutNode {
        store: StoreId,
        address: String,
        api: String,
        replicas: BTreeMap<GroupId, PeerId>,
    },
    SetIntent {
        store: StoreId,
        intent: NodeIntent,
    },
    /// Says which stores should hold a group from now on, if it is said to be on `from` now.
    Place {
        group: GroupId,
        from: Option<BTreeSet<StoreId>>,
        to: BTreeSet<StoreId>,
    },
    /// Says how many replicas of a group vote, once there are so many nodes.
    SetFactor {
        factor: usize,
    },
    /// Says that a program must know a level from now on; it never falls.
    Need {
        level: u32,
    },
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MapReply {
    /// The map is as it was asked to be.
    Done,
    /// Nothing was changed; a sentence.
    Refused(String),
}

impl MapState {
    /// The nodes other than `own` that are not removed, ascending.
    pub fn others(&self, own: StoreId) -> impl Iterator<Item = (StoreId, &NodeRecord)> {
        let there = move |(store, node): &(&StoreId, &NodeRecord)| {
            **store != own && node.intent != NodeIntent::Removed
        };
        self.nodes.iter().filter(there).map(|(store, node)| (*store, node))
    }

    /// Whether a store should hold a group.
    pub fn is_placed(&self, group: GroupId, store: StoreId) -> bool {
        self.placements.get(&group).is_none_or(|stores| stores.contains(&store))
    }

    /// The stores that say they hold a group and are not removed; those that should come first.
    pub fn holders(&self, group: GroupId) -> Vec<StoreId> {
        let holds = |(store, node): (&StoreId, &NodeRecord)| {
            let holds = node.intent != NodeIntent::Removed && node.replicas.contains_key(&group);
            holds.then_some(*store)
        };
        let (mut placed, others): (Vec<_>, Vec<_>) =
            self.nodes.iter().filter_map(holds).partition(|store| self.is_placed(group, *store));
        placed.extend(others);
        placed
    }

    /// Applies one command; unchanged when it asks for what is there.
    pub(crate) fn apply(&mut self, command: MapCommand) -> MapReply {
        let before = self.clone();
        let reply = self.change(command);
        if *self != before {
            self.epoch += 1;
        }
        reply
    }

    fn change(&mut self, command: MapCommand) -> MapReply {
        match command {
            MapCommand::PutNode { store, address, api, replicas } => {
                let known = self.nodes.get(&store);
                if known.is_some_and(|node| node.intent == NodeIntent::Removed) {
                    return MapReply::Refused(format!(
                        "this store was removed from the cluster for good: start with an empty directory. store=`{store}`"
                    ));
                }
                if known.is_none() && self.nodes.len() >= NODES_MAX {
                    return MapReply::Refused(format!("the cluster has too many nodes, at most {NODES_MAX}"));
                }
                let twin = self.nodes.iter().find(|(other, node)| {
                    **other != store && node.address == address && node.intent != NodeIntent::Removed
                });
                if let Some((other, _)) = twin {
                    return MapReply::Refused(format!(
                        "another node has this address; if it is gone, remove it first. address=`{address}`, store=`{other}`"
                    ));
                }
                let intent = known.map_or(NodeIntent::Serving, |node| node.intent);
                self.nodes.insert(store, NodeRecord { address, api, intent, replicas });
            }
            MapCommand::SetIntent { store, intent } => {
                let serving = |node: &&NodeRecord| node.intent == NodeIntent::Serving;
                let others = self.nodes.iter().filter(|(other, _)| **other != store).map(|(_, node)| node);
                let others = others.filter(serving).count();
                let Some(node) = self.nodes.get_mut(&store) else {
                    return MapReply::Refused(format!("there is no such node. store=`{store}`"));
                };
                if node.intent == NodeIntent::Removed && intent != NodeIntent::Removed {
                    return MapReply::Refused(format!("a removed node does not come back. store=`{store}`"));
                }
                if intent == NodeIntent::Removed && others == 0 {
                    return MapReply::Refused("the last serving node cannot be removed".to_owned());
                }
                node.intent = intent;
            }
            MapCommand::Place { group, from, to } => return self.place(group, from.as_ref(), to),
            MapCommand::SetFactor { factor } => {
                // An even number bears no more failures than the odd one below it, and needs one more node.
                if factor > FACTOR_MAX || factor.is_multiple_of(2) {
                    return MapReply::Refused(format!(
                        "an odd number of replicas votes, at most {FACTOR_MAX}. voters=`{factor}`"
                    ));
                }
                self.factor = factor;
            }
            MapCommand::Need { level } => self.needs = self.needs.max(level),
        }
        MapReply::Done
    }

    fn place(&mut self, group: GroupId, from: Option<&BTreeSet<StoreId>>, to: BTreeSet<StoreId>) -> MapReply {
        let known = self.placements.get(&group);
        if known == Some(&to) {
            return MapReply::Done;
        }
        if known != from {
            return MapReply::Refused("the group was placed elsewhere meanwhile: look again".to_owned());
        }
        if to.is_empty() || to.len() > PLACES_MAX {
            return MapReply::Refused(format!("a group is on 1 to {PLACES_MAX} nodes. nodes=`{}`", to.len()));
        }
        let is_there =
            |store: &StoreId| self.nodes.get(store).is_some_and(|node| node.intent != NodeIntent::Removed);
        if let Some(store) = to.iter().find(|store| !is_there(store)) {
            return MapReply::Refused(format!("there is no such node. store=`{store}`"));
        }
        self.placements.insert(group, to);
        MapReply::Done
    }

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
