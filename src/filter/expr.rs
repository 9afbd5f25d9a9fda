//! What callers may ask of tracks.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

use crate::types::{ArtistId, Date, Region, TrackId};

/// A condition on tracks, all parts of which must hold. Hard rules of the user come on top.
#[derive(
    Debug, Clone, PartialEq, Default, Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize,
)]
#[serde(default, deny_unknown_fields)]
pub struct TrackFilter {
    /// Playable in this region.
    pub region: Option<Region>,
    /// `false`: only tracks known to be clean; `true`: only tracks known to be explicit.
    pub explicit: Option<bool>,
    /// Any of these artists.
    pub artists: Vec<ArtistId>,
    /// None of these artists.
    pub exclude_artists: Vec<ArtistId>,
    /// Any of these genres.
    pub genres: Vec<String>,
    /// None of these genres.
    pub exclude_genres: Vec<String>,
    /// Any of these albums.
    pub albums: Vec<String>,
    /// None of these tracks (nor other versions of their recordings).
    pub exclude_tracks: Vec<TrackId>,
    /// Inclusive range, 0 to 100; unknown passes no range.
    pub popularity: Option<(f32, f32)>,
    /// Inclusive range of days; unknown passes no range.
    pub release_date: Option<(Date, Date)>,
    /// Inclusive range of beats a minute; unknown passes no range.
    pub tempo: Option<(f32, f32)>,
    /// Inclusive range, 0 to 1; unknown passes no range.
    pub energy: Option<(f32, f32)>,
}

impl TrackFilter {
    /// Whether it asks nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
