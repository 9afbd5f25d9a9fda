//! The thread that owns all groups of a node and runs them in turns.
//!
//! A turn: wait for something to do or for the next tick; take what came in; let every group concerned
//! say what must become durable; write that for all of them with one fsync; let them go on; hand
//! committed entries to the apply threads. While one turn's fsync runs, the next turn's proposals gather
//! in the mailbox: that is the group commit.
//!
//! A panic in a group takes that group out of service and no other. A failed write or fsync takes the
//! whole node out of service, because nobody knows what reached the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::lifecycle::Leaving;
use super::mailbox::{Event, Inbox, Request};
use super::ticks::ticks_due;
use super::transfer_thread::TransferJob;
use super::writer::{NO_SPACE_PAUSE, Writer};
use crate::error::{ClusterError, LogError};
use crate::group::apply::{ApplyDone, ApplyJob};
use crate::group::core::{GroupCore, GroupLimits, Outbox};
use crate::ids::{GroupId, StoreId};
use crate::log::store::GroupWrite;
use crate::metrics::Metrics;
use crate::net::links::Links;
use crate::net::sockets::{Came, Sockets};
use crate::snapshot::Staging;

/// Requests taken in one turn.
const REQUESTS_PER_TURN: usize = 1_024;
/// Bytes of proposals after which a turn takes no more.
const BYTES_PER_TURN: usize = 16 << 20;
/// How long an orderly stop waits for what was accepted.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// What the Raft thread owns.
pub(crate) struct RaftThread {
    pub inbox: Inbox,
    pub writer: Writer,
    pub jobs: Sender<ApplyJob>,
    pub limits: GroupLimits,
    pub entry_bytes_max: usize,
    pub tick: Duration,
    pub links: Arc<Links>,
    pub transfers: Sender<TransferJob>,
    pub state: State,
}

/// What changes from turn to turn.
#[derive(Default)]
pub(crate) struct State {
    pub(super) cores: BTreeMap<GroupId, GroupCore>,
    /// Where the files of a snapshot are gathered, for groups that have snapshots.
    pub(super) stagings: BTreeMap<GroupId, Arc<dyn Staging>>,
    /// Groups taken out of service by a failure; their logs are still there.
    pub(super) quarantined: BTreeSet<GroupId>,
    /// Quarantined groups whose batch is still at an apply thread: their machine is still in use.
    pub(super) orphans: BTreeSet<GroupId>,
    /// Groups to be removed as soon as their batch is back from its apply thread.
    pub(super) leaving: BTreeMap<GroupId, Leaving>,
    /// Groups with something to do in this turn.
    pub(super) dirty: BTreeSet<GroupId>,
    pub(super) next_tick: Duration,
    /// When this turn's wait ended.
    pub(super) woke: Duration,
    pub(super) outbox: Outbox,
    pub(super) sockets: Sockets,
    /// Came over them while a write waited for space.
    pub(super) came: Vec<Came>,
    /// Counts ticks; and the tick at which each store was last heard over its connection.
    pub(super) ticks: u64,
    pub(super) heard: BTreeMap<StoreId, u64>,
    /// Since which tick a store that was asked something has not answered everything.
    pub(super) asked_since: BTreeMap<StoreId, u64>,
    /// What could not be sent in this turn.
    pub(super) undelivered: Outbox,
    /// Set by an orderly stop: when to stop at the latest.
    pub(super) drain_until: Option<Duration>,
    pub(super) stopped: bool,
    pub(super) failed: Option<Arc<str>>,
    /// Came while a write waited for space.
    pub(super) deferred: Vec<Request>,
}

impl RaftThread {
    /// Runs turns until the node stops.
    pub fn run(mut self) {
        self.state.next_tick = self.now() + self.tick;
        while !self.state.stopped {
            self.turn();
        }
        for core in self.state.cores.values() {
            core.shared().take_down(ClusterError::Stopped { group: core.id() });
        }
    }

    fn turn(&mut self) {
        self.receive();
        self.tick_if_due();
        let now = self.now();
        self.writer.metrics.step.record(now.saturating_sub(self.state.woke));
        let dirty = std::mem::take(&mut self.state.dirty);
        if let Err(error) = self.persist(&dirty) {
            self.fail(&error);
        }
        self.send_messages();
        self.report_undelivered();
        self.dispatch(&dirty);
        self.publish(&dirty);
        self.begin_fetches();
        self.links.send_answers();
        self.check_drained();
    }

