//! Changes of a group's members: proposed by its leader, one at a time, applied in log order.
//!
//! What `raft` 0.7.0 leaves to its user, and is done here (RAFT.md, A4):
//!
//! * A second change while one is under way returns `Ok` and becomes an empty entry. Refused before it is
//!   proposed, and noticed when it is applied.
//! * A leader that is removed or demoted goes on sending heartbeats for ever and blocks its group. Refused
//!   before it is proposed; should leadership have moved in between, the leader steps down as it applies.
//! * A change is never applied twice: see [`members`](crate::members).

use protobuf::Message as _;
use raft::eraftpb::{ConfChangeV2, Entry, EntryType};
use raft::{ProgressState, StateRole};

use super::core::GroupCore;
use super::entry::{EntryKind, is_change};
use super::handle::Applied;
use super::settings::ELECTION_TICKS;
use crate::error::ClusterError;
use crate::ids::PeerId;
use crate::members::{MemberChange, Members};
use crate::placement::replace::View;
use crate::wait::Ticket;

/// Entries a new leader may lag at most when leadership is handed to it: proposals wait meanwhile.
const TRANSFER_LAG_MAX: u64 = 128;
/// Entries a learner may lag behind the commit index when it becomes a voter.
pub(crate) const PROMOTE_LAG_MAX: u64 = 1_000;

impl GroupCore {
    /// Returns the members as of the last change that was applied.
    #[cfg(test)]
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// Proposes a change of the members; `ticket` is answered once it is applied.
    pub fn change_members(&mut self, change: MemberChange, ticket: Ticket<Applied>) {
        if let Err(error) = self.check_change(change) {
            ticket.resolve(Err(error));
            return;
        }
        self.propose_change(change, ticket);
    }

    /// Proposes a change without asking whether it is wise.
    pub(crate) fn propose_change(&mut self, change: MemberChange, ticket: Ticket<Applied>) {
        // Encoding to memory cannot fail: all fields are plain numbers.
        let data = change.to_raft().write_to_bytes().unwrap_or_default();
        let mut entry = Entry { data: data.into(), context: change.context().into(), ..Entry::default() };
        entry.set_entry_type(EntryType::EntryConfChangeV2);
        self.propose_entry(EntryKind::Change, entry, ticket);
    }

    /// Refuses a change that would be ignored or endanger the group.
    fn check_change(&self, change: MemberChange) -> Result<(), ClusterError> {
        let raft = &self.raw.raft;
        if raft.state != StateRole::Leader {
            return Err(self.not_leader());
        }
        if raft.has_pending_conf() || self.members_unwritten {
            return Err(self.shared.busy("another membership change is under way"));
        }
        let joint = self.members.is_joint();
        if joint != (change == MemberChange::Leave) {
            return Err(self.shared.busy("a joint membership must be left next, and only that"));
        }
        match change {
            MemberChange::AddLearner { peer, .. } if self.members.contains(peer) => {
                Err(self.shared.busy("the replica is a member already"))
            }
            MemberChange::AddLearner { .. } => Ok(()),
            MemberChange::RemoveLearner { peer } if self.is_learner(peer) => Ok(()),
            MemberChange::RemoveLearner { .. } => {
                Err(self.shared.busy("only a learner can be removed: demote the voter first"))
            }
            MemberChange::Leave if self.members.conf_state.voters.contains(&self.peer.0) => Ok(()),
            MemberChange::Leave => Err(self.shared.busy("the leader must hand over before it is demoted")),
            MemberChange::Enter { promote, demote } => self.check_enter(promote, demote),
        }
    }

    fn check_enter(&self, promote: Option<PeerId>, demote: Option<PeerId>) -> Result<(), ClusterError> {
        if demote == Some(self.peer) {
            return Err(self.shared.busy("the leader must hand over before it is demoted"));
        }
        if promote.is_some_and(|peer| !self.is_learner(peer) || !self.is_caught_up(peer)) {
            return Err(self.shared.busy("the new voter is no learner, or has not caught up"));
        }
        if promote.is_some_and(|peer| !self.is_heard(peer.0)) {
            return Err(self.shared.busy("the new voter is not heard"));
        }
        if demote.is_some_and(|peer| !self.members.conf_state.voters.contains(&peer.0)) {
            return Err(self.shared.busy("the replica to demote is no voter"));
        }
        let now = &self.members.conf_state.voters;
        let kept = now.iter().copied().filter(|peer| demote.is_none_or(|demoted| demoted.0 != *peer));
        let after: Vec<u64> = kept.chain(promote.map(|peer| peer.0)).collect();
        if !self.has_healthy_quorum(now) || !self.has_healthy_quorum(&after) {
            return Err(self.shared.busy("too few voters are heard for the membership to change safely"));
        }
        Ok(())
    }

