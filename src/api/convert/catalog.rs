//! Tracks, listeners, vectors.

use super::common::{check_rows, narrow, region};
use crate::api::proto as pb;
use crate::error::{Error, Result};
use crate::node::VectorRow;
use crate::pipeline::validate_vector;
use crate::types::{
    AlbumId, Artist, ArtistId, AudioFeatures, Date, GenreTag, InvalidId, RecordingId, RegionSet, Timestamp,
    Track, TrackId, User, UserId,
};

/// Rows of a page when the caller does not say.
const PAGE_ROWS: u32 = 100;

impl TryFrom<pb::Track> for Track {
    type Error = Error;
    fn try_from(proto: pb::Track) -> Result<Self> {
        let track_id = TrackId::new(proto.track_id)?;
        let recording_id =
            if proto.recording_id.is_empty() { track_id.as_str().to_owned() } else { proto.recording_id };
        let track = Self {
            track_id,
            recording_id: RecordingId::new(recording_id)?,
            title: proto.title,
            artists: proto.artists.into_iter().map(Artist::try_from).collect::<Result<_>>()?,
            album_id: proto.album_id.map(AlbumId::new).transpose()?,
            album: proto.album,
            label: proto.label,
            genres: proto.genres.into_iter().map(GenreTag::from).collect(),
            release_date: proto.release_day.map(Date),
            duration_ms: proto.duration_ms,
            popularity: proto.popularity,
            explicit: proto.explicit,
            regions: proto.regions.map_or(Ok(RegionSet::All), RegionSet::try_from)?,
            audio: proto.audio.map_or(Ok(AudioFeatures::default()), AudioFeatures::try_from)?,
        };
        track.validate()?;
        Ok(track)
    }
}

impl From<Track> for pb::Track {
    fn from(track: Track) -> Self {
        Self {
            track_id: track.track_id.into(),
            recording_id: track.recording_id.into(),
            title: track.title,
            artists: track.artists.into_iter().map(Into::into).collect(),
            album_id: track.album_id.map(Into::into),
            album: track.album,
            label: track.label,
            genres: track.genres.into_iter().map(Into::into).collect(),
            release_day: track.release_date.map(|date| date.0),
            duration_ms: track.duration_ms,
            popularity: track.popularity,
            explicit: track.explicit,
            regions: match track.regions {
                RegionSet::All => None,
                RegionSet::Only(regions) => {
                    Some(pb::RegionSet { regions: regions.iter().map(ToString::to_string).collect() })
                }
            },
            audio: Some(track.audio.into()),
        }
    }
}

impl TryFrom<pb::Artist> for Artist {
    type Error = Error;
    fn try_from(proto: pb::Artist) -> Result<Self> {
        Ok(Self { id: ArtistId::new(proto.artist_id)?, name: proto.name })
    }
}

impl From<Artist> for pb::Artist {
    fn from(artist: Artist) -> Self {
        Self { artist_id: artist.id.into(), name: artist.name }
    }
}

impl From<pb::GenreTag> for GenreTag {
    fn from(proto: pb::GenreTag) -> Self {
        Self { genre: proto.genre, confidence: proto.confidence.unwrap_or(1.0) }
    }
}

impl From<GenreTag> for pb::GenreTag {
    fn from(tag: GenreTag) -> Self {
        Self { genre: tag.genre, confidence: Some(tag.confidence) }
    }
}

impl TryFrom<pb::RegionSet> for RegionSet {
    type Error = Error;
    fn try_from(proto: pb::RegionSet) -> Result<Self> {
        Ok(Self::Only(proto.regions.iter().map(|code| region("regions", code)).collect::<Result<_>>()?))
    }
}

impl TryFrom<pb::AudioFeatures> for AudioFeatures {
    type Error = Error;
    fn try_from(proto: pb::AudioFeatures) -> Result<Self> {
        Ok(Self {
            tempo: proto.tempo,
            key: proto.key.map(|key| narrow("audio.key", key)).transpose()?,
            mode: proto.mode.map(|mode| narrow("audio.mode", mode)).transpose()?,
            energy: proto.energy,
            danceability: proto.danceability,
            valence: proto.valence,
            acousticness: proto.acousticness,
            instrumentalness: proto.instrumentalness,
            speechiness: proto.speechiness,
            liveness: proto.liveness,
            loudness: proto.loudness,
        })
    }
}

impl From<AudioFeatures> for pb::AudioFeatures {
    fn from(audio: AudioFeatures) -> Self {
        Self {
            tempo: audio.tempo,
            key: audio.key.map(u32::from),
            mode: audio.mode.map(u32::from),
            energy: audio.energy,
            danceability: audio.danceability,
            valence: audio.valence,
            acousticness: audio.acousticness,
            instrumentalness: audio.instrumentalness,
            speechiness: audio.speechiness,
            liveness: audio.liveness,
            loudness: audio.loudness,
        }
    }
}

