//! Keeping what is learnt from all listeners up to date: derived here, agreed on through the log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{info, warn};

use super::engine::Inner;
use crate::error::Result;
use crate::pipeline::statistics::build;
use crate::storage::user_shard::{STATISTICS_BYTES_MAX, UserOp};

/// Entries of the listeners' logs after which statistics are due again.
const ENTRIES: u64 = 1_000;
/// They are not derived more often than this in the background.
const REST: Duration = Duration::from_secs(60);
/// After so long a single new entry is enough: a quiet database learns too.
const QUIET: Duration = Duration::from_secs(3_600);

/// When statistics were and have to be derived.
pub(super) struct StatisticsTurn {
    opened: Instant,
    /// Held by whoever derives them: one at a time.
    pub deriving: Mutex<()>,
    last: Mutex<Option<Instant>>,
    /// Somebody could not derive them when it was their turn to.
    due: AtomicBool,
}

impl StatisticsTurn {
    /// Never derived by this process.
    pub(super) fn new() -> Self {
        Self {
            opened: Instant::now(),
            deriving: Mutex::default(),
            last: Mutex::new(None),
            due: AtomicBool::new(false),
        }
    }
}

impl Inner {
    /// Derives the statistics from the state as it is and hands them to the first user shard as one entry.
    ///
    /// Nothing is written while nobody has listened to anything, or when the node is about to stop.
    pub(super) fn refresh_statistics(&self) -> Result<()> {
        let _turn = self.statistics_turn.deriving.lock();
        self.derive_statistics()
    }

    fn derive_statistics(&self) -> Result<()> {
        let started = Instant::now();
        let reader = self.reader(None)?;
        let keep_going = || !self.closing.load(Ordering::Acquire);
        let Some(mut statistics) = build(&reader, &keep_going)? else { return Ok(()) };
        // Nothing is learnt of a catalogue of which a part is missing.
        reader.whole()?;
        self.sound()?;
        if statistics.events == 0 && self.users.shards.statistics().is_none() {
            return Ok(());
        }
        let mut bytes = statistics.encode()?;
        while bytes.len() > STATISTICS_BYTES_MAX && !statistics.artists.is_empty() {
            statistics.halve();
            bytes = statistics.encode()?;
        }
        self.put_statistics(bytes)?;
        let (listeners, events) = (statistics.listeners, statistics.events);
        info!(listeners, events, seconds = started.elapsed().as_secs_f64(), "learnt from all listeners");
        Ok(())
    }

    /// Hands statistics to the first user shard, which keeps them for all.
    pub(super) fn put_statistics(&self, bytes: Vec<u8>) -> Result<()> {
        self.users.propose_counted(vec![(0, UserOp::PutStatistics(bytes).into())]).map(drop)
    }

    /// Changes which generation is active and derives the statistics anew: nearness of artists is told by the vectors of
    /// one generation. The background does not come in between.
    ///
    /// # Errors
    /// Those of the change.
    pub(super) fn with_new_generation<T>(&self, change: impl FnOnce() -> Result<T>) -> Result<T> {
        let _turn = self.statistics_turn.deriving.lock();
        let changed = change()?;
        self.tell_statistics(self.derive_statistics(), "activation");
        Ok(changed)
    }

    /// [`Inner::refresh_statistics`] after a load of plays.
    pub(super) fn refresh_statistics_after_load(&self) {
        self.tell_statistics(self.refresh_statistics(), "load");
    }

    /// What has already happened must not become a failure because nothing could be learnt from it: the worker tries again.
    fn tell_statistics(&self, derived: Result<()>, after: &'static str) {
        if let Err(error) = derived {
            warn!(%error, after, "nothing could be learnt from all listeners; it is tried again");
            self.statistics_turn.due.store(true, Ordering::Release);
        }
    }

    /// [`Inner::refresh_statistics`] when enough has happened since the last time, or when there are none that can be
    /// read, or none of the generation that answers.
    pub(super) fn refresh_statistics_if_due(&self) -> Result<()> {
        let turn = &self.statistics_turn;
        let Some(_turn) = turn.deriving.try_lock() else { return Ok(()) };
        {
            let mut last = turn.last.lock();
            if last.is_some_and(|last| last.elapsed() < REST) || !self.statistics_are_due(*last) {
                return Ok(());
            }
            *last = Some(Instant::now());
        }
        turn.due.store(false, Ordering::Release);
        self.derive_statistics().inspect_err(|_| turn.due.store(true, Ordering::Release))
    }

    fn statistics_are_due(&self, last: Option<Instant>) -> bool {
        let learnt = self.caches.statistics.get(self.users.shards.statistics());
        let active = self.meta.shard.state().active().map_or(0, |generation| generation.id.0);
        let is_of_another = learnt.statistics.events > 0 && learnt.statistics.generation != active;
        let is_old = learnt.unreadable.is_some() || learnt.is_of_before;
        if is_old || is_of_another || self.statistics_turn.due.load(Ordering::Acquire) {
            return true;
        }
        // The entry that brought them counts as one.
        let new = self.users.shards.applied_entries().saturating_sub(learnt.statistics.applied + 1);
        let is_quiet = last.unwrap_or(self.statistics_turn.opened).elapsed() >= QUIET;
        new >= ENTRIES || (new > 0 && is_quiet)
    }
}
