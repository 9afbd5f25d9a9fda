//! One listener's few minutes: a list, tracks like a favourite, an artist blocked and two tracks skipped, and the list again.

use super::build::Built;
use super::listener::Listener;
use super::promises::{Feedback, Promises};
use super::show::{self, Mark};
use crate::cli::output::print;
use crate::error::Result;
use crate::pipeline::request::{
    RecommendRequest, Recommendation, RecommendedTrack, SimilarRequest, TrackFilter,
};
use crate::types::{Action, Artist, FeedbackEvent, Surface, Timestamp, Track, TrackId, UserId};

/// The surface shown.
const SURFACE: &str = "discover_weekly";
/// Days in which it does not show again what was heard.
const HEARD_DAYS: f64 = 28.0;
/// Tracks of a list.
const LIST: u32 = 8;
/// Tracks like a favourite.
const SIMILAR: u32 = 4;
/// Tracks the listener skips.
const SKIPS: usize = 2;
/// How long a skipped track was heard.
const SKIPPED_AFTER_MS: u32 = 8_000;
/// Milliseconds between the first list, the feedback, and the second list.
const MINUTE_MS: i64 = 60_000;

/// Shows one listener.
pub fn run(built: &Built, number: u32) -> Result<()> {
    let user = built.db.user(&built.user_id(number)?)?;
    let listener = Listener::read(&built.db, user, built.catalogue.plays_by(number))?;
    print(&show::listener(&listener)?)?;

    let as_of = built.catalogue.params().as_of;
    let before = recommend(built, &listener.user.user_id, as_of)?;
    check(built, &listener, as_of, &before, &Feedback::default())?;
    print(&show::list(SURFACE, &before, &genres(built, &before)?))?;
    if let Some(favourite) = &listener.favourite {
        similar(built, &listener.user.user_id, favourite, as_of)?;
    }
    let (feedback, said) = objections(built, &before)?;
    built.db.feedback(events(&listener.user.user_id, &feedback, Timestamp(as_of.0 + MINUTE_MS)))?;

    let later = Timestamp(as_of.0 + 2 * MINUTE_MS);
    let after = recommend(built, &listener.user.user_id, later)?;
    check(built, &listener, later, &after, &feedback)?;
    print(&show::again(&listener.user.user_id, &said, &after, &marks(&before, &after)))?;
    print(&show::gone(&gone(built, &before, &after, &feedback)?))?;
    print(&show::obeyed(&after))
}

/// The list, with a request id of its own, so that both lists differ by the feedback alone.
fn recommend(built: &Built, user: &UserId, as_of: Timestamp) -> Result<Recommendation> {
    built.db.recommend(RecommendRequest {
        n: Some(LIST),
        as_of: Some(as_of),
        request_id: Some(format!("demo-{user}")),
        ..RecommendRequest::new(user.clone(), Surface::new(SURFACE)?)
    })
}

fn check(
    built: &Built,
    listener: &Listener,
    as_of: Timestamp,
    list: &Recommendation,
    feedback: &Feedback,
) -> Result<()> {
    let user = built.db.user(&listener.user.user_id)?;
    let promises = Promises {
        db: &built.db,
        catalogue: &built.catalogue,
        user: &user,
        plays: &listener.plays,
        as_of,
        heard_days: HEARD_DAYS,
        asked: LIST as usize,
    };
    promises.check(list, feedback)
}

fn similar(built: &Built, user: &UserId, favourite: &Track, as_of: Timestamp) -> Result<()> {
    let list = built.db.similar(SimilarRequest {
        seeds: vec![(favourite.track_id.clone(), 1.0)],
        space: None,
        k: SIMILAR,
        filter: TrackFilter::default(),
        user_id: Some(user.clone()),
        as_of: Some(as_of),
        exact: false,
        generation: None,
    })?;
    print(&show::similar(favourite, &list, &genres(built, &list)?))
}

/// The first genre of each track of a list; empty where the catalogue names none.
fn genres(built: &Built, list: &Recommendation) -> Result<Vec<String>> {
    let genre = |listed: &RecommendedTrack| {
        let track = built.db.track(&listed.track_id)?;
        Ok(track.genres.into_iter().next().map(|tag| tag.genre).unwrap_or_default())
    };
    list.tracks.iter().map(genre).collect()
}

/// What a listener said, by name.
pub struct Said {
    /// The artist who was blocked.
    pub blocked: Option<Artist>,
    /// Titles of the tracks that were skipped.
    pub skipped: Vec<String>,
}

/// The listener blocks the artist of the first track and skips the next two tracks of others.
fn objections(built: &Built, list: &Recommendation) -> Result<(Feedback, Said)> {
    let tracks: Vec<Track> =
        list.tracks.iter().map(|listed| built.db.track(&listed.track_id)).collect::<Result<_>>()?;
    let blocked = tracks.first().and_then(|track| track.artists.first()).cloned();
    let by_blocked = |track: &&Track| track.artists.iter().any(|artist| Some(artist) == blocked.as_ref());
    let skipped: Vec<&Track> = tracks.iter().filter(|track| !by_blocked(track)).take(SKIPS).collect();
    let feedback = Feedback {
        blocked: blocked.as_ref().map(|artist| artist.id.clone()),
        skipped: skipped.iter().map(|track| track.track_id.clone()).collect(),
    };
    let skipped = skipped.iter().map(|track| track.title.clone()).collect();
    Ok((feedback, Said { blocked, skipped }))
}

fn events(user: &UserId, feedback: &Feedback, at: Timestamp) -> Vec<FeedbackEvent> {
    let event = |action, track_id: Option<TrackId>| FeedbackEvent {
        user_id: user.clone(),
        action,
        track_id,
        artist_id: None,
        at: Some(at),
        listened_ms: None,
        event_id: None,
        query: None,
        impression: None,
        positions: Vec::new(),
    };
    let block = feedback
        .blocked
        .iter()
        .map(|artist| FeedbackEvent { artist_id: Some(artist.clone()), ..event(Action::BlockArtist, None) });
    let skips = feedback.skipped.iter().map(|track| FeedbackEvent {
        listened_ms: Some(SKIPPED_AFTER_MS),
        ..event(Action::Skip, Some(track.clone()))
    });
    block.chain(skips).collect()
}

/// Where each track of the second list stood in the first.
fn marks(before: &Recommendation, after: &Recommendation) -> Vec<Mark> {
    let place =
        |listed: &RecommendedTrack| before.tracks.iter().position(|other| other.track_id == listed.track_id);
    let mark = |(now, listed): (usize, &RecommendedTrack)| match place(listed) {
        None => Mark::New,
        Some(was) if was == now => Mark::Same,
        Some(was) => Mark::Moved(was + 1),
    };
    after.tracks.iter().enumerate().map(mark).collect()
}

/// What the second list no longer has, and why.
fn gone(
    built: &Built,
    before: &Recommendation,
    after: &Recommendation,
    feedback: &Feedback,
) -> Result<Vec<(String, &'static str)>> {
    let mut gone = Vec::new();
    for listed in &before.tracks {
        if after.tracks.iter().any(|other| other.track_id == listed.track_id) {
            continue;
        }
        let track = built.db.track(&listed.track_id)?;
        let blocked = track.artists.iter().any(|artist| feedback.blocked.as_ref() == Some(&artist.id));
        let why = match (blocked, feedback.skipped.contains(&listed.track_id)) {
            (true, _) => "artist blocked",
            (_, true) => "skipped",
            _ => "less wanted now",
        };
        gone.push((show::name(listed), why));
    }
    Ok(gone)
}
