//! *Search*: the nearest tracks to a vector under a filter, or the most popular ones.

use roaring::RoaringBitmap;

use super::hydrate::{ListTrack, hydrate, reply_of};
use super::reader::Reader;
use super::request::{Recommendation, SearchRequest};
use super::retrieve::{AllowedTracks, Effort};
use super::sources::trending::most_popular;
use super::sources::{SpaceQueries, ask};
use crate::error::{Error, Result};
use crate::filter::{DenseBits, RuleClass, compile};
use crate::storage::track_shard::TrackView;
use crate::types::{GenerationId, Metric, SpaceSpec, Timestamp};

/// Tracks whose words are looked at between two looks at the deadline.
const WORDS_CHECKED: usize = 4_096;

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
    let mut allowed = Vec::with_capacity(reader.tracks.len());
    for view in &reader.tracks {
        let mut base = compile(view, &reader.tracks, &reader.caches.rules, RuleClass::Live, &request.filter)?;
        if let Some(text) = request.text.as_deref().filter(|text| !text.trim().is_empty()) {
            base = with_words(reader, view, &base, text)?.into();
        }
        allowed.push(AllowedTracks::new(base, &[]));
    }
    let k = request.k as usize;
    let mut searches = Vec::new();
    let (hits, source) = match &request.vector {
        None => (most_popular(reader, k, &allowed), "popularity"),
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
                space: &space.name,
                generation,
                metric,
                queries: &[vector],
                effort,
            };
            (ask(reader, &asked, &allowed, &mut searches)?.pop().unwrap_or_default(), "search")
        }
    };
    let tracks: Vec<ListTrack> =
        hits.into_iter().map(|(track, score)| ListTrack { track, score, source }).collect();
    let tracks = hydrate(reader, &tracks, "")?;
    let active = (request.vector.is_some() && space.generational).then_some(generation);
    Ok(Recommendation { searches, tracks, ..reply_of(reader, as_of, active) })
}

/// The members of `base` whose title and artist names hold all words, whatever their case.
fn with_words(reader: &Reader<'_>, view: &TrackView, base: &DenseBits, text: &str) -> Result<DenseBits> {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let mut found = RoaringBitmap::new();
    for (count, ordinal) in base.iter().enumerate() {
        if count % WORDS_CHECKED == 0 {
            reader.deadline.check()?;
        }
        let row = view.row(ordinal)?;
        let mut line = row.track.title.to_lowercase();
        for artist in &row.track.artists {
            line.push(' ');
            line.push_str(&artist.name.to_lowercase());
        }
        if words.iter().all(|word| line.contains(word.as_str())) {
            found.insert(ordinal);
        }
    }
    Ok(DenseBits::from_roaring(&found, view.ordinals()))
}