impl TryFrom<pb::User> for User {
    type Error = Error;
    fn try_from(proto: pb::User) -> Result<Self> {
        let user = Self {
            user_id: UserId::new(proto.user_id)?,
            region: proto.region.map(|code| region("region", &code)).transpose()?,
            filter_explicit: proto.filter_explicit,
            blocked_artists: ids("blocked_artists", proto.blocked_artists)?,
            blocked_tracks: ids("blocked_tracks", proto.blocked_tracks)?,
            followed_artists: ids("followed_artists", proto.followed_artists)?,
            friends: ids("friends", proto.friends)?,
            social_consent: proto.social_consent,
            onboarding_genres: proto.onboarding_genres,
            onboarding_artists: ids("onboarding_artists", proto.onboarding_artists)?,
            age_band: proto.age_band,
            registered_at: proto.registered_at_ms.map(Timestamp),
        };
        user.validate()?;
        Ok(user)
    }
}

impl From<User> for pb::User {
    fn from(user: User) -> Self {
        let artists = |ids: Vec<ArtistId>| ids.into_iter().map(Into::into).collect();
        Self {
            user_id: user.user_id.into(),
            region: user.region.map(|region| region.to_string()),
            filter_explicit: user.filter_explicit,
            blocked_artists: artists(user.blocked_artists),
            blocked_tracks: user.blocked_tracks.into_iter().map(Into::into).collect(),
            followed_artists: artists(user.followed_artists),
            friends: user.friends.into_iter().map(Into::into).collect(),
            social_consent: user.social_consent,
            onboarding_genres: user.onboarding_genres,
            onboarding_artists: artists(user.onboarding_artists),
            age_band: user.age_band,
            registered_at_ms: user.registered_at.map(|at| at.0),
        }
    }
}

/// A list of ids; an error names the list and the entry.
pub(crate) fn ids<T>(field: &'static str, values: Vec<String>) -> Result<Vec<T>>
where
    T: TryFrom<String, Error = InvalidId>,
{
    values
        .into_iter()
        .enumerate()
        .map(|(at, id)| {
            T::try_from(id).map_err(|why| Error::invalid(format!("{field}[{at}]"), why.to_string()))
        })
        .collect()
}

/// The ids of a batch: 1 to `rows_max` of them, each valid.
pub(crate) fn id_batch<T: IdInBatch>(
    field: &'static str,
    values: Vec<String>,
    rows_max: u32,
) -> Result<Vec<T>> {
    check_rows(field, values.len(), rows_max)?;
    let check = |(row, id)| T::checked(id).map_err(|why| Error::invalid(field, why.to_string()).at_row(row));
    values.into_iter().enumerate().map(check).collect()
}

/// The kinds of ids that come in batches.
pub(crate) trait IdInBatch: Sized {
    /// Checks and wraps one.
    fn checked(id: String) -> std::result::Result<Self, InvalidId>;
}

impl IdInBatch for TrackId {
    fn checked(id: String) -> std::result::Result<Self, InvalidId> {
        Self::new(id)
    }
}

impl IdInBatch for UserId {
    fn checked(id: String) -> std::result::Result<Self, InvalidId> {
        Self::new(id)
    }
}

/// Ids of a space, where only the space says whether they are of tracks or of listeners.
impl IdInBatch for String {
    fn checked(id: String) -> std::result::Result<Self, InvalidId> {
        TrackId::new(id).map(Into::into)
    }
}

impl TryFrom<pb::VectorRow> for VectorRow {
    type Error = Error;
    fn try_from(proto: pb::VectorRow) -> Result<Self> {
        // Track ids and user ids follow the same rules; which it is, the space says.
        let id = TrackId::new(proto.id).map_err(|why| Error::invalid("id", why.to_string()))?;
        validate_vector("vector", &proto.vector)?;
        Ok(Self { id: id.into(), vector: proto.vector })
    }
}

impl From<VectorRow> for pb::VectorRow {
    fn from(row: VectorRow) -> Self {
        Self { id: row.id, vector: row.vector }
    }
}

/// The rows of a vectors batch: all of one dimension.
pub(crate) fn vector_rows(protos: Vec<pb::VectorRow>, rows_max: u32) -> Result<Vec<VectorRow>> {
    check_rows("rows", protos.len(), rows_max)?;
    let rows: Vec<VectorRow> = super::rows("rows", protos, rows_max)?;
    let dim = rows.first().map_or(0, |row| row.vector.len());
    match rows.iter().position(|row| row.vector.len() != dim) {
        None => Ok(rows),
        Some(row) => {
            let found = rows[row].vector.len();
            let reason =
                format!("must have the dimension of the first row. components=`{found}`, expected=`{dim}`");
            Err(Error::invalid("vector", reason).at_row(row))
        }
    }
}

/// Rows a page may have: the caller's wish, or the default.
pub(crate) fn page_size(limit: u32, limit_max: u32) -> Result<usize> {
    match limit {
        0 => Ok(PAGE_ROWS.min(limit_max) as usize),
        limit if limit <= limit_max => Ok(limit as usize),
        limit => Err(Error::invalid("limit", format!("must be at most {limit_max}. limit=`{limit}`"))),
    }
}

/// Where a page of tracks starts.
pub(crate) fn page_of_tracks(page: &str) -> Result<Option<u64>> {
    if page.is_empty() {
        return Ok(None);
    }
    let wrong =
        |_| Error::invalid("page", format!("must be the next_page of an earlier reply. page=`{page:.40}`"));
    page.parse().map(Some).map_err(wrong)
}

/// Where a page of listeners starts.
pub(crate) fn page_of_users(page: String) -> Result<Option<UserId>> {
    if page.is_empty() {
        return Ok(None);
    }
    UserId::new(page).map(Some).map_err(|why| Error::invalid("page", why.to_string()))
}
