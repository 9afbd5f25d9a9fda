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
}

impl Top {
    /// Empties it and sets how many nodes are kept.
    pub(super) fn reset(&mut self, capacity: usize) {
        self.worst_first.clear();
        self.capacity = capacity;
    }

    /// Offers a node.
    #[inline(always)]
    pub(super) fn push(&mut self, score: f32, node: u32) {
        let entry = Scored { score, node };
        if self.worst_first.len() < self.capacity {
            self.worst_first.push(std::cmp::Reverse(entry));
        } else if let Some(mut worst) = self.worst_first.peek_mut()
            && entry > worst.0
        {
            worst.0 = entry;
        }
    }

    /// Moves the nodes out, best first.
    pub(super) fn drain_into(&mut self, out: &mut Vec<Scored>) {
        out.clear();
        out.extend(self.worst_first.drain().map(|r| r.0));
        out.sort_unstable_by(|a, b| b.cmp(a));
    }
}
