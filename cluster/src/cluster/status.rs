//! What an operator sees of a cluster, and asks of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::intent::{self, INTENT, UNKNOWN_CALL};
use super::shared::{Call, Shared};
use super::start::Cluster;
use crate::codec::{Malformed, Reader, Writer};
use crate::ids::{ClusterId, GroupId, PeerId, StoreId};
use crate::map::{NodeIntent, NodeRecord};
use crate::status::{GroupStatus, MemberStatus, Role};

/// Calls of the cluster itself.
pub(super) const STATUS: u32 = Call::TOPICS;
const TRANSFER: u32 = Call::TOPICS + 1;
/// How long another node may take.
pub(super) const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a change may take.
pub(super) const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Groups and members in one answer.
const COUNT_MAX: usize = 65_536;

/// A cluster as one of its nodes sees it.
#[derive(Clone, Debug)]
pub struct ClusterStatus {
    /// Its name.
    pub cluster: ClusterId,
    /// Of the map.
    pub epoch: u64,
    /// Replicas of a group that vote, once there are so many nodes.
    pub factor: usize,
    /// Who answers.
    pub answered_by: StoreId,
    /// All nodes that are not removed, ascending.
    pub nodes: Vec<NodeStatus>,
    /// The stores that should hold a group; a group that is not here should be on every node.
    pub placements: BTreeMap<GroupId, BTreeSet<StoreId>>,
}

impl ClusterStatus {
    /// Where a group is led, as those who lead say; of several, the newest.
    pub fn leader_of(&self, group: GroupId) -> Option<StoreId> {
        let led = self.nodes.iter().filter_map(|node| {
            let groups = node.groups.as_ref().ok()?;
            let own = groups.iter().find(|it| it.group == group && it.role == Role::Leader)?;
            Some((own.term, node.store))
        });
        led.max().map(|(_, store)| store)
    }
}

/// One node.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// Its store.
    pub store: StoreId,
    /// What the map says about it.
    pub record: NodeRecord,
    /// Its replicas as it says; or why it says nothing.
    pub groups: Result<Vec<GroupStatus>, String>,
}

impl Cluster {
    /// Asks every node how it is. Blocks for at most two seconds or so.
    pub fn status(&self) -> ClusterStatus {
        look(self.shared())
    }

    /// Has this node's replica of a group hand over to the one on `to`, if it leads; whether it did.
    ///
    /// # Errors
    /// A sentence: no voter there, or too far behind.
    pub fn hand_over(&self, group: GroupId, to: StoreId) -> Result<bool, String> {
        let leads = self.shared().handle(group).is_some_and(|handle| handle.status().role == Role::Leader);
        if leads {
            self.transfer_leader(group, to)?;
        }
        Ok(leads)
    }

    /// Has a group's leader hand over to its replica on `to`.
    ///
    /// # Errors
    /// A sentence: no leader, no voter there, or too far behind.
    pub fn transfer_leader(&self, group: GroupId, to: StoreId) -> Result<(), String> {
        let shared = self.shared();
        let here = shared.handle(group).and_then(|handle| handle.status().leader_store);
        let leader = here.or_else(|| self.status().leader_of(group));
        let leader = leader.ok_or("the group has no leader now; try again")?;
        let mut request = Writer::default();
        request.u64(group.0);
        request.u64(to.0);
        let request = Bytes::from(request.0);
        if leader == shared.local.store {
            return transfer(shared, &request).map(drop);
        }
        shared.network()?.call(leader, TRANSFER, request, CHANGE_TIMEOUT).map(drop)
    }
}

/// Asks every node how it is. Blocks for at most two seconds or so.
pub(super) fn look(shared: &Shared) -> ClusterStatus {
    let map = shared.map.map();
    let ask = |store: StoreId| {
        if store == shared.local.store {
            return Ok(own(shared));
        }
        let reply = shared.network()?.call(store, STATUS, Bytes::new(), LOOK_TIMEOUT)?;
        read(&reply).map_err(|what| what.to_string())
    };
    let present: Vec<_> = map.nodes.iter().filter(|(_, node)| node.intent != NodeIntent::Removed).collect();
    let asked = std::thread::scope(|scope| {
        let threads: Vec<_> = present.iter().map(|(store, _)| scope.spawn(|| ask(**store))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("asking it panicked".to_owned())))
            .collect::<Vec<_>>()
    });
    let node = |((store, record), groups): (&(&StoreId, &NodeRecord), _)| NodeStatus {
        store: **store,
        record: (*record).clone(),
        groups,
    };
    ClusterStatus {
        cluster: shared.local.cluster,
        epoch: map.epoch,
        factor: map.factor,
        answered_by: shared.local.store,
        nodes: present.iter().zip(asked).map(node).collect(),
        placements: map.placements.clone(),
    }
}

/// Answers a call of another node.
///
/// # Errors
/// A sentence.
pub(super) fn answer(shared: &Shared, topic: u32, request: &[u8]) -> Result<Bytes, String> {
    match topic {
        STATUS => Ok(write(&own(shared)).into()),
        TRANSFER => transfer(shared, request),
        INTENT => intent::decide_for(shared, request),
        _ => Err(format!("{UNKNOWN_CALL}. topic=`{topic}`")),
    }
}

