//! A track on its way through the stages.

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::facts::TrackFacts;
use super::recipe::Source;
use crate::types::TrackRef;

/// One source's opinion of a track, kept for explanations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SourcePart {
    /// The source.
    pub source: Source,
    /// Its own score.
    pub raw: f64,
    /// Normalised to 0..=1 over its list.
    pub normalized: f64,
    /// The blend weight it had.
    pub weight: f64,
    /// 0-based rank in its list.
    pub rank: u32,
}

/// What the sources said of one track, in source order: most tracks come from one, so that few lists need memory of their own.
pub type Parts = SmallVec<[SourcePart; 2]>;

/// A track with its facts and its scores so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate<'a> {
    /// The track.
    pub facts: &'a TrackFacts,
    /// What each source that offered it said, in source order.
    pub parts: Parts,
    /// Weighted sum of the normalised scores, 0 to 1.
    pub base: f64,
    /// Session part, 0 to 1.
    pub session: f64,
    /// Context part, 0 to 1.
    pub context: f64,
    /// Novelty part, 0 to 1.
    pub novelty: f64,
    /// The score the set is chosen by: base bent by session, context and novelty.
    pub score: f64,
}

impl<'a> Candidate<'a> {
    /// A blended track before session re-ranking: its score is its base.
    #[must_use]
    pub fn new(facts: &'a TrackFacts, parts: impl Into<Parts>, base: f64) -> Self {
        let parts = parts.into();
        Self { facts, parts, base, session: 0.5, context: 0.5, novelty: 0.5, score: base }
    }

    /// Which track.
    #[must_use]
    pub fn track(&self) -> TrackRef {
        self.facts.track
    }

    /// The source that contributed most to the base, ties by source order; absent when no source offered it.
    #[must_use]
    pub fn main_source(&self) -> Option<Source> {
        let contribution = |part: &SourcePart| part.normalized * part.weight;
        let best = self
            .parts
            .iter()
            .reduce(|best, part| if contribution(part) > contribution(best) { part } else { best });
        best.map(|part| part.source)
    }
}

/// Best first: by score, then by the earliest source that offered the track. The one order of all stages; what is equal in
/// both goes by the key of the track's id, which callers compare, since it is seldom asked for and may have to be read.
pub(crate) fn best_first(a: (f64, &[SourcePart]), b: (f64, &[SourcePart])) -> Ordering {
    let source = |parts: &[SourcePart]| {
        parts.iter().map(|part| part.source).min().map_or(u8::MAX, |source| source as u8)
    };
    b.0.total_cmp(&a.0).then_with(|| source(a.1).cmp(&source(b.1)))
}

/// The places of `0..count` by falling score, of equal ones as `tie` says, of those equal in that, too, the earlier.
///
/// Scores are sorted as whole numbers, without a branch on any of them; few are equal, and only those are compared further.
pub(crate) fn order_by(
    count: usize,
    score: impl Fn(usize) -> f64,
    tie: impl Fn(usize, usize) -> Ordering,
) -> Vec<usize> {
    let mut order: Vec<(u64, usize)> = (0..count).map(|place| (falling(score(place)), place)).collect();
    order.sort_unstable();
    for same in order.chunk_by_mut(|a, b| a.0 == b.0).filter(|same| same.len() > 1) {
        same.sort_by(|a, b| tie(a.1, b.1));
    }
    order.into_iter().map(|(_, place)| place).collect()
}

/// A number that is the smaller the larger a score is, in the order of [`f64::total_cmp`].
fn falling(score: f64) -> u64 {
    let bits = score.to_bits();
    // Of a negative number all bits but the sign turn round, then the sign divides the two halves.
    let rising = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    !rising
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SplitMix64;

    #[test]
    fn places_stand_as_a_stable_sort_by_total_order_has_them() {
        let special = [0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e-310, -1e-310];
        let mut rng = SplitMix64::new(5);
        for count in [0_usize, 1, 2, 30, 700] {
            let scores: Vec<f64> = (0..count)
                .map(|_| match rng.below(4) {
                    0 => special[rng.below(8) as usize],
                    1 => rng.below(5) as f64,
                    _ => rng.normal(),
                })
                .collect();
            let ties: Vec<u64> = (0..count).map(|_| rng.below(3)).collect();
            let mut expected: Vec<usize> = (0..count).collect();
            expected.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(ties[a].cmp(&ties[b])));
            assert_eq!(order_by(count, |at| scores[at], |a, b| ties[a].cmp(&ties[b])), expected);
        }
    }
}
