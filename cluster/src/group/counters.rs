//! What happened to a replica, counted by its threads without locks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::ids::PeerId;

/// The counters of a replica that runs.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// The leader this replica knew of last.
    last_leader: AtomicU64,
    leader_changes: AtomicU64,
    proposals_dropped: AtomicU64,
    timeouts: AtomicU64,
    read_rounds: AtomicU64,
    read_round_reads: AtomicU64,
    read_round_ns: AtomicU64,
    snapshots: [AtomicU64; 5],
    /// Ticks since a change of the members began; 0 while there is none.
    change_ticks: AtomicU64,
}

/// What may become of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SnapshotEvent {
    /// Pinned, to be offered.
    Made,
    /// Installed by a follower that was offered it.
    Sent,
    /// Given up by the follower, or not fetched for too long.
    NotSent,
    /// Installed here.
    Received,
    /// Its files could not be had.
    NotReceived,
}

/// The counters of a replica at one moment. All count from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupCounters {
    /// Times another replica than before led, as far as this one noticed; the first leader counts.
    pub leader_changes: u64,
    /// Proposals that a new leader's entries took the place of.
    pub proposals_dropped: u64,
    /// Proposals and reads that were not answered in time.
    pub timeouts: u64,
    /// Rounds that asked for a read index and were answered.
    pub read_rounds: u64,
    /// Reads that shared those rounds.
    pub read_round_reads: u64,
    /// Time from asking to the answer, of all those rounds.
    pub read_round_time: Duration,
    /// Snapshots made for followers,
    pub snapshots_made: u64,
    /// installed by followers,
    pub snapshots_sent: u64,
    /// and given up by them, or not fetched for too long.
    pub snapshots_not_sent: u64,
    /// Snapshots installed here,
    pub snapshots_received: u64,
    /// and those whose files could not be had.
    pub snapshots_not_received: u64,
    /// Ticks since a change of the members began; 0 while there is none.
    pub change_ticks: u64,
}

impl Counters {
    /// Notes who leads.
    pub fn leader(&self, leader: Option<PeerId>) {
        if let Some(leader) = leader
            && self.last_leader.swap(leader.0, Ordering::Relaxed) != leader.0
        {
            self.leader_changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn dropped(&self) {
        self.proposals_dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub fn timed_out(&self) {
        self.timeouts.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes a round that was answered for so many reads.
    pub fn read_round(&self, reads: usize, took: Duration) {
        self.read_rounds.fetch_add(1, Ordering::Relaxed);
        self.read_round_reads.fetch_add(reads as u64, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.read_round_ns.fetch_add(nanos, Ordering::Relaxed);
    }

    pub fn snapshot(&self, event: SnapshotEvent) {
        self.snapshots[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a tick, with or without a change of the members under way.
    pub fn tick(&self, is_changing: bool) {
        let before = self.change_ticks.load(Ordering::Relaxed);
        if is_changing || before > 0 {
            self.change_ticks.store(if is_changing { before + 1 } else { 0 }, Ordering::Relaxed);
        }
    }

    pub fn read(&self) -> GroupCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let snapshot = |event: SnapshotEvent| read(&self.snapshots[event as usize]);
        GroupCounters {
            leader_changes: read(&self.leader_changes),
            proposals_dropped: read(&self.proposals_dropped),
            timeouts: read(&self.timeouts),
            read_rounds: read(&self.read_rounds),
            read_round_reads: read(&self.read_round_reads),
            read_round_time: Duration::from_nanos(read(&self.read_round_ns)),
            snapshots_made: snapshot(SnapshotEvent::Made),
            snapshots_sent: snapshot(SnapshotEvent::Sent),
            snapshots_not_sent: snapshot(SnapshotEvent::NotSent),
            snapshots_received: snapshot(SnapshotEvent::Received),
            snapshots_not_received: snapshot(SnapshotEvent::NotReceived),
            change_ticks: read(&self.change_ticks),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_counts_once_until_another_one_leads() {
        let counters = Counters::default();
        for leader in [None, Some(1), Some(1), None, Some(1), Some(2), None, Some(1)] {
            counters.leader(leader.map(PeerId));
        }
        assert_eq!(counters.read().leader_changes, 3);
    }

    #[test]
    fn the_age_of_a_change_grows_until_it_is_over() {
        let counters = Counters::default();
        let ages: Vec<u64> = [false, true, true, true, false, true]
            .into_iter()
            .map(|is_changing| {
                counters.tick(is_changing);
                counters.read().change_ticks
            })
            .collect();
        assert_eq!(ages, [0, 1, 2, 3, 0, 1]);
        counters.snapshot(SnapshotEvent::Sent);
        counters.snapshot(SnapshotEvent::NotReceived);
        counters.read_round(3, Duration::from_micros(5));
        let read = counters.read();
        assert_eq!((read.snapshots_made, read.snapshots_sent, read.snapshots_not_received), (0, 1, 1));
        assert_eq!((read.read_rounds, read.read_round_reads, read.read_round_time.as_nanos()), (1, 3, 5_000));
    }
}
