//! Exact search over plain vectors: growing segments, tests and truth.

use super::allowed::Allowed;
use super::error::IndexError;
use super::kernels::Kernels;
use super::params::K_MAX;
use super::query;
use super::rows::Rows;
use super::scratch::Scratch;
use super::top::Top;
use super::view;
use crate::{Metric, SegmentOffset};

/// Returns the `k` allowed rows with the largest scores, best first, ties by offset.
///
/// Scores have the same bits as those of an index over the same vectors, so both merge. Cost: one score a row.
///
/// # Errors
/// As [`super::IndexView::search`].
pub fn search(
    rows: &Rows<'_>,
    metric: Metric,
    query: &[f32],
    k: usize,
    allowed: &Allowed<'_>,
    scratch: &mut Scratch,
) -> Result<Vec<(SegmentOffset, f32)>, IndexError> {
    if k == 0 || k > K_MAX {
        return Err(IndexError::parameter("k", k, "must be 1 to 10000"));
    }
    query::check(metric, rows.dim(), query)?;
    let kernels = Kernels::get();
    let length = kernels.dot_f32(query, query).sqrt();
    let Scratch { shortlist, found, .. } = scratch;
    shortlist.reset(k);
    allowed.for_each_stretch(rows.len(), |nodes| {
        shortlist.score(nodes, |node| view::score(kernels, metric, query, length, rows.row(node as usize)));
    });
    shortlist.drain_into(found);
    Ok(found.iter().map(|entry| (SegmentOffset(entry.node), entry.score)).collect())
}

/// Returns the exact score of one vector for one query, as searches do. Lengths are equal.
#[must_use]
pub fn score(metric: Metric, query: &[f32], vector: &[f32]) -> f32 {
    let kernels = Kernels::get();
    view::score(kernels, metric, query, kernels.dot_f32(query, query).sqrt(), vector)
}

/// Rows that are compared with all queries before the next ones are read from memory.
const STRETCH: usize = 256;

/// Returns for each of a few rows, as a query, the `k` best scores of the other rows, best first.
pub(super) fn scores_of_rows(vectors: &Rows<'_>, metric: Metric, rows: &[u32], k: usize) -> Vec<Vec<f32>> {
    let kernels = Kernels::get();
    let length = |row: u32| {
        let vector = vectors.row(row as usize);
        kernels.dot_f32(vector, vector).sqrt()
    };
    let mut queries: Vec<(u32, f32, Top)> = rows.iter().map(|&row| (row, length(row), Top::new(k))).collect();
    for start in (0..vectors.len()).step_by(STRETCH) {
        let stretch = start as u32..vectors.len().min(start + STRETCH) as u32;
        for (query, length, top) in &mut queries {
            let vector = vectors.row(*query as usize);
            for row in stretch.clone().filter(|row| row != query) {
                top.push(view::score(kernels, metric, vector, *length, vectors.row(row as usize)), row);
            }
        }
    }
    let mut found = Vec::new();
    let mut scores = |top: &mut Top| {
        top.drain_into(&mut found);
        found.iter().map(|entry| entry.score).collect()
    };
    queries.iter_mut().map(|(_, _, top)| scores(top)).collect()
}
