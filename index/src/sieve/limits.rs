//! How far scans through the sieve must read, measured on the rows themselves.
//!
//! A scan visits blocks by the scores of their centres. Two things say when the rest is not worth reading: that a block could not
//! reach the k-th best by so many radii, and that so many allowed rows were read. Where rows form no groups centres tell nothing, and
//! both say that everything has to be read.
//!
//! They are measured where they matter most, on filters far from the query: rows as queries, and as what is allowed a stretch of
//! rows that follow each other, which are near each other and mostly far from the query. For queries that lie among
//! what is allowed less would do.

use rayon::prelude::*;

use super::codes::RowCodes;
use super::{BLOCK_ROWS, HOPE, Sieve};
use crate::kernels::Kernels;
use crate::query::Query;
use crate::top::Top;
use crate::{Metric, SplitMix64};

/// Queries for each size of a stretch.
const QUERIES: usize = 64;
/// Sizes of the stretches: parts of all rows, and the most rows of the larger.
const PARTS: [usize; 2] = [4, 16];
const ROWS_MAX: usize = 1 << 16;
/// Fewer rows are not worth it: reading all of them takes a few microseconds.
const ROWS_MIN: usize = 8192;
/// Best rows that should be found.
const RESULTS: usize = 10;
/// Shares of them that should be, within so many radii and rows.
const WITHIN_REACH: f64 = 0.97;
const WITHIN_ROWS: f64 = 0.97;
/// Doublings of the rows measured, and halvings, that a reach is still on the same line for.
const DOUBLINGS_MAX: f32 = 5.0;
/// Rows to read grow by this power of the number of results. Measured on two data sets, where .1 to .15 times as many magnitudes more
/// were needed for 100 and 500 results.
const POWER_OF_RESULTS: f32 = 0.15;

/// What an estimate may err by: its standard deviation is 0.6 times the slope of the code and the length of the query (RaBitQ,
/// arXiv:2405.12497), and these are two of them, and three where rows are so few that looking at more costs little.
const OPTIMISM: (f32, f32) = (1.2, 1.8);

/// When a scan may stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limits {
    /// Slopes, times the length of the query, that are added to an estimate by a one-bit code.
    pub(super) optimism: f32,
    /// Radii, times the length of the query, that a row scores more than its block does on average: of so many allowed rows, and more for
    /// each doubling.
    reach: (f32, f32),
    measured: f32,
    /// Allowed rows to read: `rows * allowed^power`.
    rows: f32,
    power: f32,
}

/// What one of the best rows takes to be found.
struct Need {
    reach: f32,
    rows: f32,
}

impl Limits {
    /// Everything is read.
    pub(super) const NONE: Self = Self {
        optimism: OPTIMISM.1,
        reach: (f32::INFINITY, 0.0),
        measured: 1.0,
        rows: f32::INFINITY,
        power: 1.0,
    };

    /// The most of so many allowed rows to read for `k` results.
    pub(super) fn rows(&self, allowed: usize, k: usize) -> usize {
        let results = (k as f32 / RESULTS as f32).max(1.0).powf(POWER_OF_RESULTS);
        ((self.rows * results * (allowed as f32).powf(self.power)) as usize).min(allowed)
    }

    /// How far the rows of a block may exceed its average, in radii times the length of the query, where so many rows are allowed.
    pub(super) fn reach(&self, allowed: usize) -> f32 {
        let doublings = (allowed.max(1) as f32 / self.measured).log2();
        self.reach.0 + self.reach.1 * doublings.clamp(-DOUBLINGS_MAX, DOUBLINGS_MAX)
    }

    /// Measures them, on the rayon pool of the caller. Deterministic for a seed. Cost: 64 scans of a quarter of the codes, and of
    /// a sixteenth, of at most 65,536 rows and 16,384.
    pub(super) fn measure(sieve: &Sieve, rows: &RowCodes<'_>, seed: u64) -> Self {
        // By L2 the rows of a block differ by their lengths as well, of which its radius says nothing.
        if rows.len() < ROWS_MIN || rows.metric() == Metric::L2 {
            return Self::NONE;
        }
        let sizes = PARTS.map(|part| (ROWS_MAX * PARTS[0] / part).min(rows.len() / part));
        let needs = sizes.map(|size| needs(sieve, rows, size, seed));
        let [Some(large), Some(small)] = needs.map(|needs| {
            let reaches = needs.iter().map(|need| need.reach).collect();
            let rows = needs.iter().map(|need| need.rows).collect();
            Some((quantile(reaches, WITHIN_REACH)?, quantile(rows, WITHIN_ROWS)?))
        }) else {
            return Self::NONE;
        };
        let doublings = (sizes[0] as f32 / sizes[1] as f32).log2();
        // Nowhere do fewer of more rows have to be read, nor a larger part; nor does more choice make the best come less close.
        let power = ((large.1 / small.1).log2() / doublings).clamp(0.5, 1.0);
        let slope = ((large.0 - small.0) / doublings).max(0.0);
        let measured = sizes[0] as f32;
        let limits = Self {
            optimism: OPTIMISM.0,
            reach: (large.0, slope),
            measured,
            rows: large.1 / measured.powf(power),
            power,
        };
        if large.0.is_finite() && slope.is_finite() && power.is_finite() { limits } else { Self::NONE }
    }
}

