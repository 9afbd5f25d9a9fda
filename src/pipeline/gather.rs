//! Facts of tracks for the stages, read from a shard's version in one pass over its columns.

use std::slice;

use segue_index::kernels::prefetch;

use super::facts::TrackFacts;
use super::reader::Reader;
use crate::error::{Error, Result};
use crate::storage::track_shard::columns::TrackColumns;
use crate::storage::track_shard::{TrackView, holder};
use crate::types::{AlbumKey, AudioFeatures, Date, TrackRef};

/// Tracks whose records are asked of memory before they are read; and twice as many, what is kept in memory of them.
const AHEAD: usize = 6;

impl Reader<'_> {
    /// Facts of several tracks, in the same order.
    ///
    /// # Errors
    /// Damaged files.
    pub fn facts(&self, tracks: impl IntoIterator<Item = TrackRef>) -> Result<Vec<TrackFacts>> {
        let columns = self.tracks.iter().map(|view| view.columns()).collect::<Result<Vec<_>>>()?;
        let shard = |track: &TrackRef| {
            let place = holder(&self.tracks, *track);
            place.map(|place| (&*self.tracks[place], &columns[place]))
        };
        let tracks: Vec<TrackRef> = tracks.into_iter().collect();
        let ahead = |by: usize| tracks.get(by).and_then(|track| Some((track.ordinal.0, shard(track)?)));
        // With room from the start: results collected one by one grow and are copied.
        let mut facts = Vec::with_capacity(tracks.len());
        for (place, track) in tracks.iter().enumerate() {
            if let Some((ordinal, (view, _))) = ahead(place + 2 * AHEAD) {
                view.hot_place(ordinal).inspect(|hot| prefetch(slice::from_ref(*hot)));
            }
            if let Some((ordinal, (view, columns))) = ahead(place + AHEAD) {
                view.hot_place(ordinal)
                    .and_then(|hot| columns.record(hot))
                    .inspect(|record| prefetch(*record));
            }
            let (view, columns) = shard(track)
                .ok_or_else(|| Error::Internal(format!("no such track shard. shard=`{}`", track.shard)))?;
            facts.push(facts_of(view, columns, track.ordinal.0)?);
        }
        Ok(facts)
    }

    /// Length of a track in milliseconds, if it is known.
    #[must_use]
    pub fn duration_ms(&self, track: TrackRef) -> Option<u32> {
        let view = holder(&self.tracks, track).map(|place| &self.tracks[place])?;
        Some(view.hot(track.ordinal.0).duration_ms).filter(|ms| *ms > 0)
    }

    /// Asks memory for what is kept there of a track, and will be asked for soon.
    pub fn expect_hot(&self, track: TrackRef) {
        let view = holder(&self.tracks, track).map(|place| &self.tracks[place]);
        view.and_then(|view| view.hot_place(track.ordinal.0)).inspect(|hot| prefetch(slice::from_ref(*hot)));
    }
}

/// What the stages need to know of a track.
fn facts_of(view: &TrackView, columns: &TrackColumns<'_>, ordinal: u32) -> Result<TrackFacts> {
    let hot = view.hot(ordinal);
    let row = columns.row(&hot)?;
    let known = |value: f32| Some(value).filter(|value| !value.is_nan());
    Ok(TrackFacts {
        track: view.reference(ordinal),
        key: hot.key,
        recording: view.recording(ordinal),
        artists: row.artists,
        album: Some(AlbumKey(hot.album)).filter(|album| album.0 != 0),
        genres: row.genres,
        audio: AudioFeatures { tempo: known(hot.tempo), energy: known(hot.energy), ..row.audio },
        popularity: known(hot.popularity),
        release_date: Some(Date(hot.release_day)).filter(|date| date.0 != i32::MIN),
        duration_ms: Some(hot.duration_ms).filter(|ms| *ms > 0),
    })
}
