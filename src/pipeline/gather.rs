//! Facts of tracks for the stages, read from a shard's version in one pass over its columns.

use segue_index::kernels::prefetch;

use super::facts::TrackFacts;
use super::reader::Reader;
use crate::error::{Error, Result};
use crate::storage::track_shard::TrackView;
use crate::storage::track_shard::columns::{SealedColumns, TrackColumns};
use crate::types::{AlbumKey, AudioFeatures, Date, TrackOrdinal, TrackRef};

/// Rows whose columns are asked of memory before they are read: each lies in eight places of the files.
const AHEAD: usize = 4;

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
        let shard = |track: &TrackRef| {
            let place = self.tracks.iter().position(|view| view.shard == track.shard);
            place.map(|place| (&*self.tracks[place], &columns[place]))
        };
        let tracks: Vec<TrackRef> = tracks.into_iter().collect();
        let ahead = |place: usize, by: usize, ask: fn(&SealedColumns<'_>, usize)| {
            let Some((track, (view, columns))) = tracks.get(place + by).and_then(|t| Some((t, shard(t)?)))
            else {
                return;
            };
            let hot = view.hot(track.ordinal.0);
            if let Some(sealed) = columns.sealed(&hot) {
                ask(sealed, hot.offset as usize);
            }
        };
        let facts = tracks.iter().enumerate().map(|(place, track)| {
            ahead(place, 2 * AHEAD, ask_bounds);
            ahead(place, AHEAD, ask_elements);
            let (view, columns) = shard(track)
                .ok_or_else(|| Error::Internal(format!("no such track shard. shard=`{}`", track.shard)))?;
            facts_of(view, columns, track.ordinal.0)
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

/// Asks memory for where a row's elements begin.
fn ask_bounds(columns: &SealedColumns<'_>, row: usize) {
    prefetch(columns.artists.bounds(row));
    prefetch(columns.genres.bounds(row));
    prefetch(columns.confidences.bounds(row));
    prefetch(columns.features.bounds(row));
}

/// Asks memory for a row's elements.
fn ask_elements(columns: &SealedColumns<'_>, row: usize) {
    prefetch(columns.artists.get(row).unwrap_or_default());
    prefetch(columns.genres.get(row).unwrap_or_default());
    prefetch(columns.confidences.get(row).unwrap_or_default());
    prefetch(columns.features.get(row).unwrap_or_default());
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
