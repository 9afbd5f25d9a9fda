//! Content: up to eight medoids of what the listener likes, in the track space, by cosine.
//!
//! Medoids rather than one average: the average of a listener with two tastes lies in neither.

use super::{
    Retrieved, SourceRequest, SpaceQueries, ask, depth, effort_of_share, join_points, points::points,
    share_of,
};
use crate::error::Result;
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::{Source, SourceSpec};
use crate::pipeline::retrieve::AllowedTracks;
use crate::pipeline::spaces::track_cf;
use crate::pipeline::tracks::Nearest;
use crate::types::{Metric, TrackRef};

/// Up to `depth` tracks, best first by cosine to the nearest medoid; nothing without favourites that have vectors.
pub(super) fn content(
    reader: &Reader<'_>,
    request: &SourceRequest<'_>,
    spec: &SourceSpec,
    allowed: &[AllowedTracks],
    retrieved: &mut Retrieved,
) -> Result<Vec<(TrackRef, f64)>> {
    let Some(generation) = reader.generation else { return Ok(Vec::new()) };
    let space = track_cf();
    let points = points(reader, request, &space, generation)?;
    let k = share_of(depth(spec), points.len(), 2);
    let queries: Vec<&[f32]> = points.iter().map(|point| point.vector.as_slice()).collect();
    let asked = SpaceQueries {
        source: Source::Content.as_str(),
        nearest: Nearest {
            space: &space,
            generation,
            metric: Metric::Cosine,
            queries: &queries,
            effort: effort_of_share(k, request.exact),
        },
    };
    let answers = ask(reader, &asked, allowed, &mut retrieved.reports)?;
    Ok(join_points(&points, answers, depth(spec), |track| reader.key(track), &mut retrieved.because))
}
