//! Which replicas should be elsewhere: repair first, then drain, then balance. A pure function; carrying a move
//! out is [`replace`](super::replace).
//!
//! A plan has at most one move for each group, never puts two replicas of a group on one node, never puts one
//! on a node that is down or draining, and takes nothing away before something else is there. Applied again
//! and again it comes to an end: a balancing move is only made when it lowers the larger of the two loads.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{GroupId, StoreId};

/// What the planner knows of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeState {
    Serving,
    /// Takes nothing new and gives away what it has.
    Draining,
    /// Silent for so long that its replicas count as lost.
    Dead,
}

/// A group, its size and where its replicas are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub group: GroupId,
    pub bytes: u64,
    pub replicas: BTreeSet<StoreId>,
    /// A move of this group is under way: it gets no other.
    pub is_moving: bool,
}

/// One replica to put in another's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Move {
    pub group: GroupId,
    /// `None`: the group has too many replicas, none needs to come.
    pub to: Option<StoreId>,
    /// `None`: the group has too few, none needs to go.
    pub from: Option<StoreId>,
}

/// What to do, and what cannot be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub moves: Vec<Move>,
    /// Groups that need another node and find none.
    pub stuck: Vec<GroupId>,
}

/// Plans at most `moves_max` moves.
///
/// * `factor`: replicas a group should have.
///
/// The result depends on the arguments only; ties go to the smaller id.
pub(crate) fn plan(
    nodes: &BTreeMap<StoreId, NodeState>,
    groups: &[Placed],
    factor: usize,
    moves_max: usize,
) -> Plan {
    let mut planner = Planner { nodes, loads: loads(nodes, groups), plan: Plan::default(), moves_max };
    let urgent = planner.repair_all(groups, factor);
    for placed in &urgent {
        planner.drain(placed);
    }
    let still: Vec<&Placed> = groups.iter().filter(|placed| !placed.is_moving).collect();
    planner.balance(&still);
    planner.plan
}

/// [`plan`] of repairs alone.
pub(crate) fn repairs(
    nodes: &BTreeMap<StoreId, NodeState>,
    groups: &[Placed],
    factor: usize,
    moves_max: usize,
) -> Plan {
    let mut planner = Planner { nodes, loads: loads(nodes, groups), plan: Plan::default(), moves_max };
    planner.repair_all(groups, factor);
    planner.plan
}

/// Bytes on each node that may take something.
fn loads(nodes: &BTreeMap<StoreId, NodeState>, groups: &[Placed]) -> BTreeMap<StoreId, u64> {
    let serving = nodes.iter().filter(|(_, state)| **state == NodeState::Serving);
    let bytes = |store: &StoreId| {
        let here = groups.iter().filter(|placed| placed.replicas.contains(store));
        here.map(|placed| placed.bytes).sum()
    };
    serving.map(|(store, _)| (*store, bytes(store))).collect()
}

struct Planner<'a> {
    nodes: &'a BTreeMap<StoreId, NodeState>,
    loads: BTreeMap<StoreId, u64>,
    plan: Plan,
    moves_max: usize,
}

