//! Choosing the set against the mean of what is chosen: the measure that lists are judged by is the mean distance of their pairs, and the
//! largest similarity, which MMR takes off, moves it little.
//!
//! `argmax λ·rel − (1−λ)·mean_{j∈S} sim(i,j)`, greedily, with `rel = (K+1)/(K+1+rank)`, `rank` the place among the candidates from 0.
//! Tracks at the top of a ranking are hit far more often than those a few places behind (on Taste Profile .078 at the first, .042 at the fifth,
//! .026 at the tenth place), which min-maxed scores do not tell, so that MMR gives away the best for little distance. The chosen come out in the order of the
//! candidates: what was taken for its distance need not stand at the front (docs/adr/0025).

use super::caps::Counts;
use super::greedy::{self, Greedy};
use super::mmr::{MmrParams, Pick, Selection};
use super::similarity::PairSimilarity;
use crate::pipeline::candidate::Candidate;

/// How steeply relevance falls with the place: half of it is lost at this place, counted from 1.
const HALVED_AT: f64 = 5.0;

/// As [`super::diversify`], with the mean instead of the largest similarity and the place instead of the score. At λ = 1 it chooses what `diversify`
/// does; once no track fits the caps `diversify` fills what is left. Cost: candidates × chosen similarities.
#[must_use]
pub fn against_mean(
    candidates: &[Candidate<'_>],
    similarity: &PairSimilarity<'_>,
    chosen: &[usize],
    params: &MmrParams,
) -> Selection {
    let mut mean = Mean::new(candidates, similarity, params);
    let mut picks = greedy::pick(&mut mean, candidates.len(), chosen, params);
    picks.sort_unstable_by_key(|pick| pick.row);
    greedy::filled_up(picks, candidates, similarity, chosen, params)
}

struct Mean<'p> {
    candidates: &'p [Candidate<'p>],
    similarity: &'p PairSimilarity<'p>,
    params: &'p MmrParams,
    open: Vec<bool>,
    relevance: Vec<f64>,
    /// Similarities of each open row to the chosen, added up.
    sums: Vec<f64>,
    taken: usize,
    counts: Counts,
}

impl<'p> Mean<'p> {
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
            relevance: (0..rows).map(|rank| HALVED_AT / (HALVED_AT + rank as f64)).collect(),
            sums: vec![0.0; rows],
            taken: 0,
            counts: Counts::default(),
        }
    }

    fn penalty(&self, row: usize) -> f64 {
        (1.0 - self.params.lambda) * self.sums[row] / self.taken.max(1) as f64
    }
}

