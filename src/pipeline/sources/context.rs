//! Context: what fits hour, weekday, device and activity: genres of this time of day × popularity × what the arm has
//! brought in (PIPELINE.md §3).

use std::collections::BTreeMap;

use super::shelf::shelf;
use super::trending::most_popular;
use super::{Note, Retrieved, SourceRequest, depth, may_show, sort_hits};
use crate::error::Result;
use crate::pipeline::explore::{Arm, context};
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::{Source, SourceSpec};
use crate::pipeline::retrieve::AllowedTracks;
use crate::pipeline::session_rank::{energy_fit, target_energy};
use crate::types::{GenreKey, TrackRef};

/// Genres looked at, those that fit best.
const GENRES_MAX: usize = 12;
/// Energy fits below this are no fit.
const FIT_MIN: f64 = 0.6;
/// Popularity of a track of which it is unknown.
const POPULARITY_UNKNOWN: f64 = 10.0;

/// Up to `depth` tracks, best first. For a listener of whom nothing is known: what everybody hears at this hour; before
/// the first pass over all listeners: what is popular, and fits the activity.
///
/// # Errors
/// Damaged files.
pub(super) fn context_tracks(
    reader: &Reader<'_>,
    request: &SourceRequest<'_>,
    spec: &SourceSpec,
    allowed: &[AllowedTracks],
    retrieved: &mut Retrieved,
) -> Result<Vec<(TrackRef, f64)>> {
    let genres = genres_now(reader, request);
    let target = target_energy(request.moment);
    let fit = |track: TrackRef| -> Result<f64> {
        let Some(target) = target else { return Ok(1.0) };
        let energy = f64::from(reader.hot(track)?.energy);
        Ok(if energy.is_finite() { energy_fit(energy, target) } else { FIT_MIN })
    };
    let is_allowed = may_show(reader, allowed);
    // With the place of the genre; none of what is popular.
    let mut offers: Vec<(TrackRef, f64, usize)> = Vec::with_capacity(genres.len() * depth(spec).div_ceil(2));
    for (place, &(genre, weight)) in genres.iter().enumerate() {
        let mut kept = 0;
        let shelf = shelf(reader, genre)?;
        if target.is_some() {
            reader.expect(shelf.iter().map(|(track, _)| *track))?;
        }
        for &(track, popularity) in shelf.iter() {
            if kept >= depth(spec).div_ceil(2) {
                break;
            }
            let fit = fit(track)?;
            if fit < FIT_MIN || !is_allowed(track) {
                continue;
            }
            kept += 1;
            let score = weight * fit * f64::from(popularity).max(POPULARITY_UNKNOWN) / 100.0;
            offers.push((track, score, place));
        }
    }
    if offers.is_empty() {
        let popular = most_popular(reader, 4 * depth(spec), allowed)?;
        for (track, popularity) in popular {
            let fit = fit(track)?;
            if fit >= FIT_MIN {
                offers.push((track, fit * popularity / 100.0, usize::MAX));
            }
        }
    }
    // Of equal scores of one track the first genre's counts.
    offers.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2)));
    offers.dedup_by_key(|(track, ..)| *track);
    let mut found: Vec<(TrackRef, f64)> = offers.iter().map(|(track, score, _)| (*track, *score)).collect();
    sort_hits(reader, &mut found)?;
    found.truncate(depth(spec));
    for (track, _) in &found {
        if let Ok(at) = offers.binary_search_by_key(track, |(offered, ..)| *offered) {
            let note = match genres.get(offers[at].2) {
                _ if target.is_some() => Note::Activity,
                Some((genre, _)) => Note::Hour(*genre),
                None => Note::Popular,
            };
            retrieved.notes.push((Source::Context, *track, note));
        }
    }
    Ok(found)
}

/// Genres that fit the moment, 1 for the first, best first: the listener's genres of this time of day (everybody's when
/// they have none), by how much more they are heard at this hour and weekday, and by what their arm has brought in.
fn genres_now(reader: &Reader<'_>, request: &SourceRequest<'_>) -> Vec<(GenreKey, f64)> {
    let (profile, statistics) = (&request.listener.profile, &reader.statistics);
    let moment = request.moment;
    let of_the_hour = match moment.hour {
        5..12 => &profile.morning_genres,
        18..24 => &profile.evening_genres,
        _ => &profile.genres,
    };
    let own = if of_the_hour.is_empty() { &profile.genres } else { of_the_hour };
    let alive = statistics.are_alive(request.as_of);
    let mut weights: Vec<(GenreKey, f64)> = if own.is_empty() && alive {
        let all = statistics.listeners as f64;
        statistics.genres.iter().map(|genre| (genre.genre, f64::from(genre.listeners) / all)).collect()
    } else {
        own.clone()
    };
    let (hour, weekday) = (request.as_of.hour(), request.as_of.weekday());
    let x = context(u64::from(request.listener.plays), hour, weekday);
    if alive {
        let mut values: BTreeMap<u16, f64> = BTreeMap::new();
        for (key, weight) in &mut weights {
            let Some(genre) = statistics.genre(*key) else { continue };
            let time = genre.hours[usize::from(hour)] * genre.weekdays[usize::from(weekday)];
            let arm = Arm { source: Source::Context, genre_cluster: genre.cluster };
            let of_arm = || statistics.arm(arm, request.as_of).posterior().reward(&x).0;
            let value = *values.entry(genre.cluster).or_insert_with(of_arm);
            *weight *= f64::from(time) * value.max(0.05);
        }
    }
    weights.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    weights.truncate(GENRES_MAX);
    let first = weights.first().map_or(1.0, |(_, weight)| *weight).max(f64::MIN_POSITIVE);
    weights.iter_mut().for_each(|(_, weight)| *weight = (*weight / first).sqrt());
    weights
}
