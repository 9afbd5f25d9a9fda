//! What makes a track, a listener or an event acceptable. Every way in (network, files, the library) checks here.
//!
//! Ids, regions and dates are checked by their own constructors; this adds lengths, ranges and what belongs together.

use super::{Action, AudioFeatures, FeedbackEvent, GenreTag, Play, Timestamp, Track, User};
use crate::error::{Error, Result};

/// The longest title or name, in bytes.
pub const TEXT_BYTES_MAX: usize = 4_096;
/// The longest genre, device, activity or age band, in bytes.
pub const WORD_BYTES_MAX: usize = 256;
/// The most artists or genres of one track.
pub const TRACK_LIST_MAX: usize = 256;
/// The most entries of one list of a listener (blocked artists, friends, …).
pub const USER_LIST_MAX: usize = 100_000;
/// The longest query text of a `search` event or request, in bytes.
pub const QUERY_BYTES_MAX: usize = 1_024;
/// The longest impression token, in bytes.
pub const IMPRESSION_BYTES_MAX: usize = 65_536;
/// The most shown positions of one `served` event.
pub const POSITIONS_MAX: usize = 10_000;

/// The years 0000 to 9999: the instants that can be written as RFC 3339.
const MS_RANGE: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_207_200_000;

impl Timestamp {
    /// Checks that the instant can be written as RFC 3339.
    ///
    /// # Errors
    /// `InvalidField` naming `field`.
    pub fn validate(self, field: &'static str) -> Result<()> {
        ensure(MS_RANGE.contains(&self.0), field, || {
            format!("must lie in the years 0000 to 9999. ms=`{}`", self.0)
        })
    }
}

impl Track {
    /// Checks lengths and ranges.
    ///
    /// # Errors
    /// `InvalidField` naming the first field that is wrong.
    pub fn validate(&self) -> Result<()> {
        text("title", &self.title, TEXT_BYTES_MAX)?;
        ensure(!self.artists.is_empty(), "artists", || "must name at least one artist".to_owned())?;
        length("artists", self.artists.len(), TRACK_LIST_MAX)?;
        for artist in &self.artists {
            text("artists.name", &artist.name, TEXT_BYTES_MAX)?;
        }
        for (field, value) in [("album", &self.album), ("label", &self.label)] {
            value.as_deref().map_or(Ok(()), |value| text(field, value, TEXT_BYTES_MAX))?;
        }
        genres(&self.genres)?;
        if let Some(date) = self.release_date {
            ensure((-719_528..=2_932_896).contains(&date.0), "release_date", || {
                format!("must lie in the years 0000 to 9999. day=`{}`", date.0)
            })?;
        }
        within("popularity", self.popularity, 0.0, 100.0)?;
        self.audio.validate()
    }
}

fn genres(tags: &[GenreTag]) -> Result<()> {
    length("genres", tags.len(), TRACK_LIST_MAX)?;
    for (row, tag) in tags.iter().enumerate() {
        word("genres", &tag.genre)?;
        ensure(tag.confidence > 0.0 && tag.confidence <= 1.0, "genres.confidence", || {
            format!("must be above 0 and at most 1. genre=`{}`, confidence=`{}`", tag.genre, tag.confidence)
        })?;
        ensure(tags[..row].iter().all(|other| other.genre != tag.genre), "genres", || {
            format!("must not name a genre twice. genre=`{}`", tag.genre)
        })?;
    }
    Ok(())
}

impl AudioFeatures {
    /// Checks that every known feature is a number in its range.
    ///
    /// # Errors
    /// `InvalidField` naming the first feature that is wrong.
    pub fn validate(&self) -> Result<()> {
        if let Some(tempo) = self.tempo {
            ensure(tempo.is_finite() && tempo > 0.0 && tempo <= 1_000.0, "audio.tempo", || {
                format!(
                    "must be above 0 and at most 1000 beats a minute, or absent when unknown. tempo=`{tempo}`"
                )
            })?;
        }
        number("audio.key", self.key, 11)?;
        number("audio.mode", self.mode, 1)?;
        let shares = [
            ("audio.energy", self.energy),
            ("audio.danceability", self.danceability),
            ("audio.valence", self.valence),
            ("audio.acousticness", self.acousticness),
            ("audio.instrumentalness", self.instrumentalness),
            ("audio.speechiness", self.speechiness),
            ("audio.liveness", self.liveness),
        ];
        for (field, share) in shares {
            within(field, share, 0.0, 1.0)?;
        }
        within("audio.loudness", self.loudness, -120.0, 20.0)
    }
}

impl User {
    /// Checks lengths and ranges.
    ///
    /// # Errors
    /// `InvalidField` naming the first field that is wrong.
    pub fn validate(&self) -> Result<()> {
        let lists = [
            ("blocked_artists", self.blocked_artists.len()),
            ("blocked_tracks", self.blocked_tracks.len()),
            ("followed_artists", self.followed_artists.len()),
            ("friends", self.friends.len()),
            ("onboarding_genres", self.onboarding_genres.len()),
            ("onboarding_artists", self.onboarding_artists.len()),
        ];
        for (field, len) in lists {
            length(field, len, USER_LIST_MAX)?;
        }
        for genre in &self.onboarding_genres {
            word("onboarding_genres", genre)?;
        }
        if let Some(band) = &self.age_band {
            word("age_band", band)?;
        }
        self.registered_at.map_or(Ok(()), |at| at.validate("registered_at"))
    }
}

impl Play {
    /// Checks the time.
    ///
    /// # Errors
    /// `InvalidField` naming `played_at`.
    pub fn validate(&self) -> Result<()> {
        self.played_at.validate("played_at")
    }
}

