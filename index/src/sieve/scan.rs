//! Scanning through the sieve: blocks of rows by the scores of their centres, allowed rows by their one-bit codes, and only
//! promising ones by their own.
//!
//! What has to be reached rises while the most promising blocks are read, so that later ones pass few rows on. The estimates are
//! optimistic: they add what the codes may err by, which is in proportion to the slope of a code.

use std::sync::Arc;

use super::centers::Centers;
use super::{BLOCK_ROWS, HOPE, Sieve};
use crate::allowed::Allowed;
use crate::query::Query;
use crate::scratch::Scratch;
use crate::top::Top;
use crate::view::IndexView;

/// Where at least this part of the rows is allowed it costs less to ask for the rows of a block when it is read.
const DENSE: f64 = 0.2;
/// Blocks that are read together, while the next ones are on their way.
const BLOCKS_AT_ONCE: usize = 8;
/// Numbers that are added up side by side.
const LANES: usize = 8;
/// Class of blocks that hold nothing that is wanted, behind all others.
const UNWANTED: usize = 255;

/// Working memory of a scan through the sieve.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sifted {
    /// Products with the centres of blocks, and their scores.
    products: Vec<i32>,
    centers: Vec<f32>,
    /// What the blocks may hold.
    bounds: Vec<f32>,
    /// Classes of the blocks, the most promising first.
    classes: Vec<u8>,
    /// Blocks by class.
    order: Vec<Candidate>,
    /// The best `k` so far.
    nearest: Top,
    /// Blocks that are read, with their allowed rows, and those that are read next.
    current: Vec<(usize, u64)>,
    next: Vec<(usize, u64)>,
}

/// A block to read.
#[derive(Clone, Copy, Debug, Default)]
struct Candidate {
    block: u32,
    /// What few of its rows exceed.
    bound: f32,
}

/// The allowed rows of blocks.
struct Filter<'a> {
    allowed: &'a Allowed<'a>,
    /// What the base allows, if that is known.
    marks: Option<Arc<[u64]>>,
    /// Whether nothing else decides.
    is_exact: bool,
    n: usize,
}

impl Filter<'_> {
    /// The allowed rows of a block, a bit each.
    #[inline(always)]
    fn rows(&self, block: usize) -> u64 {
        match &self.marks {
            Some(marks) if self.is_exact => marks[block],
            Some(marks) => self.allowed.sift_word(marks[block], block, self.n),
            None => self.allowed.word(block, self.n),
        }
    }
}

/// Leaves about the best `keep` allowed rows in `scratch.found`, best first: of those that may be among the best `k` few are missing.
///
/// * `count`: allowed rows, about.
pub(crate) fn scan(
    view: &IndexView<'_>,
    sieve: &Sieve,
    (k, keep): (usize, usize),
    (allowed, count): (&Allowed<'_>, usize),
    scratch: &mut Scratch,
) {
    let Scratch { query, sifted, top, found, fresh, pending, counts, .. } = scratch;
    let Sifted { products, centers, bounds, classes, order, nearest, current, next } = sifted;
    current.clear();
    let dense = count as f64 >= DENSE * view.len() as f64;
    let marks = sieve.filters.get(view.kernels, allowed, view.len(), dense);
    let filter = Filter { allowed, marks, is_exact: allowed.is_base_only(), n: view.len() };
    let query = query.with_table(view.kernels);
    sieve.blocks.centers.score(view.kernels, query, products, centers);
    let reach = sieve.limits.reach(count) * query.norm;
    let lists = (bounds, classes, &mut *order);
    let radii = (HOPE * query.norm, reach);
    match filter.marks.as_deref() {
        Some(marks) => sieve.put_in_order(centers, radii, marks.iter().map(|&rows| rows != 0), lists),
        None => sieve.put_in_order(centers, radii, std::iter::repeat(true), lists),
    }
    top.reset(keep);
    nearest.reset(k);
    pending.clear();
    let mut ahead = Ahead { candidates: order.iter(), rows_left: sieve.limits.rows(count, k) };
    let optimism = sieve.limits.optimism * query.norm;
    let mut worst = None;
    loop {
        ahead.ask(sieve, &filter, worst, next);
        fresh.clear();
        for (block, rows) in current.drain(..) {
            let reached = worst.map_or(rows, |worst| {
                let wanted = (optimism, worst);
                sieve.blocks.reaching(view.kernels, query, (block, rows), centers[block], wanted)
            });
            put_rows(block, reached, fresh);
        }
        fresh.iter().for_each(|&row| view.prefetch_code(row));
        look(view, query, pending, (nearest, top));
        counts.estimates += pending.len() as u64;
        worst = nearest.worst();
        if fresh.is_empty() && next.is_empty() {
            break;
        }
        std::mem::swap(pending, fresh);
        std::mem::swap(current, next);
    }
    top.drain_into(found);
}

/// Blocks that were not read yet, the most promising first, and how many of their allowed rows may be.
struct Ahead<'s> {
    candidates: std::slice::Iter<'s, Candidate>,
    rows_left: usize,
}

