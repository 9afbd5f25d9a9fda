//! The one synced write of a turn.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};

use crate::env::Env;
use crate::error::{ClusterError, LogError};
use crate::log::store::{GroupWrite, LogStore};
use crate::metrics::Metrics;

/// Writes the log for the Raft thread, and knows how much room is left.
pub(crate) struct Writer {
    pub store: Arc<dyn LogStore>,
    pub env: Env,
    pub dir: PathBuf,
    pub disk_reserve_bytes: u64,
    pub metrics: Arc<Metrics>,
    pub collect: Sender<()>,
    /// A look at the files is due after this many bytes.
    pub collect_after_bytes: u64,
    pub bytes_since_collection: u64,
}

/// Pause before a write that found the disk full is tried again.
pub(crate) const NO_SPACE_PAUSE: Duration = Duration::from_millis(50);

impl Writer {
    /// Makes `batch` durable with one fsync.
    ///
    /// # Errors
    /// `NoSpace` when the same write may be tried again; any other error ends the node.
    pub fn write(&mut self, batch: &[GroupWrite]) -> Result<(), LogError> {
        let start = self.env.clock.now();
        let bytes = self.store.write(batch)?;
        self.metrics.fsync.record(self.env.clock.now().saturating_sub(start));
        let entries = batch.iter().map(|write| write.entries.len()).sum();
        Metrics::add(&self.metrics.fsync_entries, entries);
        Metrics::add(&self.metrics.fsync_bytes, bytes);
        self.bytes_since_collection += bytes as u64;
        let truncated = batch.iter().any(|write| write.truncate.is_some() || write.destroy);
        if truncated || self.bytes_since_collection >= self.collect_after_bytes {
            self.trigger_collection();
        }
        Ok(())
    }

    /// Returns why nothing more should be written, when the disk is nearly full.
    pub fn refusal(&self) -> Option<ClusterError> {
        match self.env.disk.free_bytes(&self.dir) {
            Ok(free_bytes) if free_bytes < self.disk_reserve_bytes => Some(self.disk_full(free_bytes)),
            Ok(_) => None,
            Err(error) => {
                // The write itself will tell if the disk is broken.
                tracing::warn!(%error, "free disk space is unknown");
                None
            }
        }
    }

    /// Returns the answer to a proposal while the disk has no room.
    pub fn disk_full(&self, free_bytes: u64) -> ClusterError {
        ClusterError::DiskFull { free_bytes, reserve_bytes: self.disk_reserve_bytes }
    }

    fn trigger_collection(&mut self) {
        match self.collect.try_send(()) {
            Ok(()) | Err(TrySendError::Full(())) => self.bytes_since_collection = 0,
            Err(TrySendError::Disconnected(())) => {}
        }
    }
}
