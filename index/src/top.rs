//! The best few of many scored nodes: one by one, or many at a time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::allowed::STRETCH;

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

/// Keeps the best `capacity` nodes of a stream that comes many at a time.
///
/// What may be among them is written down without a branch, since a wrong guess would have to wait for the score, and now and then cut to the
/// best. Cost: a few nanoseconds a node, however many are among the best for a while.
#[derive(Clone, Debug, Default)]
pub(super) struct Shortlist {
    entries: Vec<Scored>,
    capacity: usize,
    /// Nothing worse is among the best.
    least: f32,
}

impl Shortlist {
    /// Empties it and sets how many nodes are kept, at least one.
    pub(super) fn reset(&mut self, capacity: usize) {
        self.entries.clear();
        self.capacity = capacity.max(1);
        self.least = f32::NEG_INFINITY;
    }

    /// Offers nodes with their scores.
    #[inline(always)]
    pub(super) fn offer(&mut self, scores: &[f32], nodes: &[u32]) {
        let mut len = self.entries.len();
        self.entries.resize(len + nodes.len(), Scored { score: 0.0, node: 0 });
        for (&score, &node) in scores.iter().zip(nodes) {
            self.entries[len] = Scored { score, node };
            // What is no number is kept: fewer nodes than there are must never be returned.
            len += usize::from(!matches!(score.partial_cmp(&self.least), Some(Ordering::Less)));
        }
        self.entries.truncate(len);
        if len > 3 * self.capacity + ROOM {
            self.cut();
        }
    }

    /// Offers nodes, at most [`STRETCH`], and scores each.
    #[inline(always)]
    pub(super) fn score(&mut self, nodes: &[u32], score: impl Fn(u32) -> f32) {
        let mut scores = [0.0; STRETCH];
        scores.iter_mut().zip(nodes).for_each(|(out, &node)| *out = score(node));
        self.offer(&scores[..nodes.len()], nodes);
    }

    fn cut(&mut self) {
        if self.entries.len() > self.capacity {
            let (_, last, _) = self.entries.select_nth_unstable_by(self.capacity - 1, |a, b| b.cmp(a));
            self.least = last.score;
            self.entries.truncate(self.capacity);
        }
    }

    /// Moves the nodes out, best first.
    pub(super) fn drain_into(&mut self, out: &mut Vec<Scored>) {
        self.cut();
        out.clear();
        out.append(&mut self.entries);
        out.sort_unstable_by(|a, b| b.cmp(a));
    }
}

/// Nodes that are written down, beside three times what is kept, before they are cut to the best.
const ROOM: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SplitMix64;

    #[test]
    fn a_shortlist_keeps_what_a_list_kept_one_by_one_does() {
        let mut random = SplitMix64::new(7);
        let (mut shortlist, mut top) = (Shortlist::default(), Top::default());
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        for (capacity, nodes) in
            [(1, 0), (1, 500), (10, 7), (10, 10), (10, 5_000), (300, 5_000), (5_000, 4_999)]
        {
            // Few different scores, so that ties decide; and some that are no numbers.
            let score =
                |bits: u64| if bits.is_multiple_of(97) { f32::NAN } else { (bits % 500) as f32 - 250.0 };
            let scores: Vec<f32> = (0..nodes).map(|_| score(random.next_u64())).collect();
            let numbers: Vec<u32> = (0..nodes).collect();
            shortlist.reset(capacity);
            top.reset(capacity);
            for (scores, nodes) in scores.chunks(32).zip(numbers.chunks(32)) {
                shortlist.offer(scores, nodes);
                scores.iter().zip(nodes).for_each(|(&score, &node)| top.push(score, node));
            }
            shortlist.drain_into(&mut found);
            top.drain_into(&mut expected);
            let numbers = |list: &[Scored]| list.iter().map(|entry| entry.node).collect::<Vec<_>>();
            assert_eq!(numbers(&found), numbers(&expected), "{capacity} of {nodes}");
        }
    }
}
