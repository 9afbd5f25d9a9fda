//! What a group's handles, the Raft thread and the apply threads share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::counters::Counters;
use crate::error::ClusterError;
use crate::ids::{GroupId, PeerId};
use crate::status::{GroupStatus, Role};
use crate::wait::{Pending, Ticket, pending};

/// The shared part of one group on one node.
#[derive(Debug)]
pub(crate) struct GroupShared {
    pub id: GroupId,
    /// Last applied entry; set before the callers of the entries are answered.
    applied: AtomicU64,
    /// Who waits for an entry to be applied here, by its index.
    waiting: Mutex<BTreeMap<u64, Vec<Ticket<()>>>>,
    inflight_bytes: AtomicUsize,
    inflight_bytes_max: usize,
    /// Set once, when the group goes out of service.
    down: OnceLock<ClusterError>,
    status: Mutex<GroupStatus>,
    pub counters: Counters,
}

impl GroupShared {
    pub fn new(id: GroupId, peer: PeerId, inflight_bytes_max: usize) -> Arc<Self> {
        let status = GroupStatus::new(id, peer);
        Arc::new(Self {
            id,
            applied: AtomicU64::new(0),
            waiting: Mutex::default(),
            inflight_bytes: AtomicUsize::new(0),
            inflight_bytes_max,
            down: OnceLock::new(),
            status: Mutex::new(status),
            counters: Counters::default(),
        })
    }

    /// Takes `bytes` from the budget of unacknowledged proposals. One proposal is always let in.
    ///
    /// # Errors
    /// `Busy` when the budget is used up.
    pub fn reserve(&self, bytes: usize) -> Result<(), ClusterError> {
        let fits = |used: usize| {
            let after = used.saturating_add(bytes);
            (used == 0 || after <= self.inflight_bytes_max).then_some(after)
        };
        self.inflight_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map(drop)
            .map_err(|_| self.busy("too many bytes are waiting to be acknowledged"))
    }

    pub fn release(&self, bytes: usize) {
        self.inflight_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub fn busy(&self, what: &'static str) -> ClusterError {
        ClusterError::Busy { group: self.id, what }
    }

    /// Takes the group out of service for `reason`; only the first reason counts.
    pub fn take_down(&self, reason: ClusterError) {
        let failure = match &reason {
            ClusterError::Stopped { .. } => None,
            failure => Some(failure.to_string()),
        };
        let is_first = self.down.set(reason).is_ok();
        // Dropped, a ticket says why the group is gone.
        drop(std::mem::take(&mut *self.waiting.lock()));
        if is_first && failure.is_some() {
            let mut status = self.status.lock();
            status.role = Role::Quarantined;
            status.leader = None;
            status.leader_store = None;
            status.failure = failure;
        }
    }

    /// Returns why the group is out of service.
    pub fn down(&self) -> Option<ClusterError> {
        self.down.get().cloned()
    }

    /// Returns what to tell a caller whose request was dropped unanswered.
    pub fn gone(&self) -> ClusterError {
        self.down().unwrap_or(ClusterError::Stopped { group: self.id })
    }

    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    pub fn set_applied(&self, index: u64) {
        self.applied.store(index, Ordering::Release);
        let mut waiting = self.waiting.lock();
        while let Some(first) = waiting.first_entry().filter(|first| *first.key() <= index) {
            first.remove().into_iter().for_each(|ticket| ticket.resolve(Ok(())));
        }
    }

    /// Returns what is answered once the entry `index` is applied here.
    pub fn when_applied(self: &Arc<Self>, index: u64) -> Pending<()> {
        let (ticket, answer) = pending(self.clone(), 0);
        let mut waiting = self.waiting.lock();
        if self.applied() >= index {
            ticket.resolve(Ok(()));
        } else if self.down.get().is_none() {
            waiting.entry(index).or_default().push(ticket);
        }
        answer
    }

    pub fn set_status(&self, status: GroupStatus) {
        self.counters.leader(status.leader);
        *self.status.lock() = status;
    }

    pub fn status(&self) -> GroupStatus {
        let mut status = self.status.lock().clone();
        status.applied = status.applied.max(self.applied());
        status
    }
}