fn transfer(shared: &Shared, request: &[u8]) -> Result<Bytes, String> {
    let mut reader = Reader(request);
    let (group, to) = (reader.u64(), reader.u64());
    let (Ok(group), Ok(to)) = (group, to) else {
        return Err("a request that cannot be read".to_owned());
    };
    let (group, to) = (GroupId(group), StoreId(to));
    let handle = shared.handle(group).ok_or("the node has no such group")?;
    let status = handle.status();
    let member = status.members.iter().find(|member| member.store == Some(to) && member.votes);
    let peer = member.ok_or("the node has no voting replica of the group")?.peer;
    if peer == status.peer && status.role == Role::Leader {
        return Ok(Bytes::new());
    }
    let outcome = handle.with(move |core| core.transfer_leader(peer)).ok_or("the replica is gone")?;
    outcome.map(|()| Bytes::new()).map_err(|error| error.to_string())
}

fn own(shared: &Shared) -> Vec<GroupStatus> {
    shared.groups.lock().values().map(|handle| handle.status()).collect()
}

fn write(groups: &[GroupStatus]) -> Vec<u8> {
    let mut out = Writer::default();
    out.u32(groups.len() as u32);
    for status in groups {
        let numbers = [
            status.group.0,
            status.peer.0,
            role_number(status.role),
            status.leader.map_or(0, |peer| peer.0),
            status.leader_store.map_or(0, |store| store.0),
            status.term,
            status.commit,
            status.applied,
            status.durable,
            status.first,
            status.last,
            status.log_bytes,
            status.proposals as u64,
            status.reads as u64,
            u64::from(status.is_joint),
        ];
        numbers.iter().for_each(|number| out.u64(*number));
        out.bytes(status.failure.as_deref().unwrap_or_default().as_bytes());
        out.u32(status.members.len() as u32);
        for member in &status.members {
            out.u64(member.peer.0);
            out.u64(member.store.map_or(0, |store| store.0));
            out.u64(u64::from(member.votes));
            out.u64(member.matched.unwrap_or(u64::MAX));
            out.u64(member.is_heard.map_or(2, u64::from));
        }
    }
    out.0
}

pub(super) fn read(bytes: &[u8]) -> Result<Vec<GroupStatus>, Malformed> {
    let mut reader = Reader(bytes);
    let count = reader.count(COUNT_MAX)?;
    let groups = (0..count).map(|_| read_one(&mut reader)).collect::<Result<_, _>>()?;
    reader.end()?;
    Ok(groups)
}

fn read_one(reader: &mut Reader<'_>) -> Result<GroupStatus, Malformed> {
    let mut numbers = [0; 15];
    for number in &mut numbers {
        *number = reader.u64()?;
    }
    let [
        group,
        peer,
        role,
        leader,
        leader_store,
        term,
        commit,
        applied,
        durable,
        first,
        last,
        log_bytes,
        proposals,
        reads,
        is_joint,
    ] = numbers;
    let failure = String::from_utf8_lossy(reader.bytes()?).into_owned();
    let count = reader.count(COUNT_MAX)?;
    let members = (0..count).map(|_| read_member(reader)).collect::<Result<_, _>>()?;
    Ok(GroupStatus {
        group: GroupId(group),
        peer: PeerId(peer),
        role: read_role(role)?,
        leader: (leader != 0).then_some(PeerId(leader)),
        leader_store: (leader_store != 0).then_some(StoreId(leader_store)),
        members,
        is_joint: is_joint == 1,
        term,
        commit,
        applied,
        durable,
        first,
        last,
        log_bytes,
        proposals: usize::try_from(proposals).unwrap_or(usize::MAX),
        reads: usize::try_from(reads).unwrap_or(usize::MAX),
        failure: (!failure.is_empty()).then_some(failure),
    })
}

fn read_member(reader: &mut Reader<'_>) -> Result<MemberStatus, Malformed> {
    let (peer, store, votes) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let (matched, is_heard) = (reader.u64()?, reader.u64()?);
    Ok(MemberStatus {
        peer: PeerId(peer),
        store: (store != 0).then_some(StoreId(store)),
        votes: votes == 1,
        matched: (matched != u64::MAX).then_some(matched),
        is_heard: (is_heard < 2).then_some(is_heard == 1),
        progress: None,
    })
}

fn role_number(role: Role) -> u64 {
    match role {
        Role::Leader => 0,
        Role::Follower => 1,
        Role::Candidate => 2,
        Role::Quarantined => 3,
    }
}

fn read_role(number: u64) -> Result<Role, Malformed> {
    match number {
        0 => Ok(Role::Leader),
        1 => Ok(Role::Follower),
        2 => Ok(Role::Candidate),
        3 => Ok(Role::Quarantined),
        _ => Err(Malformed("a role")),
    }
}