    /// Waits for something to do, then takes all that is there, up to a turn's limits.
    fn receive(&mut self) {
        for request in std::mem::take(&mut self.state.deferred) {
            self.take_request(request, &mut None);
        }
        let pause = if self.state.dirty.is_empty() {
            self.state.next_tick.saturating_sub(self.now())
        } else {
            Duration::ZERO
        };
        let is_behind = self.state.sockets.has_unread() || !self.state.came.is_empty();
        let news = self.inbox.wait(if is_behind { Duration::ZERO } else { pause });
        self.state.woke = self.now();
        self.take_from_sockets(news);
        while let Ok(event) = self.inbox.events.try_recv() {
            self.take_event(event);
        }
        for _ in 0..REQUESTS_PER_TURN {
            let Ok(what) = self.inbox.peers.try_recv() else { break };
            self.take_from_peers(what);
        }
        let mut refusal = None;
        let mut bytes = 0;
        for _ in 0..REQUESTS_PER_TURN {
            let Ok(request) = self.inbox.requests.try_recv() else { break };
            if let Request::Propose { data, .. } = &request {
                bytes += data.len();
            }
            self.take_request(request, &mut refusal);
            if bytes >= BYTES_PER_TURN {
                break;
            }
        }
    }

    fn take_event(&mut self, event: Event) {
        match event {
            Event::Applied(done) => self.take_applied(done),
            Event::Compact(groups) => {
                for group in groups {
                    self.touch(group, GroupCore::request_compaction);
                }
            }
            Event::Fetched(done) => {
                self.touch(done.group, |core| core.fetch_done(done.snapshot, done.ok));
            }
            Event::LogFailed(detail) => self.fail(&LogError::SyncFailed { detail }),
            Event::Stop { drain } => {
                if drain && self.state.failed.is_none() {
                    self.state.drain_until = Some(self.now() + DRAIN_TIME_MAX);
                    for core in self.state.cores.values() {
                        core.shared().take_down(ClusterError::Stopped { group: core.id() });
                    }
                } else {
                    self.state.stopped = true;
                }
            }
        }
    }

    /// Takes one request. `refusal` remembers for this turn whether the disk has room.
    pub(super) fn take_request(&mut self, request: Request, refusal: &mut Option<Option<ClusterError>>) {
        match request {
            Request::Propose { group, kind, data, ticket } => {
                Metrics::add(&self.writer.metrics.proposals, 1);
                if let Some(full) = refusal.get_or_insert_with(|| self.writer.refusal()) {
                    Metrics::add(&self.writer.metrics.proposals_disk_full, 1);
                    ticket.resolve(Err(full.clone()));
                    return;
                }
                // For a group that is gone the ticket is dropped, which answers it.
                self.touch(group, |core| core.propose(kind, data, ticket));
            }
            Request::Reads(reads) => {
                Metrics::add(&self.writer.metrics.reads, reads.len());
                for (group, ticket) in reads {
                    self.touch(group, |core| core.read(ticket));
                }
            }
            Request::Add(new) => self.add(*new),
            Request::With { group, action } => {
                self.touch(group, action);
            }
            Request::Remove { group, destroy, reply } => self.remove(group, Leaving { destroy, reply }),
        }
    }

    fn take_applied(&mut self, done: ApplyDone) {
        let group = done.shared.id;
        self.state.orphans.remove(&group);
        if let Some(leaving) = self.state.leaving.remove(&group) {
            drop(done);
            self.finish_removal(group, leaving);
            return;
        }
        let current = self.state.cores.get(&group).map(GroupCore::shared);
        if !current.is_some_and(|shared| Arc::ptr_eq(shared, &done.shared)) {
            // The replica it belonged to is out of service; its machine ends here.
            return;
        }
        let before = self.state.cores.get(&group).map_or(0, |core| core.status().applied);
        if let Some(Err(failure)) = self.touch(group, |core| core.applied(done)) {
            self.quarantine(group, &failure.reason);
            // Its batch is back, and its machine gone.
            self.state.orphans.remove(&group);
        } else if let Some(core) = self.state.cores.get(&group) {
            let applied = core.status().applied.saturating_sub(before);
            Metrics::add(&self.writer.metrics.applied_entries, applied as usize);
        }
    }

    fn tick_if_due(&mut self) {
        let now = self.now();
        if now < self.state.next_tick {
            return;
        }
        let late = now - self.state.next_tick;
        let nanos = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
        self.writer.metrics.tick_delay_max_ns.fetch_max(nanos, std::sync::atomic::Ordering::Relaxed);
        let (ticks, next) = ticks_due(self.state.next_tick, now, self.tick);
        self.state.next_tick = next;
        self.state.ticks += u64::from(ticks);
        self.give_up_silent();
        let groups: Vec<_> = self.state.cores.keys().copied().collect();
        for group in groups {
            self.touch(group, |core| (0..ticks).for_each(|_| core.tick()));
        }
    }

