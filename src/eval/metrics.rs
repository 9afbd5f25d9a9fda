//! Accuracy of ranked lists against held-out items: precision, recall and NDCG at k, and coverage, as means over users.
//!
//! The protocol is full-catalogue ranking: every item but those the user was trained on (masked by the caller) competes.
//! Precision divides by k even when a list is shorter; the ideal of NDCG holds all held-out items; users without any are left
//! out. Pure functions: no data, no model, no clock.

use std::collections::HashSet;
use std::hash::Hash;

/// Means over the users added to a [`RankingEval`].
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
pub struct RankingReport {
    /// Users with at least one held-out item.
    pub users: u64,
    /// Hits divided by k.
    pub precision: f64,
    /// Hits divided by held-out items.
    pub recall: f64,
    /// Normalised discounted cumulative gain: `Σ_hits 1/log2(rank + 1)` over that of the best possible list.
    pub ndcg: f64,
    /// Share of the catalogue that is in anybody's list.
    pub coverage: f64,
    /// Users whose list had fewer than k items.
    pub short_lists: u64,
}

/// How good one user's list is; see [`RankingReport`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ListScores {
    /// Hits divided by k.
    pub precision: f64,
    /// Hits divided by held-out items.
    pub recall: f64,
    /// Normalised discounted cumulative gain.
    pub ndcg: f64,
}

/// Adds up lists, user by user.
#[derive(Debug, Clone)]
pub struct RankingEval<I> {
    k: usize,
    sums: RankingReport,
    shown: HashSet<I>,
}

impl<I: Eq + Hash + Clone> RankingEval<I> {
    /// Judges the first `k` items of each list; `k` of 0 counts as 1.
    #[must_use]
    pub fn new(k: usize) -> Self {
        Self { k: k.max(1), sums: RankingReport::default(), shown: HashSet::new() }
    }

    /// Adds one user's list, best first, and held-out items. A user without held-out items is left out. An item that
    /// stands in the list twice counts once, at its first rank.
    ///
    /// Returns the list's own scores.
    pub fn add(&mut self, ranked: &[I], held_out: &HashSet<I>) -> Option<ListScores> {
        if held_out.is_empty() {
            return None;
        }
        let ranked = &ranked[..ranked.len().min(self.k)];
        let (mut hits, mut gain) = (0_u32, 0.0);
        let mut seen = HashSet::with_capacity(ranked.len());
        for (position, item) in ranked.iter().enumerate() {
            if seen.insert(item) && held_out.contains(item) {
                hits += 1;
                gain += discount(position);
            }
        }
        let best: f64 = (0..held_out.len().min(self.k)).map(discount).sum();
        let scores = ListScores {
            precision: f64::from(hits) / self.k as f64,
            recall: f64::from(hits) / held_out.len() as f64,
            ndcg: gain / best,
        };
        self.sums.users += 1;
        self.sums.precision += scores.precision;
        self.sums.recall += scores.recall;
        self.sums.ndcg += scores.ndcg;
        self.sums.short_lists += u64::from(seen.len() < self.k);
        self.shown.extend(ranked.iter().cloned());
        Some(scores)
    }

    /// The means, over a catalogue of `catalogue` items. All 0 when no user was added.
    #[must_use]
    pub fn report(&self, catalogue: usize) -> RankingReport {
        let share = |sum: f64, of: f64| if of > 0.0 { sum / of } else { 0.0 };
        let users = self.sums.users as f64;
        RankingReport {
            precision: share(self.sums.precision, users),
            recall: share(self.sums.recall, users),
            ndcg: share(self.sums.ndcg, users),
            coverage: share(self.shown.len() as f64, catalogue as f64),
            ..self.sums
        }
    }
}

/// What a hit at a 0-based position is worth.
fn discount(position: usize) -> f64 {
    1.0 / (position as f64 + 2.0).log2()
}