impl FeedbackEvent {
    /// Checks that the event carries what its action needs.
    ///
    /// # Errors
    /// `InvalidField` naming the field that is missing or wrong.
    pub fn validate(&self) -> Result<()> {
        let (field, present) = match self.action {
            Action::Play
            | Action::Skip
            | Action::Repeat
            | Action::Save
            | Action::Unsave
            | Action::HideTrack
            | Action::UnhideTrack => ("track_id", self.track_id.is_some()),
            Action::BlockArtist | Action::UnblockArtist | Action::FollowArtist | Action::UnfollowArtist => {
                ("artist_id", self.artist_id.is_some())
            }
            Action::Search => ("query", self.query.as_ref().is_some_and(|query| !query.is_empty())),
            Action::Served => ("impression", self.impression.as_ref().is_some_and(|token| !token.is_empty())),
        };
        ensure(present, field, || {
            format!("must be given with this action. action=`{}`", self.action.as_str())
        })?;
        let (query, impression) = (self.query.as_deref(), self.impression.as_deref());
        text("query", query.unwrap_or_default(), QUERY_BYTES_MAX)?;
        text("impression", impression.unwrap_or_default(), IMPRESSION_BYTES_MAX)?;
        length("positions", self.positions.len(), POSITIONS_MAX)?;
        self.at.map_or(Ok(()), |at| at.validate("at"))
    }
}

fn ensure(holds: bool, field: &'static str, reason: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::invalid(field, reason())) }
}

/// A text that may be empty.
pub(crate) fn text(field: &'static str, value: &str, bytes_max: usize) -> Result<()> {
    ensure(value.len() <= bytes_max, field, || {
        format!("is too long. bytes=`{}`, bytes_max=`{bytes_max}`", value.len())
    })
}

/// A short text that may not be empty.
pub(crate) fn word(field: &'static str, value: &str) -> Result<()> {
    ensure(!value.is_empty(), field, || "must not be empty".to_owned())?;
    ensure(!value.chars().any(char::is_control), field, || "must not contain control characters".to_owned())?;
    text(field, value, WORD_BYTES_MAX)
}

/// A list of bounded length.
pub(crate) fn length(field: &'static str, len: usize, max: usize) -> Result<()> {
    ensure(len <= max, field, || format!("has too many entries. entries=`{len}`, entries_max=`{max}`"))
}

/// A number that may be unknown, else lies in the range.
fn within(field: &'static str, value: Option<f32>, min: f32, max: f32) -> Result<()> {
    let Some(value) = value else { return Ok(()) };
    ensure((min..=max).contains(&value), field, || {
        format!("must be {min} to {max}, or absent when unknown. value=`{value}`")
    })
}

fn number(field: &'static str, value: Option<u8>, max: u8) -> Result<()> {
    let Some(value) = value else { return Ok(()) };
    ensure(value <= max, field, || format!("must be 0 to {max}, or absent when unknown. value=`{value}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Artist, ArtistId, TrackId, UserId};

    fn track() -> Track {
        let artist = Artist { id: ArtistId::new("a").expect("valid"), name: "A".to_owned() };
        Track::new(TrackId::new("t").expect("valid"), "Title", vec![artist])
    }

    fn field(result: Result<()>) -> String {
        match result {
            Err(Error::InvalidField { field, .. }) => field.into_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_track_names_its_wrong_field() {
        assert_eq!(field(track().validate()), "Ok(())");
        let wrong = |change: fn(&mut Track)| {
            let mut track = track();
            change(&mut track);
            field(track.validate())
        };
        assert_eq!(wrong(|t| t.artists.clear()), "artists");
        assert_eq!(wrong(|t| t.popularity = Some(100.5)), "popularity");
        assert_eq!(wrong(|t| t.popularity = Some(f32::NAN)), "popularity");
        assert_eq!(wrong(|t| t.audio.tempo = Some(0.0)), "audio.tempo");
        assert_eq!(wrong(|t| t.audio.tempo = Some(f32::INFINITY)), "audio.tempo");
        assert_eq!(wrong(|t| t.audio.key = Some(12)), "audio.key");
        assert_eq!(wrong(|t| t.audio.energy = Some(-0.1)), "audio.energy");
        assert_eq!(wrong(|t| t.title = "x".repeat(TEXT_BYTES_MAX + 1)), "title");
        assert_eq!(
            wrong(|t| t.genres = vec![GenreTag { genre: "rock".to_owned(), confidence: 0.0 }]),
            "genres.confidence"
        );
    }

    #[test]
    fn an_event_needs_what_its_action_is_about() {
        for action in Action::ALL {
            let mut event = FeedbackEvent::new(UserId::new("u").expect("valid"), action);
            let missing = field(event.validate());
            match missing.as_str() {
                "track_id" => event.track_id = Some(TrackId::new("t").expect("valid")),
                "artist_id" => event.artist_id = Some(ArtistId::new("a").expect("valid")),
                "query" => event.query = Some("jazz".to_owned()),
                "impression" => event.impression = Some("token".to_owned()),
                other => panic!("{action:?} misses nothing: {other}"),
            }
            assert_eq!(field(event.validate()), "Ok(())", "{action:?}");
        }
    }

    #[test]
    fn times_outside_the_calendar_are_refused() {
        assert_eq!(field(Timestamp(i64::MAX).validate("as_of")), "as_of");
        assert_eq!(field(Timestamp(*MS_RANGE.end()).validate("as_of")), "Ok(())");
        assert!(Timestamp(*MS_RANGE.end()).to_string().starts_with("9999-12-30"));
        assert!(Timestamp(*MS_RANGE.start()).to_string().starts_with("0000-01-01"));
    }
}
