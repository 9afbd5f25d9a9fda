//! What is wanted of a node, changed only where no group loses its majority by it.
//!
//! The leader of the map's group decides, one change after the other: of two operators who each take away a node that can be
//! spared, the second is told what the first one's change leaves. A group's majority is counted among its members as its leader
//! knows them, nodes that were removed and still vote included.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::shared::{Call, Shared};
use super::start::Cluster;
use super::status::{CHANGE_TIMEOUT, ClusterStatus, look};
use crate::codec::{Malformed, Reader, Writer};
use crate::ids::{GroupId, StoreId};
use crate::map::{MAP_GROUP, MapCommand, NodeIntent};
use crate::status::{GroupStatus, Role};

/// The call that has the map's leader decide.
pub(super) const INTENT: u32 = Call::TOPICS + 2;
/// What a node of before this call answers to it.
pub(super) const UNKNOWN_CALL: &str = "a call this version does not know";
/// Pause between two looks for a leader, or for the change to arrive here.
const PAUSE: Duration = Duration::from_millis(20);
/// Groups in one answer.
const COUNT_MAX: usize = 65_536;

/// A group that would stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Danger {
    /// The group.
    pub group: GroupId,
    /// Its voters; 0 when nobody who answers knows them.
    pub voters: usize,
    /// Those of them that would be left and answer.
    pub answering: usize,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntentChange {
    /// The map is as it was asked to be; what that endangers, of a change that was forced.
    Done(Vec<Danger>),
    /// Nothing was changed: these groups would stop.
    Refused(Vec<Danger>),
}

impl ClusterStatus {
    /// The groups that would stop if this were wanted of a node: of one that is removed at once, of one that drains as soon as it
    /// is stopped, unless a spare node that answers can take its vote before.
    pub fn dangers(&self, store: StoreId, intent: NodeIntent) -> Vec<Danger> {
        if intent == NodeIntent::Serving {
            return Vec::new();
        }
        let said = self.nodes.iter().filter_map(|node| node.groups.as_ref().ok()).flatten();
        let mut groups: BTreeSet<GroupId> = said.map(|status| status.group).collect();
        let own = self.nodes.iter().find(|node| node.store == store);
        groups.extend(own.iter().flat_map(|own| own.record.replicas.keys()));
        groups.into_iter().filter_map(|group| self.danger(group, store, intent)).collect()
    }

    fn danger(&self, group: GroupId, store: StoreId, intent: NodeIntent) -> Option<Danger> {
        let Some(best) = self.best_known(group) else {
            return Some(Danger { group, voters: 0, answering: 0 });
        };
        let voters = best.members.iter().filter(|member| member.votes);
        let stores: Vec<Option<StoreId>> = voters.map(|voter| voter.store).collect();
        if !stores.contains(&Some(store)) {
            return None;
        }
        let majority = stores.len() / 2 + 1;
        let answers = |of: StoreId| self.serves(group, of);
        let others = stores.iter().flatten().filter(|of| **of != store && answers(**of)).count();
        // While too few answer, nobody can be given a vote.
        let may_change = others + usize::from(answers(store)) >= majority;
        let spare = intent == NodeIntent::Draining && may_change && self.has_spare(group, store, &stores);
        let stops = others + usize::from(spare) < majority;
        stops.then_some(Danger { group, voters: stores.len(), answering: others })
    }

    /// Whether a node that is wanted to serve has the group, and no vote in it.
    fn has_spare(&self, group: GroupId, store: StoreId, voters: &[Option<StoreId>]) -> bool {
        self.nodes.iter().any(|node| {
            node.store != store
                && node.record.intent == NodeIntent::Serving
                && !voters.contains(&Some(node.store))
                && self.serves(group, node.store)
        })
    }

    /// Whether a node answers and its replica of a group is in service.
    fn serves(&self, group: GroupId, store: StoreId) -> bool {
        let node = self.nodes.iter().find(|node| node.store == store);
        let mut groups = node.iter().filter_map(|node| node.groups.as_ref().ok()).flatten();
        groups.any(|status| status.group == group && status.role != Role::Quarantined)
    }

    /// The group as its leader of the newest term or, without one, whoever has most of it sees it.
    fn best_known(&self, group: GroupId) -> Option<&GroupStatus> {
        let said = self.nodes.iter().filter_map(|node| node.groups.as_ref().ok()).flatten();
        let of_group = said.filter(|status| status.group == group && !status.members.is_empty());
        of_group.max_by_key(|status| (status.role == Role::Leader, status.term, status.applied))
    }
}

