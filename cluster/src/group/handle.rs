//! What callers hold of a group.

use std::sync::Arc;

use bytes::Bytes;
use crossbeam_channel::{TrySendError, bounded};

use super::core::GroupCore;
use super::counters::GroupCounters;
use super::entry::EntryKind;
use super::shared::GroupShared;
use crate::driver::mailbox::{Mailbox, Request};
use crate::error::ClusterError;
use crate::ids::{GroupId, PeerId};
use crate::status::GroupStatus;
use crate::wait::{Pending, Ticket, pending};

/// A proposal that was made durable and applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The entry's place in the log: a token for reads that must see it.
    pub index: u64,
    /// The term it was proposed in.
    pub term: u64,
    /// The state machine's reply; empty for a barrier.
    pub reply: Bytes,
}

/// A point in the log that the state machine has reached, and before which no acknowledged write is
/// missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadPoint {
    /// The last entry that was committed when the read was asked for, or a later one.
    pub index: u64,
}

/// A group of this node. Clones are cheap and may be used from any thread.
///
/// Handles outlive the group: once it is removed or the node is shut down, requests answer `Stopped`.
#[derive(Clone, Debug)]
pub struct GroupHandle {
    shared: Arc<GroupShared>,
    mailbox: Mailbox,
    entry_bytes_max: usize,
}

impl GroupHandle {
    pub(crate) fn new(shared: Arc<GroupShared>, mailbox: Mailbox, entry_bytes_max: usize) -> Self {
        Self { shared, mailbox, entry_bytes_max }
    }

    /// Returns the group's id.
    pub fn id(&self) -> GroupId {
        self.shared.id
    }

    pub(crate) fn is_up(&self) -> bool {
        self.shared.down().is_none()
    }

    /// Returns why the replica is out of service.
    pub(crate) fn down(&self) -> Option<ClusterError> {
        self.shared.down()
    }

    /// Returns this replica.
    pub(crate) fn status_peer(&self) -> PeerId {
        self.shared.status().peer
    }

    /// Proposes `data` to the group. The answer comes after the entry is fsynced and applied.
    ///
    /// Never blocks. Proposals of one thread are appended in the order they are made.
    ///
    /// # Errors
    /// At once: `TooLarge`, `Busy`, `Stopped`, `Quarantined`, `NodeFailed`. From the returned answer:
    /// also `NotLeader`, `Dropped`, `DiskFull`. [`ClusterError::kind`] says what to do.
    pub fn propose(&self, data: impl Into<Bytes>) -> Result<Pending<Applied>, ClusterError> {
        self.propose_kind(EntryKind::Command, data.into())
    }

    /// Puts an empty entry through the log: once it is answered, everything proposed before is applied.
    ///
    /// # Errors
    /// As [`GroupHandle::propose`].
    pub fn barrier(&self) -> Result<Pending<Applied>, ClusterError> {
        self.propose_kind(EntryKind::Barrier, Bytes::new())
    }

    /// Asks for a point from which a read sees every write acknowledged before this call.
    ///
    /// The answer comes once the state machine has reached the point. All reads of a turn share one
    /// round with the group's members; a group of one needs none. Nothing is written.
    ///
    /// # Errors
    /// At once: `Busy`, `Stopped`, `Quarantined`, `NodeFailed`. From the returned answer: also
    /// `Timeout`, when no leader answered for ten ticks.
    pub fn read_index(&self) -> Result<Pending<ReadPoint>, ClusterError> {
        let (ticket, answer) = pending(self.shared.clone(), 0);
        self.send(Request::Reads(vec![(self.shared.id, ticket)]))?;
        Ok(answer.counted())
    }

    /// [`GroupHandle::read_index`] of several groups of one node, in the same order. Their rounds share messages.
    pub fn read_indexes(groups: &[&Self]) -> Vec<Result<Pending<ReadPoint>, ClusterError>> {
        let Some(first) = groups.first() else { return Vec::new() };
        let mut reads = Vec::with_capacity(groups.len());
        let mut answers = Vec::with_capacity(groups.len());
        for group in groups {
            answers.push(match group.shared.down() {
                Some(reason) => Err(reason),
                None => {
                    let (ticket, answer) = pending(group.shared.clone(), 0);
                    reads.push((group.shared.id, ticket));
                    Ok(answer.counted())
                }
            });
        }
        match first.post(Request::Reads(reads)) {
            Ok(()) => answers,
            Err(error) => answers.into_iter().map(|answer| answer.and(Err(error.clone()))).collect(),
        }
    }

    /// Returns the last entry the state machine has applied here.
    pub fn applied(&self) -> u64 {
        self.shared.applied()
    }

    /// Returns what is answered once the state machine has applied the entry `index` here.
    pub(crate) fn when_applied(&self, index: u64) -> Pending<()> {
        self.shared.when_applied(index)
    }

    /// Returns the bytes of the snapshot that the replica is fetching; `None` when it fetches none. Waits for the Raft thread.
    pub fn incoming_bytes(&self) -> Option<u64> {
        self.with(|core| core.incoming_bytes()).flatten()
    }

    /// Runs `action` on the replica, on the Raft thread, and waits for what it returns; `None` when the replica is gone.
    /// `action` must not wait.
    pub(crate) fn with<T: Send + 'static>(
        &self,
        action: impl FnOnce(&mut GroupCore) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = bounded(1);
        let action = Box::new(move |core: &mut GroupCore| drop(reply.send(action(core))));
        self.send(Request::With { group: self.shared.id, action }).ok()?;
        answer.recv().ok()
    }

    /// Returns the answer to something that is asked of the replica on the Raft thread.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        action: impl FnOnce(&mut GroupCore, Ticket<T>) + Send + 'static,
    ) -> Result<Pending<T>, ClusterError> {
        let (ticket, answer) = pending(self.shared.clone(), 0);
        let action = Box::new(move |core: &mut GroupCore| action(core, ticket));
        self.send(Request::With { group: self.shared.id, action })?;
        Ok(answer)
    }

    /// Returns where the replica stands. Never blocks on the Raft thread.
    pub fn status(&self) -> GroupStatus {
        self.shared.status()
    }

    /// Returns what happened to the replica so far.
    pub fn counters(&self) -> GroupCounters {
        self.shared.counters.read()
    }

    /// Notes a request that another node did not answer in time.
    pub(crate) fn note_timeout(&self) {
        self.shared.counters.timed_out();
    }

    fn propose_kind(&self, kind: EntryKind, data: Bytes) -> Result<Pending<Applied>, ClusterError> {
        let bytes = data.len();
        if bytes > self.entry_bytes_max {
            return Err(ClusterError::TooLarge { bytes, max: self.entry_bytes_max });
        }
        self.shared.reserve(bytes)?;
        let (ticket, answer) = pending(self.shared.clone(), bytes);
        self.send(Request::Propose { group: self.shared.id, kind, data, ticket })?;
        Ok(answer.counted())
    }

    fn send(&self, request: Request) -> Result<(), ClusterError> {
        if let Some(reason) = self.shared.down() {
            return Err(reason);
        }
        self.post(request)
    }

    fn post(&self, request: Request) -> Result<(), ClusterError> {
        // A request that is not sent is dropped here, and its ticket gives the bytes back.
        self.mailbox.try_send(request).map_err(|error| match error {
            TrySendError::Full(_) => self.shared.busy("too many requests are waiting"),
            TrySendError::Disconnected(_) => self.shared.gone(),
        })
    }
}