    fn has_healthy_quorum(&self, voters: &[u64]) -> bool {
        let healthy = voters.iter().filter(|peer| self.is_heard(**peer)).count();
        healthy > voters.len() / 2
    }

    pub(super) fn is_heard(&self, peer: u64) -> bool {
        let recently = |heard: &u64| self.ticks - heard <= ELECTION_TICKS as u64;
        peer == self.peer.0 || self.heard.get(&peer).is_some_and(recently)
    }

    fn is_learner(&self, peer: PeerId) -> bool {
        self.members.conf_state.learners.contains(&peer.0)
    }

    /// Returns whether a follower holds all entries but the newest; its first ones came as verified files.
    fn is_caught_up(&self, peer: PeerId) -> bool {
        let progress = self.raw.raft.prs().get(peer.0);
        progress.is_some_and(|progress| {
            let enough = self.raw.raft.raft_log.committed.saturating_sub(PROMOTE_LAG_MAX);
            // Raft leaves a follower of an idle group in `Probe` after a snapshot.
            progress.state != ProgressState::Snapshot && progress.matched >= enough && progress.matched > 0
        })
    }

    /// Hands leadership to a voter that has nearly everything.
    ///
    /// # Errors
    /// `NotLeader`; `Busy` when the voter is not ready.
    pub fn transfer_leader(&mut self, to: PeerId) -> Result<(), ClusterError> {
        if self.raw.raft.state != StateRole::Leader {
            return Err(self.not_leader());
        }
        let ready = self.members.conf_state.voters.contains(&to.0)
            && self.is_heard(to.0)
            && self.raw.raft.prs().get(to.0).is_some_and(|progress| {
                let lag = self.raw.raft.raft_log.last_index().saturating_sub(progress.matched);
                progress.state != ProgressState::Snapshot && lag <= TRANSFER_LAG_MAX
            });
        if !ready {
            return Err(self.shared.busy("the replica to lead is no voter, not heard, or behind"));
        }
        self.raw.transfer_leader(to.0);
        Ok(())
    }

    /// Applies the changes at the front of what is committed; everything before them is applied.
    pub(super) fn apply_changes(&mut self) {
        while !self.members_unwritten
            && !self.is_installing()
            && let Some(entry) = self.committed.pop_front_if(|entry| is_change(entry))
        {
            self.committed_bytes -= u64::from(entry.compute_size());
            let ticket = self.proposals.take(self.shared.id, &entry);
            let changed = entry.index <= self.members.index || self.apply_change(&entry);
            self.shared.set_applied(entry.index);
            self.set_applied(entry.index);
            if let Some(ticket) = ticket {
                let refused = || self.shared.busy("the group's members did not allow the change");
                let reply = Applied { index: entry.index, term: entry.term, reply: Vec::new().into() };
                ticket.resolve(if changed { Ok(reply) } else { Err(refused()) });
            }
        }
    }

    /// Returns whether the change was possible. If not, no replica makes it: that depends on the
    /// membership alone.
    fn apply_change(&mut self, entry: &Entry) -> bool {
        let read = ConfChangeV2::parse_from_bytes(&entry.data);
        let change = read.expect("a committed membership change is what a leader encoded");
        let added = MemberChange::added(&entry.context);
        let added = added.expect("a committed membership change says who it adds");
        let outcome = self.raw.apply_conf_change(&change);
        let conf_state = match &outcome {
            Ok(conf_state) => conf_state.clone(),
            Err(_) => self.members.conf_state.clone(),
        };
        self.members.change(entry.index, conf_state, added.filter(|_| outcome.is_ok()));
        self.take_members(self.members.clone());
        self.members_unwritten = true;
        outcome.is_ok()
    }

    /// Takes over a membership, and steps down if this replica no longer may lead.
    pub(super) fn take_members(&mut self, members: Members) {
        self.heard.retain(|peer, _| members.stores.contains_key(peer));
        let votes = members.is_voter(self.peer.0);
        self.raw.mut_store().set_members(members.clone());
        self.members = members;
        if self.raw.raft.state == StateRole::Leader && !votes {
            let term = self.raw.raft.term;
            self.raw.raft.become_follower(term, 0);
        }
    }

    /// Returns what a plan for the group's members goes by.
    pub fn view(&self) -> View {
        let progress = self.raw.raft.prs().iter();
        View {
            leads: self.raw.raft.state == StateRole::Leader,
            peer: self.peer,
            voters: self.members.conf_state.voters.clone(),
            voters_outgoing: self.members.conf_state.voters_outgoing.clone(),
            learners: self.members.conf_state.learners.clone(),
            stores: self.members.stores.clone(),
            caught_up: progress
                .filter(|(peer, _)| self.is_caught_up(PeerId(**peer)))
                .map(|(peer, _)| *peer)
                .collect(),
            silent: Vec::new(),
        }
    }
}
