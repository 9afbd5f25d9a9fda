//! The points of taste that vector sources ask with, and how their answers become one list.

use std::collections::BTreeMap;

use super::SourceRequest;
use crate::pipeline::medoids::{Medoid, medoids, merge_by_share};
use crate::pipeline::reader::Reader;
use crate::pipeline::vectors::UnitRows;
use crate::types::{GenerationId, SpaceName, TrackRef};

/// How many points a listener's taste is asked with, at most.
const QUERIES_MAX: usize = 8;

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
    let medoids = medoids(&rows, &weights, QUERIES_MAX);
    let point = |medoid: &Medoid| Point {
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
