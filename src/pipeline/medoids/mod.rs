//! A few points that stand for many: the queries of the `content` and `audio` sources (PIPELINE.md §3).
//!
//! One average vector of a listener with two tastes lies in neither. So up to eight of the listener's own tracks
//! stand for all of them: greedy facility location (Nemhauser, Wolsey, Fisher 1978: at least 63 % of the best
//! possible), then exchange steps of k-medoids until nothing moves. Deterministic; ties go to the earlier row.

mod fit;
mod rounded;

use std::cell::RefCell;
use std::cmp::Ordering;

use fit::Fit;
use rounded::RoundedRows;

use super::vectors::{UnitRow, UnitRows};

/// The most medoids a query uses.
pub const MEDOIDS_MAX: usize = 8;
/// Rows beyond this are not looked at: the cost is quadratic. Callers give the heaviest first.
pub const ROWS_MAX: usize = 256;

/// Memory of a thread: grown once, and neither cleared nor given back with each call.
#[derive(Default)]
struct Memory {
    rounded: RoundedRows,
    similarity: Vec<f32>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::new(Memory::default());
}

/// A row that stands for a group of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Medoid {
    /// The row that is nearest to all of its group.
    pub row: usize,
    /// The group's share of the total weight, above 0 to 1.
    pub share: f64,
    /// The rows of the group, ascending, itself included.
    pub members: Vec<usize>,
}

/// Chooses up to `k` (at most 8) medoids of weighted rows by cosine, heaviest group first. Absent rows and rows
/// whose weight is not above 0 take no part; the result is empty when none does. Cost: rows² similarities, of rows that are
/// rounded to a byte a component: which of several favourites stands for them does not hang on the third decimal of a cosine.
#[must_use]
pub fn medoids(rows: &UnitRows<'_>, weights: &[f64], k: usize) -> Vec<Medoid> {
    let points: Vec<usize> = (0..rows.len().min(weights.len()).min(ROWS_MAX))
        .filter(|&row| rows.row(row).is_some() && weights[row].is_finite() && weights[row] > 0.0)
        .collect();
    MEMORY.with_borrow_mut(|Memory { rounded, similarity }| {
        rounded.fill(points.iter().filter_map(|&point| rows.row(point)).map(UnitRow::vector));
        let weights = points.iter().map(|&row| weights[row] as f32).collect();
        medoids_of(&Fit::new(rounded.similarities(similarity), weights), &points, k)
    })
}

/// The medoids of the points of `fit`, by their rows.
fn medoids_of(fit: &Fit<'_>, points: &[usize], k: usize) -> Vec<Medoid> {
    let (centers, groups) = fit.exchange(fit.greedy(k.min(MEDOIDS_MAX)));
    let total: f64 = fit.weights.iter().map(|&weight| f64::from(weight)).sum();
    let medoid = |(group, center): (Vec<usize>, usize)| Medoid {
        row: points[center],
        share: group.iter().map(|&i| f64::from(fit.weights[i])).sum::<f64>() / total,
        members: group.into_iter().map(|i| points[i]).collect(),
    };
    let mut medoids: Vec<Medoid> = groups.into_iter().zip(centers).map(medoid).collect();
    medoids.sort_by(|a, b| b.share.total_cmp(&a.share).then(a.row.cmp(&b.row)));
    medoids
}

/// Joins the hits of several medoids' searches, each best first: every medoid may fill its share of `depth` (at
/// least one place), so that a smaller taste is not crowded out by one whose tracks lie closer together; what then
/// stays empty is filled by score. A track of several lists has its largest score, and with it the place of the list that gave
/// it, of equal ones the first. Best first, ties as `tie` says.
#[must_use]
pub fn merge_by_share<T: Copy + Ord>(
    lists: &[(f64, Vec<(T, f64)>)],
    depth: usize,
    tie: impl Fn(T, T) -> Ordering,
) -> Vec<(T, f64, usize)> {
    let mut best: Vec<(T, f64, usize)> = Vec::with_capacity(lists.iter().map(|(_, hits)| hits.len()).sum());
    for (at, (_, hits)) in lists.iter().enumerate() {
        best.extend(hits.iter().map(|&(track, score)| (track, score, at)));
    }
    best.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2)));
    best.dedup_by_key(|(track, ..)| *track);
    let mut taken = vec![false; best.len()];
    let mut left = depth;
    for (share, hits) in lists {
        let quota = ((share * depth as f64).floor() as usize).max(1);
        let mut of_list = quota;
        for (track, _) in hits {
            if of_list == 0 || left == 0 {
                break;
            }
            let Ok(at) = best.binary_search_by_key(track, |(known, ..)| *known) else { continue };
            if !std::mem::replace(&mut taken[at], true) {
                (of_list, left) = (of_list - 1, left - 1);
            }
        }
    }
    let by_score = |a: &(T, f64, usize), b: &(T, f64, usize)| b.1.total_cmp(&a.1).then_with(|| tie(a.0, b.0));
    let side = |wanted: bool| best.iter().zip(&taken).filter(move |(_, taken)| **taken == wanted);
    let mut others: Vec<(T, f64, usize)> = side(false).map(|(hit, _)| *hit).collect();
    if left < others.len() {
        others.select_nth_unstable_by(left, by_score);
        others.truncate(left);
    }
    let mut merged: Vec<(T, f64, usize)> = side(true).map(|(hit, _)| *hit).collect();
    merged.append(&mut others);
    merged.sort_unstable_by(by_score);
    merged
}

#[cfg(test)]
mod tests;
