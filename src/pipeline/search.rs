//! *Search*: the nearest tracks to a vector under a filter, or the most popular ones.

use super::hydrate::{ListTrack, hydrate, reply_of};
use super::reader::Reader;
use super::request::{Recommendation, SearchRequest};
use super::retrieve::Effort;
use super::sources::trending::most_popular;
use super::sources::{SpaceQueries, ask};
use super::tracks::Nearest;
use crate::error::{Error, Result};
use crate::filter::RuleClass;
use crate::types::{GenerationId, Metric, SpaceSpec, Timestamp};

/// Returns up to `k` tracks that pass the filter and the words: nearest to the vector, or, without one, most popular
/// first. Words are looked for in every allowed track's title and artist names, O(allowed tracks).
///
/// # Errors
/// `InvalidField` for a vector that does not fit the space; `Timeout`; damaged files.
pub fn search(
    reader: &Reader<'_>,
    space: &SpaceSpec,
    generation: GenerationId,
    request: &SearchRequest,
    as_of: Timestamp,
) -> Result<Recommendation> {
    let mut allowed = Vec::with_capacity(reader.tracks.count());
    for place in 0..reader.tracks.count() {
        let mut base = reader.base(place, RuleClass::Live, &request.filter)?;
        if let Some(text) = request.text.as_deref().filter(|text| !text.trim().is_empty()) {
            base = reader.with_words(place, &base, text)?;
        }
        allowed.push(base.without(&[]));
    }
    let k = request.k as usize;
    let mut searches = Vec::new();
    let (hits, source) = match &request.vector {
        None => (most_popular(reader, k, &allowed)?, "popularity"),
        Some(vector) => {
            let metric = request.metric.or(space.metrics.first().copied()).unwrap_or(Metric::Cosine);
            if !space.metrics.contains(&metric) {
                let known: Vec<&str> = space.metrics.iter().map(|metric| metric.as_str()).collect();
                return Err(Error::invalid(
                    "metric",
                    format!("the space is searched by {} only. metric=`{metric}`", known.join(", ")),
                ));
            }
            let effort = Effort { k, ef: request.ef.map(|ef| ef as usize), exact: request.exact };
            let asked = SpaceQueries {
                source: "search",
                nearest: Nearest { space: &space.name, generation, metric, queries: &[vector], effort },
            };
            (ask(reader, &asked, &allowed, &mut searches)?.pop().unwrap_or_default(), "search")
        }
    };
    let tracks: Vec<ListTrack> =
        hits.into_iter().map(|(track, score)| ListTrack { track, score, source }).collect();
    let tracks = hydrate(reader, &tracks, "")?;
    let active = (request.vector.is_some() && space.generational).then_some(generation);
    let degraded = reader.missing_words().collect();
    Ok(Recommendation { degraded, searches, tracks, ..reply_of(reader, as_of, active) })
}
