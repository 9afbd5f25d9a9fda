//! What an operator sees of a cluster, and asks of it.

use segue_cluster::{ClusterStatus, GroupId, GroupStatus, MAP_GROUP, NodeIntent, Role, StoreId};
use serde::{Deserialize, Serialize};

use super::engine::Inner;
use super::open::{META, TRACKS, USERS};
use super::peers::Peers;
use super::progress::{AllProgress, Progress};
use crate::error::{Error, Result};
use crate::types::{TRACK_SHARDS_MAX, USER_SHARDS_MAX};

/// What is wanted of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Holds replicas, votes and leads.
    Serving,
    /// Keeps its replicas, gives its votes away where others can take them, does not lead.
    Draining,
    /// Gone for ever.
    Removed,
}

/// A cluster as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterReport {
    /// 32 hexadecimal digits.
    pub cluster_id: String,
    /// Grows with every change of the nodes.
    pub epoch: u64,
    /// Replicas of a group that vote, once there are so many nodes.
    pub replication_factor: u32,
    /// The node that answers.
    pub answered_by: String,
    /// All nodes that are not removed.
    pub nodes: Vec<NodeReport>,
    /// All replicas, by group, then node.
    pub replicas: Vec<ReplicaReport>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// 16 hexadecimal digits.
    pub node: String,
    /// What is wanted of it.
    pub state: NodeState,
    /// `HOST:PORT` for other nodes.
    pub address: String,
    /// `HOST:PORT` of the public port.
    pub api: String,
    /// Why it does not answer; empty when it does.
    pub problem: String,
}

/// One replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaReport {
    /// `meta`, `tracks-0`, `users-0`, `users-1`, …, and `map`, the list of nodes.
    pub group: String,
    /// Its node.
    pub node: String,
    /// `leader`, `follower`, `candidate`, `failed`, or `unknown` when its node does not answer.
    pub role: String,
    /// Whether it votes.
    pub votes: bool,
    /// Its term.
    pub term: u64,
    /// Last entry in its log.
    pub last_index: u64,
    /// Last entry it has applied.
    pub applied_index: u64,
    /// Entries it has still to apply of those its leader has committed; absent without a leader.
    pub lag: Option<u64>,
    /// Bytes of the entries in its log.
    pub log_bytes: u64,
    /// Why it is out of service; empty when it is not.
    pub failure: String,
    /// The members of its group are changing: until that is over, old and new ones are needed.
    pub changing: bool,
    /// `coming` while a user shard's replica is being made, `leaving` while one is given up, else empty.
    pub moving: String,
    /// Bytes of a user shard's files; 0 of other groups.
    pub bytes: u64,
    /// Bytes a replica that comes has to copy,
    pub copy_bytes: u64,
    /// and those it has.
    pub copied_bytes: u64,
    /// Milliseconds until it has all, at the speed so far; absent while nobody can tell.
    pub left_ms: Option<u64>,
}

impl ClusterReport {
    /// Groups without a leader, or with fewer voters that answer than a majority and one more: what one more failure would
    /// stop. Sorted.
    #[must_use]
    pub fn endangered(&self) -> Vec<String> {
        let mut groups: Vec<&String> = self.replicas.iter().map(|replica| &replica.group).collect();
        groups.sort_unstable();
        groups.dedup();
        let in_danger = |group: &&&String| {
            let voters: Vec<_> =
                self.replicas.iter().filter(|replica| replica.group == ***group && replica.votes).collect();
            let answering = voters.iter().filter(|voter| voter.role != "unknown" && voter.role != "failed");
            let spare = answering.count() > voters.len() / 2 + 1;
            !spare
                || voters.iter().any(|voter| voter.changing)
                || !voters.iter().any(|voter| voter.role == "leader")
        };
        groups.iter().filter(in_danger).map(|group| (*group).clone()).collect()
    }
}

impl Inner {
    pub(super) fn others(&self) -> Result<&Peers> {
        let alone = || Error::Conflict("this database is alone: it is in no cluster".to_owned());
        self.peers.as_deref().ok_or_else(alone)
    }

    pub(super) fn cluster_status(&self) -> Result<ClusterReport> {
        let cluster = self.others()?.cluster()?;
        let status = cluster.status();
        Ok(report(&status, &self.all_progress(cluster, &status)))
    }

    pub(super) fn transfer_leader(&self, group: &str, node: &str) -> Result<()> {
        let cluster = self.others()?.cluster()?;
        let users =
            self.meta.shard.state().user_shard_numbers().into_iter().map(|shard| USERS + u64::from(shard));
        let tracks = self.meta.shard.state().track_shard_numbers().into_iter();
        let tracks = tracks.map(|shard| TRACKS + u64::from(shard));
        let known = [META].into_iter().chain(tracks).chain(users).map(GroupId).chain([MAP_GROUP]);
        let found = known.into_iter().find(|id| group_name(*id) == group);
        let id = found.ok_or_else(|| Error::not_found("group", group))?;
        let store = parse_node(node)?;
        match cluster.map().nodes.get(&store).map(|node| node.intent) {
            Some(NodeIntent::Serving) => cluster.transfer_leader(id, store).map_err(Error::Conflict),
            Some(NodeIntent::Draining) => Err(Error::Conflict(format!(
                "the node drains and would hand over again at once: `resume` it first, or name another one. node=`{node}`"
            ))),
            Some(NodeIntent::Removed) | None => Err(Error::not_found("node", node)),
        }
    }
}

