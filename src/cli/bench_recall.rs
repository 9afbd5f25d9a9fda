//! Source recall of `segue bench recommend`: what each vector source offered against the same source searched exactly.

use std::collections::{BTreeMap, BTreeSet};

use super::backend::Backend;
use crate::error::{Error, Result};
use crate::pipeline::request::{RecommendRequest, Recommendation, SourceOffer};
use crate::types::TrackId;

/// What a sample of requests says of a database.
#[derive(Debug, Default)]
pub struct Sample {
    /// The mean recall of each vector source, by name: the share of the tracks an exact search offers (at most the
    /// source's depth) that the graph offered too. Requests of which a source offers nothing count nowhere.
    pub recall: BTreeMap<String, f64>,
    /// BLAKE3 of the finished lists: the same for two programs that answer these requests alike on the same state.
    pub digest: String,
}

/// Asks each request through the graph and exactly.
///
/// # Errors
/// Those of the database.
pub fn sample(backend: &Backend, requests: impl IntoIterator<Item = RecommendRequest>) -> Result<Sample> {
    let mut sums: BTreeMap<String, (f64, u32)> = BTreeMap::new();
    let mut hasher = blake3::Hasher::new();
    for request in requests {
        let mut walked = backend.recommend(RecommendRequest { offers: true, ..request.clone() })?;
        let exact = backend.recommend(RecommendRequest { offers: true, exact: true, ..request })?;
        for (source, recall) in recalls(&walked, &exact) {
            let sum = sums.entry(source).or_default();
            *sum = (sum.0 + recall, sum.1 + 1);
        }
        // A start writes to the log, so its indexes differ from run to run.
        walked.applied.clear();
        let bytes = serde_json::to_vec(&walked).map_err(|error| Error::Internal(error.to_string()))?;
        hasher.update(&bytes);
    }
    let recall = sums.into_iter().map(|(source, (sum, count))| (source, sum / f64::from(count))).collect();
    Ok(Sample { recall, digest: hasher.finalize().to_hex()[..16].to_owned() })
}

/// The recall of each source that searched vectors and had something to offer.
fn recalls(walked: &Recommendation, exact: &Recommendation) -> Vec<(String, f64)> {
    let is_vector = |offer: &&SourceOffer| exact.searches.iter().any(|search| search.source == offer.source);
    let truth = exact.offers.iter().filter(is_vector).filter(|offer| !offer.tracks.is_empty());
    truth
        .map(|truth| {
            let found = walked.offers.iter().find(|offer| offer.source == truth.source);
            (truth.source.clone(), found.map_or(0.0, |found| recall(found, truth)))
        })
        .collect()
}

/// The share of `truth` that `found` has. A track with the very score of the last of `truth` is as good as that one.
fn recall(found: &SourceOffer, truth: &SourceOffer) -> f64 {
    let ids: BTreeSet<&TrackId> = truth.tracks.iter().map(|(id, _)| id).collect();
    let last = truth.tracks.last().map(|(_, score)| *score);
    let hits = found.tracks.iter().filter(|(id, score)| ids.contains(id) || Some(*score) == last).count();
    hits.min(truth.tracks.len()) as f64 / truth.tracks.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(tracks: &[(&str, f64)]) -> SourceOffer {
        let track = |&(id, score): &(&str, f64)| (TrackId::new(id).expect("valid"), score);
        SourceOffer { source: "audio".into(), tracks: tracks.iter().map(track).collect() }
    }

    #[test]
    fn recall_is_the_share_found_and_ties_at_the_end_count() {
        let truth = offer(&[("a", 3.0), ("b", 2.0), ("c", 1.0), ("d", 1.0)]);
        assert_eq!(recall(&truth, &truth), 1.0);
        assert_eq!(recall(&offer(&[("a", 3.0), ("x", 0.5)]), &truth), 0.25);
        assert_eq!(recall(&offer(&[("a", 3.0), ("b", 2.0), ("y", 1.0), ("z", 1.0)]), &truth), 1.0);
        assert_eq!(recall(&offer(&[]), &truth), 0.0);
    }
}
