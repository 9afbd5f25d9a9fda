//! *Similar*: tracks like some seeds (PIPELINE.md §12).

use roaring::RoaringBitmap;

use super::hydrate::{ListTrack, hydrate, reply_of};
use super::listener::Listener;
use super::reader::Reader;
use super::request::{Recommendation, RequestContext, SimilarRequest};
use super::retrieve::{AllowedTracks, Effort};
use super::similar::similar_query;
use super::sources::{SpaceQueries, ask};
use crate::error::{Error, Result};
use crate::filter::{Exclusions, RuleClass, compile};
use crate::storage::track_shard::versions_in;
use crate::types::{GenerationId, Metric, SpaceSpec, TrackRef};

/// Versions of one recording share a place: fetched beyond `k` so that the list stays full without them.
const VERSIONS_SPARE: usize = 16;

/// Returns the `k` allowed tracks nearest to the seeds, one version of a recording, seeds and their versions left out.
///
/// # Errors
/// `NotFound` when no seed exists or none has a vector, or for an unknown user; damaged files.
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
    for (id, weight) in &request.seeds {
        match reader.find(id) {
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
        let first = request.seeds.first().map_or("", |(id, _)| id.as_str());
        let known = request.seeds.iter().any(|(id, _)| reader.find(id).is_some());
        return Err(Error::not_found(if known { "vector" } else { "track" }, first));
    };
    let listener = match &request.user_id {
        Some(user) => Some(Listener::load(reader, user, as_of, &RequestContext::default())?),
        None => None,
    };
    let class = listener.as_ref().map_or(RuleClass::Live, |listener| listener.rule_class());
    let mut allowed = Vec::with_capacity(reader.tracks.len());
    for view in &reader.tracks {
        let mut excluded = match &listener {
            Some(listener) => listener.blocked(reader, view)?.ordinals().clone(),
            None => RoaringBitmap::new(),
        };
        for (seed, _) in &seeds {
            versions_in(view, &reader.tracks, *seed, |ordinal| excluded.insert(ordinal));
        }
        let base = compile(view, &reader.tracks, &reader.caches.rules, class, &request.filter)?;
        allowed.push(AllowedTracks::new(base, &[&Exclusions::new(excluded, view.ordinals())]));
    }
    let metric = if space.metrics.contains(&Metric::Cosine) { Metric::Cosine } else { first_metric(space) };
    let k = request.k as usize;
    let mut searches = Vec::new();
    let asked = SpaceQueries {
        source: "similar",
        space: &space.name,
        generation,
        metric,
        queries: &[&query],
        effort: Effort::new(k + k / 4 + VERSIONS_SPARE, request.exact),
    };
    let hits = ask(reader, &asked, &allowed, &mut searches)?.pop().unwrap_or_default();
    let mut recordings = std::collections::BTreeSet::new();
    let mut tracks = Vec::with_capacity(k);
    for (track, score) in hits {
        let recording = reader.view(track)?.recording(track.ordinal.0);
        if tracks.len() < k && recordings.insert(recording) {
            tracks.push(ListTrack { track, score, source: "similar" });
        }
    }
    let reason = match seeds.first() {
        Some((seed, _)) => format!("similar to {}", reader.name_of(*seed)?),
        None => String::new(),
    };
    let tracks = hydrate(reader, &tracks, &reason)?;
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
