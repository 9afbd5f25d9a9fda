//! What a group's leader does next so that its members become what the cluster's map says: a pure function, asked again and
//! again, by whoever leads. Every node of the map holds every group it has a replica of; some of them vote. Of a group that
//! has its places, only replicas that are in them become members and get votes; one that is elsewhere gives its vote away, and
//! is a member until its node says that it is given up.
//!
//! Order: leave a joint membership; let new replicas listen; stop listening to those the map no longer knows; then
//! move votes: one at a time, to a replica that has caught up, never leaving fewer than there were.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{self, Move, NodeState, Placed};
use super::replace::{Replacement, Step, View, enter, hand_over, next_step};
use crate::ids::{GroupId, PeerId, StoreId};
use crate::map::{MapState, NodeIntent};
use crate::members::MemberChange;

/// Returns the next step for a group, as its leader sees it.
pub(crate) fn next(group: GroupId, map: &MapState, view: &View) -> Step {
    if !view.leads {
        return Step::Wait;
    }
    if !view.voters_outgoing.is_empty() {
        return next_step(&Replacement { add: None, remove: None }, view);
    }
    let wanted = wanted(group, map);
    if wanted.is_empty() {
        return Step::Done;
    }
    let is_member = |peer: &PeerId| view.voters.contains(&peer.0) || view.learners.contains(&peer.0);
    let is_new = |(store, peer): &(&StoreId, &PeerId)| map.is_placed(group, **store) && !is_member(peer);
    if let Some((store, peer)) = wanted.iter().find(is_new) {
        return Step::Propose(MemberChange::AddLearner { peer: *peer, store: *store });
    }
    let is_wanted = |peer: &u64| wanted.values().any(|wanted| wanted.0 == *peer);
    if let Some(peer) = view.learners.iter().find(|peer| !is_wanted(peer)) {
        return Step::Propose(MemberChange::RemoveLearner { peer: PeerId(*peer) });
    }
    match move_vote(group, map, view, &wanted) {
        Some(step) => step,
        None => step_aside(group, map, view),
    }
}

/// The replicas a group should have, by store.
fn wanted(group: GroupId, map: &MapState) -> BTreeMap<StoreId, PeerId> {
    let nodes = map.nodes.iter().filter(|(_, node)| node.intent != NodeIntent::Removed);
    nodes.filter_map(|(store, node)| Some((*store, *node.replicas.get(&group)?))).collect()
}

fn move_vote(
    group: GroupId,
    map: &MapState,
    view: &View,
    wanted: &BTreeMap<StoreId, PeerId>,
) -> Option<Step> {
    // A vote of a replica that is not wanted counts as lost, even if its store came back with another one.
    let place = |peer: &u64| {
        let store = view.stores.get(peer).copied()?;
        (wanted.get(&store) == Some(&PeerId(*peer))).then_some(store)
    };
    let voters: BTreeSet<StoreId> = view.voters.iter().filter_map(place).collect();
    let lost = view.voters.iter().find(|peer| place(peer).is_none()).copied();
    let states = node_states(group, map, view, wanted);
    let factor = votes(map.factor, &states, &voters);
    let planned = if lost.is_some() {
        let placed = Placed { group, bytes: 1, replicas: voters.clone(), is_moving: false };
        let to = plan::plan(&states, &[placed], factor, 1).moves.first().and_then(|planned| planned.to);
        Some((to, lost))
    } else {
        let placed = Placed { group, bytes: 1, replicas: voters, is_moving: false };
        let moves = plan::plan(&states, &[placed], factor, 1).moves;
        moves.first().map(|Move { to, from, .. }| {
            let from = from.and_then(|store| wanted.get(&store)).map(|peer| peer.0);
            (*to, from)
        })
    };
    let (to, from) = planned?;
    let promote = to.and_then(|store| wanted.get(&store)).copied();
    if promote.is_some_and(|peer| !view.caught_up.contains(&peer.0)) {
        return Some(Step::Wait);
    }
    Some(enter(view, promote, from.map(PeerId)))
}

