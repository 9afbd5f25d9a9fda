//! Everything that is not decided by the log: time, random numbers, free disk space, threads.
//!
//! A node takes an [`Env`]; a simulation hands in its own. What is random here (store and peer ids)
//! never decides replicated state. `raft` draws its election time-outs itself; a simulation overrides
//! them per group (`Raft::set_randomized_election_timeout`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// A clock that never goes back. Not the time of day.
pub trait Clock: Send + Sync {
    /// Returns the time since some fixed start.
    fn now(&self) -> Duration;
}

/// A source of random numbers for ids.
pub trait Entropy: Send + Sync {
    /// Returns 64 random bits.
    ///
    /// # Errors
    /// The operating system's, when it has no random numbers to give.
    fn next_u64(&self) -> io::Result<u64>;
}

/// What a node asks of its disk beside reading and writing files.
pub trait Disk: Send + Sync {
    /// Returns the bytes that an unprivileged process may still write below `dir`.
    ///
    /// # Errors
    /// The operating system's, when the directory cannot be examined.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;

    /// Is told the outcome of every fsync of the log, and returns what the node shall believe. A test
    /// may make one fail or take long.
    ///
    /// # Errors
    /// The outcome's.
    fn synced(&self, outcome: io::Result<()>) -> io::Result<()> {
        outcome
    }
}

/// How much room the log's disk has, and how much it shall keep.
#[derive(Clone)]
pub(crate) struct Room {
    pub disk: Arc<dyn Disk>,
    pub dir: PathBuf,
    pub reserve_bytes: u64,
}

impl Room {
    /// Whether proposals are refused for want of room. What cannot be told is no reason.
    pub fn is_short(&self) -> bool {
        self.disk.free_bytes(&self.dir).is_ok_and(|free| free < self.reserve_bytes)
    }
}

/// What a node takes from its surroundings.
#[derive(Clone)]
pub struct Env {
    /// Time for ticks and metrics.
    pub clock: Arc<dyn Clock>,
    /// Random ids.
    pub entropy: Arc<dyn Entropy>,
    /// Free disk space, asked before every turn that takes proposals, and the outcomes of fsyncs.
    pub disk: Arc<dyn Disk>,
}

impl Env {
    /// Returns the real surroundings: the monotonic clock, the system's random numbers and `statvfs`.
    pub fn real() -> Self {
        Self {
            clock: Arc::new(MonotonicClock(Instant::now())),
            entropy: Arc::new(SystemEntropy),
            disk: Arc::new(RealDisk),
        }
    }
}

impl Default for Env {
    fn default() -> Self {
        Self::real()
    }
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Env")
    }
}

/// The operating system's monotonic clock.
struct MonotonicClock(Instant);

impl Clock for MonotonicClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn next_u64(&self) -> io::Result<u64> {
        getrandom::u64().map_err(io::Error::other)
    }
}

struct RealDisk;

impl Disk for RealDisk {
    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Starts a named thread.
///
/// # Errors
/// The operating system's, when no thread can be started.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(body)
}
