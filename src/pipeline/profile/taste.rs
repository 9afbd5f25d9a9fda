//! The taste profile.

use crate::pipeline::compatible::tempo;
use crate::pipeline::facts::{HeardEvent, finite};
use crate::pipeline::signals::{HALF_LIFE_DAYS, Signal, decay, decayed};
use crate::storage::track_shard::KeyMap;
use crate::types::{ArtistKey, GenreKey, PlayAction, Timestamp};

/// How far back a profile looks, in days.
pub const WINDOW_DAYS: i64 = 90;
/// The most events a profile is made of: the newest.
pub const WINDOW_EVENTS_MAX: usize = 10_000;
/// The most artists a profile names.
const ARTISTS_MAX: usize = 100;
/// Half the width of the tempo range, in beats a minute.
const TEMPO_SPREAD_BPM: f64 = 20.0;
/// Half the width of the energy range.
const ENERGY_SPREAD: f64 = 0.2;
/// Below so many plays diversity is not told.
const DIVERSITY_PLAYS_MIN: u32 = 20;

/// What a profile depends on besides the history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProfileContext {
    /// The time it is made for; later events do not count.
    pub as_of: Timestamp,
    /// Minutes to add to UTC for the listener's time of day.
    pub utc_offset_min: i32,
    /// The number of genres of the whole catalogue, heard or not.
    pub taxonomy_size: usize,
    /// Half-life of an event's weight.
    pub half_life_days: f64,
    /// When the listener first appeared, if before the events given (registration or first play).
    pub first_seen: Option<Timestamp>,
}

impl ProfileContext {
    /// UTC, the default half-life, nothing known of before.
    #[must_use]
    pub fn at(as_of: Timestamp, taxonomy_size: usize) -> Self {
        Self { as_of, utc_offset_min: 0, taxonomy_size, half_life_days: HALF_LIFE_DAYS, first_seen: None }
    }

    /// Hour and weekday (Monday = 0) of an instant where the listener is.
    #[must_use]
    pub fn local(&self, at: Timestamp) -> (u8, u8) {
        let local = Timestamp(at.0.saturating_add(i64::from(self.utc_offset_min) * 60_000));
        (local.hour(), local.weekday())
    }
}

/// What a listener likes, as far as the last 90 days tell. Dislikes (skips before 30 s) are not taste and count
/// nowhere. Lists are by falling weight, ties by key.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TasteProfile {
    /// Events it is made of.
    pub plays: u32,
    /// Share of each genre, summing to 1: confidence × recency.
    pub genres: Vec<(GenreKey, f64)>,
    /// The 100 artists with the largest share of interaction weight; all artists' shares sum to 1.
    pub artists: Vec<(ArtistKey, f64)>,
    /// Weighted mean ± 20, in beats a minute.
    pub tempo_bpm: Option<(f64, f64)>,
    /// Weighted mean ± 0.2 within 0..=1.
    pub energy: Option<(f64, f64)>,
    /// Weighted mean, 0 to 1.
    pub valence: Option<f64>,
    /// Weighted mean, 0 to 1.
    pub danceability: Option<f64>,
    /// Share of plays in each tenth of acousticness, summing to 1.
    pub acousticness: Option<[f64; 10]>,
    /// Share of plays in each local hour, summing to 1.
    pub hours: Option<[f64; 24]>,
    /// Share of plays on each local weekday (Monday first), summing to 1.
    pub weekdays: Option<[f64; 7]>,
    /// Up to three local hours with the most plays, busiest first, ties by hour.
    pub peak_hours: Vec<u8>,
    /// [`TasteProfile::genres`] of plays from 05:00 to 12:00.
    pub morning_genres: Vec<(GenreKey, f64)>,
    /// [`TasteProfile::genres`] of plays from 18:00 to 24:00.
    pub evening_genres: Vec<(GenreKey, f64)>,
    /// Days since the listener first appeared.
    pub profile_age_days: Option<f64>,
    /// Entropy of the genres over `ln` of the size of the **whole** taxonomy, 0 to 1; absent below 20 plays.
    pub diversity: Option<f64>,
}

impl TasteProfile {
    /// Makes the profile of a history in any order. Cost: one pass over at most 10,000 events.
    #[must_use]
    pub fn from_history<'a>(
        events: impl IntoIterator<Item = HeardEvent<'a>>,
        context: &ProfileContext,
    ) -> Self {
        let oldest = context.as_of.minus_days(WINDOW_DAYS);
        let mut first_seen = context.first_seen.filter(|&at| at <= context.as_of);
        let mut events: Vec<HeardEvent<'a>> = events
            .into_iter()
            .filter(|event| event.at <= context.as_of)
            .inspect(|event| first_seen = Some(first_seen.map_or(event.at, |first| first.min(event.at))))
            .filter(|event| event.at >= oldest)
            .collect();
        // The order of the history decides sums of floats, so it is made the same whatever order it came in.
        events.sort_by_key(|event| std::cmp::Reverse(order_of(event)));
        events.truncate(WINDOW_EVENTS_MAX);

        let mut sums = Sums::default();
        events.iter().for_each(|event| sums.add(event, context));
        let age = first_seen.map(|first| context.as_of.days_since(first));
        sums.finish(context.taxonomy_size, age)
    }

    /// Share of the listener's plays in a genre, 0 to 1.
    #[must_use]
    pub fn genre_share(&self, genre: GenreKey) -> f64 {
        self.genres.iter().find(|(key, _)| *key == genre).map_or(0.0, |(_, share)| *share)
    }
}

