//! The map as plain data, and the commands that change it. Deterministic: no clock, no random numbers.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{GroupId, PeerId, StoreId};

/// Nodes a map may have, removed ones included.
pub(super) const NODES_MAX: usize = 4_096;
/// Replicas a node may have.
pub(super) const REPLICAS_MAX: usize = 65_536;
/// Replicas of a group that vote, unless somebody says otherwise.
pub(crate) const FACTOR: usize = 3;
/// Most replicas of a group that vote.
pub(super) const FACTOR_MAX: usize = 9;
/// Nodes a group may be placed on.
const PLACES_MAX: usize = 16;
/// The newest level of what a program must know that this one does.
pub(crate) const KNOWN_LEVEL: u32 = 1;

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
}
