//! How many tracks each stage of a request let through, for people who would rather look than read.

use serde::{Deserialize, Serialize};

use super::recommend::{Outcome, Ranked};
use super::request::{Recommendation, RecommendedTrack};

/// A source's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunnelSource {
    /// Its name.
    pub source: String,
    /// Candidates it was asked for.
    pub depth: u32,
    /// Of the candidates, those that it offered.
    pub offered: u64,
    /// Of the list, those that it offered.
    pub listed: u64,
}

/// From candidates to list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Funnel {
    /// Sources in the recipe's order.
    pub sources: Vec<FunnelSource>,
    /// Different tracks that sources offered and the blend kept.
    pub candidates: u64,
    /// Tracks added to fill a short list.
    pub filled: u64,
    /// Candidates that a cap kept out.
    pub capped: u64,
    /// Tracks of the list.
    pub listed: u64,
    /// Of these, explored ones.
    pub explored: u64,
}

impl Outcome {
    /// Counts what the stages let through; the outcome must be a traced one.
    #[must_use]
    pub fn funnel(&self) -> Funnel {
        let of_source = |name: &str| {
            let offered = |ranked: &&Ranked| ranked.scores.sources.iter().any(|score| score.source == name);
            let listed = |track: &&RecommendedTrack| track.sources.iter().any(|source| source == name);
            let offered = self.candidates.values().filter(offered).count();
            (offered as u64, self.reply.tracks.iter().filter(listed).count() as u64)
        };
        let sources = self.plan.recipe.sources.iter().map(|spec| {
            let (offered, listed) = of_source(spec.source.as_str());
            FunnelSource { source: spec.source.as_str().to_owned(), depth: spec.depth, offered, listed }
        });
        let candidates = self.offered().count();
        Funnel {
            sources: sources.collect(),
            candidates: candidates as u64,
            filled: (self.candidates.len() - candidates) as u64,
            capped: self.candidates.values().filter(|ranked| ranked.cap.is_some()).count() as u64,
            listed: self.reply.tracks.len() as u64,
            explored: explored(&self.reply),
        }
    }
}

fn explored(list: &Recommendation) -> u64 {
    list.tracks.iter().filter(|track| track.explored).count() as u64
}
