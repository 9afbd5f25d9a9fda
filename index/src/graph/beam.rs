//! The best nodes a walk knows, best first, each marked once its links were followed.

/// Marks an entry whose links were followed.
const EXPANDED: u64 = 1;
/// Room for nodes that are added together.
const BATCH: usize = 128;
/// Largest node number.
const NODE_MAX: u32 = (1 << 31) - 1;

/// A bounded list of nodes, best score first, ties by node number.
///
/// An entry is one number that sorts as its node ranks: the score's bits, made monotone, then the node counted from above, then
/// the mark. So finding a place takes one comparison a step, and no branch that would be guessed wrong half the time.
#[derive(Clone, Debug, Default)]
pub struct Beam {
    entries: Vec<u64>,
    capacity: usize,
    /// No entry before this one is unexpanded.
    cursor: usize,
    /// Score of the last entry once the beam is full.
    threshold: f32,
}

/// The entry of a node that is not expanded.
#[inline(always)]
pub fn pack(score: f32, node: u32) -> u64 {
    debug_assert!(node <= NODE_MAX);
    let bits = score.to_bits();
    let monotone = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    u64::from(monotone) << 32 | u64::from(NODE_MAX - node) << 1
}

/// Score and node of an entry.
#[inline(always)]
pub fn unpack(entry: u64) -> (f32, u32) {
    let monotone = (entry >> 32) as u32;
    let bits = if monotone >> 31 == 1 { monotone & !(1 << 31) } else { !monotone };
    (f32::from_bits(bits), NODE_MAX - (entry as u32 >> 1))
}

impl Beam {
    /// Empties the beam and sets how many nodes it keeps (at least one).
    pub fn reset(&mut self, capacity: usize) {
        self.entries.clear();
        self.entries.reserve(capacity + BATCH);
        self.capacity = capacity.max(1);
        self.cursor = 0;
        self.threshold = f32::NEG_INFINITY;
    }

    /// Returns the score a node must exceed to enter: that of the last entry once the beam is full.
    #[inline(always)]
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Returns the score of the entry at `place`.
    #[inline(always)]
    pub fn score(&self, place: usize) -> Option<f32> {
        self.entries.get(place).map(|&entry| unpack(entry).0)
    }

    /// Adds a node that is not in the beam, unless it is worse than all of a full beam. Cost: up to `capacity` moves.
    #[inline(always)]
    pub fn insert(&mut self, score: f32, node: u32) {
        let entry = pack(score, node);
        let full = self.entries.len() >= self.capacity;
        if full && entry < self.entries[self.capacity - 1] {
            return;
        }
        let at = self.entries.partition_point(|&other| other > entry);
        if full {
            self.entries.pop();
        }
        self.entries.insert(at, entry);
        self.cursor = self.cursor.min(at);
        if self.entries.len() == self.capacity {
            self.threshold = unpack(self.entries[self.capacity - 1]).0;
        }
    }

    /// Adds nodes that are not in the beam, as entries in any order, as far as they are better than the last of a full beam.
    ///
    /// Cost: one search each, and one pass over what has to move.
    #[inline]
    pub fn insert_all(&mut self, new: &mut [u64]) {
        new.sort_unstable_by(|a, b| b.cmp(a));
        let new = &new[..new.len().min(self.capacity)];
        let Some(&best) = new.first() else { return };
        let mut old = self.entries.len();
        let mut end = old + new.len();
        self.entries.resize(end, 0);
        for &entry in new.iter().rev() {
            let at = self.entries[..old].partition_point(|&other| other > entry);
            self.entries.copy_within(at..old, end - (old - at));
            end -= old - at + 1;
            self.entries[end] = entry;
            old = at;
        }
        debug_assert!(self.entries[old] == best);
        self.cursor = self.cursor.min(old);
        self.entries.truncate(self.capacity);
        if self.entries.len() == self.capacity {
            self.threshold = unpack(self.entries[self.capacity - 1]).0;
        }
    }

    /// Returns the best unexpanded node, with its score, and marks it as expanded.
    #[inline(always)]
    pub fn pop(&mut self) -> Option<(f32, u32)> {
        while let Some(entry) = self.entries.get_mut(self.cursor) {
            self.cursor += 1;
            if *entry & EXPANDED == 0 {
                *entry |= EXPANDED;
                return Some(unpack(*entry));
            }
        }
        None
    }

    /// Returns the node that `pop` would return next.
    #[inline(always)]
    pub fn peek(&self) -> Option<u32> {
        let rest = &self.entries[self.cursor.min(self.entries.len())..];
        rest.iter().find(|&&entry| entry & EXPANDED == 0).map(|&entry| unpack(entry).1)
    }

    /// Returns how many nodes are in the beam.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the nodes, best first.
    pub fn iter(&self) -> impl Iterator<Item = (f32, u32)> + '_ {
        self.entries.iter().map(|&entry| unpack(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SplitMix64;

    #[test]
    fn a_beam_keeps_what_sorting_would_and_pops_each_node_once() {
        let seed = 5;
        let mut random = SplitMix64::new(seed);
        for capacity in [1, 2, 7, 64] {
            let scores = [f32::NEG_INFINITY, -3.5, -0.25, 0.0, 1e-30, 2.0, f32::INFINITY];
            let mut all: Vec<(f32, u32)> =
                (0..200).map(|node| (scores[random.below(7) as usize], NODE_MAX - 7 * node)).collect();
            let mut beam = Beam::default();
            beam.reset(capacity);
            let mut popped = Vec::new();
            let mut rest = all.as_slice();
            while let Some((&(score, node), others)) = rest.split_first() {
                if random.below(2) == 0 {
                    beam.insert(score, node);
                    rest = others;
                } else {
                    let (some, others) = rest.split_at(rest.len().min(random.below(9) as usize));
                    let mut entries: Vec<u64> = some.iter().map(|&(score, node)| pack(score, node)).collect();
                    beam.insert_all(&mut entries);
                    rest = others;
                }
                if random.below(3) == 0 {
                    popped.extend(beam.pop());
                }
            }
            all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            assert_eq!(beam.iter().collect::<Vec<_>>(), all[..capacity], "seed {seed}");
            assert_eq!(beam.threshold(), all[capacity - 1].0);
            while let Some(next) = beam.peek() {
                let best = beam.pop().expect("it was there");
                assert_eq!(best.1, next);
                popped.push(best);
            }
            let count = popped.len();
            popped.sort_by_key(|entry| entry.1);
            popped.dedup();
            assert_eq!(popped.len(), count);
            assert!(all[..capacity].iter().all(|entry| popped.contains(entry)));
        }
    }
}
