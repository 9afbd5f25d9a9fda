//! One track as the shard keeps it: the record with the keys its filters and stages compare by.

use crate::types::{AlbumKey, ArtistKey, GenreKey, Track, key_of};

/// Key under which tracks that are available everywhere are posted as a region.
pub const EVERYWHERE: u64 = u64::MAX;

/// A track row of a growing segment. `deleted` rows keep the id's ordinal for ever.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackRow {
    /// Its ordinal in the shard.
    pub ordinal: u32,
    /// Its recording's number in the shard.
    pub recording: u32,
    /// Whether this row says that the track was taken down.
    pub deleted: bool,
    /// The record.
    pub track: Track,
    /// Keys of `track.artists`.
    pub artists: Vec<ArtistKey>,
    /// Keys and confidences of `track.genres`.
    pub genres: Vec<(GenreKey, f32)>,
}

impl TrackRow {
    /// Derives the keys of a record.
    pub fn new(ordinal: u32, recording: u32, deleted: bool, track: Track) -> Self {
        let artists = track.artists.iter().map(|artist| ArtistKey::of(artist.id.as_str())).collect();
        let genres = track.genres.iter().map(|tag| (GenreKey::of(&tag.genre), tag.confidence)).collect();
        Self { ordinal, recording, deleted, track, artists, genres }
    }

    /// The facts kept in memory for every track.
    pub fn hot(&self, segment: u32, offset: u32) -> TrackHot {
        let track = &self.track;
        TrackHot {
            segment,
            offset,
            recording: self.recording,
            sibling: self.ordinal,
            artist: self.artists.first().map_or(0, |artist| artist.0),
            album: track.album_id.as_ref().map_or(0, |album| AlbumKey::of(album.as_str()).0),
            release_day: track.release_date.map_or(i32::MIN, |date| date.0),
            popularity: track.popularity.unwrap_or(f32::NAN),
            tempo: track.audio.tempo.unwrap_or(f32::NAN),
            energy: track.audio.energy.unwrap_or(f32::NAN),
            duration_ms: track.duration_ms.unwrap_or(0),
            live: !self.deleted,
            key: key_of(track.track_id.as_str()),
        }
    }

    /// Posting keys of the regions it may be played in.
    pub fn region_keys(&self) -> Vec<u64> {
        match &self.track.regions {
            crate::types::RegionSet::All => vec![EVERYWHERE],
            crate::types::RegionSet::Only(regions) => {
                regions.iter().map(|region| u64::from(region.number())).collect()
            }
        }
    }

    /// Key of the recording's id.
    pub fn recording_key(&self) -> u64 {
        key_of(self.track.recording_id.as_str())
    }
}

/// What every request may need of any track, kept in memory for all of them: 64 bytes, one line of a cache.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(align(64))]
pub struct TrackHot {
    /// The segment that has its newest row.
    pub segment: u32,
    /// The row there.
    pub offset: u32,
    /// Number of its recording.
    pub recording: u32,
    /// The next track of the same recording, in a ring.
    pub sibling: u32,
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
    /// Key of its id: what ties between tracks are decided by, the same however many shards there are.
    pub key: u64,
}

impl TrackHot {
    /// An ordinal that no row has described yet.
    pub const ABSENT: Self = Self {
        segment: u32::MAX,
        offset: 0,
        recording: u32::MAX,
        sibling: u32::MAX,
        artist: 0,
        album: 0,
        release_day: i32::MIN,
        popularity: f32::NAN,
        tempo: f32::NAN,
        energy: f32::NAN,
        duration_ms: 0,
        live: false,
        key: 0,
    };
}

const _: () = assert!(size_of::<TrackHot>() == 64);
