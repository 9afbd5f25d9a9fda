//! The best nodes a walk knows, best first, each marked once its links were followed.

/// Marks an entry whose links were followed.
const EXPANDED: u32 = 1 << 31;

/// A bounded list of nodes, best score first, ties by node number.
#[derive(Clone, Debug, Default)]
pub struct Beam {
    entries: Vec<(f32, u32)>,
    capacity: usize,
    /// No entry before this one is unexpanded.
    cursor: usize,
}

impl Beam {
    /// Empties the beam and sets how many nodes it keeps (at least one).
    pub fn reset(&mut self, capacity: usize) {
        self.entries.clear();
        self.entries.reserve(capacity + 1);
        self.capacity = capacity.max(1);
        self.cursor = 0;
    }

    /// Returns the score a node must exceed to enter: that of the last entry once the beam is full.
    #[inline(always)]
    pub fn threshold(&self) -> f32 {
        if self.entries.len() < self.capacity { f32::NEG_INFINITY } else { self.entries[self.capacity - 1].0 }
    }

    /// Adds a node that is not in the beam, unless it is worse than all of a full beam. Cost: up to `capacity` moves.
    #[inline(always)]
    pub fn insert(&mut self, score: f32, node: u32) {
        if self.entries.len() >= self.capacity {
            let last = self.entries[self.capacity - 1];
            if score < last.0 || (score == last.0 && node > last.1 & !EXPANDED) {
                return;
            }
            self.entries.pop();
        }
        let at = self.entries.partition_point(|e| e.0 > score || (e.0 == score && e.1 & !EXPANDED < node));
        self.entries.insert(at, (score, node));
        self.cursor = self.cursor.min(at);
    }

    /// Returns the best unexpanded node, with its score, and marks it as expanded.
    #[inline(always)]
    pub fn pop(&mut self) -> Option<(f32, u32)> {
        while let Some(entry) = self.entries.get_mut(self.cursor) {
            self.cursor += 1;
            if entry.1 & EXPANDED == 0 {
                let found = *entry;
                entry.1 |= EXPANDED;
                return Some(found);
            }
        }
        None
    }

    /// Returns the node that `pop` would return next.
    #[inline(always)]
    pub fn peek(&self) -> Option<u32> {
        self.entries[self.cursor.min(self.entries.len())..].iter().map(|e| e.1).find(|n| n & EXPANDED == 0)
    }

    /// Returns how many nodes are in the beam.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the nodes, best first.
    pub fn iter(&self) -> impl Iterator<Item = (f32, u32)> + '_ {
        self.entries.iter().map(|e| (e.0, e.1 & !EXPANDED))
    }
}