/// A silent node counts as dead: its vote goes to another. Unless half of all nodes are silent: then it is rather this one
/// that hears badly, and every vote is needed where it is. A node that holds the group and should not gives its vote away
/// as one that drains does, and gets none.
fn node_states(
    group: GroupId,
    map: &MapState,
    view: &View,
    wanted: &BTreeMap<StoreId, PeerId>,
) -> BTreeMap<StoreId, NodeState> {
    let is_silent = |store: &StoreId| wanted.get(store).is_some_and(|peer| view.silent.contains(&peer.0));
    let believed = 2 * wanted.keys().filter(|store| is_silent(store)).count() < wanted.len();
    let state = |store: &StoreId, intent| match intent {
        NodeIntent::Removed => None,
        _ if believed && is_silent(store) => Some(NodeState::Dead),
        _ if !map.is_placed(group, *store) => Some(NodeState::Draining),
        NodeIntent::Serving => Some(NodeState::Serving),
        NodeIntent::Draining => Some(NodeState::Draining),
    };
    let nodes = map.nodes.iter().filter(|(store, _)| wanted.contains_key(store));
    nodes.filter_map(|(store, node)| Some((*store, state(store, node.intent)?))).collect()
}

/// How many members vote: the factor, or while there are fewer nodes an odd number, because an even one bears no more failures.
/// Votes that are there are kept.
fn votes(factor: usize, states: &BTreeMap<StoreId, NodeState>, voters: &BTreeSet<StoreId>) -> usize {
    let present = states.len();
    if present >= factor {
        return factor;
    }
    let odd = present.max(1) - usize::from(present.is_multiple_of(2) && present > 0);
    odd.max(voters.len())
}

