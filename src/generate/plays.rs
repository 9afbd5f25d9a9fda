//! What a listener played, in the order of time.

use super::catalogue::Catalogue;
use super::draw::{Purpose, chance, early, pick, stream};
use super::genres::neighbours;
use super::listeners::{self, Listener};
use super::tracks::{duration_ms, released_ms, track_id};
use crate::types::{DAY_MS, HOUR_MS, Play, PlayAction, SplitMix64, Timestamp};

/// Draws before a track that may not be played yet, or not here, is taken all the same.
const TRIES: u32 = 200;

/// Why a track was played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Again,
    Favourite,
    Genre,
    Anything,
}

/// All plays of one listener.
pub(super) fn of_listener(catalogue: &Catalogue, number: u32) -> Vec<Play> {
    let count = catalogue.plays_of(number);
    if count == 0 {
        return Vec::new();
    }
    let listener = catalogue.listener(number);
    let mut rng = stream(catalogue.params.seed, Purpose::Plays, u64::from(number));
    let mut times: Vec<i64> = (0..count).map(|_| moment(catalogue, &listener, &mut rng)).collect();
    times.sort_unstable();
    let user_id = listeners::user_id(number);
    let mut history: Vec<u32> = Vec::with_capacity(times.len());
    let mut plays = Vec::with_capacity(times.len());
    for time in times {
        let (track, reason) = choose(catalogue, &listener, time, &history, &mut rng);
        history.push(track);
        let row = &catalogue.tracks[track as usize];
        let length = duration_ms(&catalogue.params, track as usize, &catalogue.artists[row.artist as usize]);
        let (action, listened_ms) = act(reason, length, &mut rng);
        plays.push(Play {
            user_id: user_id.clone(),
            track_id: track_id(track as usize),
            played_at: Timestamp(time),
            listened_ms,
            action,
        });
    }
    plays
}

/// A time since registration: recent ones more often, mostly near the listener's peak hours.
fn moment(catalogue: &Catalogue, listener: &Listener, rng: &mut SplitMix64) -> i64 {
    let now = catalogue.params.as_of;
    let member_days = now.days_since(listener.registered);
    // Exponential with mean 120 days, cut at registration.
    let cut = 1.0 - (-member_days / 120.0).exp();
    let age_days = -120.0 * (1.0 - rng.uniform() * cut).ln();
    let day = Timestamp(now.0 - (age_days * DAY_MS as f64) as i64).day();
    let hour = if chance(rng, 0.6) {
        i64::from(*pick(rng, &listener.peak_hours))
    } else {
        (7 + rng.below(17)) as i64
    };
    let time = i64::from(day) * DAY_MS + hour * HOUR_MS + rng.below(HOUR_MS as u64) as i64;
    // The hour may lie after the present or before registration on the day drawn.
    let time = if time >= now.0 { time - DAY_MS } else { time };
    time.clamp(listener.registered.0, now.0 - 1)
}

fn choose(
    catalogue: &Catalogue,
    listener: &Listener,
    time: i64,
    history: &[u32],
    rng: &mut SplitMix64,
) -> (u32, Reason) {
    let mut last = (0, Reason::Anything);
    for attempt in 0..TRIES {
        // A taste with nothing playable must not hold a listener for ever.
        let reason = if attempt < TRIES / 2 { reason(history, rng) } else { Reason::Anything };
        let track = draw(catalogue, listener, history, reason, rng);
        if playable(catalogue, listener, track, time) {
            return (track, reason);
        }
        last = (track, reason);
    }
    last
}

fn reason(history: &[u32], rng: &mut SplitMix64) -> Reason {
    match rng.uniform() {
        x if x < 0.30 && !history.is_empty() => Reason::Again,
        x if x < 0.72 => Reason::Favourite,
        x if x < 0.92 => Reason::Genre,
        _ => Reason::Anything,
    }
}

fn draw(
    catalogue: &Catalogue,
    listener: &Listener,
    history: &[u32],
    reason: Reason,
    rng: &mut SplitMix64,
) -> u32 {
    let artist = match reason {
        Reason::Again => return history[history.len() - 1 - early(rng, history.len().min(300))],
        Reason::Anything => return catalogue.by_track.draw(rng) as u32,
        Reason::Favourite => listener.favourites[early(rng, listener.favourites.len())],
        Reason::Genre => {
            let mut genre = listeners::taste(&listener.tastes, rng);
            if chance(rng, 0.2) {
                let near: Vec<usize> = neighbours(genre, catalogue.params.genres as usize).collect();
                genre = if near.is_empty() { genre } else { *pick(rng, &near) };
            }
            catalogue.genres[genre].draw(rng)
        }
    };
    catalogue.by_track.draw_in(rng, catalogue.tracks_of(artist)) as u32
}

fn playable(catalogue: &Catalogue, listener: &Listener, track: u32, time: i64) -> bool {
    let row = &catalogue.tracks[track as usize];
    released_ms(row) <= time
        && row.regions >> listener.region & 1 == 1
        && !(listener.filter_explicit && row.explicit)
        && !listener.blocked.contains(&row.artist)
}

fn act(reason: Reason, length_ms: u32, rng: &mut SplitMix64) -> (PlayAction, u32) {
    let skips = match reason {
        Reason::Again => 0.05,
        Reason::Favourite => 0.07,
        Reason::Genre => 0.13,
        Reason::Anything => 0.38,
    };
    if chance(rng, skips) {
        return (PlayAction::Skip, (2_000 + rng.below(28_000) as u32).min(length_ms));
    }
    let share = if chance(rng, 0.7) { 1.0 } else { 0.2 + 0.8 * rng.uniform() };
    let listened = (f64::from(length_ms) * share) as u32;
    match rng.uniform() {
        x if x < 0.05 && reason != Reason::Anything => (PlayAction::Save, listened),
        x if x < 0.10 && reason != Reason::Anything => (PlayAction::Repeat, listened),
        _ => (PlayAction::Play, listened),
    }
}
