//! Which stores should hold each group that has its places: what repair and rebalancing make of the map. Pure functions; that
//! members become what is decided here is [`reconcile`](super::reconcile).

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{self, NodeState, Placed};
use crate::ids::{GroupId, StoreId};
use crate::map::{MapCommand, MapState, NodeIntent};

/// Moves after which a plan that does not come to rest is given up; none of that many was ever seen.
const MOVES_MAX: usize = 4_096;

/// Where a group should go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacementChange {
    /// The group.
    pub group: GroupId,
    /// The stores it is placed on now; `None`: on all.
    pub from: Option<BTreeSet<StoreId>>,
    /// The stores that should hold it.
    pub to: BTreeSet<StoreId>,
}

/// What should be placed elsewhere, and what cannot be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlacementPlan {
    /// At most one for each group.
    pub changes: Vec<PlacementChange>,
    /// Groups that need another node and find none.
    pub stuck: Vec<GroupId>,
}

/// A group to be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPlace {
    /// The group.
    pub group: GroupId,
    /// Its size.
    pub bytes: u64,
    /// Where it begins if it is on all nodes: the stores of its voters.
    pub voters: BTreeSet<StoreId>,
}

/// Places groups evenly by bytes: on as many serving nodes as the map's factor says, none on a node that drains or is dead.
///
/// The result depends on the arguments only.
pub fn rebalance(map: &MapState, groups: &[GroupPlace], dead: &BTreeSet<StoreId>) -> PlacementPlan {
    let nodes = states(map, dead);
    let factor = factor(map, &nodes);
    let begin = |it: &GroupPlace| {
        let replicas = map.placements.get(&it.group).unwrap_or(&it.voters).clone();
        Placed { group: it.group, bytes: it.bytes.max(1), replicas, is_moving: false }
    };
    let mut placed: Vec<Placed> = groups.iter().map(begin).collect();
    let mut stuck = BTreeSet::new();
    for _ in 0..MOVES_MAX {
        let next = plan::plan(&nodes, &placed, factor, 1);
        stuck.extend(next.stuck);
        let Some(step) = next.moves.first() else { break };
        for group in placed.iter_mut().filter(|it| it.group == step.group) {
            group.replicas.extend(step.to);
            group.replicas.retain(|store| Some(*store) != step.from);
        }
    }
    let changes = placed.into_iter().filter_map(|Placed { group, replicas: to, .. }| {
        let from = map.placements.get(&group).cloned();
        (from.as_ref() != Some(&to) && !to.is_empty()).then_some(PlacementChange { group, from, to })
    });
    PlacementPlan { changes: changes.collect(), stuck: stuck.into_iter().collect() }
}

/// The next change that gives a placed group another node for one that is dead or removed; nothing is balanced, and nothing
/// leaves a node that drains.
pub(crate) fn repair(map: &MapState, dead: &BTreeSet<StoreId>) -> Option<MapCommand> {
    let mut nodes = states(map, dead);
    // Room for others, and no reason to move.
    for state in nodes.values_mut().filter(|state| **state == NodeState::Draining) {
        *state = NodeState::Serving;
    }
    let factor = factor(map, &nodes);
    let place = |(group, replicas): (&GroupId, &BTreeSet<StoreId>)| Placed {
        group: *group,
        bytes: 1,
        replicas: replicas.clone(),
        is_moving: false,
    };
    let placed: Vec<Placed> = map.placements.iter().map(place).collect();
    let step = plan::repairs(&nodes, &placed, factor, 1).moves.first().copied()?;
    let from = map.placements.get(&step.group)?.clone();
    let mut to = from.clone();
    to.extend(step.to);
    to.retain(|store| Some(*store) != step.from);
    (to != from && !to.is_empty()).then_some(MapCommand::Place { group: step.group, from: Some(from), to })
}

fn states(map: &MapState, dead: &BTreeSet<StoreId>) -> BTreeMap<StoreId, NodeState> {
    let state = |store: &StoreId, intent| match intent {
        NodeIntent::Removed => None,
        _ if dead.contains(store) => Some(NodeState::Dead),
        NodeIntent::Serving => Some(NodeState::Serving),
        NodeIntent::Draining => Some(NodeState::Draining),
    };
    map.nodes.iter().filter_map(|(store, node)| Some((*store, state(store, node.intent)?))).collect()
}

