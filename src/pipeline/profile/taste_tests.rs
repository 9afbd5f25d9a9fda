//! Tests of the taste profile.
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use proptest::prelude::*;

use super::*;
use crate::pipeline::facts::TrackFacts;
use crate::pipeline::facts::samples::{track, track_of};
use crate::types::HOUR_MS;

fn now() -> Timestamp {
    "2026-11-01T00:00:00Z".parse().unwrap()
}

fn play(facts: &TrackFacts, hours_ago: i64) -> HeardEvent<'_> {
    HeardEvent {
        at: Timestamp(now().0 - hours_ago * HOUR_MS),
        listened_ms: 210_000,
        action: PlayAction::Play,
        facts,
    }
}

fn profile<'a>(events: impl IntoIterator<Item = HeardEvent<'a>>) -> TasteProfile {
    TasteProfile::from_history(events, &ProfileContext::at(now(), 100))
}

#[test]
fn an_empty_history_gives_an_empty_profile() {
    assert_eq!(profile([]), TasteProfile::default());
}

#[test]
fn genres_are_shares_of_recency_and_halve_in_a_half_life() {
    let (rock, jazz) = (track_of(1, 1, &[10], 0.5), track_of(2, 2, &[20], 0.5));
    let mut context = ProfileContext::at(now(), 100);
    context.half_life_days = 10.0;
    let genres = TasteProfile::from_history([play(&rock, 0), play(&jazz, 240)], &context).genres;
    assert_eq!(genres.len(), 2);
    assert_eq!(genres[0].0, GenreKey(10));
    assert!((genres[0].1 - 2.0 / 3.0).abs() < 1e-12 && (genres[1].1 - 1.0 / 3.0).abs() < 1e-12);
}

#[test]
fn diversity_is_over_the_whole_taxonomy_and_absent_below_twenty_plays() {
    let (rock, jazz) = (track_of(1, 1, &[10], 0.5), track_of(2, 2, &[20], 0.5));
    let one_genre = profile((0..20).map(|_| play(&rock, 1)));
    assert_eq!(one_genre.diversity, Some(0.0), "over the observed genres it would be 0/0");
    let two = profile((0..20).map(|i| play(if i % 2 == 0 { &rock } else { &jazz }, 1)));
    let expected = 2.0_f64.ln() / 100.0_f64.ln();
    assert!((two.diversity.unwrap() - expected).abs() < 1e-12, "over the observed genres it would be 1");
    assert_eq!(profile((0..19).map(|_| play(&rock, 1))).diversity, None);
    assert_eq!(
        TasteProfile::from_history((0..20).map(|_| play(&rock, 1)), &ProfileContext::at(now(), 1)).diversity,
        None
    );
}

#[test]
fn ranges_are_means_with_their_spread() {
    let mut facts = track(1, 1);
    facts.audio.tempo = Some(120.0);
    facts.audio.energy = Some(0.9);
    facts.audio.acousticness = Some(1.0);
    facts.audio.valence = Some(0.25);
    let profile = profile([play(&facts, 1)]);
    assert_eq!(profile.tempo_bpm, Some((100.0, 140.0)));
    let (low, high) = profile.energy.unwrap();
    assert!((low - 0.7).abs() < 1e-6 && high == 1.0);
    assert_eq!(profile.acousticness.unwrap()[9], 1.0);
    assert_eq!((profile.valence, profile.danceability), (Some(0.25), None));
}

#[test]
fn times_of_day_are_the_listeners_own() {
    let facts = track_of(1, 1, &[7], 0.5);
    let mut context = ProfileContext::at(now(), 100);
    let at_20 = [play(&facts, 4)]; // 20:00 UTC on Saturday
    let utc = TasteProfile::from_history(at_20, &context);
    assert_eq!((utc.peak_hours.as_slice(), utc.weekdays.unwrap()[5]), (&[20][..], 1.0));
    assert_eq!((utc.evening_genres.len(), utc.morning_genres.len()), (1, 0));
    context.utc_offset_min = 600;
    let sydney = TasteProfile::from_history(at_20, &context);
    assert_eq!((sydney.peak_hours.as_slice(), sydney.weekdays.unwrap()[6]), (&[6][..], 1.0));
    assert_eq!((sydney.evening_genres.len(), sydney.morning_genres.len()), (0, 1));
}