impl Cluster {
    /// Changes what is wanted of a node, unless a group would stop; `force`: all the same. Blocks.
    ///
    /// # Errors
    /// A sentence: refused by the map, or no leader.
    pub fn set_intent(
        &self,
        store: StoreId,
        intent: NodeIntent,
        force: bool,
    ) -> Result<IntentChange, String> {
        let shared = self.shared();
        let deadline = Instant::now() + CHANGE_TIMEOUT;
        let leader = loop {
            let leader = shared.handle(MAP_GROUP).and_then(|handle| handle.status().leader_store);
            match leader {
                Some(leader) => break leader,
                None if Instant::now() < deadline => thread::sleep(PAUSE),
                None => return Err("the list of nodes has no leader now; try again".to_owned()),
            }
        };
        if leader == shared.local.store {
            return decide(shared, store, intent, force);
        }
        let mut request = Writer::default();
        request.u64(store.0);
        request.u32(intent_number(intent));
        request.u32(u32::from(force));
        let reply = shared.network()?.call(leader, INTENT, Bytes::from(request.0), 2 * CHANGE_TIMEOUT);
        match reply {
            // In the middle of an upgrade.
            Err(reason) if reason.contains(UNKNOWN_CALL) => decide(shared, store, intent, force),
            Err(reason) => Err(reason),
            Ok(reply) => {
                let change = read_change(&reply).map_err(|what| what.to_string())?;
                let is_here = || shared.map.map().nodes.get(&store).is_some_and(|it| it.intent == intent);
                while matches!(change, IntentChange::Done(_)) && !is_here() && Instant::now() < deadline {
                    thread::sleep(PAUSE);
                }
                Ok(change)
            }
        }
    }
}

/// Decides for another node.
///
/// # Errors
/// A sentence.
pub(super) fn decide_for(shared: &Shared, request: &[u8]) -> Result<Bytes, String> {
    let (store, intent, force) = read_request(request).map_err(|what| what.to_string())?;
    let intent = match intent {
        0 => NodeIntent::Serving,
        1 => NodeIntent::Draining,
        2 => NodeIntent::Removed,
        _ => return Err("a state of a node that this version does not know".to_owned()),
    };
    decide(shared, StoreId(store), intent, force == 1).map(|change| write_change(&change).into())
}

fn read_request(request: &[u8]) -> Result<(u64, u32, u32), Malformed> {
    let mut reader = Reader(request);
    let read = (reader.u64()?, reader.u32()?, reader.u32()?);
    reader.end()?;
    Ok(read)
}

/// Looks at all nodes, and changes the map unless a group would stop. One at a time: each sees what the one before has done.
fn decide(shared: &Shared, store: StoreId, intent: NodeIntent, force: bool) -> Result<IntentChange, String> {
    let busy = "another change of a node is under way; try again";
    let _one_at_a_time = shared.intents.try_lock_for(CHANGE_TIMEOUT).ok_or(busy)?;
    if shared.map.map().nodes.get(&store).is_some_and(|node| node.intent == intent) {
        return Ok(IntentChange::Done(Vec::new()));
    }
    let dangers = look(shared).dangers(store, intent);
    if !dangers.is_empty() && !force {
        return Ok(IntentChange::Refused(dangers));
    }
    shared.change_map(&MapCommand::SetIntent { store, intent }, CHANGE_TIMEOUT)?;
    Ok(IntentChange::Done(dangers))
}

fn intent_number(intent: NodeIntent) -> u32 {
    match intent {
        NodeIntent::Serving => 0,
        NodeIntent::Draining => 1,
        NodeIntent::Removed => 2,
    }
}

fn write_change(change: &IntentChange) -> Vec<u8> {
    let (kind, dangers) = match change {
        IntentChange::Done(dangers) => (0, dangers),
        IntentChange::Refused(dangers) => (1, dangers),
    };
    let mut out = Writer::default();
    out.u32(kind);
    out.u32(dangers.len() as u32);
    for Danger { group, voters, answering } in dangers {
        [group.0, *voters as u64, *answering as u64].iter().for_each(|number| out.u64(*number));
    }
    out.0
}

