//! The threads a request's sources are divided among.
//!
//! A processor that nobody uses helps the thread that asks; under load every request is answered by its own thread, and
//! nothing is lost to handing work around. Pools of their own, so that no request waits behind an index build or
//! behind what the program around this library runs on the global pool.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};

/// Helpers for requests: one a processor, less the one that asks.
pub struct Searchers {
    helpers: ThreadPool,
    processors: usize,
    /// Threads at work here: those that ask and those that help.
    busy: AtomicUsize,
}

impl Searchers {
    /// Starts the helpers.
    ///
    /// # Errors
    /// `Exhausted` when the system refuses threads.
    pub fn start() -> Result<Self> {
        Self::with_processors(std::thread::available_parallelism().map_or(1, usize::from))
    }

    fn with_processors(processors: usize) -> Result<Self> {
        let builder = ThreadPoolBuilder::new().num_threads(processors.saturating_sub(1).max(1));
        let helpers = builder.thread_name(|at| format!("segue-search-{at}")).build();
        let helpers = helpers
            .map_err(|error| Error::Exhausted(format!("search threads could not be started: {error}")))?;
        Ok(Self { helpers, processors, busy: AtomicUsize::new(0) })
    }

    /// Calls `task` with each number below `count` and returns what it gave, in that order. Tasks begin in that order, too:
    /// the longest should come first.
    pub fn each<T: Send + Sync>(&self, count: usize, task: impl Fn(usize) -> T + Sync) -> Vec<T> {
        let idle = self.processors.saturating_sub(self.busy.load(Ordering::Relaxed) + 1);
        let helpers = idle.min(count.saturating_sub(1));
        let _busy = Busy::new(&self.busy, helpers + 1);
        if helpers == 0 {
            return (0..count).map(task).collect();
        }
        let (next, results) = (AtomicUsize::new(0), (0..count).map(|_| OnceLock::new()).collect::<Vec<_>>());
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(result) = results.get(at) else { return };
                assert!(result.set(task(at)).is_ok(), "every number is given out once");
            }
        };
        self.helpers.in_place_scope(|scope| {
            (0..helpers).for_each(|_| scope.spawn(|_| work()));
            work();
        });
        results.into_iter().map(|result| result.into_inner().expect("every number was taken once")).collect()
    }
}

/// Counts threads as busy until it is dropped, also by a panic.
struct Busy<'a>(&'a AtomicUsize, usize);

impl<'a> Busy<'a> {
    fn new(busy: &'a AtomicUsize, threads: usize) -> Self {
        busy.fetch_add(threads, Ordering::Relaxed);
        Self(busy, threads)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_and_results_keep_their_order() {
        for processors in [1, 2, 5] {
            let searchers = Searchers::with_processors(processors).expect("threads");
            for count in [0, 1, 2, 7, 100] {
                let calls = AtomicUsize::new(0);
                let squares = searchers.each(count, |at| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    at * at
                });
                assert_eq!(squares, (0..count).map(|at| at * at).collect::<Vec<_>>());
                assert_eq!(calls.into_inner(), count);
            }
            assert_eq!(searchers.busy.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn who_asks_while_all_processors_are_busy_works_alone() {
        let searchers = Searchers::with_processors(2).expect("threads");
        let me = std::thread::current().id();
        let outer = searchers.each(2, |_| {
            let inner = searchers.each(8, |_| std::thread::current().id());
            inner.iter().all(|id| *id == inner[0])
        });
        assert_eq!(outer, [true, true]);
        let _busy = Busy::new(&searchers.busy, 1);
        assert!(searchers.each(8, |_| std::thread::current().id()).iter().all(|id| *id == me));
    }
}