#[test]
fn dislikes_old_events_and_the_future_are_not_taste() {
    let facts = track_of(1, 1, &[7], 0.5);
    let mut skip = play(&facts, 1);
    (skip.action, skip.listened_ms) = (PlayAction::Skip, 5_000);
    let profile = profile([skip, play(&facts, 91 * 24), play(&facts, -1)]);
    assert_eq!((profile.plays, profile.genres.len()), (0, 0));
    assert_eq!(profile.profile_age_days, Some(91.0));
}

#[test]
fn the_first_appearance_counts_from_registration() {
    let facts = track(1, 1);
    let mut context = ProfileContext::at(now(), 100);
    context.first_seen = Some(now().minus_days(200));
    assert_eq!(TasteProfile::from_history([play(&facts, 24)], &context).profile_age_days, Some(200.0));
}

proptest! {
    #[test]
    fn any_history_in_any_order_gives_one_profile_without_nan(
        rows in prop::collection::vec((0_u32..8, -50_i64..3_000, 0_u32..400_000, 0_u8..4, any::<f32>()), 0..60),
        offset in -840_i32..=840,
    ) {
        let tracks: Vec<TrackFacts> = rows
            .iter()
            .map(|&(id, .., wild)| {
                let mut facts = track_of(id, u64::from(id % 3), &[u64::from(id % 4)], wild);
                facts.genres.push((GenreKey(9), wild));
                facts.audio.tempo = Some(wild);
                facts.audio.acousticness = Some(wild);
                facts
            })
            .collect();
        let actions = [PlayAction::Play, PlayAction::Skip, PlayAction::Save, PlayAction::Repeat];
        let events: Vec<HeardEvent<'_>> = rows
            .iter()
            .zip(&tracks)
            .map(|(&(_, hours, listened_ms, action, _), facts)| HeardEvent {
                listened_ms,
                action: actions[usize::from(action)],
                ..play(facts, hours)
            })
            .collect();
        let context = ProfileContext { utc_offset_min: offset, ..ProfileContext::at(now(), 50) };
        let forward = TasteProfile::from_history(events.iter().copied(), &context);
        let text = format!("{forward:?}");
        prop_assert!(!text.contains("NaN"), "{}", text);
        if !forward.genres.is_empty() {
            prop_assert!((forward.genres.iter().map(|g| g.1).sum::<f64>() - 1.0).abs() < 1e-9);
        }
        prop_assert!(forward.diversity.is_none_or(|d| (0.0..=1.0).contains(&d)));
        if rows.iter().map(|row| (row.0, row.1, row.2, row.3)).collect::<std::collections::BTreeSet<_>>().len()
            == rows.len()
        {
            let backward = TasteProfile::from_history(events.iter().rev().copied(), &context);
            prop_assert_eq!(format!("{:?}", forward), format!("{:?}", backward));
        }
    }
}

/// `cargo test --release -p segue --lib -- --ignored --nocapture profile_speed`
#[test]
#[ignore = "a measurement, for the release profile"]
fn profile_speed() {
    let mut rng = crate::types::SplitMix64::new(1);
    let tracks: Vec<TrackFacts> =
        (0..500).map(|i| track_of(i, rng.below(300), &[rng.below(60), rng.below(60)], 0.5)).collect();
    for count in [1_000_i64, 10_000] {
        let events: Vec<HeardEvent<'_>> = (0..count)
            .map(|i| {
                let mut event = play(&tracks[rng.below(500) as usize], 0);
                event.at = Timestamp(now().0 - i * 700_000);
                event
            })
            .collect();
        let mut times = Vec::new();
        for _ in 0..101 {
            let start = std::time::Instant::now();
            assert_eq!(std::hint::black_box(profile(events.iter().copied())).plays, count as u32);
            times.push(start.elapsed());
        }
        times.sort_unstable();
        println!("profile of {count} events: median {:?}", times[50]);
    }
}
