//! Whether one shard may move: decided of what all nodes say at that moment, with a reason where it may not.
//!
//! Somebody else may change the same shard between this and the map's entry. Of two who saw the same places the map takes one. A split
//! that begins meanwhile is in another group's log, which the map knows nothing of: it is no harm, since the new shard follows
//! the old one ([`split_places`](super::split_places)).

use std::collections::BTreeSet;

use segue_cluster::{ClusterStatus, GroupId, GroupStatus, NodeIntent, PlacementChange, Role, StoreId};

use super::report::group_name;
use crate::error::{Error, Result};

/// One move; `None` when the shard is there already, and no more where it was.
///
/// # Errors
/// `NotFound` for a node to go to that there is not; `Conflict` for a move that is of no use, or would leave a replica fewer or no
/// majority.
pub(super) fn plan_move(
    status: &ClusterStatus,
    id: GroupId,
    (from, to): (StoreId, StoreId),
) -> Result<Option<PlacementChange>> {
    let group = group_name(id);
    let refused = |reason: String| Err(Error::Conflict(format!("{reason}; nothing was done")));
    let target = status.nodes.iter().find(|node| node.store == to);
    let target = target.ok_or_else(|| Error::not_found("node", to))?;
    let places = status.placements.get(&id);
    let now = places.cloned().unwrap_or_else(|| voters(status, id));
    // Of one that is on all nodes it is none either, but says where that should be from then on.
    if from == to && places.is_some() {
        return refused(format!(
            "a move of {group} from node {from} to the same node is none: name another one"
        ));
    }
    if places.is_some() && now.contains(&to) && !now.contains(&from) {
        return Ok(None);
    }
    if !now.contains(&from) {
        return refused(format!("{group} is not placed on node {from}"));
    }
    if now.contains(&to) && from != to {
        return refused(format!(
            "node {to} has a place of {group} already: a move there would leave a replica fewer"
        ));
    }
    if let Err(reason) = &target.groups {
        return refused(format!("node {to} does not answer: {reason}"));
    }
    if target.record.intent != NodeIntent::Serving {
        return refused(format!("node {to} is draining"));
    }
    let mut after = now;
    after.remove(&from);
    after.insert(to);
    let answering = answering(status, &after);
    if answering < after.len() / 2 + 1 {
        return refused(format!(
            "{group} would have no majority that answers: start the silent nodes, or `repair`, first. places=`{}`, answering=`{answering}`",
            after.len()
        ));
    }
    Ok(Some(PlacementChange { group: id, from: places.cloned(), to: after }))
}

/// Refuses what would have to be carried out by a group that cannot: without a leader, or a majority that answers, nothing
/// moves, and to wish for it hides the trouble.
///
/// # Errors
/// `Conflict`.
pub(super) fn check_movable(status: &ClusterStatus, group: GroupId) -> Result<()> {
    let members = voters(status, group);
    let answering = answering(status, &members);
    if status.leader_of(group).is_none() || answering < members.len() / 2 + 1 {
        return Err(Error::Conflict(format!(
            "{} has no majority that answers, so it cannot move; nothing was done. voters=`{}`, answering=`{answering}`",
            group_name(group),
            members.len()
        )));
    }
    Ok(())
}

/// Refuses to begin something else with a shard whose members are not yet those that its places ask for.
///
/// # Errors
/// `Conflict`.
pub(super) fn check_settled(status: &ClusterStatus, group: GroupId) -> Result<()> {
    let (Some(places), Some(seen)) = (status.placements.get(&group), newest(status, group)) else {
        return Ok(());
    };
    let members: BTreeSet<StoreId> = seen.members.iter().filter_map(|member| member.store).collect();
    if !seen.is_joint && voters(status, group).is_subset(places) && places.is_subset(&members) {
        return Ok(());
    }
    let places: Vec<String> = places.iter().map(ToString::to_string).collect();
    Err(Error::Conflict(format!(
        "{} is on its way to other nodes: wait until `status` shows it there (`repair` gives it another node for one that does not answer); \
         nothing was done. places=`{}`",
        group_name(group),
        places.join(", ")
    )))
}

/// The stores of a group's voters, as its leader of the newest term or, without one, whoever has most of it says.
pub(super) fn voters(status: &ClusterStatus, group: GroupId) -> BTreeSet<StoreId> {
    let members = newest(status, group).map(|seen| seen.members.as_slice()).unwrap_or_default();
    members.iter().filter(|member| member.votes).filter_map(|member| member.store).collect()
}

fn newest(status: &ClusterStatus, group: GroupId) -> Option<&GroupStatus> {
    let seen = status.nodes.iter().filter_map(|node| node.groups.as_ref().ok()).flatten();
    let of_group = seen.filter(|it| it.group == group);
    of_group.max_by_key(|it| (it.role == Role::Leader, it.term, it.applied))
}

