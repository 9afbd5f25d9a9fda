//! The map as plain data, and the commands that change it. Deterministic: no clock, no random numbers.

use std::collections::BTreeMap;

use crate::codec::{Malformed, Reader, Writer};
use crate::ids::{GroupId, PeerId, StoreId};

/// Version of the encodings.
const VERSION: u32 = 1;
/// Nodes a map may have, removed ones included.
const NODES_MAX: usize = 4_096;
/// Replicas a node may have.
const REPLICAS_MAX: usize = 65_536;
/// Replicas of a group that vote, unless somebody says otherwise.
const FACTOR: usize = 3;

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
}

impl Default for MapState {
    fn default() -> Self {
        Self { epoch: 0, factor: FACTOR, nodes: BTreeMap::new() }
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
        }
        MapReply::Done
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u32(VERSION);
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
        out.0
    }

    /// Reads it back.
    ///
    /// # Errors
    /// When the bytes are not what [`MapState::encode`] writes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        if reader.u32()? != VERSION {
            return Err(Malformed("a map of another version"));
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
        reader.end()?;
        Ok(Self { epoch, factor, nodes })
    }
}

impl MapCommand {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u32(VERSION);
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
        }
        out.0
    }

    /// Reads it back.
    ///
    /// # Errors
    /// When the bytes are of a newer version, or no command.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        if reader.u32()? != VERSION {
            return Err(Malformed("a change of the map of another version"));
        }
        let kind = reader.u32()?;
        let store = StoreId(reader.u64()?);
        let command = match kind {
            1 => {
                let (address, api) = (text(&mut reader)?, text(&mut reader)?);
                Self::PutNode { store, address, api, replicas: read_replicas(&mut reader)? }
            }
            2 => Self::SetIntent { store, intent: read_intent(&mut reader)? },
            _ => return Err(Malformed("a change of the map of an unknown kind")),
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

fn read_replicas(reader: &mut Reader<'_>) -> Result<BTreeMap<GroupId, PeerId>, Malformed> {
    let count = reader.count(REPLICAS_MAX)?;
    (0..count).map(|_| Ok((GroupId(reader.u64()?), PeerId(reader.u64()?)))).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn put(store: u64, address: &str) -> MapCommand {
        let replicas = BTreeMap::from([(GroupId(1), PeerId(store * 7))]);
        MapCommand::PutNode { store: StoreId(store), address: address.into(), api: "a:1".into(), replicas }
    }

    #[test]
    fn commands_and_maps_are_read_back_and_every_cut_is_noticed() {
        let mut map = MapState::default();
        let remove = MapCommand::SetIntent { store: StoreId(1), intent: NodeIntent::Removed };
        for command in [put(1, "h:1"), put(2, "h:2"), remove] {
            let bytes = command.encode();
            assert_eq!(MapCommand::decode(&bytes), Ok(command.clone()));
            assert!((0..bytes.len()).all(|end| MapCommand::decode(&bytes[..end]).is_err()));
            assert_eq!(map.apply(command), MapReply::Done);
        }
        assert_eq!(map.epoch, 3);
        let bytes = map.encode();
        assert_eq!(MapState::decode(&bytes).unwrap(), map);
        assert!((0..bytes.len()).all(|end| MapState::decode(&bytes[..end]).is_err()));
    }

    #[test]
    fn the_same_command_again_changes_nothing_and_the_impossible_is_refused() {
        let mut map = MapState::default();
        map.apply(put(1, "h:1"));
        assert_eq!((map.apply(put(1, "h:1")), map.epoch), (MapReply::Done, 1));
        assert!(matches!(map.apply(put(2, "h:1")), MapReply::Refused(_)), "two nodes at one address");
        let intent = |store, intent| MapCommand::SetIntent { store: StoreId(store), intent };
        assert!(matches!(map.apply(intent(1, NodeIntent::Removed)), MapReply::Refused(_)), "the last one");
        map.apply(put(2, "h:2"));
        assert_eq!(map.apply(intent(1, NodeIntent::Removed)), MapReply::Done);
        assert!(matches!(map.apply(put(1, "h:1")), MapReply::Refused(_)), "a removed store comes back");
        assert_eq!(map.apply(put(3, "h:1")), MapReply::Done, "its address may be used again");
    }
}
