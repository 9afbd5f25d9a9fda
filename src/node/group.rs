//! One Raft group as the node uses it: propose a command, wait until it is durable and applied.

use std::time::Duration;

use bytes::Bytes;
use segue_cluster::{Applied, ClusterError, GroupHandle, Pending};

use crate::error::{Error, Result};

/// How long a write may take before its outcome is declared unknown.
const PROPOSAL_TIMEOUT: Duration = Duration::from_secs(30);

/// A group and the name its log index goes by in write tokens.
#[derive(Clone)]
pub struct Group {
    /// `meta`, `tracks-0`, `users-0`, …
    pub name: String,
    handle: GroupHandle,
}

impl Group {
    /// Names a group.
    pub fn new(name: impl Into<String>, handle: GroupHandle) -> Self {
        Self { name: name.into(), handle }
    }

    /// Proposes a command; the answer comes when it is fsynced and applied.
    ///
    /// # Errors
    /// Retryable refusals (busy, full disk) before anything was done.
    pub fn start(&self, command: Vec<u8>) -> Result<Pending<Applied>> {
        self.handle.propose(Bytes::from(command)).map_err(refused)
    }

    /// Proposes a command and waits until it is fsynced and applied.
    ///
    /// # Errors
    /// As [`Group::start`], and `Timeout` when the outcome is unknown.
    pub fn propose(&self, command: Vec<u8>) -> Result<Applied> {
        finish(self.start(command)?)
    }

    /// Waits until everything acknowledged before this call is applied here.
    ///
    /// # Errors
    /// `Timeout`, `Unavailable`.
    pub fn read_barrier(&self) -> Result<u64> {
        let pending = self.handle.read_index().map_err(refused)?;
        pending.wait_timeout(PROPOSAL_TIMEOUT).map(|point| point.index).map_err(refused)
    }

    /// Whether the group serves.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<()> {
        self.handle.read_index().map(drop).map_err(refused)
    }
}

/// Waits for a proposal.
///
/// # Errors
/// `Timeout` when the outcome is unknown, otherwise why it was not done.
pub fn finish(pending: Pending<Applied>) -> Result<Applied> {
    pending.wait_timeout(PROPOSAL_TIMEOUT).map_err(refused)
}

fn refused(error: ClusterError) -> Error {
    match error {
        ClusterError::Busy { .. } => Error::Exhausted(error.to_string()),
        ClusterError::DiskFull { .. } => Error::Exhausted(error.to_string()),
        ClusterError::NotLeader { .. } | ClusterError::Dropped { .. } | ClusterError::Stopped { .. } => {
            Error::Unavailable(error.to_string())
        }
        ClusterError::TooLarge { bytes, max } => Error::invalid(
            "batch",
            format!(
                "one log entry of it is too large: send fewer rows at once. bytes=`{bytes}`, bytes_max=`{max}`"
            ),
        ),
        ClusterError::Timeout { .. } => {
            Error::Timeout { ms: u64::try_from(PROPOSAL_TIMEOUT.as_millis()).unwrap_or(u64::MAX) }
        }
        ClusterError::Quarantined { .. } | ClusterError::NodeFailed { .. } => {
            Error::Corrupt(error.to_string())
        }
    }
}
