//! An order of rows in which near vectors lie near each other.
//!
//! A walk reads rows, codes and vectors of nodes that are near each other. Where these share cache lines and pages, and
//! their addresses share translations, a walk waits less: searches and builds take about three quarters of the time. So
//! segments are written in this order. It is that of the leaves of a tree: each range of rows is cut near the median of a
//! projection on the line between two centres (two means of a sample), down to a few rows.
//!
//! Every step depends on the vectors and the seed only, whatever the number of threads.

use rayon::prelude::*;

use super::kernels::Kernels;
use super::sieve::BLOCK_ROWS;
use crate::SplitMix64;

/// Rows of a range that is not cut any further.
const LEAF_ROWS: usize = 8;
/// Rows of a range that decide where it is cut, at most.
const SAMPLED_ROWS: usize = 1024;
/// Rounds of moving the two centres.
const ROUNDS: usize = 6;
/// Ranges of fewer rows are not worth another thread.
const PARALLEL_ROWS: usize = 4096;

/// Returns the positions of `rows` in an order in which near vectors lie near each other, by direction.
///
/// * `rows`: equally long, finite.
/// * cost: one product a row for each halving, about a hundredth of a build; 12 bytes a row beside the result.
///
/// # Panics
/// When there are 2^32 rows or more, or their lengths differ.
#[must_use]
pub fn locality_order(rows: &[&[f32]], seed: u64) -> Vec<u32> {
    let n = u32::try_from(rows.len()).expect("fewer than 2^32 rows");
    let kernels = Kernels::get();
    let inverse = |row: &&[f32]| {
        let square = kernels.dot_f32(row, row);
        if square > 0.0 { 1.0 / square.sqrt() } else { 0.0 }
    };
    let scales: Vec<f32> = rows.par_iter().map(inverse).collect();
    let mut places: Vec<(f32, u32)> = (0..n).map(|at| (0.0, at)).collect();
    Cutter { kernels, rows, scales: &scales }.cut(&mut places, seed);
    places.into_iter().map(|(_, at)| at).collect()
}

/// Where a range is cut: in the middle, but between blocks of [`BLOCK_ROWS`] rows while there are several.
fn middle(len: usize) -> usize {
    let half = len / 2;
    if len > BLOCK_ROWS {
        half.next_multiple_of(BLOCK_ROWS).min(len.next_multiple_of(BLOCK_ROWS) - BLOCK_ROWS)
    } else {
        half
    }
}

/// What all ranges share.
struct Cutter<'a> {
    kernels: &'static Kernels,
    rows: &'a [&'a [f32]],
    /// One over the length of each row.
    scales: &'a [f32],
}

impl Cutter<'_> {
    /// Orders one range: projections and positions of rows.
    fn cut(&self, range: &mut [(f32, u32)], seed: u64) {
        if range.len() <= LEAF_ROWS {
            range.sort_unstable_by_key(|place| place.1);
            return;
        }
        let direction = self.direction(range, seed);
        let project = |place: &mut (f32, u32)| place.0 = self.projection(place.1, &direction);
        if range.len() < PARALLEL_ROWS {
            range.iter_mut().for_each(project);
        } else {
            range.par_iter_mut().with_min_len(PARALLEL_ROWS / 4).for_each(project);
        }
        let middle = middle(range.len());
        range.select_nth_unstable_by(middle, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let (low, high) = range.split_at_mut(middle);
        let mut random = SplitMix64::new(seed);
        let seeds = (random.next_u64(), random.next_u64());
        if low.len() < PARALLEL_ROWS {
            self.cut(low, seeds.0);
            self.cut(high, seeds.1);
        } else {
            rayon::join(|| self.cut(low, seeds.0), || self.cut(high, seeds.1));
        }
    }

    /// Product of a row's direction with another.
    fn projection(&self, at: u32, direction: &[f32]) -> f32 {
        self.kernels.dot_f32(self.rows[at as usize], direction) * self.scales[at as usize]
    }

    /// The line between the centres of two halves of a sample.
    fn direction(&self, range: &[(f32, u32)], seed: u64) -> Vec<f32> {
        let count = range.len().min(SAMPLED_ROWS);
        let mut random = SplitMix64::new(seed ^ 0x10CA_1174);
        let sample: Vec<u32> =
            (0..count).map(|_| range[random.below(range.len() as u64) as usize].1).collect();
        // Away from the first towards what is least like it.
        let first: Vec<f32> = self.rows[sample[0] as usize].to_vec();
        let mut ranked = self.rank(&sample, &first);
        let farthest = ranked[0].1;
        let mut direction = self.difference(&[sample[0]], &[farthest]);
        for _ in 0..ROUNDS {
            ranked = self.rank(&sample, &direction);
            let halves: Vec<u32> = ranked.iter().map(|place| place.1).collect();
            let (low, high) = halves.split_at(count / 2);
            direction = self.difference(high, low);
        }
        direction
    }

    /// The sample by projection, smallest first.
    fn rank(&self, sample: &[u32], direction: &[f32]) -> Vec<(f32, u32)> {
        let mut ranked: Vec<(f32, u32)> =
            sample.iter().map(|&at| (self.projection(at, direction), at)).collect();
        ranked.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        ranked
    }

    /// Mean direction of some rows minus that of others.
    fn difference(&self, of: &[u32], minus: &[u32]) -> Vec<f32> {
        let mut out = vec![0.0f32; self.rows[of[0] as usize].len()];
        for (rows, sign) in [(of, 1.0), (minus, -1.0)] {
            for &at in rows {
                let scale = sign * self.scales[at as usize] / rows.len() as f32;
                out.iter_mut().zip(self.rows[at as usize]).for_each(|(x, y)| *x += scale * y);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows around 64 centres, in turns.
    fn clustered() -> Vec<Vec<f32>> {
        let mut random = SplitMix64::new(9);
        let mut near = |centre: &[f32], spread: f64| -> Vec<f32> {
            centre.iter().map(|x| x + (spread * random.normal()) as f32).collect()
        };
        let centres: Vec<Vec<f32>> = (0..64).map(|_| near(&[0.0; 32], 1.0)).collect();
        (0..16_384).map(|i| near(&centres[i % 64], 0.2)).collect()
    }

    #[test]
    fn near_rows_end_up_near_each_other_each_once_whatever_the_threads() {
        let rows = clustered();
        let slices: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let order = locality_order(&slices, 1);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..16_384));
        let same = order.windows(2).filter(|pair| pair[0] % 64 == pair[1] % 64).count();
        assert!(same > 15_000, "{same} of 16,383 neighbours are of one cluster, 256 by chance");
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
        assert_eq!(one.install(|| locality_order(&slices, 1)), order);
    }

    #[test]
    fn ranges_are_cut_between_blocks_while_there_are_several() {
        assert_eq!([2, 9, 63, 64].map(middle), [1, 4, 31, 32]);
        assert_eq!([65, 100, 128, 129, 192, 8000].map(middle), [64, 64, 64, 64, 128, 4032]);
        for len in BLOCK_ROWS + 1..600 {
            let cut = middle(len);
            assert!(cut.is_multiple_of(BLOCK_ROWS) && (1..len).contains(&cut), "{len} {cut}");
        }
    }

    #[test]
    fn rows_that_say_nothing_are_ordered_too() {
        let zero = vec![0.0f32; 7];
        let rows = vec![zero.as_slice(); 100];
        let mut order = locality_order(&rows, 1);
        order.sort_unstable();
        assert!(order.into_iter().eq(0..100));
        assert!(locality_order(&[], 1).is_empty());
    }
}
