//! Counters of a node, read as one snapshot.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets for each doubling of a value; a quantile is at most 1/8 too high.
const BUCKETS_PER_DOUBLING: u64 = 8;
const BUCKETS: usize = 64 * BUCKETS_PER_DOUBLING as usize;

/// A histogram of durations, without locks.
#[derive(Debug)]
pub(crate) struct Histogram {
    counts: Vec<AtomicU64>,
    sum_ns: AtomicU64,
    max_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        let counts = (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Self { counts, sum_ns: AtomicU64::new(0), max_ns: AtomicU64::new(0) }
    }
}

impl Histogram {
    pub fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get(bucket(nanos)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_ns.fetch_add(nanos, Ordering::Relaxed);
        self.max_ns.fetch_max(nanos, Ordering::Relaxed);
    }

    pub fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot {
            counts: self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed)),
            max: Duration::from_nanos(self.max_ns.load(Ordering::Relaxed)),
        }
    }
}

/// Returns the bucket of a value: small values have their own, larger ones share an eighth of a doubling.
fn bucket(nanos: u64) -> usize {
    if nanos < BUCKETS_PER_DOUBLING {
        return nanos as usize;
    }
    let doubling = u64::from(nanos.ilog2());
    let part = (nanos >> (doubling - 3)) & (BUCKETS_PER_DOUBLING - 1);
    ((doubling - 2) * BUCKETS_PER_DOUBLING + part) as usize
}

/// Returns the first value that no longer belongs to a bucket.
fn bucket_end(bucket: usize) -> u64 {
    let (row, part) = (bucket as u64 / BUCKETS_PER_DOUBLING, bucket as u64 % BUCKETS_PER_DOUBLING);
    match row {
        0 => part + 1,
        row => (BUCKETS_PER_DOUBLING + part + 1).checked_shl(row as u32 - 1).unwrap_or(u64::MAX),
    }
}

/// A histogram at one moment.
#[derive(Clone, Debug)]
pub struct HistogramSnapshot {
    counts: Vec<u64>,
    /// Sum of all values.
    pub sum: Duration,
    /// Largest value.
    pub max: Duration,
}

impl HistogramSnapshot {
    /// Returns how many values were recorded.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns a value that the fraction `q` (0 to 1) of all values does not exceed, at most 1/8 too
    /// high; zero when nothing was recorded.
    pub fn quantile(&self, q: f64) -> Duration {
        let rank = ((self.count() as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(bucket_end(bucket)).min(self.max);
            }
        }
        Duration::ZERO
    }
}

/// The counters of a running node.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub fsync: Histogram,
    /// What came in taken, per turn; what must be written prepared and gone on after, per turn; batches applied.
    pub step: Histogram,
    pub ready: Histogram,
    pub apply: Histogram,
    pub map_changes: Histogram,
    pub snapshot_sent_bytes: AtomicU64,
    pub snapshot_received_bytes: AtomicU64,
    pub unreachable_reports: AtomicU64,
    pub fsync_entries: AtomicU64,
    pub fsync_bytes: AtomicU64,
    pub proposals: AtomicU64,
    pub proposals_disk_full: AtomicU64,
    pub reads: AtomicU64,
    pub applied_entries: AtomicU64,
    pub quarantined: AtomicU64,
    pub collections: AtomicU64,
    pub collection_failures: AtomicU64,
    pub tick_delay_max_ns: AtomicU64,
    pub messages_undelivered: AtomicU64,
    pub messages_received: AtomicU64,
    pub plain_messages_received: AtomicU64,
    pub forwarded_proposals: AtomicU64,
    pub messages_dropped: AtomicU64,
}

impl Metrics {
    pub fn add(counter: &AtomicU64, amount: usize) {
        counter.fetch_add(amount as u64, Ordering::Relaxed);
    }
}

/// What is counted elsewhere.
pub(crate) struct Beside {
    pub mailbox_requests: usize,
    pub log_disk_bytes: u64,
    pub log_segments: u64,
    pub refused_messages: u64,
    pub tick: Duration,
}