impl Ahead<'_> {
    /// Chooses the blocks that are read next, and asks for their codes now.
    ///
    /// * `worst`: what has to be reached; nothing before there are enough rows.
    #[inline(always)]
    fn ask(&mut self, sieve: &Sieve, filter: &Filter<'_>, worst: Option<f32>, next: &mut Vec<(usize, u64)>) {
        next.clear();
        while next.len() < BLOCKS_AT_ONCE && self.rows_left > 0 {
            let Some(&Candidate { block, bound }) = self.candidates.next() else { break };
            if worst.is_some_and(|worst| bound < worst) {
                continue;
            }
            let block = block as usize;
            let rows = filter.rows(block);
            sieve.blocks.prefetch(block, rows);
            next.push((block, rows));
            if worst.is_some() {
                self.rows_left = self.rows_left.saturating_sub(rows.count_ones() as usize);
            }
        }
    }
}

/// Adds some rows of a block, a bit each.
#[inline(always)]
fn put_rows(block: usize, mut rows: u64, out: &mut Vec<u32>) {
    while rows != 0 {
        out.push((block * BLOCK_ROWS) as u32 + rows.trailing_zeros());
        rows &= rows - 1;
    }
}

/// Estimates rows by their own codes.
#[inline(always)]
fn look(view: &IndexView<'_>, query: &Query, rows: &[u32], (nearest, top): (&mut Top, &mut Top)) {
    view.estimate(query, rows, |score, node| {
        nearest.push(score, node);
        top.push(score, node);
    });
}

impl Sieve {
    /// Puts those blocks that are `wanted`, one by one, in the order of what they may hold, the most promising first, about: their estimated scores and
    /// `hope` for each unit of their radius. What no row of a block exceeds lies `reach` such units above its score.
    fn put_in_order(
        &self,
        centers: &[f32],
        (hope, reach): (f32, f32),
        wanted: impl Iterator<Item = bool>,
        (bounds, classes, order): (&mut Vec<f32>, &mut Vec<u8>, &mut Vec<Candidate>),
    ) {
        let Centers { radii, below, .. } = &self.blocks.centers;
        let averages = || centers.iter().zip(below).map(|(center, below)| center - below).zip(radii);
        bounds.clear();
        bounds.extend(averages().map(|(average, radius)| average + hope * radius));
        let (mut best, mut sum) = ([f32::MIN; LANES], [0.0; LANES]);
        let (whole, rest) = bounds.as_chunks::<LANES>();
        for at in 0..LANES {
            best[at] = rest.get(at).copied().unwrap_or(f32::MIN);
            sum[at] = rest.get(at).copied().unwrap_or(0.0);
        }
        for eight in whole {
            for at in 0..LANES {
                best[at] = if eight[at] > best[at] { eight[at] } else { best[at] };
                sum[at] += eight[at];
            }
        }
        let best = best.iter().fold(f32::MIN, |best, &lane| best.max(lane));
        let mean = sum.iter().sum::<f32>() / bounds.len() as f32;
        // Half of the classes reach from the best to the mean; what is worse than twice as far is in the last but one.
        let width = (best - mean) / (UNWANTED / 2) as f32;
        let inverse = if width > 0.0 { 1.0 / width } else { 0.0 };
        classes.resize(self.blocks(), 0);
        // Two tables, so that blocks of one class that follow each other need not wait for each other.
        let mut counts = [[0u32; UNWANTED + 1]; 2];
        for (block, ((own, bound), wanted)) in classes.iter_mut().zip(bounds).zip(wanted).enumerate() {
            // What is no number is in the first class.
            let class = (((best - *bound) * inverse) as i32).clamp(0, UNWANTED as i32 - 1);
            *own = if wanted { class as u8 } else { UNWANTED as u8 };
            counts[block % 2][usize::from(*own)] += 1;
        }
        let mut start = 0;
        let mut places: [u32; UNWANTED + 1] = std::array::from_fn(|class| {
            let first = start;
            start += counts[0][class] + counts[1][class];
            first
        });
        order.resize(self.blocks(), Candidate::default());
        for (block, (&class, (average, radius))) in classes.iter().zip(averages()).enumerate() {
            let place = &mut places[usize::from(class)];
            order[*place as usize] = Candidate { block: block as u32, bound: average + reach * radius };
            *place += 1;
        }
        order.truncate(places[UNWANTED - 1] as usize);
    }
}
