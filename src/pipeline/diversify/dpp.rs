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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::diversify::CapLimits;
    use crate::pipeline::facts::TrackFacts;
    use crate::pipeline::facts::samples::track;
    use crate::pipeline::vectors::{UnitRows, random_vectors};
    use crate::types::SplitMix64;

    const FREE: CapLimits = CapLimits { artist: 0, album: 0, one_a_recording: false };

    fn world(seed: u64, n: u32) -> (Vec<TrackFacts>, Vec<f64>, Vec<Vec<f32>>) {
        let mut rng = SplitMix64::new(seed);
        let facts = (0..n).map(|i| track(i, u64::from(i))).collect();
        let mut scores: Vec<f64> = (0..n).map(|_| rng.uniform()).collect();
        scores.sort_by(|a, b| b.total_cmp(a));
        let vectors = random_vectors(&mut rng, n as usize, 6);
        (facts, scores, vectors)
    }

    fn rows(vectors: &[Vec<f32>]) -> UnitRows<'_> {
        vectors.iter().map(|vector| Some(&vector[..])).collect()
    }

    fn candidates<'a>(facts: &'a [TrackFacts], scores: &[f64]) -> Vec<Candidate<'a>> {
        facts.iter().zip(scores).map(|(facts, &score)| Candidate::new(facts, Vec::new(), score)).collect()
    }

    /// Determinant by elimination with pivoting.
    fn determinant(mut m: Vec<Vec<f64>>) -> f64 {
        let (n, mut det) = (m.len(), 1.0);
        for at in 0..n {
            let pivot = (at..n).max_by(|&a, &b| m[a][at].abs().total_cmp(&m[b][at].abs())).unwrap_or(at);
            if pivot != at {
                m.swap(pivot, at);
                det = -det;
            }
            det *= m[at][at];
            for below in at + 1..n {
                let factor = m[below][at] / m[at][at];
                let upper = m[at].clone();
                m[below].iter_mut().zip(&upper).skip(at).for_each(|(cell, above)| *cell -= factor * above);
            }
        }
        det
    }

    /// `det L` over a set of rows, straight from the definition.
    fn kernel(set: &[usize], scores: &[f64], sim: &PairSimilarity<'_>, lambda: f64) -> f64 {
        let (max, min) = (scores[0], scores[scores.len() - 1]);
        let alpha = lambda / (2.0 * (1.0 - lambda));
        let q = |row: usize| (alpha * (scores[row] - min) / (max - min)).exp();
        let cell = |i: usize, j: usize| {
            let s = if i == j { 1.0 + RIDGE } else { sim.of(i, j) };
            q(i) * s * q(j)
        };
        determinant(set.iter().map(|&i| set.iter().map(|&j| cell(i, j)).collect()).collect())
    }

    proptest! {
        #[test]
        fn every_step_is_the_best_by_brute_force_determinants(seed in any::<u64>(), n in 2_u32..=12, lambda in 0.0_f64..0.95) {
            let (facts, scores, vectors) = world(seed, n);
            let (audio, none) = (rows(&vectors), UnitRows::default());
            let sim = PairSimilarity { audio: &audio, track: &none };
            let pool = candidates(&facts, &scores);
            let k = n as usize / 2 + 1;
            let params = MmrParams { n: k, lambda, limits: FREE, relax: false };
            let picks: Vec<usize> = dpp(&pool, &sim, &[], &params).picks.iter().map(|p| p.row).collect();
            prop_assert_eq!(picks.len(), k);
            let mut set: Vec<usize> = Vec::new();
            for &row in &picks {
                let value = |row: usize| kernel(&[&set[..], &[row]].concat(), &scores, &sim, lambda);
                let best = (0..n as usize).filter(|r| !set.contains(r)).map(value).fold(0.0, f64::max);
                prop_assert!(value(row) >= best * (1.0 - 1e-6), "seed {seed}: {} < {best}", value(row));
                set.push(row);
            }
        }
    }

    /// The set itself against the best of all sets: greedy need not find it, but must come near.
    #[test]
    fn the_set_is_near_the_best_of_all_sets_of_its_size() {
        let (mut found, trials) = (0, 60);
        for seed in 0..trials {
            let (facts, scores, vectors) = world(seed, 12);
            let (audio, none) = (rows(&vectors), UnitRows::default());
            let sim = PairSimilarity { audio: &audio, track: &none };
            let params = MmrParams { n: 4, lambda: 0.5, limits: FREE, relax: false };
            let picks = dpp(&candidates(&facts, &scores), &sim, &[], &params).picks;
            let mine = kernel(&picks.iter().map(|p| p.row).collect::<Vec<_>>(), &scores, &sim, 0.5);
            let mut best = 0.0_f64;
            for mask in 0_u32..1 << 12 {
                if mask.count_ones() == 4 {
                    let set: Vec<usize> = (0..12).filter(|row| mask >> row & 1 == 1).collect();
                    best = best.max(kernel(&set, &scores, &sim, 0.5));
                }
            }
            assert!(mine >= 0.5 * best, "seed {seed}: {mine} against {best}");
            found += i32::from(mine >= best * (1.0 - 1e-9));
        }
        assert!(found * 3 >= i32::try_from(trials).unwrap_or(0), "the best set was found only {found} times");
    }

    #[test]
    fn caps_hold_and_a_pool_of_copies_is_filled_all_the_same() {
        let facts: Vec<TrackFacts> = (0..8).map(|i| track(i, u64::from(i / 4))).collect();
        let scores: Vec<f64> = (0..8).map(|i| 1.0 - f64::from(i) / 10.0).collect();
        let one = [1.0_f32, 0.0];
        let audio: UnitRows = (0..8).map(|_| Some(&one[..])).collect();
        let none = UnitRows::default();
        let sim = PairSimilarity { audio: &audio, track: &none };
        let pool = candidates(&facts, &scores);
        let limits = CapLimits { artist: 2, album: 0, one_a_recording: true };
        let params = MmrParams { n: 6, lambda: 0.6, limits, relax: false };
        let mut rows: Vec<usize> = dpp(&pool, &sim, &[], &params).picks.iter().map(|p| p.row).collect();
        rows.sort_unstable();
        assert_eq!(rows, [0, 1, 4, 5], "two an artist");
        let relaxed = dpp(&pool, &sim, &[3], &MmrParams { relax: true, ..params });
        assert_eq!(relaxed.picks.len(), 5);
        assert!(relaxed.relaxed[0].starts_with("artist cap raised from 2 to 3"), "{:?}", relaxed.relaxed);
        assert!(relaxed.picks.iter().all(|pick| pick.row != 3));
    }
}