fn order_of(event: &HeardEvent<'_>) -> (Timestamp, u64, PlayAction, u32) {
    (event.at, event.facts.key, event.action, event.listened_ms)
}

#[derive(Default)]
struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    fn add(&mut self, value: Option<f64>, weight: f64) {
        if let Some(value) = value {
            self.sum += value * weight;
            self.weight += weight;
        }
    }

    fn value(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

#[derive(Default)]
struct Sums {
    plays: u32,
    /// By genre: of all the day, the morning, the evening; 0 where nothing was heard.
    genres: KeyMap<[f64; 3]>,
    artists: KeyMap<f64>,
    tempo: Mean,
    energy: Mean,
    valence: Mean,
    danceability: Mean,
    acousticness: [f64; 10],
    hours: [f64; 24],
    weekdays: [f64; 7],
}

impl Sums {
    fn add(&mut self, event: &HeardEvent<'_>, context: &ProfileContext) {
        let (facts, age_days) = (event.facts, context.as_of.days_since(event.at));
        let recency = decay(age_days, context.half_life_days);
        let signal = decayed(event.action, event.listened_ms, facts.duration_ms, recency);
        let Signal::Like(weight) = signal else { return };
        let (hour, weekday) = context.local(event.at);

        self.plays += 1;
        self.hours[usize::from(hour)] += 1.0;
        self.weekdays[usize::from(weekday)] += 1.0;
        for &(genre, confidence) in &facts.genres {
            let part = f64::from(confidence) * recency;
            if !(part.is_finite() && part > 0.0) {
                continue;
            }
            let [all, morning, evening] = self.genres.entry(genre.0).or_default();
            *all += part;
            match hour {
                5..12 => *morning += part,
                18..24 => *evening += part,
                _ => {}
            }
        }
        for &artist in &facts.artists {
            *self.artists.entry(artist.0).or_default() += weight;
        }
        self.tempo.add(tempo(&facts.audio), weight);
        self.energy.add(finite(facts.audio.energy), weight);
        self.valence.add(finite(facts.audio.valence), weight);
        self.danceability.add(finite(facts.audio.danceability), weight);
        if let Some(value) = finite(facts.audio.acousticness) {
            self.acousticness[((value * 10.0).max(0.0) as usize).min(9)] += 1.0;
        }
    }

    fn finish(self, taxonomy_size: usize, profile_age_days: Option<f64>) -> TasteProfile {
        let of_time = |time: usize| {
            let weights = self.genres.iter().map(|(genre, sums)| (GenreKey(*genre), sums[time]));
            shares(weights.filter(|(_, weight)| *weight > 0.0).collect())
        };
        let genres = of_time(0);
        let diversity = diversity(&genres, taxonomy_size).filter(|_| self.plays >= DIVERSITY_PLAYS_MIN);
        let artists = self.artists.iter().map(|(artist, weight)| (ArtistKey(*artist), *weight));
        let mut artists = shares(artists.collect());
        artists.truncate(ARTISTS_MAX);
        let mut peak_hours: Vec<u8> =
            (0..24_u8).filter(|&hour| self.hours[usize::from(hour)] > 0.0).collect();
        peak_hours.sort_by(|&a, &b| self.hours[usize::from(b)].total_cmp(&self.hours[usize::from(a)]));
        peak_hours.truncate(3);
        TasteProfile {
            plays: self.plays,
            genres,
            artists,
            tempo_bpm: self.tempo.value().map(|mean| (mean - TEMPO_SPREAD_BPM, mean + TEMPO_SPREAD_BPM)),
            energy: self
                .energy
                .value()
                .map(|mean| ((mean - ENERGY_SPREAD).max(0.0), (mean + ENERGY_SPREAD).min(1.0))),
            valence: self.valence.value(),
            danceability: self.danceability.value(),
            acousticness: histogram(self.acousticness),
            hours: histogram(self.hours),
            weekdays: histogram(self.weekdays),
            peak_hours,
            morning_genres: of_time(1),
            evening_genres: of_time(2),
            profile_age_days,
            diversity,
        }
    }
}

/// Weights scaled to sum to 1, largest first, ties by key; empty when there is no weight.
fn shares<K: Copy + Ord>(mut shares: Vec<(K, f64)>) -> Vec<(K, f64)> {
    // Weights come in any order, and the order of a sum decides its last bits.
    shares.sort_unstable_by_key(|(key, _)| *key);
    let total: f64 = shares.iter().map(|(_, weight)| weight).sum();
    if total <= 0.0 {
        return Vec::new();
    }
    shares.iter_mut().for_each(|(_, weight)| *weight /= total);
    shares.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    shares
}

fn histogram<const N: usize>(counts: [f64; N]) -> Option<[f64; N]> {
    let total: f64 = counts.iter().sum();
    (total > 0.0).then(|| counts.map(|count| count / total))
}

/// Entropy over `ln|G|` of the whole taxonomy. Dividing by the genres heard instead would be 0/0 for one genre and
/// call a listener of two neighbouring genres as diverse as can be.
fn diversity(shares: &[(GenreKey, f64)], taxonomy_size: usize) -> Option<f64> {
    let genres = taxonomy_size.max(shares.len());
    if shares.is_empty() || genres < 2 {
        return None;
    }
    let entropy: f64 = shares.iter().filter(|(_, p)| *p > 0.0).map(|(_, p)| -p * p.ln()).sum();
    Some((entropy / (genres as f64).ln()).clamp(0.0, 1.0))
}

#[cfg(test)]
#[path = "taste_tests.rs"]
mod tests;
