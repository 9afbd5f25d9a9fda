//! Audio: tracks that sound like what the listener likes, or like the request's seeds, and fit them in tempo and energy.

use super::{Retrieved, SourceRequest, SpaceQuery, ask, depth, join_points, points, share_of};
use crate::error::Result;
use crate::pipeline::compatible::compatible;
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::{Source, SourceSpec};
use crate::pipeline::retrieve::{AllowedTracks, Effort};
use crate::pipeline::spaces::audio as audio_space;
use crate::types::{GenerationId, Metric, TrackRef};

/// How many times the depth is fetched, since features rule some out.
const OVER_FETCH: usize = 3;

/// Up to `depth` tracks, best first by cosine to the nearest point of taste; nothing without favourites or seeds.
pub(super) fn audio(
    reader: &Reader<'_>,
    request: &SourceRequest<'_>,
    spec: &SourceSpec,
    allowed: &[AllowedTracks],
    retrieved: &mut Retrieved,
) -> Result<Vec<(TrackRef, f64)>> {
    let space = audio_space();
    let points = points(reader, request, &space, GenerationId::STATIC);
    let k = share_of(depth(spec), points.len(), OVER_FETCH);
    let mut answers = Vec::with_capacity(points.len());
    for point in &points {
        let query = SpaceQuery {
            source: Source::Audio.as_str(),
            space: &space,
            generation: GenerationId::STATIC,
            metric: Metric::Cosine,
            query: &point.vector,
            effort: Effort::new(k, request.exact),
        };
        let mut hits = ask(reader, &query, allowed, &mut retrieved.reports)?;
        let reference = reader.view(point.track.shard)?.features(point.track.ordinal.0)?;
        let mut fits = Vec::with_capacity(hits.len());
        for (track, _) in &hits {
            fits.push(compatible(&reader.view(track.shard)?.features(track.ordinal.0)?, &reference));
        }
        let mut fits = fits.into_iter();
        hits.retain(|_| fits.next().unwrap_or(false));
        answers.push(hits);
    }
    Ok(join_points(&points, answers, depth(spec), &mut retrieved.because))
}
