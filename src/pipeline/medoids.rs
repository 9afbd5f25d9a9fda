//! A few points that stand for many: the queries of the `content` and `audio` sources (PIPELINE.md §3).
//!
//! One average vector of a listener with two tastes lies in neither. So up to eight of the listener's own tracks
//! stand for all of them: greedy facility location (Nemhauser, Wolsey, Fisher 1978: at least 63 % of the best
//! possible), then exchange steps of k-medoids until nothing moves. Deterministic; ties go to the earlier row.

use std::cell::RefCell;
use std::cmp::Ordering;

use super::vectors::{UnitRow, UnitRows};

/// The most medoids a query uses.
pub const MEDOIDS_MAX: usize = 8;
/// Rows beyond this are not looked at: the cost is quadratic. Callers give the heaviest first.
pub const ROWS_MAX: usize = 256;
/// A medoid must improve the fit by this share of the total weight to be worth a search of its own.
const GAIN_MIN: f32 = 0.01;
/// Exchange rounds at most; a handful suffices for so few rows.
const ROUNDS_MAX: usize = 10;
/// Rows that are compared with as many others while both lie in the nearest cache.
const TILE: usize = 16;

thread_local! {
    /// Similarities of this thread's last call: memory that is grown once, and neither cleared nor given back each time.
    static SIMILARITY: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
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
/// whose weight is not above 0 take no part; the result is empty when none does. Cost: rows² similarities.
#[must_use]
pub fn medoids(rows: &UnitRows<'_>, weights: &[f64], k: usize) -> Vec<Medoid> {
    let points: Vec<usize> = (0..rows.len().min(weights.len()).min(ROWS_MAX))
        .filter(|&row| rows.row(row).is_some() && weights[row].is_finite() && weights[row] > 0.0)
        .collect();
    SIMILARITY.with_borrow_mut(|memory| medoids_of(&Fit::new(rows, &points, weights, memory), &points, k))
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

/// Similarities of the points that take part, `[points, points]`, as `(1 + cos)/2`.
struct Fit<'m> {
    similarity: &'m [f32],
    weights: Vec<f32>,
}

impl<'m> Fit<'m> {
    /// Compares all points, whose rows are there, in memory that is reused.
    fn new(rows: &UnitRows<'_>, points: &[usize], weights: &[f64], memory: &'m mut Vec<f32>) -> Self {
        let vectors: Vec<UnitRow<'_>> = points.iter().filter_map(|&point| rows.row(point)).collect();
        let count = vectors.len();
        if memory.len() < count * count {
            memory.resize(count * count, 0.0);
        }
        let similarity = &mut memory[..count * count];
        for (first, last) in tiles(count) {
            for (other_first, other_last) in tiles(last) {
                for i in first..last {
                    let others = other_first..other_last.min(i);
                    let mut values = [0.0_f32; TILE];
                    vectors[i].cosines(&vectors[others.clone()], &mut values);
                    values.iter_mut().for_each(|value| *value = (1.0 + value.clamp(-1.0, 1.0)) / 2.0);
                    similarity[i * count + others.start..][..others.len()]
                        .copy_from_slice(&values[..others.len()]);
                    others.zip(values).for_each(|(j, value)| similarity[j * count + i] = value);
                }
            }
        }
        (0..count).for_each(|i| similarity[i * count + i] = 1.0);
        Self { similarity, weights: points.iter().map(|&row| weights[row] as f32).collect() }
    }

    fn of(&self, i: usize, j: usize) -> f32 {
        self.similarity[i * self.weights.len() + j]
    }

    fn row(&self, i: usize) -> &[f32] {
        let count = self.weights.len();
        &self.similarity[i * count..(i + 1) * count]
    }

    /// Adds the point that improves `Σ weight · best similarity` most, ties to the earlier, until `k` or too little is
    /// gained.
    ///
    /// A gain never grows as points are added (no term of its sum does), so the last one computed bounds it from above
    /// and most points need no second look (Minoux 1978).
    fn greedy(&self, k: usize) -> Vec<usize> {
        let count = self.weights.len();
        let total: f32 = self.weights.iter().sum();
        let mut best = vec![0.0_f32; count];
        let mut bounds = vec![f32::INFINITY; count];
        let mut centers = Vec::new();
        while centers.len() < k {
            let mut most: Option<(f32, usize)> = None;
            let promising = (0..count).reduce(|a, b| if bounds[b] > bounds[a] { b } else { a });
            for center in promising.into_iter().chain(0..count) {
                let wins = |gain: f32, most: Option<(f32, usize)>| {
                    most.is_none_or(|(largest, at)| gain > largest || (gain == largest && center < at))
                };
                if wins(bounds[center], most) {
                    bounds[center] = self.gain(center, &best);
                    most = if wins(bounds[center], most) { Some((bounds[center], center)) } else { most };
                }
            }
            let Some((_, center)) = most.filter(|(gain, _)| *gain > GAIN_MIN * total) else { break };
            centers.push(center);
            best.iter_mut().zip(self.row(center)).for_each(|(best, &of)| *best = best.max(of));
        }
        centers
    }

    /// How much `center` would add to the fit.
    fn gain(&self, center: usize, best: &[f32]) -> f32 {
        let (weights, weights_rest) = self.weights.as_chunks::<8>();
        let (row, row_rest) = self.row(center).as_chunks::<8>();
        let (best, best_rest) = best.as_chunks::<8>();
        // Eight sums side by side, so that an addition need not wait for the one before.
        let mut lanes = [0.0_f32; 8];
        for ((weights, row), best) in weights.iter().zip(row).zip(best) {
            for lane in 0..8 {
                lanes[lane] += weights[lane] * (row[lane] - best[lane]).max(0.0);
            }
        }
        let rest = weights_rest.iter().zip(row_rest).zip(best_rest);
        lanes.iter().sum::<f32>()
            + rest.map(|((weight, of), best)| weight * (of - best).max(0.0)).sum::<f32>()
    }

    /// Moves centers to the middles of their groups until none moves; the centers and their groups.
    fn exchange(&self, mut centers: Vec<usize>) -> (Vec<usize>, Vec<Vec<usize>>) {
        let mut groups = self.groups(&centers);
        // What each group was when its middle was last looked for, and around which center.
        let mut settled: Vec<(Vec<usize>, usize)> = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let middle = |(at, (group, &center)): (usize, (&Vec<usize>, &usize))| match settled.get(at) {
                Some((of, around)) if of == group && *around == center => center,
                _ => self.middle(group, center),
            };
            let moved: Vec<usize> = groups.iter().zip(&centers).enumerate().map(middle).collect();
            if moved == centers {
                break;
            }
            let next = self.groups(&moved);
            settled = groups.into_iter().zip(centers).collect();
            (centers, groups) = (moved, next);
        }
        (centers, groups)
    }

    /// The points nearest to each center, ties to the earlier center.
    fn groups(&self, centers: &[usize]) -> Vec<Vec<usize>> {
        let mut groups = vec![Vec::new(); centers.len()];
        for point in 0..self.weights.len() {
            let mut nearest = 0;
            for (group, &center) in centers.iter().enumerate() {
                if center == point || self.of(center, point) > self.of(centers[nearest], point) {
                    nearest = group;
                }
                if center == point {
                    break;
                }
            }
            if let Some(group) = groups.get_mut(nearest) {
                group.push(point);
            }
        }
        groups
    }

    /// The member with the largest weighted similarity to its group; the center, which is a member, among equals.
    fn middle(&self, group: &[usize], center: usize) -> usize {
        // All members side by side, so that an addition need not wait for the one before.
        let mut fits = vec![0.0_f32; group.len()];
        for &i in group {
            let (weight, row) = (self.weights[i], self.row(i));
            fits.iter_mut().zip(group).for_each(|(fit, &candidate)| *fit += weight * row[candidate]);
        }
        let own = group.iter().position(|&member| member == center).map_or(0.0, |at| fits[at]);
        let mut best = (own, center);
        for (&candidate, &value) in group.iter().zip(&fits) {
            if value > best.0 * (1.0 + 1e-6) {
                best = (value, candidate);
            }
        }
        best.1
    }
}

