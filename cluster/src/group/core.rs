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

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use protobuf::Message as _;
use raft::eraftpb::{Entry, Message};
use raft::{RawNode, Ready, StateRole};

use super::apply::{ApplyDone, ApplyFailure, ApplyJob, Work};
use super::entry::is_change;
use super::handle::ReadPoint;
use super::lost_leader::LostLeader;
use super::messages::Told;
use super::proposals::Proposals;
use super::propose::Proposed;
use super::reads::Reads;
use super::settings::{ELECTION_TICKS, raft_config};
use super::shared::GroupShared;
use super::snapshots::Snapshots;
use crate::ids::{GroupId, PeerId, StoreId};
use crate::log::group_log::GroupLog;
use crate::log::recover::Recovered;
use crate::log::store::GroupWrite;
use crate::members::Members;
use crate::snapshot::packet::Outgoing;
use crate::state_machine::StateMachine;
use crate::wait::Ticket;

/// Limits of one replica, from [`NodeConfig`](crate::NodeConfig).
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupLimits {
    pub apply_batch_bytes_max: u64,
    pub log_bytes_max: u64,
    pub log_entries_max: u64,
    pub log_slack_entries: u64,
    /// Ticks of silence after which the log is no longer kept for a follower.
    pub follower_dead_ticks: u64,
}

/// Messages for other replicas, in the order they must be sent.
pub(crate) type Outbox = Vec<Outgoing>;

/// One replica of one group.
pub(crate) struct GroupCore {
    pub(super) shared: Arc<GroupShared>,
    pub(super) peer: PeerId,
    pub(super) raw: RawNode<GroupLog>,
    pub(super) limits: GroupLimits,
    pub(super) members: Members,
    /// The membership changed; nothing behind the change is applied before it is durable.
    pub(super) members_unwritten: bool,
    /// Stores of peers that wrote to this replica: it answers before it knows the members.
    pub(super) seen_stores: BTreeMap<u64, StoreId>,
    /// Tick at which each peer was last heard.
    pub(super) heard: BTreeMap<u64, u64>,
    /// What the leader was last told of this log.
    pub(super) told: Told,
    pub(super) ticks: u64,
    /// The clock at the beginning of the turn; for figures only.
    pub now: Duration,
    /// Tick at which this replica last led, or had no proposals.
    led_at: u64,
    /// The leader, when the connection to it broke.
    pub(super) lost_leader: Option<LostLeader>,
    pub(super) snapshots: Snapshots,
    pub(super) proposals: Proposals,
    /// Came in this turn, not yet given to Raft.
    pub(super) proposed: Vec<Proposed>,
    pub(super) reads: Reads,
    /// Answers to reads of other replicas, to be sent in this turn.
    pub(super) replies: Vec<Message>,
    /// Given out by Raft as committed, not yet handed to the machine.
    pub(super) committed: VecDeque<Entry>,
    pub(super) committed_bytes: u64,
    /// `None` while a batch is being applied.
    pub(super) machine: Option<Box<dyn StateMachine>>,
    pub(super) applied: u64,
    pub(super) durable: u64,
    /// The Ready whose write is on its way.
    pub(super) ready: Option<Ready>,
    /// The commit index on disk; Raft's own may be ahead and goes along with the next write.
    commit_written: u64,
    pub(super) compaction_requested: bool,
}

