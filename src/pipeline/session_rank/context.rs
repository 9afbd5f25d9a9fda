//! How well a track fits hour, weekday, device and activity.

use crate::pipeline::facts::{TrackFacts, finite};
use crate::pipeline::profile::TasteProfile;
use crate::storage::track_shard::KeyMap;
use crate::types::GenreKey;

/// When and how the listener listens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Moment {
    /// Local hour, 0 to 23.
    pub hour: u8,
    /// Local weekday, Monday = 0.
    pub weekday: u8,
    /// For example `phone`, `speaker`, `car`.
    pub device: Option<String>,
    /// For example `gym`, `focus`, `sleep`.
    pub activity: Option<String>,
}

/// Activities and the energy that goes with them.
const ACTIVITIES: [(&str, f64); 14] = [
    ("gym", 0.9),
    ("workout", 0.9),
    ("run", 0.85),
    ("running", 0.85),
    ("party", 0.85),
    ("commute", 0.6),
    ("driving", 0.6),
    ("cooking", 0.55),
    ("work", 0.45),
    ("focus", 0.35),
    ("study", 0.3),
    ("relax", 0.3),
    ("meditation", 0.1),
    ("sleep", 0.1),
];
/// Devices that say something about energy: what is heard in a car or from a speaker in the room.
const DEVICES: [(&str, f64); 2] = [("car", 0.65), ("speaker", 0.5)];

/// The moment against one listener's profile: what every candidate is held against.
#[derive(Debug, Clone)]
pub struct ContextFit {
    /// Energies that go with the activity and with the device, where one is named that says something.
    targets: [Option<f64>; 2],
    /// Shares of the genres of this time of day (morning, evening, else all day).
    genres: GenreShares,
    /// The share of the genre heard most then.
    favourite: Option<f64>,
    /// How much is known of this hour and weekday, 0 to 1.
    sure: f64,
}

impl ContextFit {
    /// Looks up what does not depend on a track.
    #[must_use]
    pub fn new(profile: &TasteProfile, moment: &Moment) -> Self {
        let of_the_hour: &[(GenreKey, f64)] = match moment.hour {
            5..12 => &profile.morning_genres,
            18..24 => &profile.evening_genres,
            _ => &profile.genres,
        };
        let genres = if of_the_hour.is_empty() { &profile.genres } else { of_the_hour };
        let share = |shares: Option<f64>, count: f64| shares.map_or(0.0, |share| (share * count).min(1.0));
        let hour = profile.hours.and_then(|hours| hours.get(usize::from(moment.hour)).copied());
        let weekday = profile.weekdays.and_then(|days| days.get(usize::from(moment.weekday)).copied());
        Self {
            targets: [target(&ACTIVITIES, &moment.activity), target(&DEVICES, &moment.device)],
            favourite: genres.first().map(|(_, share)| *share),
            genres: GenreShares::new(genres),
            sure: (share(hour, 24.0) + share(weekday, 7.0)) / 2.0,
        }
    }

    /// Mean of what can be told, each 0 to 1: the fit of the genres to this time of day, of the energy to the activity,
    /// and of the energy to the device. 0.5 when nothing can be told. Unknown words say nothing.
    #[must_use]
    pub fn of(&self, facts: &TrackFacts) -> f64 {
        let energy = finite(facts.audio.energy);
        let of_energy = |target: Option<f64>| Some(energy_fit(energy?, target?));
        let parts = [self.time_fit(facts), of_energy(self.targets[0]), of_energy(self.targets[1])];
        let known = parts.iter().flatten().count();
        if known == 0 { 0.5 } else { parts.iter().flatten().sum::<f64>() / known as f64 }
    }

    /// The track's genres against the listener's genres of this time of day, 1 = the one they hear most. Pulled towards
    /// 0.5 at hours and weekdays at which the listener hardly listens, since little is known of them then.
    fn time_fit(&self, facts: &TrackFacts) -> Option<f64> {
        let favourite = self.favourite?;
        let fit = |&(genre, confidence): &(GenreKey, f32)| {
            f64::from(confidence).clamp(0.0, 1.0) * self.genres.of(genre) / favourite
        };
        let best = facts.genres.iter().map(fit).reduce(f64::max)?;
        Some(0.5 + (best - 0.5) * self.sure)
    }
}

/// Shares of genres, found by key.
#[derive(Debug, Clone)]
pub(super) struct GenreShares(KeyMap<f64>);

impl GenreShares {
    pub(super) fn new(shares: &[(GenreKey, f64)]) -> Self {
        Self(shares.iter().map(|(genre, share)| (genre.0, *share)).collect())
    }

    /// The share of a genre; 0 of one that is not there.
    pub(super) fn of(&self, genre: GenreKey) -> f64 {
        self.0.get(&genre.0).copied().unwrap_or(0.0)
    }
}

/// The target a table has for a word.
fn target(table: &[(&str, f64)], word: &Option<String>) -> Option<f64> {
    let word = word.as_deref()?;
    table.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, target)| *target)
}

/// The energy that goes with the activity, else with the device, 0 to 1; absent when neither tells.
#[must_use]
pub fn target_energy(moment: &Moment) -> Option<f64> {
    target(&ACTIVITIES, &moment.activity).or_else(|| target(&DEVICES, &moment.device))
}

/// 1 at the target, falling linearly to 0 at the far end of the scale.
#[must_use]
pub fn energy_fit(energy: f64, target: f64) -> f64 {
    (1.0 - (energy - target).abs() / target.max(1.0 - target)).clamp(0.0, 1.0)
}
