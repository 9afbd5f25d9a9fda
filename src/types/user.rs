//! Listeners: what they told the service about themselves.

use super::{ArtistId, Region, Timestamp, TrackId, UserId};
use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

/// A listener's record. Everything but the id is optional.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize)]
pub struct User {
    /// The caller's id.
    pub user_id: UserId,
    /// Where they listen; unknown hears only what is available everywhere.
    pub region: Option<Region>,
    /// Whether explicit tracks (and tracks not known to be clean) are hidden.
    pub filter_explicit: bool,
    /// Artists never to be shown, as any artist of a track.
    pub blocked_artists: Vec<ArtistId>,
    /// Tracks never to be shown.
    pub blocked_tracks: Vec<TrackId>,
    /// Artists followed.
    pub followed_artists: Vec<ArtistId>,
    /// Friends, for the `social` source.
    pub friends: Vec<UserId>,
    /// Whether friends may see what this listener plays.
    pub social_consent: bool,
    /// Genres chosen when signing up.
    pub onboarding_genres: Vec<String>,
    /// Artists chosen when signing up.
    pub onboarding_artists: Vec<ArtistId>,
    /// For example `18-24`.
    pub age_band: Option<String>,
    /// When they signed up.
    pub registered_at: Option<Timestamp>,
}

impl User {
    /// A listener of whom nothing is known.
    #[must_use]
    pub fn unknown(user_id: UserId) -> Self {
        Self {
            user_id,
            region: None,
            filter_explicit: false,
            blocked_artists: Vec::new(),
            blocked_tracks: Vec::new(),
            followed_artists: Vec::new(),
            friends: Vec::new(),
            social_consent: false,
            onboarding_genres: Vec::new(),
            onboarding_artists: Vec::new(),
            age_band: None,
            registered_at: None,
        }
    }
}
