//! What listeners do.

use super::{ArtistId, EventId, Timestamp, TrackId, UserId};
use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

/// A feedback action.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A play of `listened_ms`.
    Play,
    /// Skipped after `listened_ms`; a dislike before 30 s.
    Skip,
    /// Played again at once.
    Repeat,
    /// Saved to the library.
    Save,
    /// Removed from the library.
    Unsave,
    /// Never show this track (nor its recording) again.
    HideTrack,
    /// Undo of `HideTrack`.
    UnhideTrack,
    /// Never show this artist again.
    BlockArtist,
    /// Undo of `BlockArtist`.
    UnblockArtist,
    /// Follow an artist.
    FollowArtist,
    /// Undo of `FollowArtist`.
    UnfollowArtist,
    /// A search, kept for export.
    Search,
    /// A list that was shown, by impression token.
    Served,
}

impl Action {
    /// Every action, in wire order.
    pub const ALL: [Self; 13] = [
        Self::Play,
        Self::Skip,
        Self::Repeat,
        Self::Save,
        Self::Unsave,
        Self::HideTrack,
        Self::UnhideTrack,
        Self::BlockArtist,
        Self::UnblockArtist,
        Self::FollowArtist,
        Self::UnfollowArtist,
        Self::Search,
        Self::Served,
    ];

    /// The name used in files, flags and replies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Play => "play",
            Self::Skip => "skip",
            Self::Repeat => "repeat",
            Self::Save => "save",
            Self::Unsave => "unsave",
            Self::HideTrack => "hide_track",
            Self::UnhideTrack => "unhide_track",
            Self::BlockArtist => "block_artist",
            Self::UnblockArtist => "unblock_artist",
            Self::FollowArtist => "follow_artist",
            Self::UnfollowArtist => "unfollow_artist",
            Self::Search => "search",
            Self::Served => "served",
        }
    }
}

impl std::str::FromStr for Action {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|action| action.as_str() == name).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.into_iter().map(Self::as_str).collect();
            format!("unknown action, expected one of {}. action=`{name}`", known.join(", "))
        })
    }
}

/// One thing a listener did, as the caller reports it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeedbackEvent {
    /// Who.
    pub user_id: UserId,
    /// What.
    pub action: Action,
    /// The track, for actions on tracks.
    pub track_id: Option<TrackId>,
    /// The artist, for actions on artists.
    pub artist_id: Option<ArtistId>,
    /// When; stamped on arrival when absent.
    pub at: Option<Timestamp>,
    /// How long it was heard, in milliseconds; the whole track when absent on a play.
    pub listened_ms: Option<u32>,
    /// The event's own identity; without it (user, track or artist, time, action) is.
    pub event_id: Option<EventId>,
    /// What was searched for, with `search`; at most 1,024 bytes.
    pub query: Option<String>,
    /// The token of the list that was shown, with `served`.
    pub impression: Option<String>,
    /// Which positions of that list were shown (0-based); all when empty.
    pub positions: Vec<u32>,
}

impl FeedbackEvent {
    /// An event of which no more is said; most actions need a track or an artist besides.
    #[must_use]
    pub fn new(user_id: UserId, action: Action) -> Self {
        Self {
            user_id,
            action,
            track_id: None,
            artist_id: None,
            at: None,
            listened_ms: None,
            event_id: None,
            query: None,
            impression: None,
            positions: Vec::new(),
        }
    }
}

/// The actions on a track that make up a listening history.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Archive,
    RkyvSerialize,
    RkyvDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum PlayAction {
    /// Played.
    Play = 0,
    /// Skipped.
    Skip = 1,
    /// Saved.
    Save = 2,
    /// Played again at once.
    Repeat = 3,
}

/// One row of a plays file: a listening event by ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Play {
    /// Who.
    pub user_id: UserId,
    /// Which track.
    pub track_id: TrackId,
    /// When.
    pub played_at: Timestamp,
    /// How long, in milliseconds.
    pub listened_ms: u32,
    /// What kind of event.
    pub action: PlayAction,
}
