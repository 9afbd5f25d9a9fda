//! Tracks and what is known about them.

use super::{AlbumId, ArtistId, Date, RecordingId, TrackId};
use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

/// An ISO 3166-1 alpha-2 country code, upper case.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Archive, RkyvSerialize, RkyvDeserialize,
)]
pub struct Region([u8; 2]);

impl Region {
    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a region is two ASCII letters")
    }

    /// A number for postings, `0..676`.
    #[must_use]
    pub fn number(self) -> u16 {
        u16::from(self.0[0] - b'A') * 26 + u16::from(self.0[1] - b'A')
    }

    /// The region of a number from [`Region::number`]; `None` from 676 on.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        let letter = |n: u16| b'A' + u8::try_from(n).unwrap_or(0);
        (number < 676).then(|| Self([letter(number / 26), letter(number % 26)]))
    }
}

impl std::fmt::Display for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Region {
    type Err = String;
    fn from_str(code: &str) -> Result<Self, String> {
        match code.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => Err(format!("region must be a two-letter ISO 3166 code. region=`{code}`")),
        }
    }
}

impl Serialize for Region {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Where a track may be played.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    Hash,
    Default,
    Archive,
    RkyvSerialize,
    RkyvDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum RegionSet {
    /// Everywhere.
    #[default]
    All,
    /// Only in these regions; an empty list means nowhere.
    Only(Vec<Region>),
}

impl RegionSet {
    /// Whether a listener in `region` may hear it. An unknown region hears only what is available everywhere.
    #[must_use]
    pub fn allows(&self, region: Option<Region>) -> bool {
        match (self, region) {
            (Self::All, _) => true,
            (Self::Only(regions), Some(region)) => regions.contains(&region),
            (Self::Only(_), None) => false,
        }
    }
}

/// An artist of a track: id and display name.
#[derive(Debug, Clone, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize)]
pub struct Artist {
    /// The caller's id.
    pub id: ArtistId,
    /// The name people read.
    pub name: String,
}

/// A genre with how sure the catalogue is of it.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize)]
pub struct GenreTag {
    /// The genre's name.
    pub genre: String,
    /// In `(0, 1]`; 1 when the catalogue does not say.
    pub confidence: f32,
}

/// What is known of how a track sounds. Every part may be unknown.
#[derive(
    Debug, Clone, Copy, PartialEq, Default, Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize,
)]
pub struct AudioFeatures {
    /// Beats a minute, above 0.
    pub tempo: Option<f32>,
    /// Pitch class, 0 = C … 11 = B.
    pub key: Option<u8>,
    /// 1 = major, 0 = minor.
    pub mode: Option<u8>,
    /// 0 to 1.
    pub energy: Option<f32>,
    /// 0 to 1.
    pub danceability: Option<f32>,
    /// 0 (sad) to 1 (happy).
    pub valence: Option<f32>,
    /// 0 to 1.
    pub acousticness: Option<f32>,
    /// 0 to 1.
    pub instrumentalness: Option<f32>,
    /// 0 to 1.
    pub speechiness: Option<f32>,
    /// 0 to 1.
    pub liveness: Option<f32>,
    /// Decibels, usually −60 to 0.
    pub loudness: Option<f32>,
}

/// A track of the catalogue.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize)]
pub struct Track {
    /// The caller's id.
    pub track_id: TrackId,
    /// The canonical recording; the track id when the catalogue does not say.
    pub recording_id: RecordingId,
    /// The title people read.
    pub title: String,
    /// One or more; the first is the primary artist.
    pub artists: Vec<Artist>,
    /// The album's id.
    pub album_id: Option<AlbumId>,
    /// The album's name.
    pub album: Option<String>,
    /// The label's name.
    pub label: Option<String>,
    /// Genres, most certain first where known.
    pub genres: Vec<GenreTag>,
    /// Day of release.
    pub release_date: Option<Date>,
    /// Length in milliseconds.
    pub duration_ms: Option<u32>,
    /// 0 to 100; an unknown popularity passes no range.
    pub popularity: Option<f32>,
    /// Unknown counts as explicit for users who filter.
    pub explicit: Option<bool>,
    /// Where it may be played.
    pub regions: RegionSet,
    /// How it sounds.
    pub audio: AudioFeatures,
}

impl Track {
    /// A track of which no more is known than this; it may be played everywhere.
    #[must_use]
    pub fn new(track_id: TrackId, title: impl Into<String>, artists: Vec<Artist>) -> Self {
        Self {
            recording_id: RecordingId::from(&track_id),
            track_id,
            title: title.into(),
            artists,
            album_id: None,
            album: None,
            label: None,
            genres: Vec::new(),
            release_date: None,
            duration_ms: None,
            popularity: None,
            explicit: None,
            regions: RegionSet::All,
            audio: AudioFeatures::default(),
        }
    }
}
