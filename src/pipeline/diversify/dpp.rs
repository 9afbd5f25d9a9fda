//! Choosing the set by a determinantal point process: sets whose tracks are good and point in different directions.
//!
//! Greedy maximum a posteriori inference (Chen, Zhang and Zhou, NeurIPS 2018) on the kernel
//! `L_ij = q_i · S_ij · q_j`, `S` the similarity of MMR with a little ridge on the diagonal and `q = exp(α·rel)`,
//! `α = λ / (2·(1−λ))`. A step adds the track that raises `log det` most. The Cholesky factor of `S` over the chosen
//! grows by one row a pick: O(n·k) similarities and O(n·k²) additions in all, no n² matrix and no determinant.

use super::caps::Counts;
use super::greedy::{self, Greedy};
use super::mmr::{MmrParams, Pick, Selection, diversify, min_max};
use super::similarity::PairSimilarity;
use crate::pipeline::candidate::Candidate;

/// Added to the diagonal: two tracks that sound exactly alike are bad together, not impossible.
const RIDGE: f64 = 1e-3;
/// What is left of a track's own direction below which it adds nothing that could be told from rounding.
const GAIN_MIN: f64 = 1e-9;

/// As [`diversify`], with the determinant instead of the largest similarity. At λ = 1 it *is* `diversify`, relevance
/// order; and once no track fits the caps, or none adds a direction of its own, `diversify` fills what is left.
#[must_use]
pub fn dpp(
    candidates: &[Candidate<'_>],
    similarity: &PairSimilarity<'_>,
    chosen: &[usize],
    params: &MmrParams,
) -> Selection {
    if params.lambda >= 1.0 {
        return diversify(candidates, similarity, chosen, params);
    }
    let mut determinant = Determinant::new(candidates, similarity, params);
    let picks = greedy::pick(&mut determinant, candidates.len(), chosen, params);
    greedy::filled_up(picks, candidates, similarity, chosen, params)
}

struct Determinant<'p> {
    candidates: &'p [Candidate<'p>],
    similarity: &'p PairSimilarity<'p>,
    params: &'p MmrParams,
    open: Vec<bool>,
    relevance: Vec<f64>,
    /// Squared length of each row's direction that the chosen do not span.
    left: Vec<f64>,
    /// Each row's coordinates along the chosen, one a pick.
    coordinates: Vec<Vec<f64>>,
    counts: Counts,
}

impl<'p> Determinant<'p> {
    fn new(
        candidates: &'p [Candidate<'p>],
        similarity: &'p PairSimilarity<'p>,
        params: &'p MmrParams,
    ) -> Self {
        let rows = candidates.len();
        Self {
            candidates,
            similarity,
            params,
            open: vec![true; rows],
            relevance: vec![0.5; rows],
            left: vec![1.0 + RIDGE; rows],
            coordinates: vec![Vec::new(); rows],
            counts: Counts::default(),
        }
    }
}

impl Greedy for Determinant<'_> {
    /// Min-max over the open rows, as for MMR; all equal gives 0.5.
    fn begin(&mut self) {
        let open: Vec<usize> = (0..self.open.len()).filter(|&row| self.open[row]).collect();
        min_max(self.candidates, &open, &mut self.relevance);
    }

    /// The row that raises the log-determinant most.
    fn best(&self) -> Option<Pick> {
        let alpha = self.params.lambda / (2.0 * (1.0 - self.params.lambda));
        let mut best: Option<(f64, usize)> = None;
        for row in (0..self.open.len()).filter(|&row| self.open[row] && self.left[row] > GAIN_MIN) {
            let gain = 2.0 * alpha * self.relevance[row] + self.left[row].ln();
            let beats = best.is_none_or(|(most, _)| gain > most);
            if beats && self.counts.cap(self.candidates[row].facts, self.params.limits).is_none() {
                best = Some((gain, row));
            }
        }
        best.map(|(_, row)| Pick {
            row,
            relevance: self.relevance[row],
            penalty: (-self.left[row].ln()).max(0.0),
        })
    }

    /// Adds a row to the chosen and takes its direction away from all others.
    fn take(&mut self, row: usize) {
        if !std::mem::replace(&mut self.open[row], false) {
            return;
        }
        self.counts.add(self.candidates[row].facts);
        let own = std::mem::take(&mut self.coordinates[row]);
        let length = self.left[row].max(GAIN_MIN).sqrt();
        for other in (0..self.open.len()).filter(|&other| self.open[other]) {
            let along: f64 = own.iter().zip(&self.coordinates[other]).map(|(a, b)| a * b).sum();
            let coordinate = (self.similarity.of(row, other) - along) / length;
            self.coordinates[other].push(coordinate);
            self.left[other] -= coordinate * coordinate;
        }
    }
}

#[cfg(test)]
mod tests;
