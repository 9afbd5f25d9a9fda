//! Who may run now: a fixed number of requests of each kind, a bounded queue behind them, a refusal after that.
//!
//! Three lanes, so that a bulk load cannot starve queries and slow disks cannot either: queries (processor-bound),
//! writes (they wait for the disk together), loads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use metrics::{counter, gauge, histogram};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::error::{Error, Result};
use crate::types::Deadline;

/// Streams of lists for all listeners at once.
const STREAMS_MAX: usize = 8;

/// The kinds of requests that are admitted separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Recommend, similar, search, look-ups.
    Query,
    /// Feedback and catalogue changes.
    Write,
    /// Bulk loads.
    Load,
}

/// The lanes of a server.
#[derive(Debug)]
pub(super) struct Admission {
    queries: Gate,
    writes: Gate,
    loads: Gate,
    streams: Arc<Semaphore>,
}

impl Admission {
    pub(super) fn new(limits: &Limits) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let queries = match limits.concurrent_requests_max {
            0 => processors,
            given => given as usize,
        };
        let queue_max = limits.queue_max as usize;
        Self {
            queries: Gate::new("queries", queries, queue_max),
            writes: Gate::new("writes", limits.concurrent_writes_max as usize, queue_max),
            loads: Gate::new("loads", limits.concurrent_loads_max as usize, queue_max),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        }
    }

    /// The place of a stream of lists for all listeners, held while it lasts: its queries wait in the lane, and many such
    /// streams would fill it.
    ///
    /// # Errors
    /// `Exhausted` at once when there are as many as there may be.
    pub(super) fn begin_stream(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            Error::Exhausted(format!(
                "too many lists of all listeners are being read. streams_max=`{STREAMS_MAX}`"
            ))
        })
    }

    /// How many threads may block at once, all lanes together.
    pub(super) fn threads_max(limits: &Limits) -> usize {
        let admission = Self::new(limits);
        [&admission.queries, &admission.writes, &admission.loads]
            .iter()
            .map(|gate| gate.permits.available_permits())
            .sum()
    }

    /// Waits for a turn in the lane; the permit is held while the request runs.
    ///
    /// # Errors
    /// `Exhausted` at once when the queue is full; `Timeout` when the deadline passes first.
    pub(super) async fn enter(&self, lane: Lane, deadline: Deadline) -> Result<OwnedSemaphorePermit> {
        match lane {
            Lane::Query => self.queries.enter(deadline).await,
            Lane::Write => self.writes.enter(deadline).await,
            Lane::Load => self.loads.enter(deadline).await,
        }
    }
}

#[derive(Debug)]
struct Gate {
    name: &'static str,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue_max: usize,
}

impl Gate {
    fn new(name: &'static str, running_max: usize, queue_max: usize) -> Self {
        Self { name, permits: Arc::new(Semaphore::new(running_max)), waiting: AtomicUsize::new(0), queue_max }
    }

    async fn enter(&self, deadline: Deadline) -> Result<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let _place = self.queue()?;
        let start = Instant::now();
        let turn = Arc::clone(&self.permits).acquire_owned();
        let permit = match deadline.left() {
            None => turn.await,
            Some(left) => tokio::time::timeout(left, turn).await.map_err(|_| deadline.error())?,
        };
        histogram!("segue_admission_wait_seconds", "lane" => self.name).record(start.elapsed());
        permit.map_err(|_| Error::Unavailable("the server is stopping".to_owned()))
    }

    /// A place in the queue, given back when dropped (also when the caller goes away while waiting).
    fn queue(&self) -> Result<Place<'_>> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place(self);
        if before >= self.queue_max {
            counter!("segue_admission_rejected_requests_total", "lane" => self.name).increment(1);
            return Err(Error::Exhausted(format!(
                "too many {} wait already. queue_max=`{}`",
                self.name, self.queue_max
            )));
        }
        gauge!("segue_admission_queued_requests", "lane" => self.name).set((before + 1) as f64);
        Ok(place)
    }
}

struct Place<'a>(&'a Gate);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let before = self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        gauge!("segue_admission_queued_requests", "lane" => self.0.name).set(before.saturating_sub(1) as f64);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::ErrorKind;

    fn deadline(ms: u64) -> Deadline {
        Deadline::after(Duration::from_millis(ms))
    }

    #[tokio::test]
    async fn one_runs_one_waits_the_next_is_refused() {
        let gate = Arc::new(Gate::new("test", 1, 1));
        let running = gate.enter(deadline(1_000)).await.expect("free");
        let waiter = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter(deadline(5_000)).await.map(drop) }
        });
        while gate.waiting.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let refused = gate.enter(deadline(1_000)).await.expect_err("the queue is full");
        assert_eq!(refused.kind(), ErrorKind::Exhausted);
        drop(running);
        assert!(waiter.await.expect("no panic").is_ok());
        assert_eq!(gate.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_deadline_ends_the_wait_and_frees_the_place() {
        let gate = Gate::new("test", 1, 1);
        let _running = gate.enter(deadline(1_000)).await.expect("free");
        let late = gate.enter(deadline(10)).await.expect_err("nobody leaves");
        assert_eq!(late.kind(), ErrorKind::Timeout);
        assert_eq!(gate.waiting.load(Ordering::Relaxed), 0);
    }
}