fn read_change(bytes: &[u8]) -> Result<IntentChange, Malformed> {
    let mut reader = Reader(bytes);
    let kind = reader.u32()?;
    let mut dangers = Vec::new();
    for _ in 0..reader.count(COUNT_MAX)? {
        let (group, voters, answering) = (reader.u64()?, reader.u64()?, reader.u64()?);
        dangers.push(Danger {
            group: GroupId(group),
            voters: usize::try_from(voters).unwrap_or(usize::MAX),
            answering: usize::try_from(answering).unwrap_or(usize::MAX),
        });
    }
    reader.end()?;
    match kind {
        0 => Ok(IntentChange::Done(dangers)),
        1 => Ok(IntentChange::Refused(dangers)),
        _ => Err(Malformed("what became of a change")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cluster::status::{NodeStatus, read};
    use crate::ids::{ClusterId, PeerId};
    use crate::map::NodeRecord;
    use crate::status::MemberStatus;

    const GROUP: GroupId = GroupId(7);

    fn replica(store: u64, leads: bool, voters: &[u64], spares: &[u64]) -> GroupStatus {
        let member = |store: &u64, votes| MemberStatus {
            peer: PeerId(*store),
            store: Some(StoreId(*store)),
            votes,
            matched: None,
            is_heard: None,
            progress: None,
        };
        let voting = voters.iter().map(|it| member(it, true));
        let members = voting.chain(spares.iter().map(|it| member(it, false))).collect();
        let role = if leads { Role::Leader } else { Role::Follower };
        GroupStatus { peer: PeerId(store), role, members, ..GroupStatus::new(GROUP, PeerId(store)) }
    }

    /// A cluster of the stores from 1 to `count`, of which the `silent` ones do not answer.
    fn cluster(count: u64, voters: &[u64], silent: &[u64]) -> ClusterStatus {
        let spares: Vec<u64> = (1..=count).filter(|it| !voters.contains(it)).collect();
        let leader = voters.iter().find(|it| !silent.contains(it));
        let node = |store: u64| NodeStatus {
            store: StoreId(store),
            record: NodeRecord {
                address: String::new(),
                api: String::new(),
                intent: NodeIntent::Serving,
                replicas: BTreeMap::from([(GROUP, PeerId(store))]),
            },
            groups: if silent.contains(&store) {
                Err("silent".to_owned())
            } else {
                Ok(vec![replica(store, leader == Some(&store), voters, &spares)])
            },
        };
        ClusterStatus {
            cluster: ClusterId(1),
            epoch: 1,
            factor: 3,
            answered_by: StoreId(1),
            nodes: (1..=count).map(node).collect(),
            placements: BTreeMap::new(),
        }
    }

    fn stops(status: &ClusterStatus, store: u64, intent: NodeIntent) -> Option<(usize, usize)> {
        let dangers = status.dangers(StoreId(store), intent);
        assert!(dangers.len() <= 1, "there is one group: {dangers:?}");
        dangers.first().map(|danger| (danger.voters, danger.answering))
    }

    #[test]
    fn a_removal_is_dangerous_exactly_when_no_majority_would_be_left() {
        use NodeIntent::{Draining, Removed, Serving};
        let three = [1, 2, 3];
        assert_eq!(stops(&cluster(3, &three, &[]), 2, Removed), None);
        assert_eq!(stops(&cluster(3, &three, &[3]), 3, Removed), None, "the silent one may go");
        assert_eq!(stops(&cluster(3, &three, &[3]), 2, Removed), Some((3, 1)));
        assert_eq!(stops(&cluster(3, &three, &[3]), 2, Serving), None);
        assert_eq!(stops(&cluster(1, &[1], &[]), 1, Removed), Some((1, 0)));
        // A spare node is of use to a node that drains: it takes the vote before. Not to one that is gone at once.
        assert_eq!(stops(&cluster(2, &[1], &[]), 1, Removed), Some((1, 0)));
        assert_eq!(stops(&cluster(2, &[1], &[]), 1, Draining), None);
        assert_eq!(stops(&cluster(2, &[1], &[2]), 1, Draining), Some((1, 0)), "the spare node is silent");
        assert_eq!(stops(&cluster(4, &three, &[3]), 2, Draining), None);
        assert_eq!(stops(&cluster(4, &three, &[3, 4]), 2, Draining), Some((3, 1)));
        assert_eq!(stops(&cluster(4, &three, &[2, 3]), 1, Draining), Some((3, 0)), "nobody can be promoted");
        assert_eq!(stops(&cluster(4, &three, &[3]), 4, Removed), None, "it has no vote");
        assert_eq!(stops(&cluster(3, &three, &three), 1, Removed), Some((0, 0)), "nobody knows");
    }

    #[test]
    fn voters_that_were_removed_and_a_replica_out_of_service_do_not_count() {
        let five = [1, 2, 3, 4, 5];
        let mut status = cluster(5, &five, &[]);
        assert_eq!(stops(&status, 3, NodeIntent::Removed), None);
        // Removed from the map, and members still: a third one would be too many.
        status.nodes.retain(|node| node.store.0 != 4 && node.store.0 != 5);
        assert_eq!(stops(&status, 3, NodeIntent::Removed), Some((5, 2)));
        let mut status = cluster(3, &[1, 2, 3], &[]);
        for group in status.nodes[2].groups.iter_mut().flatten() {
            group.role = Role::Quarantined;
        }
        assert_eq!(stops(&status, 2, NodeIntent::Removed), Some((3, 1)));
    }

    #[test]
    fn a_decision_is_read_back_and_nothing_else_is() {
        let danger = Danger { group: GROUP, voters: 3, answering: 1 };
        for change in [IntentChange::Done(vec![]), IntentChange::Refused(vec![danger, danger])] {
            let bytes = write_change(&change);
            assert_eq!(read_change(&bytes), Ok(change));
            (0..bytes.len()).for_each(|end| assert!(read_change(&bytes[..end]).is_err(), "{end} bytes"));
        }
        assert!(read(&[1]).is_err());
    }
}
