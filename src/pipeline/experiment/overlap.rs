//! How much two lists have in common: as sets, and with the weight at the top.

use std::collections::HashSet;
use std::hash::Hash;

/// How much deeper places count: each the .9th part of the one before, so that the first ten have 86 % of the weight.
pub const RANK_BIAS: f64 = 0.9;

/// Share of the longer list that the other one has too; 1 for two empty lists.
pub fn shared<T: Eq + Hash>(a: &[T], b: &[T]) -> f64 {
    let longer = a.len().max(b.len());
    if longer == 0 {
        return 1.0;
    }
    let known: HashSet<&T> = a.iter().collect();
    b.iter().filter(|item| known.contains(item)).count() as f64 / longer as f64
}

/// Rank-biased overlap, extrapolated from the places there are (Webber, Moffat, Zobel 2010, eq. 32): 1 for the same list, 0
/// for lists that share nothing, and for one that is empty when the other is not.
///
/// * `a`, `b`: each without repetition, of any length; cost: one pass over both.
#[must_use]
pub fn rank_biased_overlap<T: Eq + Hash>(a: &[T], b: &[T], p: f64) -> f64 {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let (s, l) = (short.len(), long.len());
    if s == 0 {
        return f64::from(u8::from(l == 0));
    }
    let (mut seen_short, mut seen_long) = (HashSet::new(), HashSet::new());
    let (mut common, mut common_at_s) = (0_u32, 0_u32);
    let (mut sum, mut weight) = (0.0, 1.0);
    for depth in 1..=l {
        let from_long = &long[depth - 1];
        let from_short = short.get(depth - 1);
        seen_long.insert(from_long);
        common += u32::from(from_short != Some(from_long) && seen_short.contains(from_long));
        if let Some(item) = from_short {
            common += u32::from(seen_long.contains(item));
            seen_short.insert(item);
        }
        weight *= p;
        if depth <= s {
            common_at_s = common;
        }
        sum += weight * f64::from(common) / depth as f64;
        if depth > s {
            // What the short list would have in common, did it go on as it was.
            sum += weight * f64::from(common_at_s) * (depth - s) as f64 / (s as f64 * depth as f64);
        }
    }
    let rest = f64::from(common - common_at_s) / l as f64 + f64::from(common_at_s) / s as f64;
    (1.0 - p) / p * sum + rest * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rbo(a: &[u32], b: &[u32]) -> f64 {
        rank_biased_overlap(a, b, 0.9)
    }

    #[test]
    fn the_same_list_is_one_and_strangers_are_nothing() {
        let list: Vec<u32> = (0..30).collect();
        assert!((rbo(&list, &list) - 1.0).abs() < 1e-12);
        assert!(rbo(&list, &(100..130).collect::<Vec<_>>()).abs() < 1e-12);
        assert_eq!((rbo(&[], &[]), rbo(&list, &[]), rbo(&[], &list)), (1.0, 0.0, 0.0));
        assert_eq!((shared(&[1, 2, 3, 4], &[4, 9]), shared::<u32>(&[], &[])), (0.25, 1.0));
    }

    #[test]
    fn the_top_counts_more_than_the_end() {
        let list: Vec<u32> = (0..10).collect();
        let (mut first, mut last) = (list.clone(), list.clone());
        (first[0], last[9]) = (99, 99);
        assert!(rbo(&list, &first) < rbo(&list, &last));
        let mut swapped = list.clone();
        swapped.swap(0, 1);
        // Agreement is 0 at depth 1 and whole from there on.
        assert!((rbo(&list, &swapped) - (1.0 - 0.1)).abs() < 1e-12);
    }

    #[test]
    fn lists_of_any_lengths_agree_with_the_definition() {
        let mut state = crate::types::SplitMix64::new(0x5EED);
        let mut draw = |length: usize| {
            let mut all: Vec<u32> = (0..24).collect();
            (0..length).map(|_| all.swap_remove(state.below(all.len() as u64) as usize)).collect::<Vec<u32>>()
        };
        for lengths in [(1, 1), (5, 5), (3, 9), (12, 4), (20, 20), (1, 24)] {
            for _ in 0..50 {
                let (a, b) = (draw(lengths.0), draw(lengths.1));
                let (found, expected) = (rbo(&a, &b), by_definition(&a, &b, 0.9));
                assert!((found - expected).abs() < 1e-12, "{a:?} {b:?}: {found} {expected}");
                assert!((found - rbo(&b, &a)).abs() < 1e-12 && (-1e-12..=1.0 + 1e-12).contains(&found));
            }
        }
    }

    /// Equation 32, each depth counted anew.
    fn by_definition(a: &[u32], b: &[u32], p: f64) -> f64 {
        let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
        let (s, l) = (short.len(), long.len());
        let common = |d: usize| {
            let (x, y) = (&short[..d.min(s)], &long[..d.min(l)]);
            x.iter().filter(|item| y.contains(item)).count() as f64
        };
        let first: f64 = (1..=l).map(|d| common(d) / d as f64 * p.powi(d as i32)).sum();
        let second: f64 =
            (s + 1..=l).map(|d| common(s) * (d - s) as f64 / (s * d) as f64 * p.powi(d as i32)).sum();
        (1.0 - p) / p * (first + second)
            + ((common(l) - common(s)) / l as f64 + common(s) / s as f64) * p.powi(l as i32)
    }
}
