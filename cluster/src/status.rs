//! Plain descriptions of a group, for status pages and tests.

use crate::ids::{GroupId, PeerId, StoreId};

/// What a replica is in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes proposals.
    Leader,
    /// Follows a leader, or knows of none.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Out of service after a failure; `GroupStatus::failure` says why.
    Quarantined,
}

/// A member of a group, as one of its replicas sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// The member.
    pub peer: PeerId,
    /// Where it is; `None` when this replica was not told.
    pub store: Option<StoreId>,
    /// Whether it votes; otherwise it only follows.
    pub votes: bool,
    /// The last entry it is known to hold; known to the leader only.
    pub matched: Option<u64>,
    /// Whether it was heard within an election time-out; known to the leader only.
    pub is_heard: Option<bool>,
    /// How the leader sends to it; known to the leader itself only, and not told to other nodes.
    pub progress: Option<MemberProgress>,
}

/// How a leader sends to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberProgress {
    /// One message at a time, entries as they come, or a snapshot.
    pub state: MemberState,
    /// Messages with entries that it has not acknowledged.
    pub inflight: usize,
    /// Whether nothing more is sent until it acknowledges something.
    pub is_paused: bool,
    /// Ticks since it was last heard; 0 of the leader itself.
    pub silent_ticks: u64,
}

/// What a leader sends to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// One message at a time: it is not known what the member has.
    Probe,
    /// Entries as they come.
    Replicate,
    /// A snapshot.
    Snapshot,
}

/// Where a replica stands, as of the end of the Raft thread's last turn that concerned it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// The group.
    pub group: GroupId,
    /// This replica.
    pub peer: PeerId,
    /// Its role.
    pub role: Role,
    /// The leader it knows of.
    pub leader: Option<PeerId>,
    /// Where that leader is.
    pub leader_store: Option<StoreId>,
    /// The members, voting or not, ascending; empty while a replica waits for its first snapshot.
    pub members: Vec<MemberStatus>,
    /// Whether the members are changing: a majority of the old ones and of the new ones is needed until that is over.
    pub is_joint: bool,
    /// Its term.
    pub term: u64,
    /// Last committed entry.
    pub commit: u64,
    /// Last entry handed to the state machine and applied by it.
    pub applied: u64,
    /// Last entry that is in the state machine's own files.
    pub durable: u64,
    /// First entry in the log; `last + 1` when the log is empty.
    pub first: u64,
    /// Last entry in the log.
    pub last: u64,
    /// Encoded bytes of the entries in the log.
    pub log_bytes: u64,
    /// Proposals waiting to be applied.
    pub proposals: usize,
    /// Reads waiting for their index or for it to be applied.
    pub reads: usize,
    /// Why the replica is quarantined.
    pub failure: Option<String>,
}

impl GroupStatus {
    /// A replica that has done nothing yet.
    #[must_use]
    pub fn new(group: GroupId, peer: PeerId) -> Self {
        Self {
            group,
            peer,
            role: Role::Follower,
            leader: None,
            leader_store: None,
            members: Vec::new(),
            is_joint: false,
            term: 0,
            commit: 0,
            applied: 0,
            durable: 0,
            first: 0,
            last: 0,
            log_bytes: 0,
            proposals: 0,
            reads: 0,
            failure: None,
        }
    }
}
