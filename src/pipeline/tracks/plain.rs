//! What is said of tracks, as plain data.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use roaring::RoaringBitmap;

use crate::error::{Error, Result};
use crate::pipeline::facts::TrackFacts;
use crate::storage::track_shard::TrackView;
use crate::storage::track_shard::row::{TrackHot, TrackRow};
use crate::types::{AlbumKey, ArtistKey, AudioFeatures, Date, GenreKey, Track, TrackRef};

/// What is kept in memory of a track.
#[derive(Debug, Clone, Copy, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct Brief {
    /// Key of its id.
    pub key: u64,
    /// What its recording is known by in all shards.
    pub recording: u64,
    /// Key of the primary artist; 0 = none.
    pub artist: u64,
    /// Key of the album; 0 = none.
    pub album: u64,
    /// Days since 1970; `i32::MIN` = unknown.
    pub release_day: i32,
    /// 0 to 100; NaN = unknown.
    pub popularity: f32,
    /// Beats a minute; NaN = unknown.
    pub tempo: f32,
    /// 0 to 1; NaN = unknown.
    pub energy: f32,
    /// Milliseconds; 0 = unknown.
    pub duration_ms: u32,
    /// Whether it exists and was not taken down.
    pub live: bool,
    /// Whether the shard has a row of it.
    pub has_row: bool,
}

impl Brief {
    /// Of a track of a version.
    #[must_use]
    pub fn of(view: &TrackView, ordinal: u32) -> Self {
        let hot = view.hot(ordinal);
        Self {
            key: hot.key,
            recording: view.recording(ordinal),
            artist: hot.artist,
            album: hot.album,
            release_day: hot.release_day,
            popularity: hot.popularity,
            tempo: hot.tempo,
            energy: hot.energy,
            duration_ms: hot.duration_ms,
            live: hot.live,
            has_row: view.has_row(ordinal),
        }
    }

    /// As the facts of a shard that is here; places in it say only whether there is a row.
    #[must_use]
    pub fn hot(&self) -> TrackHot {
        TrackHot {
            segment: if self.has_row { 0 } else { TrackHot::ABSENT.segment },
            artist: self.artist,
            album: self.album,
            release_day: self.release_day,
            popularity: self.popularity,
            tempo: self.tempo,
            energy: self.energy,
            duration_ms: self.duration_ms,
            live: self.live,
            key: self.key,
            ..TrackHot::ABSENT
        }
    }
}

/// [`TrackFacts`], of a track of a known shard.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct PlainFacts {
    key: u64,
    recording: u64,
    artists: Vec<u64>,
    album: Option<u64>,
    genres: Vec<(u64, f32)>,
    audio: AudioFeatures,
    popularity: Option<f32>,
    release_date: Option<Date>,
    duration_ms: Option<u32>,
}

impl From<TrackFacts> for PlainFacts {
    fn from(facts: TrackFacts) -> Self {
        Self {
            key: facts.key,
            recording: facts.recording,
            artists: facts.artists.iter().map(|artist| artist.0).collect(),
            album: facts.album.map(|album| album.0),
            genres: facts.genres.iter().map(|(genre, sure)| (genre.0, *sure)).collect(),
            audio: facts.audio,
            popularity: facts.popularity,
            release_date: facts.release_date,
            duration_ms: facts.duration_ms,
        }
    }
}

impl PlainFacts {
    /// The facts of the track of this name.
    #[must_use]
    pub fn of(self, track: TrackRef) -> TrackFacts {
        TrackFacts {
            track,
            key: self.key,
            recording: self.recording,
            artists: self.artists.into_iter().map(ArtistKey).collect(),
            album: self.album.map(AlbumKey),
            genres: self.genres.into_iter().map(|(genre, sure)| (GenreKey(genre), sure)).collect(),
            audio: self.audio,
            popularity: self.popularity,
            release_date: self.release_date,
            duration_ms: self.duration_ms,
        }
    }
}

/// A [`TrackRow`].
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct PlainRow {
    recording: u32,
    deleted: bool,
    track: Track,
}

impl PlainRow {
    /// The row of the track with this ordinal.
    #[must_use]
    pub fn of(self, ordinal: u32) -> TrackRow {
        TrackRow::new(ordinal, self.recording, self.deleted, self.track)
    }
}

impl From<&TrackRow> for PlainRow {
    fn from(row: &TrackRow) -> Self {
        Self { recording: row.recording, deleted: row.deleted, track: row.track.clone() }
    }
}

/// A track with a posting.
#[derive(Debug, Clone, Copy, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct Posted {
    /// 0 to 100; NaN = unknown, unless the pick says what counts then.
    pub popularity: f32,
    /// Key of its id.
    pub key: u64,
    /// Its ordinal.
    pub ordinal: u32,
    /// What its recording is known by.
    pub recording: u64,
}

/// The bytes of a set of ordinals.
#[must_use]
pub fn bitmap_bytes(set: &RoaringBitmap) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(set.serialized_size());
    set.serialize_into(&mut bytes).expect("a vector takes every byte");
    bytes
}

/// Reads a set of ordinals below `end`; others are left out.
///
/// # Errors
/// `Corrupt` for bytes that are no bitmap.
pub fn bitmap(bytes: &[u8], end: u32) -> Result<RoaringBitmap> {
    let mut set = RoaringBitmap::deserialize_from(bytes)
        .map_err(|error| Error::Corrupt(format!("a set of tracks cannot be read: {error}")))?;
    set.remove_range(end..);
    Ok(set)
}
