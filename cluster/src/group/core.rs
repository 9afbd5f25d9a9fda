//! A replica's logic, without threads, clock or I/O.
//!
//! One turn of a replica, driven from outside:
//!
//! ```text
//! tick, step, propose, read         any number of each
//! take_write(out) -> GroupWrite     everything that must become durable; messages that need not wait
//!     the driver makes the writes of all groups durable with one fsync
//! written(write, out)               messages that had to wait; entries may be committed now
//! next_apply() -> ApplyJob          at most one at a time; run elsewhere
//! applied(done)                     the machine comes back; reads are answered
//! ```
//!
//! The order is the one `raft` needs: nothing that promises durability leaves before the fsync, and
//! a commit index is durable with or before what is applied of it (here: the entries are, and the commit
//! index is raised to the applied one when a log is opened).
//!
//! A panic anywhere in here is a bug or damage; the caller catches it and drops the replica.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{Entry, Message, MessageType};
use raft::{RawNode, ReadOnlyOption, Ready, StateRole};

use super::apply::{ApplyDone, ApplyFailure, ApplyJob};
use super::entry::EntryKind;
use super::handle::{Applied, ReadPoint};
use super::proposals::Proposals;
use super::reads::Reads;
use super::shared::GroupShared;
use crate::error::ClusterError;
use crate::ids::{GroupId, PeerId};
use crate::log::group_log::GroupLog;
use crate::log::recover::Recovered;
use crate::log::store::GroupWrite;
use crate::state_machine::StateMachine;
use crate::status::{GroupStatus, Role};
use crate::wait::Ticket;

/// Limits of one replica, from [`NodeConfig`](crate::NodeConfig).
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupLimits {
    pub apply_batch_bytes_max: u64,
    pub log_bytes_max: u64,
    pub log_entries_max: u64,
    pub log_slack_entries: u64,
}

/// Committed bytes waiting for a slow state machine at which proposals are refused.
const APPLY_BACKLOG_BYTES_MAX: u64 = 256 << 20;
/// The same in entries.
const APPLY_BACKLOG_ENTRIES_MAX: usize = 50_000;

const ELECTION_TICKS: usize = 10;
const HEARTBEAT_TICKS: usize = 2;

/// Messages for other replicas, in the order they must be sent.
pub(crate) type Outbox = Vec<Message>;

/// One replica of one group.
pub(crate) struct GroupCore {
    shared: Arc<GroupShared>,
    peer: PeerId,
    pub(super) raw: RawNode<GroupLog>,
    pub(super) limits: GroupLimits,
    proposals: Proposals,
    reads: Reads,
    /// Given out by Raft as committed, not yet handed to the machine.
    committed: VecDeque<Entry>,
    committed_bytes: u64,
    /// `None` while a batch is being applied.
    pub(super) machine: Option<Box<dyn StateMachine>>,
    pub(super) applied: u64,
    pub(super) durable: u64,
    /// The Ready whose write is on its way.
    ready: Option<Ready>,
    /// The commit index on disk; Raft's own may be ahead and goes along with the next write.
    commit_written: u64,
    pub(super) compaction_requested: bool,
}

impl GroupCore {
    /// Makes a replica from its recovered log. A sole voter leads at once.
    ///
    /// # Errors
    /// A sentence, when Raft refuses the configuration.
    pub fn new(
        shared: Arc<GroupShared>,
        recovered: Recovered,
        machine: Box<dyn StateMachine>,
        limits: GroupLimits,
    ) -> Result<Self, String> {
        let Recovered { log, peer, applied } = recovered;
        let sole_voter = log.conf_state().voters == [peer.0];
        let commit_written = log.hard_state().commit;
        let config = raft_config(peer, applied, limits.apply_batch_bytes_max);
        let raw = RawNode::new(&config, log, &crate::raft_log_bridge::logger(shared.id))
            .map_err(|error| error.to_string())?;
        shared.set_applied(applied);
        let durable = machine.durable_index();
        let mut core = Self {
            shared,
            peer,
            raw,
            limits,
            proposals: Proposals::default(),
            reads: Reads::default(),
            committed: VecDeque::new(),
            committed_bytes: 0,
            machine: Some(machine),
            applied,
            durable,
            ready: None,
            commit_written,
            compaction_requested: false,
        };
        if sole_voter {
            core.raw.campaign().map_err(|error| error.to_string())?;
        }
        Ok(core)
    }

