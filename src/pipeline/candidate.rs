//! A track on its way through the stages.

use std::cmp::Ordering;

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

/// A track with its facts and its scores so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate<'a> {
    /// The track.
    pub facts: &'a TrackFacts,
    /// What each source that offered it said, in source order.
    pub parts: Vec<SourcePart>,
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
    pub fn new(facts: &'a TrackFacts, parts: Vec<SourcePart>, base: f64) -> Self {
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
