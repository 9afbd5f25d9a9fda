//! How much effort a search needs, measured on the index itself when it is built.
//!
//! The beam width that reaches a recall differs tenfold between sets of vectors, so no constant serves. A build
//! therefore draws queries, answers them exactly, and keeps in the meta the smallest widths that found enough, for
//! three numbers of results. Everything here counts; nothing reads a clock, so a build stays a function
//! of its input.
//!
//! The queries are rows, each hidden from its own walk: a row that is walked through would be too easy a query, as it
//! links to what it looks for. Queries that come from elsewhere, such as listeners against tracks, need more; the
//! recall asked for leaves room for them.

use rayon::prelude::*;

use super::allowed::Allowed;
use super::error::IndexError;
use super::exact;
use super::params::SearchParams;
use super::reach::{self, Margins};
use super::rows::Rows;
use super::scratch::Scratch;
use super::view::IndexView;
use crate::{Metric, SplitMix64};

/// Numbers of results the effort is measured for.
pub(super) const RESULTS: [usize; 3] = [10, 100, 500];
/// Recall asked for. More than the 0.95 that is promised: that must hold for the queries of one filter too, which may
/// all lie where the graph is poor, and this is measured on few queries.
const TARGET: f64 = 0.98;
/// From this recall on, a step that brings less than [`GAIN_MIN`] is not taken.
const PROMISED: f64 = 0.95;
const GAIN_MIN: f64 = 0.003;
/// Queries drawn.
const QUERIES: usize = 160;
/// Queries that one pass over the rows answers.
const TOGETHER: usize = 16;
/// Least width beyond half the number of results, for queries unlike all that were drawn. Walks stop by a margin below the
/// k-th best: what they find last is never followed.
const WIDTH_MIN: usize = 48;
/// Widths tried: that, then the next of 64, 96, 128, 192, 256, ... until one is at least this, and four times the number of results more.
const TRIED_MAX: usize = 1024;

/// Beam widths for [`RESULTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Efforts(pub [u32; RESULTS.len()]);

impl Efforts {
    /// What indexes got before effort was measured.
    pub const GUESSED: Self = Self([138, 228, 1000]);

    /// Returns the beam width for `k` results: on straight lines between what was measured, and in proportion beyond;
    /// at least half of `k`.
    pub fn width(self, k: usize) -> usize {
        let at = |i: usize| (RESULTS[i], self.0[i] as usize);
        let last = RESULTS.len() - 1;
        let width = match (0..last).find(|&i| k <= RESULTS[i + 1]) {
            _ if k <= RESULTS[0] => at(0).1,
            Some(i) => {
                let ((k0, w0), (k1, w1)) = (at(i), at(i + 1));
                (w0 * (k1 - k) + w1 * (k - k0)) / (k1 - k0)
            }
            None => at(last).1 * k / RESULTS[last],
        };
        width.max(k / 2)
    }
}

/// One row as a query, and the exact scores of the other rows, best first.
struct Case {
    row: u32,
    scores: Vec<f32>,
}

/// Queries for measuring, drawn from the rows, with their exact answers.
pub(super) struct Cases(Vec<Case>);

impl Cases {
    /// Draws the queries and answers them exactly. Zero vectors have no cosine and are left out.
    ///
    /// Cost: one exact scan for each of 160 queries; rows are compared with [`TOGETHER`] of them at a time.
    pub(super) fn draw(vectors: &Rows<'_>, metric: Metric, seed: u64) -> Self {
        let n = vectors.len() as u64;
        let mut random = SplitMix64::new(seed ^ 0xEFF0_0123);
        let mut drawn: Vec<u32> =
            (0..if n == 0 { 0 } else { QUERIES }).map(|_| random.below(n) as u32).collect();
        drawn.retain(|&row| vectors.row(row as usize).iter().any(|x| *x != 0.0));
        let answered = drawn.par_chunks(TOGETHER).flat_map_iter(|rows| {
            let scores = exact::scores_of_rows(vectors, metric, rows, RESULTS[RESULTS.len() - 1]);
            rows.iter().zip(scores).map(|(&row, scores)| Case { row, scores })
        });
        Self(answered.collect())
    }

