//! Groups that are on some of the nodes: asking for them, and letting go of a replica.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::start::Cluster;
use super::status::{CHANGE_TIMEOUT, LOOK_TIMEOUT, STATUS, read};
use crate::error::{ClusterError, GroupError};
use crate::group::{Applied, GroupHandle};
use crate::ids::{GroupId, PeerId, StoreId};
use crate::map::{MAP_GROUP, MapCommand, MapState, NodeIntent};
use crate::node::ClusterNode;
use crate::placement::assign::{self, GroupPlace, PlacementChange, PlacementPlan};
use crate::state_machine::StateMachine;
use crate::status::Role;

impl Cluster {
    /// The map's own group: what is asked of the map after a read point of it is as new as any change that was acknowledged.
    pub fn map_group(&self) -> Option<GroupHandle> {
        self.shared().handle(MAP_GROUP)
    }

    /// Whether this node should hold a group.
    pub fn is_wanted_here(&self, group: GroupId) -> bool {
        !self.is_removed() && self.map().is_placed(group, self.store())
    }

    /// Whether a group has its places and none of them is here, so that what this directory has of it is of no use. Never on a
    /// node that was removed: its directory stays as it is.
    pub fn is_elsewhere(&self, group: GroupId) -> bool {
        let (map, own) = (self.map(), self.store());
        let holds = map.nodes.get(&own).is_some_and(|node| node.replicas.contains_key(&group));
        map.placements.contains_key(&group) && !map.is_placed(group, own) && !holds && !self.is_removed()
    }

    /// Whether this node was removed, for ever.
    fn is_removed(&self) -> bool {
        let own = self.map().nodes.get(&self.store()).map(|node| node.intent);
        own == Some(NodeIntent::Removed)
    }

    /// Makes a new group with this node's replica as its only member; others become members as the map says. Only for a group
    /// of which it is sure that no other node makes it, or ever made it.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub fn found_group(
        &self,
        node: &ClusterNode,
        group: GroupId,
        machine: Box<dyn StateMachine>,
    ) -> Result<GroupHandle, GroupError> {
        node.add_group(group, machine)
    }

    /// Destroys the log of a group that has its places and goes on without the replica this directory holds, which a stop kept
    /// from being removed; whether it was such a one. Not on a node that was removed: its directory stays as it is.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub fn forget_left(&self, node: &ClusterNode, group: GroupId) -> Result<bool, GroupError> {
        Ok(self.map().placements.contains_key(&group) && !self.is_removed() && node.forget_left(group)?)
    }

    /// Proposes to a group of which no replica serves here; answered once its leader has applied it. Blocks.
    ///
    /// # Errors
    /// Those of a group; `NotLeader` when no leader was found in time, and nothing was done.
    pub fn propose_elsewhere(
        &self,
        group: GroupId,
        data: &Bytes,
        timeout: Duration,
    ) -> Result<Applied, ClusterError> {
        self.shared().propose_elsewhere(group, data, timeout)
    }

    /// From now on this node says that it holds the group no more. Its replica goes on until [`Cluster::has_left`].
    pub fn give_up(&self, group: GroupId) {
        self.shared().given_up.lock().insert(group);
    }

    /// Takes [`Cluster::give_up`] back.
    pub fn keep(&self, group: GroupId) {
        self.shared().given_up.lock().remove(&group);
    }

    /// Whether a group goes on without the replica `peer` of this node: the map knows it no more, and the group's leader
    /// says that it is no member. Blocks.
    pub fn has_left(&self, group: GroupId, peer: PeerId) -> bool {
        let (shared, map) = (self.shared(), self.map());
        let own = map.nodes.get(&shared.local.store);
        if own.is_some_and(|node| node.replicas.get(&group) == Some(&peer)) {
            return false;
        }
        let Ok(network) = shared.network() else { return false };
        map.holders(group).into_iter().filter(|store| *store != shared.local.store).any(|store| {
            let Ok(reply) = network.call(store, STATUS, Bytes::new(), LOOK_TIMEOUT) else { return false };
            let groups = read(&reply).unwrap_or_default();
            groups.iter().any(|status| {
                status.group == group
                    && status.role == Role::Leader
                    && !status.is_joint
                    && status.members.iter().all(|member| member.peer != peer)
            })
        })
    }

    /// Says which stores should hold a group from now on. Blocks.
    ///
    /// # Errors
    /// A sentence: refused by the map, or no leader.
    pub fn place(&self, change: &PlacementChange) -> Result<(), String> {
        let PlacementChange { group, from, to } = change.clone();
        self.shared().change_map(&MapCommand::Place { group, from, to }, CHANGE_TIMEOUT)
    }

    /// Says that a program must know a level from now on to take part in this cluster; whoever uses it gives the level a meaning.
    /// Nothing happens where that was said. Blocks.
    ///
    /// # Errors
    /// A sentence: no leader.
    pub fn need(&self, level: u32) -> Result<(), String> {
        if self.map().needs >= level {
            return Ok(());
        }
        self.shared().change_map(&MapCommand::Need { level }, CHANGE_TIMEOUT)
    }

    /// Where groups should go so that they are spread evenly and nowhere on a node that drains.
    pub fn plan_placements(&self, groups: &[GroupPlace], dead: &BTreeSet<StoreId>) -> PlacementPlan {
        assign::rebalance(&self.map(), groups, dead)
    }

    /// What gives groups another node for one that is dead or removed, as far as there is one.
    pub fn plan_repairs(&self, dead: &BTreeSet<StoreId>) -> Vec<PlacementChange> {
        let mut map = MapState::clone(&self.map());
        let mut changes: BTreeMap<GroupId, PlacementChange> = BTreeMap::new();
        while let Some(MapCommand::Place { group, from, to }) = assign::repair(&map, dead) {
            map.placements.insert(group, to.clone());
            changes.entry(group).or_insert_with(|| PlacementChange { group, from, to: BTreeSet::new() }).to =
                to;
        }
        changes.into_values().collect()
    }
}