    /// Makes what the dirty groups have to write durable, with one fsync for all, and lets them go on.
    ///
    /// # Errors
    /// What the log said, when the node must not go on.
    fn persist(&mut self, dirty: &BTreeSet<GroupId>) -> Result<(), LogError> {
        let begun = self.now();
        let mut concerned = Vec::with_capacity(dirty.len());
        let mut batch = Vec::new();
        for group in dirty {
            let mut outbox = std::mem::take(&mut self.state.outbox);
            let write = self.with_core(*group, |core| {
                core.now = begun;
                core.take_write(&mut outbox)
            });
            self.state.outbox = outbox;
            concerned.extend(write.is_some().then_some(*group));
            batch.extend(write.filter(|write| !write.is_empty()));
        }
        // A leader's entries are on their way to the others while its own disk is at work (Raft thesis, 10.2.1).
        self.send_messages();
        let before = self.now();
        if !batch.is_empty() {
            self.write(&batch)?;
        }
        let after = self.now();
        let mut written: BTreeMap<_, _> = batch.into_iter().map(|write| (write.group, write)).collect();
        for group in concerned {
            let write = written.remove(&group).unwrap_or_else(|| GroupWrite::new(group));
            let mut outbox = std::mem::take(&mut self.state.outbox);
            self.with_core(group, |core| core.written(write, &mut outbox));
            self.state.outbox = outbox;
        }
        self.writer.metrics.ready.record((before - begun) + self.now().saturating_sub(after));
        Ok(())
    }

    /// Writes until the batch is durable; while the disk is full, proposals are refused and everything
    /// else waits.
    fn write(&mut self, batch: &[GroupWrite]) -> Result<(), LogError> {
        loop {
            match self.writer.write(batch) {
                Err(LogError::NoSpace { detail }) if !self.state.stopped => {
                    tracing::error!(detail, "disk is full, writes wait until space is freed");
                    self.refuse_while_full();
                }
                result => return result,
            }
        }
    }

    fn refuse_while_full(&mut self) {
        std::thread::sleep(NO_SPACE_PAUSE);
        let news = self.inbox.wait(Duration::ZERO);
        self.refuse_from_sockets(news);
        for request in self.inbox.requests.try_iter() {
            match request {
                Request::Propose { ticket, .. } => ticket.resolve(Err(self.writer.disk_full(0))),
                other => self.state.deferred.push(other),
            }
        }
        // A stop must not wait for space. Other news can: there is no turn to use them in.
        let news: Vec<_> = self.inbox.events.try_iter().collect();
        for event in news {
            match event {
                Event::Stop { .. } => self.state.stopped = true,
                other => self.take_event(other),
            }
        }
    }

    /// Hands committed entries to the apply threads.
    fn dispatch(&mut self, dirty: &BTreeSet<GroupId>) {
        for group in dirty {
            if let Some(Some(job)) = self.with_core(*group, GroupCore::next_apply) {
                // The pool outlives this thread.
                let _ = self.jobs.send(job);
            }
        }
        for group in dirty {
            if self.state.cores.get(group).is_some_and(GroupCore::has_work) {
                self.state.dirty.insert(*group);
            }
        }
    }

    fn publish(&self, dirty: &BTreeSet<GroupId>) {
        for group in dirty {
            if let Some(core) = self.state.cores.get(group) {
                core.shared().set_status(core.status());
            }
        }
    }

    fn check_drained(&mut self) {
        let Some(until) = self.state.drain_until else {
            return;
        };
        let idle = self.inbox.requests.is_empty() && self.state.cores.values().all(GroupCore::is_idle);
        if idle || self.now() >= until {
            self.state.stopped = true;
        }
    }

    /// Runs `action` on a group that has something to do in this turn because of it.
    pub(super) fn touch<T>(&mut self, group: GroupId, action: impl FnOnce(&mut GroupCore) -> T) -> Option<T> {
        self.state.dirty.insert(group);
        self.with_core(group, action)
    }

    /// Runs `action` on a group. A panic takes the group out of service. `None` when the group is not
    /// there (any more).
    pub(super) fn with_core<T>(
        &mut self,
        group: GroupId,
        action: impl FnOnce(&mut GroupCore) -> T,
    ) -> Option<T> {
        let core = self.state.cores.get_mut(&group)?;
        match catch_unwind(AssertUnwindSafe(|| action(core))) {
            Ok(value) => Some(value),
            Err(panic) => {
                let message = crate::panic::message(panic.as_ref());
                self.quarantine(group, &format!("the replica panicked: {message}"));
                None
            }
        }
    }

    fn now(&self) -> Duration {
        self.writer.env.clock.now()
    }
}