    /// Measures where walks through a finished index stop, on the rayon pool of the caller.
    ///
    /// # Errors
    /// None that a build's input can cause; those of [`IndexView::search`].
    pub(super) fn margins(&self, view: &IndexView<'_>, vectors: &Rows<'_>) -> Result<Margins, IndexError> {
        let found: Result<Vec<_>, IndexError> = self
            .0
            .par_iter()
            .map_init(Scratch::new, |scratch, case| {
                scratch.hidden = Some(case.row);
                view.wide_walk(vectors.row(case.row as usize), scratch)
            })
            .collect();
        Ok(reach::measure(&found?, view.len()))
    }

    /// Measures how hard searches of a finished index must try, on the rayon pool of the caller.
    ///
    /// # Errors
    /// None that a build's input can cause; those of [`IndexView::search`].
    pub(super) fn efforts(&self, view: &IndexView<'_>, vectors: &Rows<'_>) -> Result<Efforts, IndexError> {
        let mut efforts = Efforts::GUESSED;
        let mut least = 0;
        for (effort, k) in efforts.0.iter_mut().zip(RESULTS) {
            least = smallest_width(view, vectors, &self.0, k, least.max(k / 2 + WIDTH_MIN))?;
            *effort = least as u32;
        }
        Ok(efforts)
    }
}

/// Returns the smallest width, at least `least`, whose recall reaches [`TARGET`], on a line between two that were tried.
fn smallest_width(
    view: &IndexView<'_>,
    vectors: &Rows<'_>,
    cases: &[Case],
    k: usize,
    least: usize,
) -> Result<usize, IndexError> {
    let mut below: Option<(usize, f64)> = None;
    let mut width = least;
    loop {
        let recall = recall(view, vectors, cases, k, width)?;
        if let Some((low, low_recall)) = below
            && low_recall >= PROMISED
            && recall - low_recall < GAIN_MIN
        {
            return Ok(low);
        }
        if recall >= TARGET || width >= TRIED_MAX + 4 * k || width >= view.len() {
            let Some((low, low_recall)) = below.filter(|_| recall >= TARGET) else { return Ok(width) };
            let part = (TARGET - low_recall) / (recall - low_recall);
            return Ok((low as f64 + (width - low) as f64 * part).ceil() as usize);
        }
        below = Some((width, recall));
        width = if width.is_power_of_two() { width + width / 2 } else { (width + 1).next_power_of_two() };
    }
}

/// Share of the best `k` other rows that a plain walk of one width finds, counting equal scores as equal.
fn recall(
    view: &IndexView<'_>,
    vectors: &Rows<'_>,
    cases: &[Case],
    k: usize,
    width: usize,
) -> Result<f64, IndexError> {
    // One more than wanted, in case a scan, which hides nothing, returns the row itself.
    let params = SearchParams::new(k + 1).with_ef(width);
    let count = |scratch: &mut Scratch, case: &Case| -> Result<(usize, usize), IndexError> {
        let wanted = k.min(case.scores.len());
        let Some(&worst) = case.scores.get(wanted.wrapping_sub(1)) else { return Ok((0, 0)) };
        if wanted > 1 && case.scores[0] == worst {
            // Copies of one vector: any of them is right, and says nothing about other queries.
            return Ok((0, 0));
        }
        scratch.hidden = Some(case.row);
        let hits = view.search(vectors.row(case.row as usize), &params, &Allowed::all(), scratch)?.hits;
        let good = hits.iter().filter(|hit| hit.1 >= worst && hit.0.0 != case.row).count();
        Ok((good.min(wanted), wanted))
    };
    let counts: Result<Vec<(usize, usize)>, IndexError> =
        cases.par_iter().map_init(Scratch::new, count).collect();
    let (found, wanted) = counts?.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    Ok(if wanted == 0 { 1.0 } else { found as f64 / wanted as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_lie_on_lines_between_what_was_measured_and_never_below_half_of_k() {
        let efforts = Efforts([40, 130, 930]);
        assert_eq!([1, 10, 55, 100, 300, 500].map(|k| efforts.width(k)), [40, 40, 85, 130, 530, 930]);
        assert_eq!(efforts.width(1000), 1860);
        assert_eq!(Efforts([1, 1, 1]).width(200), 100);
    }
}
