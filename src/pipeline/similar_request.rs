//! *Similar*: tracks like some seeds (PIPELINE.md §12).

use roaring::RoaringBitmap;

use super::hydrate::{ListTrack, hydrate, reply_of};
use super::listener::Listener;
use super::reader::Reader;
use super::request::{Recommendation, RequestContext, SimilarRequest};
use super::retrieve::Effort;
use super::similar::similar_query;
use super::sources::{SpaceQueries, ask};
use super::tracks::Nearest;
use crate::error::{Error, Result};
use crate::filter::{Exclusions, RuleClass};
use crate::types::{GenerationId, Metric, SpaceSpec, TrackId, TrackRef};

/// Versions of one recording share a place: fetched beyond `k` so that the list stays full without them.
const VERSIONS_SPARE: usize = 16;

/// Returns the `k` allowed tracks nearest to the seeds, one version of a recording, seeds and their versions left out.
///
/// # Errors
/// `NotFound` when no seed exists or none has a vector, or for an unknown user; `Unavailable` when a track shard is missing that may know
/// one; damaged files.
pub fn similar(
    reader: &Reader<'_>,
    space: &SpaceSpec,
    generation: GenerationId,
    request: &SimilarRequest,
) -> Result<Recommendation> {
    let as_of =
        request.as_of.ok_or_else(|| Error::Internal("as_of is filled in at the border".to_owned()))?;
    let mut degraded = Vec::new();
    let mut seeds: Vec<(TrackRef, f32)> = Vec::new();
    let ids: Vec<TrackId> = request.seeds.iter().map(|(id, _)| id.clone()).collect();
    let found: Vec<Option<TrackRef>> = reader
        .find_all(&ids)?
        .into_iter()
        .map(|found| found.filter(|(_, exists)| *exists).map(|(track, _)| track))
        .collect();
    reader.expect_vectors(&space.name, generation, found.iter().flatten().copied())?;
    for ((id, weight), found) in request.seeds.iter().zip(&found) {
        match *found {
            Some(track) if reader.vector(&space.name, generation, track).is_some() => {
                seeds.push((track, *weight))
            }
            Some(_) => degraded.push(format!("seed has no vector in the space: {id}")),
            None => degraded.push(format!("seed not found: {id}")),
        }
    }
    let vectors = seeds
        .iter()
        .filter_map(|(track, weight)| Some((reader.vector(&space.name, generation, *track)?, *weight)));
    let Some(query) = similar_query(vectors) else {
        // Of a missing shard nothing is known, not that there is nothing.
        reader.whole()?;
        let first = request.seeds.first().map_or("", |(id, _)| id.as_str());
        let known = found.iter().any(Option::is_some);
        return Err(Error::not_found(if known { "vector" } else { "track" }, first));
    };
    let listener = match &request.user_id {
        Some(user) => Some(Listener::load(reader, user, as_of, &RequestContext::default())?),
        None => None,
    };
    let class = listener.as_ref().map_or(RuleClass::Live, |listener| listener.rule_class());
    let mut allowed = Vec::with_capacity(reader.tracks.count());
    for place in 0..reader.tracks.count() {
        let mut excluded = match &listener {
            Some(listener) => listener.blocked(reader, place)?.ordinals().clone(),
            None => RoaringBitmap::new(),
        };
        excluded |= reader.versions(place, seeds.iter().map(|(seed, _)| *seed))?;
        let excluded = Exclusions::new(excluded, reader.tracks.ordinals(place));
        allowed.push(reader.base(place, class, &request.filter)?.without(&[&excluded]));
    }
    let metric = if space.metrics.contains(&Metric::Cosine) { Metric::Cosine } else { first_metric(space) };
    let k = request.k as usize;
    let mut searches = Vec::new();
    let asked = SpaceQueries {
        source: "similar",
        nearest: Nearest {
            space: &space.name,
            generation,
            metric,
            queries: &[&query],
            effort: Effort::new(k + k / 4 + VERSIONS_SPARE, request.exact),
        },
    };
    let hits = ask(reader, &asked, &allowed, &mut searches)?.pop().unwrap_or_default();
    let mut recordings = std::collections::BTreeSet::new();
    let mut tracks = Vec::with_capacity(k);
    for (track, score) in hits {
        if tracks.len() < k && recordings.insert(reader.recording(track)) {
            tracks.push(ListTrack { track, score, source: "similar" });
        }
    }
    let reason = match seeds.first() {
        Some((seed, _)) => format!("similar to {}", reader.name_of(*seed)?),
        None => String::new(),
    };
    let tracks = hydrate(reader, &tracks, &reason)?;
    degraded.extend(reader.missing_words());
    let active = space.generational.then_some(generation);
    Ok(Recommendation {
        user_id: request.user_id.clone(),
        degraded,
        searches,
        tracks,
        ..reply_of(reader, as_of, active)
    })
}

fn first_metric(space: &SpaceSpec) -> Metric {
    space.metrics.first().copied().unwrap_or(Metric::Cosine)
}
