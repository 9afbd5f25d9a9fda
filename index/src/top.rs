//! The best few of many scored nodes.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A scored node; greater means better: larger score, then smaller number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scored {
    /// Larger is better.
    pub(super) score: f32,
    /// Which node.
    pub(super) node: u32,
}

impl Ord for Scored {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.node.cmp(&self.node))
    }
}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scored {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scored {}

/// Keeps the best `capacity` nodes of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Top {
    worst_first: BinaryHeap<std::cmp::Reverse<Scored>>,
    capacity: usize,
    /// Score of the last of a full list: nothing worse needs a look at the list.
    least: Option<f32>,
}

impl Top {
    /// Keeps the best `capacity`.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, ..Self::default() }
    }

    /// Empties it and sets how many nodes are kept.
    pub(super) fn reset(&mut self, capacity: usize) {
        self.worst_first.clear();
        self.capacity = capacity;
        self.least = None;
    }

    /// Offers a node.
    #[inline(always)]
    pub(super) fn push(&mut self, score: f32, node: u32) {
        if self.least.is_some_and(|least| score < least) {
            return;
        }
        self.take(Scored { score, node });
    }

    /// Takes in a node that may be among the best.
    fn take(&mut self, entry: Scored) {
        if self.worst_first.len() < self.capacity {
            self.worst_first.push(std::cmp::Reverse(entry));
        } else if let Some(mut worst) = self.worst_first.peek_mut()
            && entry > worst.0
        {
            worst.0 = entry;
        }
        if self.worst_first.len() >= self.capacity {
            self.least = self.worst_first.peek().map(|worst| worst.0.score);
        }
    }

    /// Returns the score of the last of a full list.
    #[inline(always)]
    pub(super) fn worst(&self) -> Option<f32> {
        self.least
    }

    /// Moves the nodes out, best first.
    pub(super) fn drain_into(&mut self, out: &mut Vec<Scored>) {
        out.clear();
        self.least = None;
        out.extend(self.worst_first.drain().map(|r| r.0));
        out.sort_unstable_by(|a, b| b.cmp(a));
    }
}
