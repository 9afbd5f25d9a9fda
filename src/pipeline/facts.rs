//! What the stages know of tracks and of what was heard: plain data the orchestrator gathers before it calls them.

use crate::storage::track_shard::columns::{Artists, Genres};
use crate::types::{AlbumKey, ArtistKey, AudioFeatures, Date, PlayAction, Timestamp, TrackRef};

/// What the stages need to know of one track.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackFacts {
    /// Which track.
    pub track: TrackRef,
    /// Key of its id: what ties are decided by.
    pub key: u64,
    /// What its canonical recording is known by: the same for all versions of one recording.
    pub recording: u64,
    /// Artists, primary first.
    pub artists: Artists,
    /// Album.
    pub album: Option<AlbumKey>,
    /// Genres with confidence in `(0, 1]`.
    pub genres: Genres,
    /// How it sounds.
    pub audio: AudioFeatures,
    /// 0 to 100.
    pub popularity: Option<f32>,
    /// Day of release.
    pub release_date: Option<Date>,
    /// Length in milliseconds.
    pub duration_ms: Option<u32>,
}

impl TrackFacts {
    /// A track of which nothing but its identity is known; a recording of its own.
    #[must_use]
    pub fn unknown(track: TrackRef) -> Self {
        Self {
            track,
            key: track.ordinal.0.into(),
            recording: track.ordinal.0.into(),
            artists: Artists::new(),
            album: None,
            genres: Genres::new(),
            audio: AudioFeatures::default(),
            popularity: None,
            release_date: None,
            duration_ms: None,
        }
    }

    /// The artist that caps and spacing count.
    #[must_use]
    pub fn primary_artist(&self) -> Option<ArtistKey> {
        self.artists.first().copied()
    }
}

/// One event of a listening history with the facts of its track.
#[derive(Debug, Clone, Copy)]
pub struct HeardEvent<'a> {
    /// When it happened.
    pub at: Timestamp,
    /// How long it was heard, in milliseconds.
    pub listened_ms: u32,
    /// Play, skip, save or repeat.
    pub action: PlayAction,
    /// The track.
    pub facts: &'a TrackFacts,
}

/// A finite number of an optional feature; damaged or unknown values are `None`.
pub(crate) fn finite(feature: Option<f32>) -> Option<f64> {
    feature.map(f64::from).filter(|value| value.is_finite())
}

#[cfg(test)]
pub(crate) mod samples {
    //! Small tracks for the tests of the stages.

    use super::TrackFacts;
    use crate::types::{ArtistKey, GenreKey, ShardId, TrackOrdinal, TrackRef};

    /// Track `ordinal` of shard 0.
    pub(crate) fn track_ref(ordinal: u32) -> TrackRef {
        TrackRef { shard: ShardId(0), ordinal: TrackOrdinal(ordinal) }
    }

    /// A track by one artist, without further facts.
    pub(crate) fn track(ordinal: u32, artist: u64) -> TrackFacts {
        TrackFacts {
            artists: [ArtistKey(artist)].into_iter().collect(),
            ..TrackFacts::unknown(track_ref(ordinal))
        }
    }

    /// A track with genres of confidence 1 and an energy.
    pub(crate) fn track_of(ordinal: u32, artist: u64, genres: &[u64], energy: f32) -> TrackFacts {
        let mut facts = track(ordinal, artist);
        facts.genres = genres.iter().map(|&genre| (GenreKey(genre), 1.0)).collect();
        facts.audio.energy = Some(energy);
        facts
    }
}
