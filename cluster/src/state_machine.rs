//! What a group replicates: any deterministic machine that turns bytes into replies.

use std::sync::Arc;

use bytes::Bytes;

use crate::snapshot::{SnapshotFiles, SnapshotManifest, Staging};

/// Where a state machine stands when it is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppliedState {
    /// Index of the last entry whose effect is in the recovered state; 0 when the machine is new.
    pub index: u64,
    /// Term of that entry; 0 when the machine is new.
    pub term: u64,
}

/// One committed proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedEntry {
    /// Its place in the group's log. Grows by at least one from entry to entry; Raft's own entries
    /// take numbers in between.
    pub index: u64,
    /// The term it was proposed in.
    pub term: u64,
    /// What was proposed.
    pub data: Bytes,
}

/// A failure that is not a function of the entries, such as I/O: the replica stops here.
///
/// A mistake of the user is not one of these: it is a reply, the same on every replica.
#[derive(Debug, thiserror::Error)]
#[error("state machine stopped: {reason}")]
pub struct ApplyError {
    /// What failed.
    pub reason: String,
    /// Its cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ApplyError {
    /// Makes an error from a sentence.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), source: None }
    }

    /// Makes an error from a sentence and its cause.
    pub fn with_source(
        reason: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { reason: reason.into(), source: Some(source.into()) }
    }
}

/// A deterministic machine driven by one group's log.
///
/// Readers do not go through this trait: an implementation shares its state with them by itself
/// (for instance an `Arc` of immutable views) and readers wait for an index first
/// ([`GroupHandle::read_index`](crate::GroupHandle::read_index)).
pub trait StateMachine: Send {
    /// Returns what the machine already holds. Asked once, when its group is added; entries up to
    /// this index are not applied again.
    fn recovered(&self) -> AppliedState;

    /// Applies committed entries in log order and returns one reply for each.
    ///
    /// Runs on an apply thread, one batch of a group at a time. Equal entries on equal state must
    /// give equal state and replies, on every replica: no clock, no random numbers, no map order.
    /// After a crash the entries after [`StateMachine::recovered`] are applied again.
    ///
    /// # Errors
    /// Only what is not deterministic. The replica is then stopped and the callers are told that
    /// the outcome is unknown. A panic does the same.
    fn apply(&mut self, batch: &[CommittedEntry]) -> Result<Vec<Bytes>, ApplyError>;

    /// Returns the index up to which the machine's own files hold everything, durably. The log is
    /// compacted up to here and no further. Must be cheap: it is also asked on the Raft thread.
    fn durable_index(&self) -> u64;

    /// Pins the machine's durable files and returns them, for another replica to fetch.
    ///
    /// Runs on an apply thread, and may first write what is in memory to files: the newer the
    /// snapshot, the less the other replica has left to catch up. `None`: this machine has no
    /// snapshots, so its group cannot get new members.
    ///
    /// # Errors
    /// When the files cannot be written; the replica goes on and is asked again later.
    fn snapshot(&mut self) -> Result<Option<Arc<dyn SnapshotFiles>>, ApplyError> {
        Ok(None)
    }

    /// Returns where the files of a snapshot are gathered before [`StateMachine::install`]; `None` when this
    /// machine has no snapshots. Asked once, when its group is added.
    fn staging(&self) -> Option<Arc<dyn Staging>> {
        None
    }

    /// Replaces the whole state by a snapshot, durably and at once: after a crash the state is the old
    /// one or the new one. All its files are held by [`StateMachine::staging`]. Afterwards
    /// [`StateMachine::recovered`] and [`StateMachine::durable_index`] are the snapshot's.
    ///
    /// # Errors
    /// When the files cannot be used; the replica is then stopped.
    fn install(&mut self, snapshot: &SnapshotManifest) -> Result<(), ApplyError> {
        Err(ApplyError::new(format!("this machine cannot install a snapshot. index=`{}`", snapshot.index)))
    }
}
