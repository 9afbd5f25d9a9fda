//! What evaluation looks at in a finished list beyond hits: likeness of its tracks, energies, repeats.

use super::reader::Reader;
use super::recipe::Recipe;
use super::spaces::{audio, track_cf};
use super::vectors::UnitRows;
use crate::error::Result;
use crate::types::{GenerationId, Timestamp, TrackRef};

/// A list in numbers.
#[derive(Debug, Clone, Default)]
pub struct ListNumbers {
    /// Primary artists; a track without one counts as its own.
    pub artists: Vec<u64>,
    /// Mean `1 − (1 + cos)/2` over its pairs in the audio space, else the track space; absent when no pair has vectors.
    pub distance: Option<f64>,
    /// Energy, and the level the recipe's arc asks for at that place; tracks with known energy only.
    pub energies: Vec<(f64, f64)>,
    /// Tracks (all versions of their recordings count) heard inside the recipe's window at the time of the list.
    pub window_repeats: u64,
}

/// Looks at a list, first to last.
///
/// # Errors
/// Damaged files.
pub fn look(
    reader: &Reader<'_>,
    recipe: &Recipe,
    heard: impl Fn(TrackRef) -> Option<Timestamp>,
    as_of: Timestamp,
    list: &[TrackRef],
) -> Result<ListNumbers> {
    reader.expect(list.iter().copied())?;
    let mut numbers = ListNumbers { distance: distance(reader, list)?, ..ListNumbers::default() };
    let last_place = list.len().saturating_sub(1).max(1) as f64;
    for (place, &track) in list.iter().enumerate() {
        let hot = reader.hot(track)?;
        let own = u64::MAX - hot.key;
        numbers.artists.push(if hot.artist == 0 { own } else { hot.artist });
        if hot.energy.is_finite() {
            numbers
                .energies
                .push((f64::from(hot.energy), recipe.energy_arc.level(place as f64 / last_place)));
        }
        let mut last = None;
        reader.for_each_version(track, |version| last = last.max(heard(version)))?;
        let is_inside = |at: Timestamp| match recipe.heard {
            super::recipe::HeardWindow::Allowed => false,
            super::recipe::HeardWindow::Days(days) => at > as_of.minus_days(days.into()),
            super::recipe::HeardWindow::Ever => true,
        };
        numbers.window_repeats += u64::from(last.is_some_and(is_inside));
    }
    Ok(numbers)
}

fn distance(reader: &Reader<'_>, list: &[TrackRef]) -> Result<Option<f64>> {
    let audio = reader.unit_rows(&audio(), GenerationId::STATIC, list)?;
    let track = match reader.generation {
        Some(generation) => reader.unit_rows(&track_cf(), generation, list)?,
        None => UnitRows::default(),
    };
    let (mut sum, mut pairs) = (0.0, 0_u32);
    for a in 0..list.len() {
        for b in a + 1..list.len() {
            if let Some(cosine) = audio.cosine(a, b).or_else(|| track.cosine(a, b)) {
                sum += 1.0 - (1.0 + f64::from(cosine)) / 2.0;
                pairs += 1;
            }
        }
    }
    Ok((pairs > 0).then(|| sum / f64::from(pairs)))
}