pub(super) fn parse_node(node: &str) -> Result<StoreId> {
    node.parse().map_err(|_| Error::invalid("node", format!("must be 16 hexadecimal digits. node=`{node}`")))
}

pub(super) fn group_name(group: GroupId) -> String {
    match group.0 {
        META => "meta".to_owned(),
        id if (TRACKS..TRACKS + u64::from(TRACK_SHARDS_MAX)).contains(&id) => {
            format!("tracks-{}", id - TRACKS)
        }
        id if (USERS..USERS + u64::from(USER_SHARDS_MAX)).contains(&id) => format!("users-{}", id - USERS),
        _ if group == MAP_GROUP => "map".to_owned(),
        other => other.to_string(),
    }
}

pub(super) fn report(status: &ClusterStatus, progress: &AllProgress) -> ClusterReport {
    let state = |intent| match intent {
        NodeIntent::Serving => NodeState::Serving,
        NodeIntent::Draining => NodeState::Draining,
        NodeIntent::Removed => NodeState::Removed,
    };
    let nodes = status.nodes.iter().map(|node| NodeReport {
        node: node.store.to_string(),
        state: state(node.record.intent),
        address: node.record.address.clone(),
        api: node.record.api.clone(),
        problem: node.groups.as_ref().err().cloned().unwrap_or_default(),
    });
    let mut replicas: Vec<ReplicaReport> = Vec::new();
    for node in &status.nodes {
        for group in node.record.replicas.keys() {
            let own = node.groups.as_ref().ok().and_then(|all| all.iter().find(|it| it.group == *group));
            let moving = progress.get(&(*group, node.store)).copied().unwrap_or_default();
            replicas.push(replica(status, (node.store, *group), own, &moving));
        }
    }
    replicas.sort_by(|a, b| (&a.group, &a.node).cmp(&(&b.group, &b.node)));
    ClusterReport {
        cluster_id: status.cluster.to_string(),
        epoch: status.epoch,
        replication_factor: u32::try_from(status.factor).unwrap_or(u32::MAX),
        answered_by: status.answered_by.to_string(),
        nodes: nodes.collect(),
        replicas,
    }
}

fn replica(
    status: &ClusterStatus,
    (store, group): (StoreId, GroupId),
    own: Option<&GroupStatus>,
    moving: &Progress,
) -> ReplicaReport {
    let leader = leader(status, group);
    let votes = leader
        .or(own)
        .or_else(|| newest(status, group))
        .is_some_and(|seen| seen.members.iter().any(|member| member.store == Some(store) && member.votes));
    let role = match own.map(|own| own.role) {
        None => "unknown",
        Some(Role::Leader) => "leader",
        Some(Role::Follower) => "follower",
        Some(Role::Candidate) => "candidate",
        Some(Role::Quarantined) => "failed",
    };
    let lag = own.zip(leader).map(|(own, leader)| leader.commit.saturating_sub(own.applied));
    ReplicaReport {
        group: group_name(group),
        node: store.to_string(),
        role: role.to_owned(),
        votes,
        term: own.map_or(0, |own| own.term),
        last_index: own.map_or(0, |own| own.last),
        applied_index: own.map_or(0, |own| own.applied),
        lag,
        log_bytes: own.map_or(0, |own| own.log_bytes),
        failure: own.and_then(|own| own.failure.clone()).unwrap_or_default(),
        changing: own.is_some_and(|own| own.is_joint),
        moving: match (moving.is_coming, moving.is_leaving) {
            (true, _) => "coming".to_owned(),
            (_, true) => "leaving".to_owned(),
            _ => String::new(),
        },
        bytes: moving.bytes,
        copy_bytes: moving.copy_bytes,
        copied_bytes: moving.copied_bytes,
        left_ms: moving.left_ms(),
    }
}

/// What all nodes that answer say about a group.
fn seen(status: &ClusterStatus, group: GroupId) -> impl Iterator<Item = &GroupStatus> {
    let all = status.nodes.iter().filter_map(|node| node.groups.as_ref().ok()).flatten();
    all.filter(move |it| it.group == group)
}

/// The group as its leader of the newest term sees it.
fn leader(status: &ClusterStatus, group: GroupId) -> Option<&GroupStatus> {
    seen(status, group).filter(|it| it.role == Role::Leader).max_by_key(|it| it.term)
}

/// The group as whoever has most of it sees it.
fn newest(status: &ClusterStatus, group: GroupId) -> Option<&GroupStatus> {
    seen(status, group).max_by_key(|it| (it.term, it.applied))
}