    pub fn id(&self) -> GroupId {
        self.shared.id
    }

    pub fn shared(&self) -> &Arc<GroupShared> {
        &self.shared
    }

    /// Counts one period of the tick clock.
    pub fn tick(&mut self) {
        self.raw.tick();
        self.reads.tick(self.shared.id);
    }

    /// Takes a message from another replica.
    ///
    /// The caller has checked its type, group and sender: `raft` panics on unknown ones.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "called by the transport, which groups of one do not need")
    )]
    pub fn step(&mut self, message: Message) {
        let from = message.from;
        if let Err(error) = self.raw.step(message) {
            tracing::debug!(group = %self.shared.id, from, %error, "message ignored");
        }
    }

    /// Sets when this replica asks for an election: the one thing `raft` draws by itself.
    #[cfg(test)]
    pub fn set_election_ticks(&mut self, ticks: usize) {
        self.raw.raft.set_randomized_election_timeout(ticks);
    }

    /// Proposes an entry; `ticket` is answered once it is applied, or cannot be any more.
    pub fn propose(&mut self, kind: EntryKind, data: Bytes, ticket: Ticket<Applied>) {
        match self.append(kind, data) {
            Ok(()) => {
                let (index, term) = (self.raw.raft.raft_log.last_index(), self.raw.raft.term);
                self.proposals.push(self.shared.id, index, term, ticket);
            }
            Err(error) => ticket.resolve(Err(error)),
        }
    }

    fn append(&mut self, kind: EntryKind, data: Bytes) -> Result<(), ClusterError> {
        if self.raw.raft.state != StateRole::Leader {
            return Err(ClusterError::NotLeader { group: self.shared.id, hint: self.leader() });
        }
        let backlog = self.committed.len();
        if backlog >= APPLY_BACKLOG_ENTRIES_MAX || self.committed_bytes >= APPLY_BACKLOG_BYTES_MAX {
            return Err(self.shared.busy("the state machine is far behind"));
        }
        let entry = Entry { data, context: kind.context(), ..Entry::default() };
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.peer.0;
        message.set_entries(vec![entry].into());
        self.raw.raft.step(message).map_err(|error| match error {
            raft::Error::ProposalDropped => self.shared.busy("too much is proposed and not yet committed"),
            _ => ClusterError::NotLeader { group: self.shared.id, hint: self.leader() },
        })
    }

    /// Asks for a read index; `ticket` is answered once the machine has reached it.
    pub fn read(&mut self, ticket: Ticket<ReadPoint>) {
        self.reads.push(ticket);
    }

    /// Takes out what must become durable before this replica may go on; an empty write when nothing
    /// must. Messages that need not wait for it go to `out`.
    pub fn take_write(&mut self, out: &mut Outbox) -> GroupWrite {
        let mut write = GroupWrite::new(self.shared.id);
        self.ask_reads();
        if self.ready.is_none() && self.raw.has_ready() {
            let mut ready = self.raw.ready();
            out.extend(ready.take_messages());
            for answer in ready.take_read_states() {
                self.reads.answered(&answer.request_ctx, answer.index);
            }
            assert!(ready.snapshot().is_empty(), "a snapshot arrived, but nothing can send one");
            let committed = ready.take_committed_entries();
            self.push_committed(committed);
            write.entries = ready.take_entries();
            if ready.must_sync() {
                write.hard_state = Some(self.raw.raft.hard_state());
            }
            self.ready = Some(ready);
        }
        write.truncate = self.due_truncation();
        // A commit index alone is not worth an fsync, but rides along with one.
        if !write.is_empty() && self.raw.raft.raft_log.committed > self.commit_written {
            write.hard_state = Some(self.raw.raft.hard_state());
        }
        write
    }

    /// Continues after the write of [`GroupCore::take_write`] became durable (or was empty). Messages
    /// that had to wait for it go to `out`.
    pub fn written(&mut self, write: GroupWrite, out: &mut Outbox) {
        if let Some(hard_state) = &write.hard_state {
            self.commit_written = hard_state.commit;
        }
        self.raw.mut_store().written(write);
        if let Some(mut ready) = self.ready.take() {
            out.extend(ready.take_persisted_messages());
            let mut light = self.raw.advance_append(ready);
            out.extend(light.take_messages());
            let committed = light.take_committed_entries();
            self.push_committed(committed);
        }
        let commit = self.raw.raft.raft_log.committed;
        self.raw.mut_store().set_commit(commit);
        self.reads.applied(self.applied);
    }

    /// Returns whether another turn has something to do even if nothing comes in.
    pub fn has_work(&self) -> bool {
        self.raw.has_ready()
    }

    /// Takes a batch for the state machine, unless one is under way.
    pub fn next_apply(&mut self) -> Option<ApplyJob> {
        if self.committed.is_empty() {
            return None;
        }
        let machine = self.machine.take()?;
        let mut entries = Vec::new();
        let mut bytes = 0;
        while let Some(entry) = self.committed.pop_front() {
            bytes += entry_bytes(&entry);
            let ticket = self.proposals.take(self.shared.id, entry.index, entry.term);
            entries.push((entry, ticket));
            if bytes >= self.limits.apply_batch_bytes_max {
                break;
            }
        }
        self.committed_bytes -= bytes;
        Some(ApplyJob { shared: self.shared.clone(), machine, entries })
    }

    /// Takes the outcome of a batch back.
    ///
    /// # Errors
    /// Why the machine cannot go on; the replica must be dropped then.
    pub fn applied(&mut self, done: ApplyDone) -> Result<(), ApplyFailure> {
        let (machine, applied) = done.outcome?;
        self.machine = Some(machine);
        self.applied = applied;
        self.raw.advance_apply_to(applied);
        self.reads.applied(applied);
        Ok(())
    }

    /// Returns whether a batch is at the state machine.
    pub fn is_applying(&self) -> bool {
        self.machine.is_none()
    }

    /// Returns whether nothing waits to be committed, applied or answered.
    pub fn is_idle(&self) -> bool {
        self.machine.is_some()
            && self.committed.is_empty()
            && self.proposals.len() == 0
            && !self.raw.has_ready()
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

    fn leader(&self) -> Option<PeerId> {
        match self.raw.raft.leader_id {
            0 => None,
            leader => Some(PeerId(leader)),
        }
    }

    fn ask_reads(&mut self) {
        let raft = &self.raw.raft;
        // Raft drops a round in silence in both cases; there is nothing to retry for yet.
        let ready = match raft.state {
            StateRole::Leader => raft.commit_to_current_term(),
            _ => raft.leader_id != 0,
        };
        if ready && let Some(context) = self.reads.next_round() {
            self.raw.read_index(context);
        }
    }

    fn push_committed(&mut self, entries: Vec<Entry>) {
        self.committed_bytes += entries.iter().map(entry_bytes).sum::<u64>();
        self.committed.extend(entries);
    }
}

fn entry_bytes(entry: &Entry) -> u64 {
    u64::from(entry.compute_size())
}

fn raft_config(peer: PeerId, applied: u64, apply_batch_bytes_max: u64) -> raft::Config {
    raft::Config {
        id: peer.0,
        election_tick: ELECTION_TICKS,
        heartbeat_tick: HEARTBEAT_TICKS,
        applied,
        max_size_per_msg: 1 << 20,
        max_inflight_msgs: 64,
        check_quorum: true,
        pre_vote: true,
        // Never true: 0.7.0 then adds entries to a queued empty message without looking at its index; after
        // a rejection the follower acknowledges entries it does not have, and the leader commits them
        // (raft-rs#557; `three_replicas_agree_through_crashes_and_a_bad_network` meets it within 20 seeds).
        batch_append: false,
        skip_bcast_commit: false,
        read_only_option: ReadOnlyOption::Safe,
        max_uncommitted_size: 64 << 20,
        max_committed_size_per_ready: apply_batch_bytes_max,
        ..raft::Config::default()
    }
}
