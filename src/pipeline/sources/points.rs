//! The points a listener's taste is asked with in a space: at most eight tracks that stand for the others; and
//! how the answers to them become one list.
//!
//! Choosing them compares every favourite with every other, far more work than one search, so they are kept beside the
//! listener. They are a function of the favourites and their vectors; a vector's place stands for its content.

use std::sync::Arc;

use parking_lot::Mutex;

use super::SourceRequest;
use super::audio::tempo_and_energy;
use crate::error::Result;
use crate::pipeline::medoids::{Medoid, medoids, merge_by_share};
use crate::pipeline::reader::Reader;
use crate::pipeline::retrieve::Effort;
use crate::types::{AudioFeatures, GenerationId, SpaceName, TrackRef};

/// How many points a listener's taste is asked with, at most.
const POINTS_MAX: usize = 8;
/// How wide the walk for one of several points is beside half of its list.
const SPARE_WIDTH: usize = 16;
/// Spaces and generations kept of a listener; the oldest goes first.
const KEPT_MAX: usize = 4;

/// A point of taste: a track that stands for others, its vector, and their share of the weight.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    pub track: TrackRef,
    pub vector: Vec<f32>,
    pub share: f64,
    /// Its tempo and energy, of the features. As what is kept of a listener, of one version of the catalogue.
    pub features: AudioFeatures,
}

/// Where the vectors of the favourites were when points were chosen, favourite by favourite.
type Places = Vec<Option<(u32, u32)>>;

/// The points that were chosen in one space and generation.
type Chosen = (SpaceName, GenerationId, Places, Arc<Vec<Point>>);

/// The points of one listener, by space and generation.
#[derive(Default)]
pub struct TastePoints {
    kept: Mutex<Vec<Chosen>>,
}

/// At most eight points that stand for the request's seeds, or for the listener's favourites.
///
/// # Errors
/// Those of the nodes that were asked.
pub(super) fn points(
    reader: &Reader<'_>,
    request: &SourceRequest<'_>,
    space: &SpaceName,
    generation: GenerationId,
) -> Result<Arc<Vec<Point>>> {
    if !request.seeds.is_empty() {
        let seeds: Vec<(TrackRef, f64)> = request.seeds.iter().map(|&track| (track, 1.0)).collect();
        return Ok(Arc::new(choose(reader, &seeds, space, generation)?));
    }
    let favorites = &request.listener.favorites;
    let liked: Vec<TrackRef> = favorites.iter().map(|favorite| favorite.track).collect();
    let places: Places = reader.locations(space, generation, &liked)?;
    let cache = &request.listener.points.kept;
    let same = |(of, number, known, _): &&(SpaceName, GenerationId, Places, Arc<Vec<Point>>)| {
        of == space && *number == generation && *known == places
    };
    if let Some((.., points)) = cache.lock().iter().find(same) {
        return Ok(Arc::clone(points));
    }
    let tracks: Vec<(TrackRef, f64)> =
        favorites.iter().map(|favorite| (favorite.track, favorite.weight)).collect();
    let points = Arc::new(choose(reader, &tracks, space, generation)?);
    if !reader.is_whole() {
        return Ok(points);
    }
    let mut kept = cache.lock();
    if kept.len() >= KEPT_MAX {
        kept.remove(0);
    }
    kept.push((space.clone(), generation, places, Arc::clone(&points)));
    Ok(points)
}

fn choose(
    reader: &Reader<'_>,
    tracks: &[(TrackRef, f64)],
    space: &SpaceName,
    generation: GenerationId,
) -> Result<Vec<Point>> {
    let (named, weights): (Vec<TrackRef>, Vec<f64>) = tracks.iter().copied().unzip();
    let rows = reader.unit_rows(space, generation, &named)?;
    let found = medoids(&rows, &weights, POINTS_MAX);
    reader.expect(found.iter().map(|medoid| named[medoid.row]))?;
    let point = |medoid: &Medoid| {
        let track = named[medoid.row];
        let vector = rows.row(medoid.row)?.vector().to_vec();
        let of = |features| Point { track, vector, share: medoid.share, features };
        Some(tempo_and_energy(reader, track).map(of))
    };
    found.iter().filter_map(point).collect()
}

/// Joins the answers to several points, each getting its share of `depth`; notes which point each track was found from.
pub(super) fn join_points(
    points: &[Point],
    answers: Vec<Vec<(TrackRef, f64)>>,
    depth: usize,
    key: impl Fn(TrackRef) -> u64,
    because: &mut Vec<(TrackRef, TrackRef)>,
) -> Vec<(TrackRef, f64)> {
    let lists: Vec<(f64, Vec<(TrackRef, f64)>)> =
        points.iter().map(|point| point.share).zip(answers).collect();
    let hits = merge_by_share(&lists, depth, |a, b| key(a).cmp(&key(b)));
    because.extend(hits.iter().map(|&(track, _, at)| (track, points[at].track)));
    hits.into_iter().map(|(track, score, _)| (track, score)).collect()
}

/// Results each of several points is asked for so that together they fill `depth`, `factor` times over.
pub(super) fn share_of(depth: usize, points: usize, factor: usize) -> usize {
    (factor * depth).div_ceil(points.max(1)).max(depth.min(24))
}

/// How hard one of several points is searched for. Its list is asked for two or three times what it gives to the joint
/// one, so its last ranks hardly count, and a walk narrower than the list suffices: neighbours of what it follows are found
/// without being followed.
pub(super) fn effort_of_share(k: usize, exact: bool) -> Effort {
    Effort { k, ef: Some(k / 2 + SPARE_WIDTH), exact }
}