impl Greedy for Mean<'_> {
    fn best(&self) -> Option<Pick> {
        let mut best: Option<(f64, Pick)> = None;
        for row in (0..self.open.len()).filter(|&row| self.open[row]) {
            let (relevance, penalty) = (self.relevance[row], self.penalty(row));
            let value = self.params.lambda * relevance - penalty;
            if best.is_none_or(|(most, _)| value > most)
                && self.counts.cap(self.candidates[row].facts, self.params.limits).is_none()
            {
                best = Some((value, Pick { row, relevance, penalty }));
            }
        }
        best.map(|(_, pick)| pick)
    }

    fn take(&mut self, row: usize) {
        if !std::mem::replace(&mut self.open[row], false) {
            return;
        }
        self.counts.add(self.candidates[row].facts);
        self.taken += 1;
        // At λ = 1 nothing is taken off.
        if self.params.lambda < 1.0 {
            for other in (0..self.open.len()).filter(|&other| self.open[other]) {
                self.sums[other] += self.similarity.of(row, other);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::diversify::{CapLimits, diversify};
    use crate::pipeline::facts::TrackFacts;
    use crate::pipeline::facts::samples::track;
    use crate::pipeline::vectors::{UnitRows, random_vectors};
    use crate::types::SplitMix64;

    /// The definition, word for word, without caps; in the order of the candidates.
    fn naive(count: usize, similarity: &PairSimilarity<'_>, (n, lambda): (usize, f64)) -> Vec<usize> {
        let mut chosen: Vec<usize> = Vec::new();
        while chosen.len() < n.min(count) {
            let value = |row: usize| {
                let sum: f64 = chosen.iter().map(|&other| similarity.of(other, row)).sum();
                lambda * 5.0 / (5.0 + row as f64) - (1.0 - lambda) * sum / chosen.len().max(1) as f64
            };
            let open = (0..count).filter(|row| !chosen.contains(row));
            let best = open.max_by(|&a, &b| value(a).total_cmp(&value(b)).then(b.cmp(&a)));
            chosen.extend(best);
        }
        chosen.sort_unstable();
        chosen
    }

    fn distance(rows: &[usize], similarity: &PairSimilarity<'_>) -> f64 {
        let pairs = rows.iter().flat_map(|&a| rows.iter().filter(move |&&b| b < a).map(move |&b| (a, b)));
        let distances: Vec<f64> = pairs.map(|(a, b)| 1.0 - similarity.of(a, b)).collect();
        distances.iter().sum::<f64>() / distances.len() as f64
    }

    proptest! {
        #[test]
        fn the_choice_is_the_definition_caps_hold_and_lambda_one_is_relevance_order(
            seed in any::<u64>(),
            count in 3_usize..60,
            n in 2_usize..30,
            lambda in prop::sample::select(vec![0.0, 0.3, 0.6, 1.0]),
        ) {
            let mut rng = SplitMix64::new(seed);
            let facts: Vec<TrackFacts> = (0..count).map(|i| track(i as u32, rng.below(12))).collect();
            let candidates: Vec<Candidate<'_>> =
                facts.iter().map(|facts| Candidate::new(facts, Vec::new(), -f64::from(facts.track.ordinal.0))).collect();
            let vectors = random_vectors(&mut rng, count, 5);
            let audio: UnitRows<'_> = vectors.iter().map(|vector| Some(&vector[..])).collect();
            let similarity = PairSimilarity { audio: &audio, track: &UnitRows::default() };
            let rows = |selection: &Selection| selection.picks.iter().map(|pick| pick.row).collect::<Vec<_>>();
            let free = CapLimits { artist: 0, album: 0, one_a_recording: false };
            let params = MmrParams { n, lambda, limits: free, relax: false };
            let chosen = rows(&against_mean(&candidates, &similarity, &[], &params));
            prop_assert_eq!(&chosen, &naive(count, &similarity, (n, lambda)), "seed {}", seed);
            if lambda == 1.0 {
                prop_assert_eq!(&chosen, &(0..n.min(count)).collect::<Vec<_>>());
            }
            let capped = MmrParams { limits: CapLimits { artist: 2, album: 2, one_a_recording: true }, ..params };
            let chosen = rows(&against_mean(&candidates, &similarity, &[0], &capped));
            for row in 0..count {
                let artist = facts[row].primary_artist();
                let same = [0].iter().chain(&chosen).filter(|&&other| facts[other].primary_artist() == artist);
                prop_assert!(same.count() <= 2, "seed {}", seed);
            }
            prop_assert!(!chosen.contains(&0) && chosen.len() < n);
            let full = against_mean(&candidates, &similarity, &[0], &MmrParams { relax: true, ..capped });
            prop_assert_eq!(full.picks.len() + 1, n.min(count), "a relaxed selection is full");
        }
    }

    /// Why there is another way than the largest similarity: lists of the same relevance are farther apart.
    #[test]
    fn at_equal_relevance_lists_are_more_distant_than_by_the_largest_similarity() {
        let (seed, lists) = (17, 40);
        let mut rng = SplitMix64::new(seed);
        let mut gains = 0.0;
        for _ in 0..lists {
            let facts: Vec<TrackFacts> = (0..200).map(|i| track(i, u64::from(i))).collect();
            let scores = (0..200).map(|rank| 11.0 / (10.0 + f64::from(rank)));
            let candidates: Vec<Candidate<'_>> = facts
                .iter()
                .zip(scores)
                .map(|(facts, score)| Candidate::new(facts, Vec::new(), score))
                .collect();
            let vectors = random_vectors(&mut rng, 200, 12);
            let audio: UnitRows<'_> = vectors.iter().map(|vector| Some(&vector[..])).collect();
            let similarity = PairSimilarity { audio: &audio, track: &UnitRows::default() };
            // The share of hits that a place is worth (Taste Profile, validation).
            let worth =
                |rows: &[usize]| rows.iter().map(|&row| 0.016 + 0.5 / (7.0 + row as f64)).sum::<f64>();
            let choose =
                |by: fn(&[Candidate<'_>], &PairSimilarity<'_>, &[usize], &MmrParams) -> Selection, lambda| {
                    let limits = CapLimits { artist: 0, album: 0, one_a_recording: false };
                    let params = MmrParams { n: 10, lambda, limits, relax: false };
                    let rows: Vec<usize> =
                        by(&candidates, &similarity, &[], &params).picks.iter().map(|p| p.row).collect();
                    (worth(&rows), distance(&rows, &similarity))
                };
            let (kept, reached) = choose(against_mean, 0.3);
            let best = (1..100).map(|percent| choose(diversify, f64::from(percent) / 100.0));
            let most =
                best.filter(|(worth, _)| *worth >= kept).map(|(_, distance)| distance).fold(0.0, f64::max);
            gains += reached - most;
        }
        assert!(gains / f64::from(lists) > 0.0, "mean gain {}, seed {seed}", gains / f64::from(lists));
    }
}
