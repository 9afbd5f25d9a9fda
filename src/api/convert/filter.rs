//! The filter, and requests' situation.

use super::catalog::ids;
use super::common::region;
use crate::api::proto as pb;
use crate::error::{Error, Result};
use crate::pipeline::request::{RequestContext, TrackFilter};
use crate::types::Date;

/// The bounds that an open end of a range stands for.
const POPULARITY: (f32, f32) = (0.0, 100.0);
const TEMPO: (f32, f32) = (f32::MIN_POSITIVE, 1_000.0);
const ENERGY: (f32, f32) = (0.0, 1.0);

impl TryFrom<pb::TrackFilter> for TrackFilter {
    type Error = Error;
    fn try_from(proto: pb::TrackFilter) -> Result<Self> {
        Ok(Self {
            region: proto.region.map(|code| region("filter.region", &code)).transpose()?,
            explicit: proto.explicit,
            artists: ids("filter.artists", proto.artists)?,
            exclude_artists: ids("filter.exclude_artists", proto.exclude_artists)?,
            genres: proto.genres,
            exclude_genres: proto.exclude_genres,
            albums: proto.albums,
            exclude_tracks: ids("filter.exclude_tracks", proto.exclude_tracks)?,
            popularity: proto.popularity.map(|range| floats(range, POPULARITY)),
            release_date: proto.release_day.map(days),
            tempo: proto.tempo.map(|range| floats(range, TEMPO)),
            energy: proto.energy.map(|range| floats(range, ENERGY)),
        })
    }
}

/// Order and bounds are checked by `TrackFilter::validate`, together with those of other callers.
fn floats(range: pb::FloatRange, (min, max): (f32, f32)) -> (f32, f32) {
    (range.min.unwrap_or(min), range.max.unwrap_or(max))
}

fn days(range: pb::DayRange) -> (Date, Date) {
    (Date(range.min.unwrap_or(i32::MIN)), Date(range.max.unwrap_or(i32::MAX)))
}

impl From<TrackFilter> for pb::TrackFilter {
    fn from(filter: TrackFilter) -> Self {
        let range = |(min, max)| pb::FloatRange { min: Some(min), max: Some(max) };
        let day = |date: Date| (date.0 != i32::MIN && date.0 != i32::MAX).then_some(date.0);
        Self {
            region: filter.region.map(|region| region.to_string()),
            explicit: filter.explicit,
            artists: filter.artists.into_iter().map(Into::into).collect(),
            exclude_artists: filter.exclude_artists.into_iter().map(Into::into).collect(),
            genres: filter.genres,
            exclude_genres: filter.exclude_genres,
            albums: filter.albums,
            exclude_tracks: filter.exclude_tracks.into_iter().map(Into::into).collect(),
            popularity: filter.popularity.map(range),
            release_day: filter.release_date.map(|(from, to)| pb::DayRange { min: day(from), max: day(to) }),
            tempo: filter.tempo.map(range),
            energy: filter.energy.map(range),
        }
    }
}

impl From<pb::RequestContext> for RequestContext {
    fn from(proto: pb::RequestContext) -> Self {
        Self { utc_offset_min: proto.utc_offset_min, device: proto.device, activity: proto.activity }
    }
}

impl From<RequestContext> for pb::RequestContext {
    fn from(context: RequestContext) -> Self {
        Self { utc_offset_min: context.utc_offset_min, device: context.device, activity: context.activity }
    }
}
