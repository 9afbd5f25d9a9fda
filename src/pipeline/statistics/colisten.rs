//! What is heard by the same listeners: a directed strength from each item to others.
//!
//! `strength(a → b) = n_ab / n_a · n_b^(−1/2)`: the share of a's listeners who also hear b, damped by the square root of
//! how many hear b at all. Undamped, everything would be next to what everybody hears; damped by all of `n_b` (lift),
//! next to what a single other listener hears. Fewer than [`SUPPORT_MIN`] common listeners say nothing.

use std::collections::BTreeMap;

/// Common listeners below which two items are not related.
pub const SUPPORT_MIN: u32 = 3;
/// Items of one listener that are paired, the best liked.
pub const ITEMS_MAX: usize = 60;

/// Counts listeners of items and of pairs, in bounded memory.
#[derive(Debug, Clone)]
pub struct CoListening<K> {
    listeners: BTreeMap<K, u32>,
    pairs: BTreeMap<(K, K), u32>,
    pairs_max: usize,
}

impl<K: Copy + Ord> CoListening<K> {
    /// Nothing counted yet; at most about `pairs_max` pairs are kept.
    #[must_use]
    pub fn new(pairs_max: usize) -> Self {
        Self { listeners: BTreeMap::new(), pairs: BTreeMap::new(), pairs_max: pairs_max.max(1) }
    }

    /// Adds what one listener hears, best liked first, no item twice; the first [`ITEMS_MAX`] count.
    ///
    /// When pairs would take too much room, those seen least go (lossy counting: a pair's count is then at most that
    /// much too small).
    pub fn add(&mut self, items: &[K]) {
        let items = &items[..items.len().min(ITEMS_MAX)];
        for (place, &a) in items.iter().enumerate() {
            *self.listeners.entry(a).or_default() += 1;
            for &b in &items[place + 1..] {
                *self.pairs.entry((a.min(b), a.max(b))).or_default() += 1;
            }
        }
        let mut least = 1;
        while self.pairs.len() > self.pairs_max {
            self.pairs.retain(|_, count| *count > least);
            least += 1;
        }
    }

    /// Listeners of each item.
    #[must_use]
    pub fn listeners(&self) -> &BTreeMap<K, u32> {
        &self.listeners
    }

    /// For each item up to `keep` others by falling strength, ties by item; strengths above 0.
    #[must_use]
    pub fn strengths(&self, keep: usize) -> BTreeMap<K, Vec<(K, f64)>> {
        let mut all: BTreeMap<K, Vec<(K, f64)>> = BTreeMap::new();
        let count = |item: K| f64::from(self.listeners[&item]);
        for (&(a, b), &common) in self.pairs.iter().filter(|(_, common)| **common >= SUPPORT_MIN) {
            for (from, to) in [(a, b), (b, a)] {
                let strength = f64::from(common) / count(from) / count(to).sqrt();
                all.entry(from).or_default().push((to, strength));
            }
        }
        for others in all.values_mut() {
            others.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            others.truncate(keep);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 listeners: everybody hears 0; 10 hear 1 and 2 together; one hears 1 and 9.
    fn counted() -> CoListening<u32> {
        let mut counts = CoListening::new(1_000);
        for listener in 0..100_u32 {
            match listener {
                0 => counts.add(&[0, 1, 2, 9]),
                1..10 => counts.add(&[0, 1, 2]),
                10..14 => counts.add(&[0, 1]),
                _ => counts.add(&[0, 20 + listener]),
            }
        }
        counts
    }

    #[test]
    fn what_goes_together_comes_before_what_everybody_hears() {
        let counts = counted();
        let of_one = &counts.strengths(5)[&1];
        assert_eq!(of_one[0].0, 2, "{of_one:?}");
        let share = |b: u32| f64::from(counts.pairs[&(b.min(1), b.max(1))]) / 14.0;
        assert!(share(0) > share(2), "the bare conditional probability puts what everybody hears first");
        let strength = 10.0 / 14.0 / 10_f64.sqrt();
        assert!((of_one[0].1 - strength).abs() < 1e-12);
    }

    #[test]
    fn one_common_listener_is_no_relation() {
        let counts = counted();
        assert!(counts.strengths(5)[&1].iter().all(|(other, _)| *other != 9));
        let lift = |b: u32| f64::from(counts.pairs[&(1.min(b), 1.max(b))]) / f64::from(counts.listeners[&b]);
        assert!(lift(9) >= lift(2), "full damping would put the chance meeting first");
    }

    #[test]
    fn memory_is_bounded_and_strong_pairs_survive() {
        let mut counts = CoListening::new(300);
        for listener in 0..2_000_u32 {
            let noise: Vec<u32> = (0..6).map(|i| 10 + (listener * 7 + i * 131) % 5_000).collect();
            counts.add(&[&[1, 2][..], &noise].concat());
        }
        assert!(counts.pairs.len() <= 300 + 28, "{}", counts.pairs.len());
        assert_eq!(counts.strengths(1)[&1][0].0, 2);
    }
}