/// `0..count` in pieces of [`TILE`].
fn tiles(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).step_by(TILE).map(move |first| (first, (first + TILE).min(count)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::vectors::random_vectors;
    use crate::types::SplitMix64;

    fn around(center: [f32; 3], count: usize, rng: &mut SplitMix64) -> Vec<[f32; 3]> {
        (0..count).map(|_| center.map(|x| x + 0.05 * rng.normal() as f32)).collect()
    }

    #[test]
    fn two_tastes_have_two_medoids_where_the_average_lies_in_neither() {
        let mut rng = SplitMix64::new(1);
        let mut points = around([1.0, 0.0, 0.0], 30, &mut rng);
        points.extend(around([0.0, 1.0, 0.0], 10, &mut rng));
        let all: UnitRows = points.iter().map(|point| Some(&point[..])).collect();
        let found = medoids(&all, &vec![1.0; 40], MEDOIDS_MAX);
        assert_eq!(found.len(), 2);
        assert!(found[0].row < 30 && found[1].row >= 30);
        assert_eq!((found[0].share, found[1].share), (0.75, 0.25));
        let average: Vec<f32> = (0..3).map(|at| points.iter().map(|point| point[at]).sum()).collect();
        let middles: UnitRows = [Some(&[1.0, 1.0, 0.0][..]), Some(&average[..])].into_iter().collect();
        for track in 0..40 {
            let cosine = |rows: &UnitRows<'_>, at| rows.row(at).zip(all.row(track)).map(|(a, b)| a.cosine(b));
            assert!(cosine(&middles, 0) < Some(0.85), "no track is near the middle of two tastes");
            assert!(found.iter().any(|medoid| cosine(&all, medoid.row) > Some(0.95)));
            if track >= 30 {
                assert!(cosine(&middles, 1) < Some(0.6), "the average forgets the smaller taste");
            }
        }
    }

    #[test]
    fn equal_rows_need_one_medoid_and_unusable_rows_none() {
        let one: UnitRows = [Some(&[1.0, 2.0][..]); 5].into_iter().collect();
        let found = medoids(&one, &[1.0; 5], 8);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].row, found[0].share, found[0].members.len()), (0, 1.0, 5));
        assert!(medoids(&one, &[0.0, -1.0, f64::NAN, f64::INFINITY], 8).is_empty());
        assert!(medoids(&UnitRows::new(4), &[], 8).is_empty());
    }

    #[test]
    fn a_heavy_row_draws_the_medoid() {
        let rows: UnitRows =
            [Some(&[1.0, 0.0][..]), Some(&[0.9, 0.436]), Some(&[0.6, 0.8])].into_iter().collect();
        let weights = [0.1, 0.1, 10.0];
        assert_eq!(medoids(&rows, &weights, 1)[0].row, 2);
    }

    #[test]
    fn a_smaller_taste_keeps_its_places() {
        let close: Vec<(u32, f64)> = (0..10).map(|i| (i, 0.99 - f64::from(i) / 1_000.0)).collect();
        let loose: Vec<(u32, f64)> = (100..110).map(|i| (i, 0.5 - f64::from(i - 100) / 1_000.0)).collect();
        let merged = merge_by_share(&[(0.8, close.clone()), (0.2, loose)], 10, |a, b| a.cmp(&b));
        assert_eq!(merged.iter().filter(|(track, ..)| *track >= 100).count(), 2);
        assert_eq!(merged.len(), 10);
        assert!(merged.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        assert_eq!(merge_by_share(&[(0.5, close), (0.5, vec![(0, 1.5)])], 20, |a, b| a.cmp(&b)).len(), 10);
    }

    /// `cargo test --release -p segue --lib -- --ignored --nocapture medoids_speed`
    #[test]
    #[ignore = "a measurement, for the release profile"]
    fn medoids_speed() {
        let mut rng = SplitMix64::new(1);
        for count in [50_usize, 200] {
            let vectors = random_vectors(&mut rng, count, 128);
            let rows: UnitRows = vectors.iter().map(|vector| Some(&vector[..])).collect();
            let weights: Vec<f64> = (0..count).map(|_| rng.uniform()).collect();
            let mut times = Vec::new();
            for _ in 0..101 {
                let start = std::time::Instant::now();
                assert!(!std::hint::black_box(medoids(&rows, &weights, 8)).is_empty());
                times.push(start.elapsed());
            }
            times.sort_unstable();
            println!("medoids of {count} rows x 128 d: median {:?}", times[50]);
        }
    }

    proptest! {
        #[test]
        fn groups_cover_every_usable_row_once(seed in any::<u64>(), count in 1_usize..60, k in 1_usize..12) {
            let mut rng = SplitMix64::new(seed);
            let vectors = random_vectors(&mut rng, count, 4);
            let rows: UnitRows = vectors.iter().map(|vector| (rng.below(8) > 0).then_some(&vector[..])).collect();
            let weights: Vec<f64> = (0..count).map(|_| rng.uniform() - 0.1).collect();
            let found = medoids(&rows, &weights, k);
            prop_assert!(found.len() <= k.min(MEDOIDS_MAX));
            let mut covered: Vec<usize> = found.iter().flat_map(|m| m.members.clone()).collect();
            covered.sort_unstable();
            let usable: Vec<usize> =
                (0..count).filter(|&row| rows.row(row).is_some() && weights[row] > 0.0).collect();
            prop_assert_eq!(covered, usable);
            prop_assert!(found.iter().all(|m| m.members.contains(&m.row)));
            prop_assert_eq!(&medoids(&rows, &weights, k), &found);
        }
    }
}