fn answering(status: &ClusterStatus, stores: &BTreeSet<StoreId>) -> usize {
    let answers =
        |store: &&StoreId| status.nodes.iter().any(|node| node.store == **store && node.groups.is_ok());
    stores.iter().filter(answers).count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use segue_cluster::{ClusterId, MemberStatus, NodeRecord, NodeStatus, PeerId};

    use super::super::open::USERS;
    use super::*;

    const GROUP: GroupId = GroupId(USERS);

    fn stores(numbers: &[u64]) -> BTreeSet<StoreId> {
        numbers.iter().copied().map(StoreId).collect()
    }

    /// Six nodes; the group's voters, the first of which leads, and members that follow.
    fn status(places: Option<&[u64]>, voters: &[u64], learners: &[u64], silent: &[u64]) -> ClusterStatus {
        let member = |store: &u64, votes| MemberStatus {
            peer: PeerId(*store),
            store: Some(StoreId(*store)),
            votes,
            matched: None,
            is_heard: None,
            progress: None,
        };
        let voting = voters.iter().map(|it| member(it, true));
        let members: Vec<MemberStatus> = voting.chain(learners.iter().map(|it| member(it, false))).collect();
        let node = |store: u64| {
            let role = if voters.first() == Some(&store) { Role::Leader } else { Role::Follower };
            let replica =
                GroupStatus { role, members: members.clone(), ..GroupStatus::new(GROUP, PeerId(store)) };
            let has_it = members.iter().any(|member| member.store == Some(StoreId(store)));
            NodeStatus {
                store: StoreId(store),
                record: NodeRecord {
                    address: String::new(),
                    api: String::new(),
                    intent: NodeIntent::Serving,
                    replicas: BTreeMap::new(),
                },
                groups: match silent.contains(&store) {
                    true => Err("silent".to_owned()),
                    false => Ok(if has_it { vec![replica] } else { Vec::new() }),
                },
            }
        };
        ClusterStatus {
            cluster: ClusterId(1),
            epoch: 1,
            factor: 3,
            answered_by: StoreId(1),
            nodes: (1..=6).map(node).collect(),
            placements: places.map(|places| (GROUP, stores(places))).into_iter().collect(),
        }
    }

    #[track_caller]
    fn is_refused<T: std::fmt::Debug>(outcome: Result<T>, because: &str) {
        let reason = outcome.expect_err(because).to_string();
        assert!(reason.contains(because) && reason.contains("nothing was done"), "{reason}");
    }

    fn moved(status: &ClusterStatus, from: u64, to: u64) -> Result<Option<PlacementChange>> {
        plan_move(status, GROUP, (StoreId(from), StoreId(to)))
    }

    #[test]
    fn a_move_says_where_the_shard_was_and_where_it_should_be() {
        let three = [1, 2, 3];
        let placed = status(Some(&three), &three, &[], &[]);
        let change = |from| PlacementChange { group: GROUP, from, to: stores(&[1, 2, 4]) };
        assert_eq!(moved(&placed, 3, 4).expect("it may move"), Some(change(Some(stores(&three)))));
        // One that is on all nodes has its places from then on.
        assert_eq!(
            moved(&status(None, &three, &[4, 5, 6], &[]), 3, 4).expect("it may move"),
            Some(change(None))
        );
        // Said again when it was done.
        assert_eq!(moved(&status(Some(&[1, 2, 4]), &three, &[4], &[]), 3, 4).expect("it has moved"), None);
        // The silent one may be left, the last one that keeps a majority may not.
        assert!(moved(&status(Some(&three), &three, &[], &[3]), 3, 4).is_ok());
        let two_are_lost = status(Some(&[1, 4, 5]), &three, &[4, 5], &[4, 5]);
        is_refused(moved(&two_are_lost, 1, 6), "would have no majority that answers");
    }

    #[test]
    fn senseless_moves_are_refused() {
        let three = [1, 2, 3];
        for places in [Some(&three[..]), None] {
            let mut status = status(places, &three, &[], &[5]);
            status.nodes[5].record.intent = NodeIntent::Draining;
            assert!(matches!(moved(&status, 1, 9), Err(Error::NotFound { .. })));
            let own = moved(&status, 1, 1);
            match places {
                Some(_) => is_refused(own, "the same node"),
                None => assert_eq!(own.expect("it gets its places").map(|it| it.to), Some(stores(&three))),
            }
            is_refused(
                moved(&status, 4, 4),
                if places.is_some() { "the same node" } else { "is not placed" },
            );
            is_refused(moved(&status, 4, 5), "is not placed on node");
            is_refused(moved(&status, 9, 4), "is not placed on node");
            is_refused(moved(&status, 1, 2), "a replica fewer");
            is_refused(moved(&status, 1, 5), "does not answer");
            is_refused(moved(&status, 1, 6), "is draining");
        }
        let lost = status(Some(&three), &three, &[], &[2, 3]);
        is_refused(check_movable(&lost, GROUP), "no majority that answers");
        is_refused(
            check_movable(&status(Some(&three), &three, &[], &[1]), GROUP),
            "no majority that answers",
        );
        assert!(check_movable(&status(Some(&three), &three, &[], &[3]), GROUP).is_ok());
    }

    #[test]
    fn a_shard_is_settled_once_its_members_are_those_of_its_places() {
        let three = [1, 2, 3];
        for settled in [
            status(None, &three, &[4], &[]),
            status(Some(&three), &three, &[], &[]),
            // Two voters bear no failure: the second follows.
            status(Some(&[1, 2]), &[1], &[2], &[]),
            // It follows until its node lets go.
            status(Some(&[1, 2, 4]), &[1, 2, 4], &[3], &[]),
            // Nobody knows: others say that it has no leader.
            status(Some(&three), &three, &[], &three),
        ] {
            check_settled(&settled, GROUP).expect("it is settled");
        }
        for (voters, learners) in [(&three, &[][..]), (&three, &[4])] {
            is_refused(
                check_settled(&status(Some(&[1, 2, 4]), voters, learners, &[]), GROUP),
                "users-0 is on its way",
            );
        }
        let mut joint = status(Some(&three), &three, &[], &[]);
        joint.nodes[0].groups.iter_mut().flatten().for_each(|group| group.is_joint = true);
        is_refused(check_settled(&joint, GROUP), "is on its way");
    }
}
