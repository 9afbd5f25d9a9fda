//! Audio: tracks that sound like what the listener likes, or like the request's seeds, and fit them in tempo and energy.

use super::{
    Retrieved, SourceRequest, SpaceQueries, ask, depth, effort_of_share, join_points, points::points,
    share_of,
};
use crate::error::Result;
use crate::pipeline::compatible::compatible;
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::{Source, SourceSpec};
use crate::pipeline::retrieve::AllowedTracks;
use crate::pipeline::spaces::audio as audio_space;
use crate::pipeline::tracks::Nearest;
use crate::types::{AudioFeatures, GenerationId, Metric, TrackRef};

/// How many times the depth is fetched, since features rule some out.
const OVER_FETCH: usize = 3;
/// Tracks whose tempo and energy are asked of memory before they are read.
const AHEAD: usize = 8;

/// Up to `depth` tracks, best first by cosine to the nearest point of taste; nothing without favourites or seeds.
pub(super) fn audio(
    reader: &Reader<'_>,
    request: &SourceRequest<'_>,
    spec: &SourceSpec,
    allowed: &[AllowedTracks],
    retrieved: &mut Retrieved,
) -> Result<Vec<(TrackRef, f64)>> {
    let space = audio_space();
    let points = points(reader, request, &space, GenerationId::STATIC)?;
    let k = share_of(depth(spec), points.len(), OVER_FETCH);
    let queries: Vec<&[f32]> = points.iter().map(|point| point.vector.as_slice()).collect();
    let asked = SpaceQueries {
        source: Source::Audio.as_str(),
        nearest: Nearest {
            space: &space,
            generation: GenerationId::STATIC,
            metric: Metric::Cosine,
            queries: &queries,
            effort: effort_of_share(k, request.exact),
        },
    };
    let mut answers = ask(reader, &asked, allowed, &mut retrieved.reports)?;
    for (point, hits) in points.iter().zip(&mut answers) {
        let mut fits = Vec::with_capacity(hits.len());
        for (place, (track, _)) in hits.iter().enumerate() {
            if let Some((next, _)) = hits.get(place + AHEAD) {
                reader.expect_hot(*next);
            }
            fits.push(compatible(&tempo_and_energy(reader, *track)?, &point.features));
        }
        let mut fits = fits.into_iter();
        hits.retain(|_| fits.next().unwrap_or(false));
    }
    Ok(join_points(&points, answers, depth(spec), |track| reader.key(track), &mut retrieved.because))
}

/// What compatibility asks of a track, from the facts in memory.
pub(super) fn tempo_and_energy(reader: &Reader<'_>, track: TrackRef) -> Result<AudioFeatures> {
    let hot = reader.hot(track)?;
    let known = |value: f32| Some(value).filter(|value| !value.is_nan());
    Ok(AudioFeatures { tempo: known(hot.tempo), energy: known(hot.energy), ..AudioFeatures::default() })
}
