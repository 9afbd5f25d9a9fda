//! Facts of tracks for the stages, read from a shard's version.

use super::facts::TrackFacts;
use super::reader::Reader;
use crate::error::Result;
use crate::storage::track_shard::TrackView;
use crate::types::{AlbumKey, AudioFeatures, Date, TrackOrdinal, TrackRef};

/// What the stages need to know of a track. Cost: about a microsecond.
///
/// # Errors
/// Damaged files.
pub fn facts_of(view: &TrackView, ordinal: u32) -> Result<TrackFacts> {
    let hot = view.hot(ordinal);
    let known = |value: f32| Some(value).filter(|value| !value.is_nan());
    Ok(TrackFacts {
        track: TrackRef { shard: view.shard, ordinal: TrackOrdinal(ordinal) },
        recording: hot.recording,
        artists: view.artists(ordinal)?,
        album: Some(AlbumKey(hot.album)).filter(|album| album.0 != 0),
        genres: view.genres(ordinal)?,
        audio: AudioFeatures {
            tempo: known(hot.tempo),
            energy: known(hot.energy),
            ..view.features(ordinal)?
        },
        popularity: known(hot.popularity),
        release_date: Some(Date(hot.release_day)).filter(|date| date.0 != i32::MIN),
        duration_ms: Some(hot.duration_ms).filter(|ms| *ms > 0),
    })
}

impl Reader<'_> {
    /// Facts of several tracks, in the same order.
    ///
    /// # Errors
    /// Damaged files.
    pub fn facts(&self, tracks: impl IntoIterator<Item = TrackRef>) -> Result<Vec<TrackFacts>> {
        tracks.into_iter().map(|track| facts_of(self.view(track.shard)?, track.ordinal.0)).collect()
    }
}
