//! Listeners: their tastes, the artists they love, and what they told the service.

use super::artists::artist_id;
use super::catalogue::Catalogue;
use super::draw::{Cumulative, Purpose, chance, early, pick, stream};
use super::genres::{GENRES_MAX, family, genre, neighbours};
use super::tracks::{REGIONS, region, track_id};
use crate::types::{DAY_MS, SplitMix64, Timestamp, User, UserId};

/// Share of listeners who have just signed up and played nothing.
const NEWCOMERS: f64 = 0.01;

/// What makes a listener.
#[derive(Debug, Clone)]
pub(super) struct Listener {
    /// Genres with their shares, largest first; shares sum to 1.
    pub(super) tastes: Vec<(usize, f64)>,
    /// Artists, most loved first.
    pub(super) favourites: Vec<u32>,
    pub(super) blocked: Vec<u32>,
    pub(super) region: usize,
    pub(super) filter_explicit: bool,
    pub(super) registered: Timestamp,
    /// Hours of the day with the most plays.
    pub(super) peak_hours: Vec<u8>,
}

/// How much a listener plays, relative to others; 0 for a newcomer.
pub(super) fn activity(seed: u64, number: u64) -> f64 {
    let mut rng = stream(seed, Purpose::Listener, (1 << 40) + number);
    // The first listener always plays, so that there is somebody to play.
    if chance(&mut rng, NEWCOMERS) && number > 0 {
        return 0.0;
    }
    (0.9 * rng.normal()).exp()
}

/// Makes up listener `number`.
pub(super) fn listener(catalogue: &Catalogue, number: u32, by_region: &Cumulative) -> Listener {
    let params = &catalogue.params;
    let mut rng = stream(params.seed, Purpose::Listener, u64::from(number));
    let tastes = tastes(catalogue, &mut rng);
    let favourites = favourites(catalogue, &tastes, &mut rng);
    let blocked = blocked(catalogue, &tastes, &favourites, &mut rng);
    let newcomer = activity(params.seed, u64::from(number)) == 0.0;
    let member_days = if newcomer { rng.uniform() * 3.0 } else { 20.0 + 1_500.0 * rng.uniform().powi(2) };
    Listener {
        tastes,
        favourites,
        blocked,
        region: by_region.draw(&mut rng),
        filter_explicit: chance(&mut rng, 0.15),
        registered: Timestamp(params.as_of.0 - (member_days * DAY_MS as f64) as i64),
        peak_hours: (0..1 + rng.below(3)).map(|_| *pick(&mut rng, &PEAKS)).collect(),
    }
}

/// Hours at which listening peaks.
const PEAKS: [u8; 10] = [7, 8, 9, 12, 17, 18, 19, 20, 21, 22];

pub(super) fn regions() -> Cumulative {
    Cumulative::new(REGIONS.iter().map(|(_, share)| *share))
}

/// One to three genres: the first by popularity, each further one near it or anywhere.
fn tastes(catalogue: &Catalogue, rng: &mut SplitMix64) -> Vec<(usize, f64)> {
    let genres = catalogue.params.genres as usize;
    let mut found = vec![catalogue.by_genre.draw(rng)];
    for _ in 0..[0, 1, 1, 2, 2][rng.below(5) as usize] {
        let near: Vec<usize> = neighbours(found[0], genres).collect();
        let next = if chance(rng, 0.5) && !near.is_empty() {
            *pick(rng, &near)
        } else {
            catalogue.by_genre.draw(rng)
        };
        if !found.contains(&next) {
            found.push(next);
        }
    }
    let shares: &[f64] = match found.len() {
        1 => &[1.0],
        2 => &[0.65, 0.35],
        _ => &[0.5, 0.3, 0.2],
    };
    found.into_iter().zip(shares.iter().copied()).collect()
}

fn favourites(catalogue: &Catalogue, tastes: &[(usize, f64)], rng: &mut SplitMix64) -> Vec<u32> {
    let wanted = 8 + rng.below(18) as usize;
    let mut found: Vec<u32> = Vec::with_capacity(wanted);
    for _ in 0..wanted {
        let artist = catalogue.genres[taste(tastes, rng)].draw(rng);
        if !found.contains(&artist) {
            found.push(artist);
        }
    }
    found
}

/// Draws one of the tastes.
pub(super) fn taste(tastes: &[(usize, f64)], rng: &mut SplitMix64) -> usize {
    let mut left = rng.uniform();
    for (genre, share) in tastes {
        left -= share;
        if left < 0.0 {
            return *genre;
        }
    }
    tastes[0].0
}

/// Up to three artists of other families.
fn blocked(
    catalogue: &Catalogue,
    tastes: &[(usize, f64)],
    favourites: &[u32],
    rng: &mut SplitMix64,
) -> Vec<u32> {
    let mut found = Vec::new();
    for _ in 0..rng.below(4) {
        let other = catalogue.by_genre.draw(rng);
        let liked = tastes.iter().any(|(genre, _)| family(*genre) == family(other));
        let artist = catalogue.genres[other].draw(rng);
        if !liked && !favourites.contains(&artist) && !found.contains(&artist) {
            found.push(artist);
        }
    }
    found
}

pub(super) fn user_id(number: u32) -> UserId {
    UserId::new(format!("u{number:06}")).expect("digits make an id")
}

/// What listener `number` told the service.
pub(super) fn user(catalogue: &Catalogue, number: u32) -> User {
    let listener = catalogue.listener(number);
    let mut rng = stream(catalogue.params.seed, Purpose::Listener, (2 << 40) + u64::from(number));
    let mut user = User::unknown(user_id(number));
    user.region = Some(region(listener.region));
    user.filter_explicit = listener.filter_explicit;
    user.registered_at = Some(listener.registered);
    if catalogue.plays_of(number) == 0 {
        return user;
    }
    user.blocked_artists = listener.blocked.iter().map(|&artist| artist_id(artist as usize)).collect();
    let follows = rng.below(7) as usize;
    user.followed_artists =
        listener.favourites.iter().take(follows).map(|&artist| artist_id(artist as usize)).collect();
    if chance(&mut rng, 0.05) {
        let disliked = catalogue.genres[catalogue.by_genre.draw(&mut rng)].draw(&mut rng);
        user.blocked_tracks = vec![track_id(catalogue.artists[disliked as usize].first_track as usize)];
    }
    if chance(&mut rng, 0.3) {
        let listeners = u64::from(catalogue.params.listeners);
        let mut friends: Vec<u32> = (0..1 + rng.below(5)).map(|_| rng.below(listeners) as u32).collect();
        friends.sort_unstable();
        friends.dedup();
        user.friends = friends.into_iter().filter(|&friend| friend != number).map(user_id).collect();
    }
    user.social_consent = chance(&mut rng, 0.5);
    if chance(&mut rng, 0.4) {
        user.onboarding_genres =
            listener.tastes.iter().map(|(number, _)| genre(*number).name.to_owned()).collect();
    }
    if chance(&mut rng, 0.6) {
        let bands = ["18-24", "25-34", "35-44", "45-54", "55+"];
        user.age_band = Some(bands[early(&mut rng, bands.len())].to_owned());
    }
    user
}

const _: () = assert!(GENRES_MAX <= 256, "a genre's number fits a byte");