/// What the best rows of stretches take to be found.
fn needs(sieve: &Sieve, rows: &RowCodes<'_>, size: usize, seed: u64) -> Vec<Need> {
    let case = |case: u64| {
        let mut random = SplitMix64::new(seed ^ 0x51E7_E000 ^ (case << 32));
        let row = random.below(rows.len() as u64) as usize;
        let blocks = size.div_ceil(BLOCK_ROWS);
        let first = random.below((sieve.blocks() - blocks) as u64 + 1) as usize;
        needs_of(sieve, rows, row, first..first + blocks)
    };
    (0..QUERIES as u64).into_par_iter().flat_map_iter(case).collect()
}

/// What the best other rows of some blocks take to be found for one row.
fn needs_of(sieve: &Sieve, rows: &RowCodes<'_>, row: usize, blocks: std::ops::Range<usize>) -> Vec<Need> {
    let kernels = Kernels::get();
    let mut vector = vec![0.0; rows.padded_dim()];
    rows.decode(row, &mut vector);
    let query = Query::of_rotated(kernels, &vector);
    let (mut scores, mut top, mut best) = (Vec::new(), Top::new(RESULTS), Vec::new());
    let stretch = blocks.start * BLOCK_ROWS..rows.len().min(blocks.end * BLOCK_ROWS);
    rows.estimate(kernels, &query.code, stretch, |score, other| {
        if other != row {
            top.push(score, other as u32);
        }
    });
    top.drain_into(&mut best);
    let centers = &sieve.blocks.centers;
    centers.score(kernels, &query, &mut Vec::new(), &mut scores);
    let average = |block: usize| scores[block] - centers.below[block];
    let bound = |block: usize| average(block) + HOPE * query.norm * centers.radii[block];
    let Some(worst) = best.last().map(|last| last.score) else { return Vec::new() };
    let need = |block: usize| {
        let own = bound(block);
        let before = blocks.clone().filter(|&other| bound(other) > own).count();
        let reach = (worst - average(block)) / (query.norm * centers.radii[block]);
        Need { reach, rows: ((before + 1) * BLOCK_ROWS) as f32 }
    };
    best.iter().map(|found| need(found.node as usize / BLOCK_ROWS)).collect()
}

/// The number that a share of all does not exceed; none of none.
fn quantile(mut numbers: Vec<f32>, share: f64) -> Option<f32> {
    numbers.sort_unstable_by(f32::total_cmp);
    numbers.get(((numbers.len() as f64 * share) as usize).min(numbers.len().wrapping_sub(1))).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_to_read_grow_with_what_is_allowed_and_with_the_results_and_are_never_more() {
        let limits = Limits { rows: 50.0, power: 0.5, reach: (0.4, 0.02), measured: 1024.0, ..Limits::NONE };
        assert_eq!(
            [100, 2500, 10_000, 40_000].map(|allowed| limits.rows(allowed, 10)),
            [100, 2500, 5000, 10_000]
        );
        assert_eq!(limits.rows(40_000, 1), 10_000, "fewer results than were measured");
        assert!((13_000..15_000).contains(&limits.rows(40_000, 100)));
        assert!((limits.reach(4096) - 0.44).abs() < 1e-6 && (limits.reach(512) - 0.38).abs() < 1e-6);
        assert!((limits.reach(1 << 30) - 0.5).abs() < 1e-6, "not on and on");
        assert_eq!(Limits::NONE.rows(40_000, 500), 40_000);
        assert!(Limits::NONE.reach(0).is_infinite());
    }

    #[test]
    fn a_quantile_is_one_of_the_numbers() {
        let numbers = || (0..100).rev().map(|at| at as f32).collect();
        assert_eq!(
            [0.0, 0.97, 1.0].map(|share| quantile(numbers(), share)),
            [Some(0.0), Some(97.0), Some(99.0)]
        );
        assert_eq!(quantile(Vec::new(), 0.5), None);
    }
}
