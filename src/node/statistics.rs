//! Keeping what is learnt from all listeners up to date: derived here, agreed on through the log.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tracing::info;

use super::engine::Inner;
use crate::error::Result;
use crate::pipeline::statistics::build;
use crate::storage::user_shard::{STATISTICS_BYTES_MAX, UserOp};

/// Entries of the listeners' log after which statistics are due again.
const ENTRIES: u64 = 1_000;
/// They are not derived more often than this in the background.
const REST: Duration = Duration::from_secs(60);

impl Inner {
    /// Derives the statistics from the state as it is and hands them to the listeners' shard as one entry.
    ///
    /// Nothing is written while nobody has listened to anything, or when the node is about to stop.
    pub(super) fn refresh_statistics(&self) -> Result<()> {
        let _turn = self.maintenance.lock();
        let started = Instant::now();
        let reader = self.reader(None)?;
        let keep_going = || !self.closing.load(Ordering::Acquire);
        let Some(mut statistics) = build(&reader, &keep_going)? else { return Ok(()) };
        if statistics.events == 0 {
            return Ok(());
        }
        let mut bytes = statistics.encode()?;
        while bytes.len() > STATISTICS_BYTES_MAX {
            statistics.halve();
            bytes = statistics.encode()?;
        }
        self.propose_users_counted(UserOp::PutStatistics(bytes).into())?;
        let (listeners, events) = (statistics.listeners, statistics.events);
        info!(listeners, events, seconds = started.elapsed().as_secs_f64(), "learnt from all listeners");
        Ok(())
    }

    /// [`Inner::refresh_statistics`] when enough has happened since the last time.
    pub(super) fn refresh_statistics_if_due(&self) -> Result<()> {
        {
            let mut last = self.statistics_at.lock();
            let applied = self.users.shard.applied().index;
            let known = self.caches.statistics.get(self.users.shard.statistics())?;
            let is_rested = last.is_none_or(|last| last.elapsed() >= REST);
            if applied < known.applied + ENTRIES || !is_rested {
                return Ok(());
            }
            *last = Some(Instant::now());
        }
        self.refresh_statistics()
    }
}