/// The counters of a node at one moment. All count from the node's opening.
#[derive(Clone, Debug)]
pub struct MetricsSnapshot {
    /// Time of each synced write of the log, seconds of wall time in the write and the fsync.
    pub fsync: HistogramSnapshot,
    /// Time of each turn of the Raft thread in what came in, without the wait for it.
    pub step: HistogramSnapshot,
    /// Time of each turn in what the groups have to write and send, without the write.
    pub ready: HistogramSnapshot,
    /// Time of each batch at a state machine; snapshots made and installed count as one.
    pub apply: HistogramSnapshot,
    /// Time of each change of the cluster's map that this node asked for, until it was applied here.
    pub map_changes: HistogramSnapshot,
    /// Bytes of snapshots' files that were sent,
    pub snapshot_sent_bytes: u64,
    /// and that came.
    pub snapshot_received_bytes: u64,
    /// Times Raft was told that a replica or a node cannot be reached.
    pub unreachable_reports: u64,
    /// Frames and greetings refused: of another cluster, for another store, of a node that was removed.
    pub refused_messages: u64,
    /// Files of the log.
    pub log_segments: u64,
    /// The period of the ticks that statuses count in.
    pub tick: Duration,
    /// Entries made durable by those writes.
    pub fsync_entries: u64,
    /// Bytes written by them.
    pub fsync_bytes: u64,
    /// Proposals that reached the Raft thread.
    pub proposals: u64,
    /// Proposals refused because the disk was nearly full.
    pub proposals_disk_full: u64,
    /// Reads that reached the Raft thread.
    pub reads: u64,
    /// Entries applied by state machines, Raft's own included.
    pub applied_entries: u64,
    /// Replicas taken out of service by a failure.
    pub quarantined: u64,
    /// Runs of the log's file collection.
    pub collections: u64,
    /// Runs that failed.
    pub collection_failures: u64,
    /// Longest delay of a tick.
    pub tick_delay_max: Duration,
    /// Messages for other nodes that were dropped: their stream was full, or nobody knows where they are.
    pub messages_undelivered: u64,
    /// Raft messages of other nodes.
    pub messages_received: u64,
    /// Those of them that came over a plain connection, and not over gRPC.
    pub plain_messages_received: u64,
    /// Proposals of other nodes that came with them.
    pub forwarded_proposals: u64,
    /// Frames of other nodes that found the inbox full.
    pub messages_dropped: u64,
    /// Requests waiting for the Raft thread.
    pub mailbox_requests: usize,
    /// Bytes the log's files may take, each counted as full.
    pub log_disk_bytes: u64,
}

impl Metrics {
    /// The counters, beside what others count.
    pub fn snapshot(&self, beside: Beside) -> MetricsSnapshot {
        let Beside { mailbox_requests, log_disk_bytes, log_segments, refused_messages, tick } = beside;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MetricsSnapshot {
            fsync: self.fsync.snapshot(),
            step: self.step.snapshot(),
            ready: self.ready.snapshot(),
            apply: self.apply.snapshot(),
            map_changes: self.map_changes.snapshot(),
            snapshot_sent_bytes: read(&self.snapshot_sent_bytes),
            snapshot_received_bytes: read(&self.snapshot_received_bytes),
            unreachable_reports: read(&self.unreachable_reports),
            refused_messages,
            log_segments,
            tick,
            fsync_entries: read(&self.fsync_entries),
            fsync_bytes: read(&self.fsync_bytes),
            proposals: read(&self.proposals),
            proposals_disk_full: read(&self.proposals_disk_full),
            reads: read(&self.reads),
            applied_entries: read(&self.applied_entries),
            quarantined: read(&self.quarantined),
            collections: read(&self.collections),
            collection_failures: read(&self.collection_failures),
            tick_delay_max: Duration::from_nanos(read(&self.tick_delay_max_ns)),
            messages_undelivered: read(&self.messages_undelivered),
            messages_received: read(&self.messages_received),
            plain_messages_received: read(&self.plain_messages_received),
            forwarded_proposals: read(&self.forwarded_proposals),
            messages_dropped: read(&self.messages_dropped),
            mailbox_requests,
            log_disk_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_inside_its_bucket() {
        for nanos in (0..5_000).chain([1 << 20, (1 << 20) + 12_345, 1 << 40, u64::MAX / 3]) {
            let index = bucket(nanos);
            assert!(nanos < bucket_end(index), "{nanos} ends its bucket");
            assert!(index == 0 || nanos >= bucket_end(index - 1), "{nanos} belongs to an earlier bucket");
        }
    }

    #[test]
    fn quantiles_are_at_most_an_eighth_too_high() {
        let histogram = Histogram::default();
        for micros in 1..=1_000 {
            histogram.record(Duration::from_micros(micros));
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.count(), 1_000);
        let median = snapshot.quantile(0.5).as_micros();
        assert!((500..=563).contains(&median), "median {median}");
        assert_eq!(snapshot.quantile(1.0), Duration::from_micros(1_000));
    }
}