/// The `k` items with the largest scores, best first, ties by id ascending. Cost: one pass and a sort of what is
/// kept.
#[must_use]
pub fn top_k<I: Ord + Copy>(scored: impl IntoIterator<Item = (I, f32)>, k: usize) -> Vec<I> {
    let order = |a: &(I, f32), b: &(I, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let mut scored: Vec<(I, f32)> = scored.into_iter().collect();
    if k < scored.len() {
        scored.select_nth_unstable_by(k, order);
        scored.truncate(k);
    }
    scored.sort_unstable_by(order);
    scored.into_iter().map(|(item, _)| item).collect()
}

/// Whether the pair of raw ids belongs to the test part of the hash split: one in five, without any random generator.
#[must_use]
pub fn in_hash_split_test(user: u32, item: u32) -> bool {
    let pair = (u64::from(user) << 32) | u64::from(item);
    crate::types::SplitMix64::new(pair).next_u64().is_multiple_of(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(items: &[u32]) -> HashSet<u32> {
        items.iter().copied().collect()
    }

    #[test]
    fn a_perfect_list_scores_one_and_an_empty_one_zero() {
        let mut eval = RankingEval::new(2);
        eval.add(&[1, 2, 3], &set(&[1, 2]));
        let report = eval.report(10);
        assert_eq!((report.precision, report.recall, report.ndcg), (1.0, 1.0, 1.0));
        assert_eq!((report.users, report.coverage, report.short_lists), (1, 0.2, 0));
        let mut eval = RankingEval::new(2);
        eval.add(&[], &set(&[1, 2]));
        let report = eval.report(10);
        assert_eq!((report.precision, report.recall, report.ndcg, report.short_lists), (0.0, 0.0, 0.0, 1));
    }

    #[test]
    fn a_hand_computed_list_scores_as_computed() {
        let mut eval = RankingEval::new(3);
        eval.add(&[9, 1, 2], &set(&[1, 2, 5, 6]));
        let gain = 1.0 / 3_f64.log2() + 1.0 / 4_f64.log2();
        let best = 1.0 + 1.0 / 3_f64.log2() + 1.0 / 4_f64.log2();
        let report = eval.report(100);
        assert!((report.ndcg - gain / best).abs() < 1e-12);
        assert!((report.precision - 2.0 / 3.0).abs() < 1e-12);
        assert!((report.recall - 0.5).abs() < 1e-12);
    }

    #[test]
    fn the_ideal_is_no_longer_than_the_held_out_items() {
        let mut eval = RankingEval::new(10);
        eval.add(&[7], &set(&[7]));
        assert_eq!(eval.report(1).ndcg, 1.0);
        assert_eq!(eval.report(1).precision, 0.1);
    }

    #[test]
    fn users_without_held_out_items_and_repeated_items_do_not_count() {
        let mut eval = RankingEval::new(2);
        eval.add(&[1, 2], &set(&[]));
        assert_eq!(eval.report(10), RankingReport::default());
        eval.add(&[1, 1], &set(&[1, 2]));
        assert_eq!((eval.report(10).precision, eval.report(10).short_lists), (0.5, 1));
    }

    #[test]
    fn ties_go_to_the_smaller_id() {
        assert_eq!(top_k([(5, 1.0), (3, 1.0), (4, 2.0), (1, 0.5)], 3), [4, 3, 5]);
        assert_eq!(top_k([(5, 1.0), (3, 1.0)], 9), [3, 5]);
        assert_eq!(top_k([(1, f32::NEG_INFINITY), (2, 0.0)], 1), [2]);
        assert!(top_k([(1_u32, 1.0)], 0).is_empty());
    }

    #[test]
    fn the_hash_split_takes_a_fifth() {
        let tests = (0..100_000).filter(|&i| in_hash_split_test(i % 997, i)).count();
        assert!((19_500..20_500).contains(&tests), "{tests}");
    }
}
