//! Scanning through the sieve: all allowed rows are estimated by their one-bit codes, and only the codes of promising ones are read.
//!
//! Rows are visited in the order they lie in. The estimates are optimistic: they add what the codes may err by, which is in
//! proportion to the slope of a record. First the best few are looked at by their own codes; then all others whose optimistic
//! estimate reaches the k-th best of these.

use super::allowed::Allowed;
use super::graph::beam::{pack, unpack};
use super::scratch::Scratch;
use super::sieve::Sieve;
use super::top::Scored;
use super::view::IndexView;

/// What an estimate may err by: its standard deviation is 0.6 times the slope of the record and the length of the query (RaBitQ,
/// arXiv:2405.12497), and this is one and a half of them.
const OPTIMISM: f32 = 0.9;
/// Rows looked at before it is known what the others must reach, for each one that is scored exactly.
const FIRST: usize = 2;
/// Estimates that are compared at once.
const AT_ONCE: usize = 16;
/// Codes that are asked for before they are looked at.
const AHEAD: usize = 16;

/// Working memory of a scan through the sieve.
#[derive(Clone, Debug, Default)]
pub(super) struct Sifted {
    /// Scores of the centres of blocks.
    centers: Vec<f32>,
    /// Allowed rows, a bit each.
    marks: Vec<u64>,
    /// The same as numbers, and their optimistic estimates.
    rows: Vec<u32>,
    scores: Vec<f32>,
    /// The best of them, in any order.
    best: Vec<u64>,
}

/// Leaves about the best `keep` allowed rows in `scratch.found`, best first: of those that may be among the best `k` few are missing.
pub(super) fn scan(
    view: &IndexView<'_>,
    sieve: &Sieve,
    (k, keep): (usize, usize),
    allowed: &Allowed<'_>,
    scratch: &mut Scratch,
) {
    let Scratch { query, sifted, top, found, fresh, counts, .. } = scratch;
    let Sifted { centers, marks, rows, scores, best } = sifted;
    allowed.mark(view.kernels, view.len(), marks);
    view.kernels.list_bits(marks, rows);
    sieve.score_centers(view.kernels, &query.code, centers);
    scores.resize(rows.len(), 0.0);
    let codes = (sieve.records(), centers.as_slice());
    query.signs.estimate_of(view.kernels, codes, rows, OPTIMISM * query.norm, scores);
    // Damaged factors may be no numbers, and compare with nothing: their rows are the last, but none is lost.
    scores.iter_mut().for_each(|score| *score = score.max(f32::MIN));
    keep_best(rows, scores, FIRST * keep, best);
    fresh.clear();
    fresh.extend(best.iter().map(|&entry| unpack(entry).1));
    top.reset(k);
    found.clear();
    look(view, query, fresh, |score, node| {
        top.push(score, node);
        found.push(Scored { score, node });
    });
    counts.estimates += fresh.len() as u64;
    // Fewer than k are all there are.
    let (worst, last) = (top.worst().unwrap_or(f32::INFINITY), best.iter().min().copied().unwrap_or(0));
    fresh.clear();
    for_each_above(
        rows,
        scores,
        || worst,
        |row, score| {
            if pack(score, row) < last {
                fresh.push(row);
            }
        },
    );
    counts.estimates += fresh.len() as u64;
    top.reset(keep);
    found.iter().for_each(|scored| top.push(scored.score, scored.node));
    look(view, query, fresh, |score, node| top.push(score, node));
    top.drain_into(found);
}

/// Estimates rows by their own codes, which are asked for some time before.
fn look(view: &IndexView<'_>, query: &super::query::Query, rows: &[u32], mut each: impl FnMut(f32, u32)) {
    rows.iter().take(AHEAD).for_each(|&row| view.prefetch_code(row));
    for (at, some) in rows.chunks(AHEAD).enumerate() {
        let next = &rows[rows.len().min((at + 1) * AHEAD)..];
        next.iter().take(AHEAD).for_each(|&row| view.prefetch_code(row));
        view.estimate(query, some, &mut each);
    }
}

/// Leaves the best `keep` of some rows in `best`, in any order.
fn keep_best(rows: &[u32], scores: &[f32], keep: usize, best: &mut Vec<u64>) {
    let cut = |best: &mut Vec<u64>| {
        if best.len() > keep {
            best.select_nth_unstable_by(keep - 1, |a, b| b.cmp(a));
            best.truncate(keep);
        }
    };
    let least = std::cell::Cell::new(f32::NEG_INFINITY);
    best.clear();
    for_each_above(
        rows,
        scores,
        || least.get(),
        |row, score| {
            best.push(pack(score, row));
            if best.len() == 4 * keep {
                cut(best);
                least.set(unpack(best[keep - 1]).0);
            }
        },
    );
    cut(best);
}

/// Hands over the rows that score at least what `least` says, which may rise meanwhile.
#[inline(always)]
fn for_each_above(rows: &[u32], scores: &[f32], least: impl Fn() -> f32, mut each: impl FnMut(u32, f32)) {
    for (rows, scores) in rows.chunks(AT_ONCE).zip(scores.chunks(AT_ONCE)) {
        // Of most sixteen none does, which takes no branch for each.
        let bound = least();
        if scores.iter().fold(0u32, |any, &score| any | u32::from(score >= bound)) == 0 {
            continue;
        }
        for (&row, &score) in rows.iter().zip(scores) {
            if score >= least() {
                each(row, score);
            }
        }
    }
}
