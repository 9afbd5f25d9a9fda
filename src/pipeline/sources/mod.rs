//! Candidate sources: each asks the shards in its own way and returns one list, best first (PIPELINE.md §3).
//!
//! A source gets its depth, the tracks it may show and the listener; filters act inside its search. A source that has
//! nothing to ask with returns nothing and takes no part in the blend. Sources not built here yet (`context`,
//! `adjacent_artists`, `genre_exploration`, `new_releases`, `rules`, `social`) are not names a recipe can use.

mod audio;
mod collaborative;
mod content;
pub mod trending;

use std::collections::BTreeMap;

use super::blend::SourceList;
use super::listener::Listener;
use super::medoids::merge_by_share;
use super::reader::Reader;
use super::recipe::{Recipe, Source, SourceSpec};
use super::request::SearchReport;
use super::retrieve::{AllowedTracks, Effort, nearest};
use super::vectors::UnitRows;
use crate::error::Result;
use crate::telemetry::StageClock;
use crate::types::{GenerationId, Metric, SpaceName, Timestamp, TrackOrdinal, TrackRef};

/// How many points a listener's taste is asked with, at most.
const QUERIES_MAX: usize = 8;

/// What the sources of one request work from.
pub struct SourceRequest<'a> {
    /// The listener.
    pub listener: &'a Listener,
    /// The vector the collaborative source asks with, if the listener has one.
    pub user_vector: Option<&'a [f32]>,
    /// Seeds of the request, instead of favourites.
    pub seeds: &'a [TrackRef],
    /// The time.
    pub as_of: Timestamp,
    /// Search exactly.
    pub exact: bool,
    /// What each shard may show, by source: index = place in [`Reader::tracks`].
    pub allowed: &'a dyn Fn(Source) -> Vec<AllowedTracks>,
}

/// What the sources of one request returned.
#[derive(Debug, Default)]
pub struct Retrieved {
    /// One list a source, in the recipe's order; empty lists included.
    pub lists: Vec<SourceList>,
    /// How the vector sources searched.
    pub reports: Vec<SearchReport>,
    /// For tracks found from another track: which one.
    pub because: BTreeMap<TrackRef, TrackRef>,
}

/// Asks every source of a recipe.
///
/// # Errors
/// Damaged files.
pub fn retrieve(
    reader: &Reader<'_>,
    recipe: &Recipe,
    request: &SourceRequest<'_>,
    clock: &mut StageClock,
) -> Result<Retrieved> {
    let mut retrieved = Retrieved::default();
    for spec in &recipe.sources {
        let allowed = (request.allowed)(spec.source);
        let hits = match spec.source {
            Source::Collaborative => {
                collaborative::collaborative(reader, request, spec, &allowed, &mut retrieved)?
            }
            Source::Content => content::content(reader, request, spec, &allowed, &mut retrieved)?,
            Source::Audio => audio::audio(reader, request, spec, &allowed, &mut retrieved)?,
            Source::Trending => {
                let region = request.listener.state.user.region;
                trending::trending(reader, region, request.as_of, spec.depth as usize, &allowed)?
            }
        };
        retrieved.lists.push(SourceList { source: spec.source, hits });
        clock.end(spec.source.as_str());
    }
    Ok(retrieved)
}

/// A query against one space on every shard.
pub(super) struct SpaceQuery<'a> {
    /// Who asks, for the report.
    pub source: &'a str,
    /// The space.
    pub space: &'a SpaceName,
    /// The generation of its vectors.
    pub generation: GenerationId,
    /// How to compare.
    pub metric: Metric,
    /// With what.
    pub query: &'a [f32],
    /// How hard.
    pub effort: Effort,
}

/// Asks every shard and merges: the `k` best, ties by track. Says how it searched.
///
/// # Errors
/// `InvalidField` for a query that does not fit the space; damaged files.
pub(super) fn ask(
    reader: &Reader<'_>,
    query: &SpaceQuery<'_>,
    allowed: &[AllowedTracks],
    reports: &mut Vec<SearchReport>,
) -> Result<Vec<(TrackRef, f64)>> {
    let mut hits: Vec<(TrackRef, f64)> = Vec::new();
    for (view, allowed) in reader.tracks.iter().zip(allowed) {
        let Some(set) = view.set(query.space, query.generation) else { continue };
        let found =
            nearest(&reader.caches.heads, view, set, query.metric, query.query, query.effort, allowed)?;
        let place = |ordinal| TrackRef { shard: view.shard, ordinal: TrackOrdinal(ordinal) };
        hits.extend(found.hits.iter().map(|&(ordinal, score)| (place(ordinal), f64::from(score))));
        note(reports, query, found.path, found.selectivity);
    }
    sort_hits(&mut hits);
    hits.truncate(query.effort.k);
    Ok(hits)
}