impl GroupCore {
    /// Makes a replica from its recovered log. A sole voter leads at once.
    ///
    /// * `life`: a random number that no earlier run of this replica had. It is part of what reads are
    ///   known by, so that a late answer to an earlier life answers nothing.
    ///
    /// # Errors
    /// A sentence, when Raft refuses the configuration.
    pub fn new(
        shared: Arc<GroupShared>,
        recovered: Recovered,
        machine: Box<dyn StateMachine>,
        limits: GroupLimits,
        life: u64,
    ) -> Result<Self, String> {
        let Recovered { log, peer, applied, .. } = recovered;
        let members = log.members().clone();
        let sole_voter = members.conf_state.voters == [peer.0] && !members.is_joint();
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
            members,
            members_unwritten: false,
            seen_stores: BTreeMap::new(),
            heard: BTreeMap::new(),
            told: Told::default(),
            ticks: 0,
            now: Duration::ZERO,
            led_at: 0,
            lost_leader: None,
            snapshots: Snapshots::new(life),
            proposals: Proposals::default(),
            proposed: Vec::new(),
            reads: Reads::new(peer, life),
            replies: Vec::new(),
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

    pub fn peer(&self) -> PeerId {
        self.peer
    }

    pub fn shared(&self) -> &Arc<GroupShared> {
        &self.shared
    }

    /// Counts one period of the tick clock.
    pub fn tick(&mut self) {
        self.ticks += 1;
        if !self.is_installing() {
            self.raw.tick();
            self.tick_lost_leader();
        }
        self.reads.tick(self.shared.id);
        self.tick_proposals();
        self.tick_snapshots();
        let proposed = self.raw.raft.state == StateRole::Leader && self.raw.raft.has_pending_conf();
        self.shared.counters.tick(proposed || self.members.is_joint());
    }

    /// Sets when this replica asks for an election: the one thing `raft` draws by itself.
    #[cfg(test)]
    pub fn set_election_ticks(&mut self, ticks: usize) {
        self.raw.raft.set_randomized_election_timeout(ticks);
    }

    /// Gives up on proposals of a leader that is none any more: their entries may be gone, and nothing may ever
    /// come in their place. One that leads again knows which are.
    fn tick_proposals(&mut self) {
        let raft = &self.raw.raft;
        if raft.state == StateRole::Leader || self.proposals.len() == 0 {
            self.led_at = self.ticks;
            self.proposals.drop_gone(self.shared.id, raft.term, |index| raft.raft_log.term(index).ok());
        } else if self.ticks >= self.led_at + 2 * ELECTION_TICKS as u64 {
            self.proposals.forget(self.shared.id, u64::MAX);
        }
    }

    /// Asks for a read index; `ticket` is answered once the machine has reached it.
    pub fn read(&mut self, ticket: Ticket<ReadPoint>) {
        self.reads.push(ticket);
    }

    /// Takes out what must become durable before this replica may go on; an empty write when nothing
    /// must. Messages that need not wait for it go to `out`.
    pub fn take_write(&mut self, out: &mut Outbox) -> GroupWrite {
        self.append_proposed();
        let replies = std::mem::take(&mut self.replies);
        self.address(replies, out);
        if let Some(write) = self.install_write() {
            return write;
        }
        let mut write = GroupWrite::new(self.shared.id);
        self.ask_reads();
        if self.ready.is_none() && self.raw.has_ready() {
            let mut ready = self.raw.ready();
            self.address(ready.take_messages(), out);
            for answer in ready.take_read_states() {
                let known = self.reads.answered(&answer.request_ctx, answer.index, self.now);
                known.into_iter().for_each(|(reads, took)| self.shared.counters.read_round(reads, took));
            }
            if !ready.snapshot().is_empty() {
                return self.begin_install(ready);
            }
            let committed = ready.take_committed_entries();
            self.push_committed(committed);
            write.entries = ready.take_entries();
            if ready.must_sync() {
                write.hard_state = Some(self.raw.raft.hard_state());
            }
            self.ready = Some(ready);
        }
        write.truncate = self.due_truncation();
        if self.members_unwritten {
            write.members = Some(self.members.clone());
        }
        // A commit index alone is not worth an fsync, but rides along with one. With a truncation it must: the one
        // on disk may be older than what is dropped, also after a start that knew better than the disk.
        let rides = self.raw.raft.raft_log.committed > self.commit_written || write.truncate.is_some();
        if !write.is_empty() && rides {
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
        self.members_unwritten &= write.members.is_none();
        let intent = write.install.is_some();
        let installed = write.reset.then_some(write.truncate).flatten().map(|at| at.index);
        self.raw.mut_store().written(write);
        if self.is_installing() && installed.is_none() {
            self.install_waits(intent);
            return;
        }
        if let Some(mut ready) = self.ready.take() {
            self.address(ready.take_persisted_messages(), out);
            let mut light = self.raw.advance_append(ready);
            self.address(light.take_messages(), out);
            let committed = light.take_committed_entries();
            if let Some(index) = installed {
                self.installed(index);
            }
            self.push_committed(committed);
        }
        let commit = self.raw.raft.raft_log.committed;
        self.raw.mut_store().set_commit(commit);
        self.reads.applied(self.applied);
        self.take_reports(out);
    }

    /// Returns whether another turn has something to do even if nothing comes in.
    pub fn has_work(&self) -> bool {
        let ready = self.raw.has_ready() && !self.is_installing();
        ready || self.members_unwritten || self.install_may_go_on()
    }

    /// Takes a batch for the state machine, unless one is under way.
    pub fn next_apply(&mut self) -> Option<ApplyJob> {
        self.machine.as_ref()?;
        if let Some(work) = self.next_snapshot_work() {
            let machine = self.machine.take()?;
            return Some(ApplyJob { shared: self.shared.clone(), machine, work });
        }
        self.apply_changes();
        if self.committed.is_empty() || self.members_unwritten || self.is_installing() {
            return None;
        }
        let machine = self.machine.take()?;
        let mut entries = Vec::new();
        let mut bytes = 0;
        // A membership change waits until everything before it is applied.
        while let Some(entry) = self.committed.pop_front_if(|entry| !is_change(entry)) {
            bytes += entry_bytes(&entry);
            let ticket = self.proposals.take(self.shared.id, &entry);
            entries.push((entry, ticket));
            if bytes >= self.limits.apply_batch_bytes_max {
                break;
            }
        }
        self.committed_bytes -= bytes;
        Some(ApplyJob { shared: self.shared.clone(), machine, work: Work::Entries(entries) })
    }

    /// Takes the outcome of a batch back.
    ///
    /// # Errors
    /// Why the machine cannot go on; the replica must be dropped then.
    pub fn applied(&mut self, done: ApplyDone) -> Result<(), ApplyFailure> {
        let reached = done.outcome?;
        self.machine = Some(reached.machine);
        if let Some(applied) = reached.applied {
            self.set_applied(applied);
        }
        self.snapshot_work_done(reached.snapshot);
        Ok(())
    }

    pub(super) fn set_applied(&mut self, index: u64) {
        self.applied = index;
        self.raw.advance_apply_to(index);
        self.reads.applied(index);
    }

    fn ask_reads(&mut self) {
        let raft = &self.raw.raft;
        // Raft drops a round in silence in both cases; there is nothing to retry for yet.
        let ready = match raft.state {
            StateRole::Leader => raft.commit_to_current_term(),
            _ => raft.leader_id != 0,
        };
        if ready && let Some(context) = self.reads.next_round(self.now) {
            self.raw.read_index(context);
        }
    }

    fn push_committed(&mut self, entries: Vec<Entry>) {
        self.committed_bytes += entries.iter().map(entry_bytes).sum::<u64>();
        self.committed.extend(entries);
    }
}

pub(super) fn entry_bytes(entry: &Entry) -> u64 {
    u64::from(entry.compute_size())
}