/// Hands leadership from a node that drains, or should not hold the group, to a voter on one that does not.
fn step_aside(group: GroupId, map: &MapState, view: &View) -> Step {
    let drains = |peer: &u64| {
        let Some(store) = view.stores.get(peer) else { return true };
        let node = map.nodes.get(store);
        node.is_none_or(|node| node.intent != NodeIntent::Serving) || !map.is_placed(group, *store)
    };
    if !drains(&view.peer.0) {
        return Step::Done;
    }
    let others =
        View { voters: view.voters.iter().copied().filter(|peer| !drains(peer)).collect(), ..view.clone() };
    match hand_over(&others, None) {
        Step::Wait => Step::Done,
        step => step,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::NodeRecord;

    const GROUP: GroupId = GroupId(9);

    /// Nodes 1, 2, … with the replicas 10, 20, …
    fn map(factor: usize, intents: &[NodeIntent]) -> MapState {
        let node = |(number, intent): (u64, &NodeIntent)| {
            let replicas = BTreeMap::from([(GROUP, PeerId(number * 10))]);
            let (address, api) = (format!("h:{number}"), String::new());
            (StoreId(number), NodeRecord { address, api, intent: *intent, replicas })
        };
        let nodes = (1..).zip(intents).map(node).collect();
        MapState { epoch: 1, factor, nodes, ..MapState::default() }
    }

    /// A group as its leader, replica 10, sees it; everybody has caught up.
    fn view(voters: &[u64], learners: &[u64]) -> View {
        let all = voters.iter().chain(learners);
        View {
            leads: true,
            peer: PeerId(10),
            voters: voters.to_vec(),
            learners: learners.to_vec(),
            caught_up: all.clone().copied().collect(),
            stores: all.map(|peer| (*peer, StoreId(peer / 10))).collect(),
            ..View::default()
        }
    }

    use NodeIntent::{Draining, Removed, Serving};

    /// Carries steps out until nothing is left to do; the votes after each step.
    fn run(map: &MapState, mut view: View) -> (Vec<Vec<u64>>, View) {
        let mut votes = Vec::new();
        for _ in 0..40 {
            match next(GROUP, map, &view) {
                Step::Done => return (votes, view),
                Step::Wait => panic!("waits: {view:?}"),
                Step::TransferLeader(peer) => view.peer = peer,
                Step::Propose(change) => match change {
                    MemberChange::AddLearner { peer, store } => {
                        view.learners.push(peer.0);
                        view.caught_up.push(peer.0);
                        view.stores.insert(peer.0, store);
                    }
                    MemberChange::RemoveLearner { peer } => view.learners.retain(|id| *id != peer.0),
                    MemberChange::Enter { promote, demote } => {
                        assert_ne!(demote, Some(view.peer), "the leader is not demoted");
                        view.voters_outgoing.clone_from(&view.voters);
                        view.voters.retain(|id| Some(PeerId(*id)) != demote);
                        view.learners.extend(demote.map(|peer| peer.0));
                        view.learners.retain(|id| Some(PeerId(*id)) != promote);
                        view.voters.extend(promote.map(|peer| peer.0));
                    }
                    MemberChange::Leave => view.voters_outgoing.clear(),
                },
            }
            votes.push(view.voters.clone());
        }
        panic!("never ends: {view:?}");
    }

    #[test]
    fn one_node_becomes_three_and_all_vote_but_two_do_not() {
        let (_, two) = run(&map(3, &[Serving, Serving]), view(&[10], &[]));
        assert_eq!((two.voters, two.learners), (vec![10], vec![20]), "two voters bear no failure");
        let (votes, three) = run(&map(3, &[Serving, Serving, Serving]), view(&[10], &[20]));
        assert_eq!((three.voters, three.learners), (vec![10, 20, 30], vec![]));
        assert!(votes.windows(2).all(|pair| pair[1].len().abs_diff(pair[0].len()) <= 1));
        let (_, four) = run(&map(3, &[Serving; 4]), view(&[10, 20, 30], &[]));
        assert_eq!((four.voters, four.learners), (vec![10, 20, 30], vec![40]), "the fourth is a spare");
    }

    #[test]
    fn a_draining_node_gives_its_vote_away_and_leads_no_more() {
        let (votes, end) = run(&map(3, &[Draining, Serving, Serving, Serving]), view(&[10, 20, 30], &[40]));
        assert_eq!((end.voters, end.learners), (vec![20, 30, 40], vec![10]));
        assert_ne!(end.peer, PeerId(10));
        assert!(votes.iter().all(|votes| votes.len() == 3));
        // Without a spare it keeps its vote, and hands over leadership only.
        let (_, end) = run(&map(3, &[Draining, Serving, Serving]), view(&[10, 20, 30], &[]));
        assert_eq!((end.voters.len(), end.peer == PeerId(10)), (3, false));
    }

    #[test]
    fn a_removed_node_is_replaced_first_and_then_forgotten() {
        let (votes, end) = run(&map(3, &[Serving, Serving, Removed, Serving]), view(&[10, 20, 30], &[40]));
        assert_eq!((end.voters, end.learners), (vec![10, 20, 40], vec![]));
        assert!(votes.iter().all(|votes| votes.len() == 3));
        let (_, end) = run(&map(3, &[Serving, Serving, Removed]), view(&[10, 20, 30], &[]));
        assert_eq!((end.voters, end.learners), (vec![10, 20], vec![]), "the votes that are left stay");
    }

    #[test]
    fn a_replica_that_lost_its_disk_is_replaced_by_the_new_one_of_its_node() {
        let mut map = map(3, &[Serving; 3]);
        map.nodes.get_mut(&StoreId(3)).expect("node 3").replicas.insert(GROUP, PeerId(31));
        let (_, end) = run(&map, view(&[10, 20, 30], &[]));
        assert_eq!((end.voters, end.learners), (vec![10, 20, 31], vec![]));
    }

    #[test]
    fn a_silent_node_gives_its_vote_to_a_spare_one_and_is_a_spare_itself_when_it_is_back() {
        let four = map(3, &[Serving; 4]);
        let silent = View { silent: vec![20], ..view(&[10, 20, 30], &[40]) };
        let (votes, end) = run(&four, silent);
        assert_eq!((end.voters.clone(), end.learners.clone()), (vec![10, 30, 40], vec![20]));
        assert!(votes.iter().all(|votes| votes.len() == 3));
        let (votes, _) = run(&four, View { silent: Vec::new(), ..end });
        assert!(votes.is_empty(), "nothing moves when it is back");
    }

    #[test]
    fn silence_moves_nothing_without_a_spare_node_or_while_half_the_nodes_are_silent() {
        let three = View { silent: vec![20], ..view(&[10, 20, 30], &[]) };
        assert_eq!(next(GROUP, &map(3, &[Serving; 3]), &three), Step::Done);
        let half = View { silent: vec![20, 40], ..view(&[10, 20, 30], &[40]) };
        assert_eq!(next(GROUP, &map(3, &[Serving; 4]), &half), Step::Done);
        // The spare node is the silent one.
        let spare = View { silent: vec![40], ..view(&[10, 20, 30], &[40]) };
        assert_eq!(next(GROUP, &map(3, &[Serving; 4]), &spare), Step::Done);
    }

    /// The same map, with the group on these nodes.
    fn placed(map: MapState, stores: &[u64]) -> MapState {
        let stores = stores.iter().copied().map(StoreId).collect();
        MapState { placements: BTreeMap::from([(GROUP, stores)]), ..map }
    }

    #[test]
    fn a_group_moves_vote_by_vote_to_where_it_is_placed_and_the_old_replica_listens_until_its_node_lets_go() {
        // The leader's own node is left, too.
        for (stores, voters) in [([2, 3, 4], [20, 30, 40]), ([1, 2, 4], [10, 20, 40])] {
            let mut map = placed(map(3, &[Serving; 4]), &stores);
            let (votes, end) = run(&map, view(&[10, 20, 30], &[]));
            let mut all = end.voters.clone();
            all.sort_unstable();
            assert_eq!(all, voters);
            assert!(votes.iter().all(|votes| votes.len() == 3));
            let left = (1..=4).find(|store| !stores.contains(store)).expect("one is left");
            assert_eq!(end.learners, vec![left * 10], "it listens until its node says that it is gone");
            assert_ne!(end.peer, PeerId(left * 10));
            map.nodes.get_mut(&StoreId(left)).expect("a node").replicas.clear();
            let (_, gone) = run(&map, end);
            assert_eq!(gone.learners, Vec::<u64>::new());
        }
    }

    #[test]
    fn a_replica_outside_the_places_is_never_made_a_member() {
        let map = placed(map(3, &[Serving; 5]), &[1, 2, 3]);
        let (_, end) = run(&map, view(&[10], &[]));
        assert_eq!((end.voters, end.learners), (vec![10, 20, 30], vec![]));
    }

    #[test]
    fn votes_stay_where_they_are_until_the_new_replica_has_caught_up() {
        let map = placed(map(3, &[Serving; 4]), &[1, 2, 4]);
        let behind = View { caught_up: vec![10, 20, 30], ..view(&[10, 20, 30], &[40]) };
        assert_eq!(next(GROUP, &map, &behind), Step::Wait);
    }

    #[test]
    fn a_replica_that_has_not_caught_up_gets_no_vote() {
        let behind = View { caught_up: vec![10, 20], ..view(&[10], &[20, 30]) };
        let map = map(3, &[Serving; 3]);
        let step = next(GROUP, &map, &behind);
        assert_eq!(step, Step::Propose(MemberChange::Enter { promote: Some(PeerId(20)), demote: None }));
        let behind = View { caught_up: vec![10, 20], ..view(&[10, 20], &[30]) };
        assert_eq!(next(GROUP, &map, &behind), Step::Wait);
    }
}