/// Replicas a placed group should have: the map's factor, or fewer while there are fewer nodes.
fn factor(map: &MapState, nodes: &BTreeMap<StoreId, NodeState>) -> usize {
    map.factor.min(nodes.len()).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::NodeRecord;

    fn map(intents: &[NodeIntent], placements: &[(u64, &[u64])]) -> MapState {
        let node = |(number, intent): (u64, &NodeIntent)| {
            let record = NodeRecord {
                address: format!("h:{number}"),
                api: String::new(),
                intent: *intent,
                replicas: BTreeMap::new(),
            };
            (StoreId(number), record)
        };
        let place = |(group, stores): &(u64, &[u64])| (GroupId(*group), set(stores));
        MapState {
            nodes: (1..).zip(intents).map(node).collect(),
            placements: placements.iter().map(place).collect(),
            ..MapState::default()
        }
    }

    fn set(stores: &[u64]) -> BTreeSet<StoreId> {
        stores.iter().copied().map(StoreId).collect()
    }

    fn groups(count: u64, voters: &[u64]) -> Vec<GroupPlace> {
        (1..=count)
            .map(|group| GroupPlace { group: GroupId(group), bytes: 10, voters: set(voters) })
            .collect()
    }

    use NodeIntent::{Draining, Removed, Serving};

    #[test]
    fn groups_on_all_nodes_are_spread_evenly_and_a_second_time_nothing_moves() {
        let mut map = map(&[Serving; 5], &[]);
        let groups = groups(10, &[1, 2, 3]);
        let plan = rebalance(&map, &groups, &BTreeSet::new());
        assert_eq!((plan.changes.len(), plan.stuck.len()), (10, 0));
        let mut held: BTreeMap<StoreId, usize> = BTreeMap::new();
        for PlacementChange { group, from, to } in plan.changes {
            assert_eq!((from, to.len()), (None, 3));
            to.iter().for_each(|store| *held.entry(*store).or_default() += 1);
            map.placements.insert(group, to);
        }
        assert_eq!(held.into_values().collect::<Vec<_>>(), vec![6; 5]);
        assert_eq!(rebalance(&map, &groups, &BTreeSet::new()), PlacementPlan::default());
    }

    #[test]
    fn a_draining_node_is_emptied_by_rebalancing_and_not_by_repair() {
        let map = map(&[Serving, Serving, Draining, Serving], &[(1, &[1, 2, 3]), (2, &[2, 3, 4])]);
        let plan = rebalance(&map, &groups(2, &[]), &BTreeSet::new());
        assert!(plan.changes.iter().all(|change| !change.to.contains(&StoreId(3)) && change.to.len() == 3));
        assert_eq!(plan.changes.len(), 2);
        assert_eq!(repair(&map, &BTreeSet::new()), None);
    }

    #[test]
    fn a_dead_or_removed_node_is_replaced_where_there_is_another_and_nothing_becomes_fewer() {
        let four = map(&[Serving, Serving, Serving, Serving], &[(1, &[1, 2, 3])]);
        let (from, to) = (Some(set(&[1, 2, 3])), set(&[1, 2, 4]));
        let expected = MapCommand::Place { group: GroupId(1), from, to };
        assert_eq!(repair(&four, &set(&[3])), Some(expected.clone()));
        let removed = map(&[Serving, Serving, Removed, Serving], &[(1, &[1, 2, 3])]);
        assert_eq!(repair(&removed, &BTreeSet::new()), Some(expected));
        let three = map(&[Serving; 3], &[(1, &[1, 2, 3])]);
        assert_eq!(repair(&three, &set(&[3])), None, "there is nowhere to go");
        let plan = rebalance(&three, &groups(1, &[]), &set(&[3]));
        assert_eq!((plan.changes, plan.stuck), (vec![], vec![GroupId(1)]));
    }

    #[test]
    fn a_third_node_completes_what_two_could_not() {
        let three = map(&[Serving; 3], &[(1, &[1, 2])]);
        let (from, to) = (Some(set(&[1, 2])), set(&[1, 2, 3]));
        assert_eq!(repair(&three, &BTreeSet::new()), Some(MapCommand::Place { group: GroupId(1), from, to }));
    }
}
