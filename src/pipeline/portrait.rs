//! A listener as the database sees them: taste and session with names, for people to read.

use serde::{Deserialize, Serialize};

use super::listener::Listener;
use super::reader::Reader;
use super::request::RequestContext;
use crate::error::Result;
use crate::types::{ArtistKey, GenreKey, Timestamp, User, UserId};

/// Genres and artists that are named.
const NAMED_MAX: usize = 20;

/// What is known of a listener at a moment; what is not known is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Portrait {
    /// What they told the service.
    pub user: User,
    /// The moment.
    pub as_of: Timestamp,
    /// Plays ever.
    pub plays_total: u32,
    /// Events of the last 90 days that make up the taste.
    pub plays: u32,
    /// Tracks in the library.
    pub saved: u64,
    /// Shares of the best genres; all genres' sum to 1.
    pub genres: Vec<(String, f64)>,
    /// Shares of the best artists.
    pub artists: Vec<(String, f64)>,
    /// The same from 05:00 to 12:00.
    pub morning_genres: Vec<(String, f64)>,
    /// The same from 18:00 to 24:00.
    pub evening_genres: Vec<(String, f64)>,
    /// From and to, beats a minute.
    pub tempo_bpm: Option<(f64, f64)>,
    /// From and to, 0 to 1.
    pub energy: Option<(f64, f64)>,
    /// 0 to 1.
    pub valence: Option<f64>,
    /// 0 to 1.
    pub danceability: Option<f64>,
    /// Share of plays in each tenth.
    pub acousticness: Option<[f64; 10]>,
    /// Share of plays in each local hour.
    pub hours: Option<[f64; 24]>,
    /// Share of plays on each local weekday, Monday first.
    pub weekdays: Option<[f64; 7]>,
    /// Busiest hours.
    pub peak_hours: Vec<u8>,
    /// Days since they first appeared.
    pub profile_age_days: Option<f64>,
    /// Entropy of the genres against that of the whole taxonomy, 0 to 1.
    pub diversity: Option<f64>,
    /// Mean energy, valence and danceability of the session under way, where there is one.
    pub mood: Option<(Option<f64>, Option<f64>, Option<f64>)>,
    /// Explored slots that were shown, and how many the listener took up, of the last 50.
    pub explored: (u32, u32),
}

/// Looks at a listener.
///
/// # Errors
/// `NotFound` for an unknown user; `InvalidField` for a moment or an offset out of range; damaged files.
pub fn portrait(
    reader: &Reader<'_>,
    user: &UserId,
    as_of: Timestamp,
    context: &RequestContext,
) -> Result<Portrait> {
    as_of.validate("as_of")?;
    context.validate()?;
    let listener = Listener::load(reader, user, as_of, context)?;
    let profile = &listener.profile;
    let session = listener.session(as_of);
    let genres = |shares: &[(GenreKey, f64)]| named(shares, |key| reader.genre_name(key));
    let outcomes = listener.state.explored_outcomes.iter().filter(|outcome| outcome.at <= as_of);
    let explored =
        outcomes.fold((0, 0), |(all, taken), outcome| (all + 1, taken + u32::from(outcome.success)));
    Ok(Portrait {
        user: listener.state.user.clone(),
        as_of,
        plays_total: listener.plays,
        plays: profile.plays,
        saved: listener.state.saved.len() as u64,
        genres: genres(&profile.genres)?,
        artists: named(&profile.artists, |key: ArtistKey| reader.artist_name(key))?,
        morning_genres: genres(&profile.morning_genres)?,
        evening_genres: genres(&profile.evening_genres)?,
        tempo_bpm: profile.tempo_bpm,
        energy: profile.energy,
        valence: profile.valence,
        danceability: profile.danceability,
        acousticness: profile.acousticness,
        hours: profile.hours,
        weekdays: profile.weekdays,
        peak_hours: profile.peak_hours.clone(),
        profile_age_days: profile.profile_age_days,
        diversity: profile.diversity,
        mood: session.mood.map(|mood| (mood.energy, mood.valence, mood.danceability)),
        explored,
    })
}

fn named<K: Copy>(
    shares: &[(K, f64)],
    name: impl Fn(K) -> Result<Option<String>>,
) -> Result<Vec<(String, f64)>> {
    let mut list = Vec::new();
    for &(key, share) in shares.iter().take(NAMED_MAX) {
        list.extend(name(key)?.map(|name| (name, share)));
    }
    Ok(list)
}
