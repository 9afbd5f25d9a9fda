//! Measures proposals of 512 B through one group of one member: rate, latency, entries per fsync.
//!
//! `cargo run --release -p segue-cluster --example propose_rate [DIR] [SECONDS]`
//!
//! Each proposer waits for its acknowledgement (fsynced and applied) before it proposes again. DIR decides
//! which disk is measured; the default is a temporary directory beside the build.

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use segue_cluster::{
    AppliedState, ApplyError, ClusterNode, CommittedEntry, GroupHandle, GroupId, NodeConfig, StateMachine,
};

const PROPOSAL_BYTES: usize = 512;
const WARM_UP: Duration = Duration::from_millis(500);

/// Counts entries.
#[derive(Default)]
struct Counter {
    applied: u64,
}

impl StateMachine for Counter {
    fn recovered(&self) -> AppliedState {
        AppliedState::default()
    }

    fn apply(&mut self, batch: &[CommittedEntry]) -> Result<Vec<Bytes>, ApplyError> {
        self.applied = batch.last().map_or(self.applied, |entry| entry.index);
        Ok(batch.iter().map(|_| Bytes::new()).collect())
    }

    fn durable_index(&self) -> u64 {
        self.applied
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().map_or_else(|| PathBuf::from("target/propose_rate"), PathBuf::from);
    let seconds = arguments.next().map_or(Ok(5.0), |text| text.parse())?;
    println!("proposers  proposals/s   p50 us   p99 us  entries/fsync  fsync p50 us");
    for proposers in [1, 8, 64] {
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        measure(&dir, proposers, Duration::from_secs_f64(seconds))?;
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

fn measure(dir: &PathBuf, proposers: usize, time: Duration) -> Result<(), Box<dyn Error>> {
    let node = ClusterNode::open(dir, NodeConfig::default())?;
    let group = node.add_group(GroupId(1), Box::new(Counter::default()))?;
    run(&group, proposers, WARM_UP)?;
    let before = node.metrics();
    let start = Instant::now();
    let mut latencies = run(&group, proposers, time)?;
    let elapsed = start.elapsed();
    let after = node.metrics();
    latencies.sort_unstable();
    let micros = |quantile: f64| latencies[((latencies.len() - 1) as f64 * quantile) as usize].as_micros();
    let fsyncs = after.fsync.count() - before.fsync.count();
    let entries = after.fsync_entries - before.fsync_entries;
    println!(
        "{proposers:>9}  {:>11.0}  {:>7}  {:>7}  {:>13.1}  {:>12}",
        latencies.len() as f64 / elapsed.as_secs_f64(),
        micros(0.5),
        micros(0.99),
        entries as f64 / fsyncs as f64,
        after.fsync.quantile(0.5).as_micros(),
    );
    node.shutdown()?;
    Ok(())
}

/// Proposes from `proposers` threads for `time`; returns the latency of each acknowledgement.
fn run(group: &GroupHandle, proposers: usize, time: Duration) -> Result<Vec<Duration>, Box<dyn Error>> {
    let stop = AtomicBool::new(false);
    let payload = Bytes::from(vec![7_u8; PROPOSAL_BYTES]);
    let propose = || {
        let mut latencies = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let start = Instant::now();
            group.propose(payload.clone())?.wait_timeout(Duration::from_secs(10))?;
            latencies.push(start.elapsed());
        }
        Ok::<_, segue_cluster::ClusterError>(latencies)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..proposers).map(|_| scope.spawn(propose)).collect();
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| "a proposer panicked")??);
        }
        Ok(all)
    })
}