impl Planner<'_> {
    fn state(&self, store: StoreId) -> NodeState {
        // A node nobody knows is one that was removed.
        self.nodes.get(&store).copied().unwrap_or(NodeState::Dead)
    }

    fn with(&self, placed: &Placed, state: NodeState) -> Option<StoreId> {
        placed.replicas.iter().copied().find(|store| self.state(*store) == state)
    }

    fn count(&self, placed: &Placed, state: NodeState) -> usize {
        placed.replicas.iter().filter(|store| self.state(**store) == state).count()
    }

    /// Repairs every group that is not moving, those that are closest to losing their majority first; the groups in that order.
    fn repair_all<'g>(&mut self, groups: &'g [Placed], factor: usize) -> Vec<&'g Placed> {
        let mut urgent: Vec<&Placed> = groups.iter().filter(|placed| !placed.is_moving).collect();
        urgent.sort_by_key(|placed| (std::cmp::Reverse(self.count(placed, NodeState::Dead)), placed.group));
        for placed in &urgent {
            self.repair(placed, factor);
        }
        urgent
    }

    /// Replaces a lost replica, adds a missing one, or removes one too many.
    fn repair(&mut self, placed: &Placed, factor: usize) {
        let lost = self.with(placed, NodeState::Dead);
        let size = placed.replicas.len();
        if size > factor {
            let fullness = |store: &&StoreId| (self.loads.get(store).copied().unwrap_or(u64::MAX), **store);
            let from = lost.or_else(|| placed.replicas.iter().max_by_key(fullness).copied());
            self.add(placed, None, from);
        } else if size < factor {
            self.add_elsewhere(placed, None);
        } else if lost.is_some() {
            self.add_elsewhere(placed, lost);
        }
    }

    fn drain(&mut self, placed: &Placed) {
        let leaving = self.with(placed, NodeState::Draining);
        if leaving.is_some() && !self.is_planned(placed.group) {
            self.add_elsewhere(placed, leaving);
        }
    }

    /// Moves from the fullest node to the emptiest as long as that helps.
    fn balance(&mut self, groups: &[&Placed]) {
        while let Some((placed, from, to)) = self.best_exchange(groups) {
            self.add(placed, Some(to), Some(from));
            if self.plan.moves.len() >= self.moves_max {
                break;
            }
        }
    }

    fn best_exchange<'g>(&self, groups: &[&'g Placed]) -> Option<(&'g Placed, StoreId, StoreId)> {
        if self.plan.moves.len() >= self.moves_max {
            return None;
        }
        let (from, full) =
            self.loads.iter().max_by_key(|(store, load)| (**load, std::cmp::Reverse(**store)))?;
        let (to, empty) = self.loads.iter().min_by_key(|(store, load)| (**load, **store))?;
        let fits = |placed: &&&Placed| {
            !self.is_planned(placed.group)
                && placed.replicas.contains(from)
                && !placed.replicas.contains(to)
                && placed.bytes > 0
                && empty + placed.bytes < *full
        };
        // The one that makes the two most alike.
        let difference = |placed: &&&Placed| (full - placed.bytes).abs_diff(empty + placed.bytes);
        let best = groups.iter().filter(fits).min_by_key(|placed| (difference(placed), placed.group))?;
        Some((best, *from, *to))
    }

    fn emptiest(&self, placed: &Placed) -> Option<StoreId> {
        let free = self.loads.iter().filter(|(store, _)| !placed.replicas.contains(store));
        free.min_by_key(|(store, load)| (**load, **store)).map(|(store, _)| *store)
    }

    fn is_planned(&self, group: GroupId) -> bool {
        self.plan.moves.iter().any(|planned| planned.group == group) || self.plan.stuck.contains(&group)
    }

    /// Plans a replica on the emptiest node that has none of the group.
    fn add_elsewhere(&mut self, placed: &Placed, from: Option<StoreId>) {
        match self.emptiest(placed) {
            Some(to) => self.add(placed, Some(to), from),
            None => self.plan.stuck.push(placed.group),
        }
    }

    fn add(&mut self, placed: &Placed, to: Option<StoreId>, from: Option<StoreId>) {
        if self.plan.moves.len() >= self.moves_max {
            return;
        }
        if let Some(load) = to.and_then(|store| self.loads.get_mut(&store)) {
            *load += placed.bytes;
        }
        if let Some(load) = from.and_then(|store| self.loads.get_mut(&store)) {
            *load = load.saturating_sub(placed.bytes);
        }
        self.plan.moves.push(Move { group: placed.group, to, from });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::random::Random;

    fn nodes(states: &[NodeState]) -> BTreeMap<StoreId, NodeState> {
        (1..).map(StoreId).zip(states.iter().copied()).collect()
    }

    fn placed(group: u64, bytes: u64, replicas: &[u64]) -> Placed {
        let replicas = replicas.iter().copied().map(StoreId).collect();
        Placed { group: GroupId(group), bytes, replicas, is_moving: false }
    }

    fn moved(group: u64, from: u64, to: u64) -> Move {
        Move { group: GroupId(group), to: Some(StoreId(to)), from: Some(StoreId(from)) }
    }

    use NodeState::{Dead, Draining, Serving};

    #[test]
    fn a_lost_replica_is_replaced_before_a_node_is_drained_or_anything_balanced() {
        let nodes = nodes(&[Serving, Serving, Dead, Draining, Serving]);
        let groups = [placed(1, 10, &[1, 2, 4]), placed(2, 10, &[1, 2, 3])];
        let plan = plan(&nodes, &groups, 3, 1);
        assert_eq!(plan.moves, [moved(2, 3, 5)]);
    }

    #[test]
    fn a_group_without_a_place_to_go_is_named_and_not_made_smaller() {
        let nodes = nodes(&[Serving, Serving, Draining]);
        let plan = plan(&nodes, &[placed(1, 10, &[1, 2, 3])], 3, 9);
        assert_eq!(plan, Plan { moves: Vec::new(), stuck: vec![GroupId(1)] });
    }

    #[test]
    fn a_group_that_is_moving_gets_no_second_move() {
        let nodes = nodes(&[Serving, Serving, Dead, Serving]);
        let group = Placed { is_moving: true, ..placed(1, 10, &[1, 2, 3]) };
        assert_eq!(plan(&nodes, &[group], 3, 9), Plan::default());
    }

    /// The goal: from any placement the plans come to an end, where nothing is lost, drained nodes are empty and
    /// loads differ by less than the largest group.
    #[test]
    fn plans_carried_out_one_after_another_come_to_rest() {
        let mut random = Random(9);
        for round in 0..300 {
            let count = 3 + random.below(5);
            let mut states = vec![Serving; count as usize];
            if count > 4 {
                states[0] = if random.one_in(2) { Draining } else { Dead };
            }
            let nodes = nodes(&states);
            let mut groups: Vec<Placed> = (1..=1 + random.below(12))
                .map(|group| {
                    let first = random.below(count);
                    let replicas: Vec<u64> = (0..3).map(|i| 1 + (first + i) % count).collect();
                    placed(group, 1 + random.below(50), &replicas)
                })
                .collect();
            let mut plans = 0;
            loop {
                let next = plan(&nodes, &groups, 3, 2);
                assert_eq!(next.stuck, [], "round {round}");
                if next.moves.is_empty() {
                    break;
                }
                for Move { group, to, from } in next.moves {
                    let target = groups.iter_mut().find(|placed| placed.group == group);
                    let replicas = &mut target.expect("a group of the plan").replicas;
                    assert!(
                        to.is_none_or(|to| nodes[&to] == Serving && replicas.insert(to)),
                        "round {round}"
                    );
                    assert!(from.is_none_or(|from| replicas.remove(&from)), "round {round}");
                }
                plans += 1;
                assert!(plans < 200, "round {round} never ends");
            }
            let largest = groups.iter().map(|placed| placed.bytes).max().unwrap_or(0);
            let all = |placed: &Placed| placed.replicas.iter().all(|store| nodes[store] == Serving);
            assert!(groups.iter().all(|placed| placed.replicas.len() == 3 && all(placed)), "round {round}");
            let loads = loads(&nodes, &groups);
            let (full, empty) = (loads.values().max(), loads.values().min());
            let spread = full.zip(empty).map_or(0, |(full, empty)| full - empty);
            assert!(
                spread <= 2 * largest,
                "round {round}: loads differ by {spread}, largest group {largest}"
            );
        }
    }
}
