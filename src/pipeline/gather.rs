//! Facts of tracks for the stages, read from a shard's version in one pass over its columns.

use super::facts::TrackFacts;
use super::reader::Reader;
use crate::error::{Error, Result};
use crate::storage::track_shard::TrackView;
use crate::storage::track_shard::columns::TrackColumns;
use crate::types::{AlbumKey, AudioFeatures, Date, TrackOrdinal, TrackRef};

/// Facts of several tracks, by track.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FactTable {
    /// Ascending by track, each once.
    facts: Vec<TrackFacts>,
}

impl FactTable {
    /// The facts of a track, if they were gathered.
    #[must_use]
    pub fn get(&self, track: TrackRef) -> Option<&TrackFacts> {
        self.facts.binary_search_by_key(&track, |facts| facts.track).ok().map(|at| &self.facts[at])
    }
}

impl Reader<'_> {
    /// Facts of several tracks, in the same order.
    ///
    /// # Errors
    /// Damaged files.
    pub fn facts(&self, tracks: impl IntoIterator<Item = TrackRef>) -> Result<Vec<TrackFacts>> {
        let columns = self.tracks.iter().map(|view| view.columns()).collect::<Result<Vec<_>>>()?;
        let facts = tracks.into_iter().map(|track| {
            let place = self.tracks.iter().position(|view| view.shard == track.shard);
            let place = place
                .ok_or_else(|| Error::Internal(format!("no such track shard. shard=`{}`", track.shard)))?;
            facts_of(&self.tracks[place], &columns[place], track.ordinal.0)
        });
        facts.collect()
    }

    /// Facts of several tracks, some perhaps named twice, by track.
    ///
    /// # Errors
    /// Damaged files.
    pub fn fact_table(&self, tracks: impl IntoIterator<Item = TrackRef>) -> Result<FactTable> {
        let mut tracks: Vec<TrackRef> = tracks.into_iter().collect();
        tracks.sort_unstable();
        tracks.dedup();
        Ok(FactTable { facts: self.facts(tracks)? })
    }
}

/// What the stages need to know of a track.
fn facts_of(view: &TrackView, columns: &TrackColumns<'_>, ordinal: u32) -> Result<TrackFacts> {
    let hot = view.hot(ordinal);
    let row = columns.row(&hot)?;
    let known = |value: f32| Some(value).filter(|value| !value.is_nan());
    Ok(TrackFacts {
        track: TrackRef { shard: view.shard, ordinal: TrackOrdinal(ordinal) },
        recording: hot.recording,
        artists: row.artists,
        album: Some(AlbumKey(hot.album)).filter(|album| album.0 != 0),
        genres: row.genres,
        audio: AudioFeatures { tempo: known(hot.tempo), energy: known(hot.energy), ..row.audio },
        popularity: known(hot.popularity),
        release_date: Some(Date(hot.release_day)).filter(|date| date.0 != i32::MIN),
        duration_ms: Some(hot.duration_ms).filter(|ms| *ms > 0),
    })
}
