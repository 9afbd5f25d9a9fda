//! Where a replica stands, for its owner and for status pages.

use raft::{Progress, ProgressState, StateRole};

use super::core::GroupCore;
use crate::ids::PeerId;
use crate::status::{GroupStatus, MemberProgress, MemberState, MemberStatus, Role};

impl GroupCore {
    /// Returns whether a batch is at the state machine.
    pub fn is_applying(&self) -> bool {
        self.machine.is_none()
    }

    /// Returns whether nothing waits to be committed, applied or answered.
    pub fn is_idle(&self) -> bool {
        self.machine.is_some()
            && self.committed.is_empty()
            && self.proposals.len() == 0
            && self.proposed.is_empty()
            && !self.raw.has_ready()
            && !self.members_unwritten
    }

    pub fn status(&self) -> GroupStatus {
        let raft = &self.raw.raft;
        let log = self.raw.store();
        GroupStatus {
            group: self.shared.id,
            peer: self.peer,
            role: match raft.state {
                StateRole::Leader => Role::Leader,
                StateRole::Follower => Role::Follower,
                StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
            },
            leader: self.leader(),
            leader_store: self.leader().and_then(|leader| self.store_of(leader)),
            members: self.member_statuses(),
            is_joint: self.members.is_joint(),
            term: raft.term,
            commit: raft.raft_log.committed,
            applied: self.applied,
            durable: self.durable,
            first: log.truncated().index + 1,
            last: raft.raft_log.last_index(),
            log_bytes: log.bytes(),
            proposals: self.proposals.len(),
            reads: self.reads.len(),
            failure: None,
        }
    }

    fn member_statuses(&self) -> Vec<MemberStatus> {
        let leads = self.raw.raft.state == StateRole::Leader;
        let member = |peer: u64| MemberStatus {
            peer: PeerId(peer),
            store: self.members.stores.get(&peer).copied(),
            votes: self.members.is_voter(peer),
            matched: self.raw.raft.prs().get(peer).filter(|_| leads).map(|progress| progress.matched),
            is_heard: leads.then(|| self.is_heard(peer)),
            progress: self.raw.raft.prs().get(peer).filter(|_| leads).map(|it| self.progress_of(peer, it)),
        };
        self.members.peers().into_iter().map(member).collect()
    }

    fn progress_of(&self, peer: u64, progress: &Progress) -> MemberProgress {
        let heard = self.heard.get(&peer).copied().unwrap_or(0);
        MemberProgress {
            state: match progress.state {
                ProgressState::Probe => MemberState::Probe,
                ProgressState::Replicate => MemberState::Replicate,
                ProgressState::Snapshot => MemberState::Snapshot,
            },
            inflight: progress.ins.count(),
            is_paused: progress.is_paused(),
            silent_ticks: if peer == self.peer.0 { 0 } else { self.ticks - heard },
        }
    }

    pub fn leader(&self) -> Option<PeerId> {
        match self.raw.raft.leader_id {
            0 => None,
            leader => Some(PeerId(leader)),
        }
    }
}