/// One report a source and space: paths joined, the smallest selectivity.
fn note(reports: &mut Vec<SearchReport>, query: &SpaceQuery<'_>, path: String, selectivity: f32) {
    let same = |report: &&mut SearchReport| report.source == query.source && report.space == *query.space;
    match reports.iter_mut().find(same) {
        Some(report) => {
            for name in path.split('+').filter(|name| !name.is_empty()) {
                if !report.path.split('+').any(|known| known == name) {
                    report.path = if report.path.is_empty() {
                        name.to_owned()
                    } else {
                        format!("{}+{name}", report.path)
                    };
                }
            }
            report.selectivity = report.selectivity.min(selectivity);
        }
        None => reports.push(SearchReport {
            source: query.source.to_owned(),
            space: query.space.clone(),
            path,
            selectivity,
        }),
    }
}

pub(super) fn sort_hits(hits: &mut [(TrackRef, f64)]) {
    hits.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
}

/// A point of taste: a track that stands for others, its vector, and their share of the weight.
pub(super) struct Point {
    pub track: TrackRef,
    pub vector: Vec<f32>,
    pub share: f64,
}

/// The tracks taste is asked with in a space: at most eight that stand for the seeds, or for the favourites.
pub(super) fn points(
    reader: &Reader<'_>,
    request: &SourceRequest<'_>,
    space: &SpaceName,
    generation: GenerationId,
) -> Vec<Point> {
    let seeds: Vec<(TrackRef, f64)> = if request.seeds.is_empty() {
        request.listener.favorites.iter().map(|favorite| (favorite.track, favorite.weight)).collect()
    } else {
        request.seeds.iter().map(|&track| (track, 1.0)).collect()
    };
    let known: Vec<(TrackRef, f64, &[f32])> = seeds
        .into_iter()
        .filter_map(|(track, weight)| Some((track, weight, reader.vector(space, generation, track)?)))
        .collect();
    let Some(dim) = known.first().map(|(_, _, vector)| vector.len()) else { return Vec::new() };
    let mut rows = UnitRows::with_capacity(dim, known.len());
    known.iter().for_each(|(_, _, vector)| rows.push(Some(vector)));
    let weights: Vec<f64> = known.iter().map(|(_, weight, _)| *weight).collect();
    let medoids = super::medoids::medoids(&rows, &weights, QUERIES_MAX);
    let point = |medoid: &super::medoids::Medoid| Point {
        track: known[medoid.row].0,
        vector: known[medoid.row].2.to_vec(),
        share: medoid.share,
    };
    medoids.iter().map(point).collect()
}

/// Joins the answers to several points, each getting its share of `depth`; notes which point each track was found from.
pub(super) fn join_points(
    points: &[Point],
    answers: Vec<Vec<(TrackRef, f64)>>,
    depth: usize,
    because: &mut BTreeMap<TrackRef, TrackRef>,
) -> Vec<(TrackRef, f64)> {
    let mut best: BTreeMap<TrackRef, (f64, TrackRef)> = BTreeMap::new();
    for (point, hits) in points.iter().zip(&answers) {
        for &(track, score) in hits {
            let entry = best.entry(track).or_insert((score, point.track));
            if score > entry.0 {
                *entry = (score, point.track);
            }
        }
    }
    let lists: Vec<(f64, Vec<(TrackRef, f64)>)> =
        points.iter().map(|point| point.share).zip(answers).collect();
    let hits = merge_by_share(&lists, depth);
    for (track, _) in &hits {
        because.entry(*track).or_insert(best[track].1);
    }
    hits
}

/// Results each of several points is asked for so that together they fill `depth`, `factor` times over.
pub(super) fn share_of(depth: usize, points: usize, factor: usize) -> usize {
    (factor * depth).div_ceil(points.max(1)).max(depth.min(24))
}

pub(super) fn depth(spec: &SourceSpec) -> usize {
    spec.depth as usize
}
