//! Tests of session re-ranking.
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use proptest::prelude::*;

use super::*;
use crate::pipeline::facts::HeardEvent;
use crate::pipeline::facts::samples::{track, track_of};
use crate::pipeline::profile::Mood;
use crate::types::{GenreKey, PlayAction, Timestamp};

fn rank<'a>(
    tracks: &'a [TrackFacts],
    bases: &[f64],
    audio: &UnitRows<'_>,
    listener: &Listener<'_>,
    gamma: f64,
) -> Vec<Candidate<'a>> {
    let mut candidates: Vec<Candidate<'a>> =
        tracks.iter().zip(bases).map(|(facts, &base)| Candidate::new(facts, Vec::new(), base)).collect();
    session_rank(&mut candidates, audio, listener, gamma);
    candidates
}

fn ids(candidates: &[Candidate<'_>]) -> Vec<u32> {
    candidates.iter().map(|candidate| candidate.track().ordinal.0).collect()
}

fn calm_session(plays: &[TrackFacts]) -> Session<'_> {
    let mood = Mood { energy: Some(0.2), ..Mood::default() };
    Session { plays: plays.iter().collect(), skips: Vec::new(), mood: Some(mood) }
}

#[test]
fn the_session_formula_is_the_specified_one() {
    let heard: Vec<TrackFacts> = (0..4).map(|i| track_of(100 + i, 50 + u64::from(i), &[], 0.2)).collect();
    let skipped = [track(200, 9)];
    let mut session = calm_session(&heard);
    session.skips = skipped.iter().collect();
    let mut skip_vectors = UnitRows::new(2);
    skip_vectors.push(Some(&[1.0, 0.0]));
    let (profile, moment) = (TasteProfile::default(), Moment::default());
    let listener =
        Listener { profile: &profile, session: &session, skip_vectors: &skip_vectors, moment: &moment };
    let fit = |facts: &TrackFacts, vector: Option<&[f32]>| {
        session_fit(facts, || UnitRows::from_iter([vector]).row(0), &listener)
    };
    let near = |a: f64, b: f64| (a - b).abs() < 1e-6;

    assert!(near(fit(&track_of(1, 1, &[], 0.8), None), 0.7), "0.5 · 0.6 of distance");
    assert!(near(fit(&track_of(1, 1, &[], 0.8), Some(&[0.8, 0.6])), 0.4), "cosine 0.8 to a skip");
    assert!(near(fit(&track_of(1, 1, &[], 0.8), Some(&[0.79, 0.613])), 0.7), "cosine 0.79 to a skip");
    assert!(near(fit(&track_of(1, 53, &[], 0.8), None), 0.8), "artist of the fourth newest play");
    assert!(near(fit(&track_of(1, 52, &[], 0.8), None), 0.7), "artist of the third newest play");
    assert_eq!(fit(&track_of(1, 53, &[], 0.2), None), 1.0, "clamped");
    assert_eq!(fit(&track(1, 1), None), 1.0, "an unknown energy is no distance");
}

#[test]
fn without_a_session_all_are_neutral() {
    let (profile, session, moment) = (TasteProfile::default(), Session::default(), Moment::default());
    let none = UnitRows::default();
    let listener = Listener { profile: &profile, session: &session, skip_vectors: &none, moment: &moment };
    let tracks = [track_of(1, 1, &[], 0.9)];
    let ranked = rank(&tracks, &[0.4], &none, &listener, 0.35);
    assert_eq!((ranked[0].session, ranked[0].context), (0.5, 0.5));
}

#[test]
fn one_skip_does_not_reorder_everything() {
    // The best track by far sounds like a skipped one. The textbook form, which drops the base, puts it last.
    let tracks: Vec<TrackFacts> = (0..3).map(|i| track(i, u64::from(i))).collect();
    let skipped = [track(9, 9)];
    let session = Session { skips: skipped.iter().collect(), ..Session::default() };
    let vectors: UnitRows =
        [Some(&[1.0, 0.0][..]), Some(&[0.0, 1.0]), Some(&[0.0, 1.0])].into_iter().collect();
    let skip_vectors: UnitRows = [Some(&[1.0, 0.0][..])].into_iter().collect();
    let (profile, moment) = (TasteProfile::default(), Moment::default());
    let listener =
        Listener { profile: &profile, session: &session, skip_vectors: &skip_vectors, moment: &moment };
    let bases = [0.9, 0.3, 0.2];
    assert_eq!(ids(&rank(&tracks, &bases, &vectors, &listener, 0.35)), [0, 1, 2]);
    assert_eq!(ids(&rank(&tracks, &bases, &vectors, &listener, 1.0)), [1, 2, 0], "the textbook form");
}

#[test]
fn skipping_energetic_tracks_brings_calmer_ones() {
    let tracks: Vec<TrackFacts> = (0..10).map(|i| track_of(i, u64::from(i), &[], i as f32 / 10.0)).collect();
    let vector = |energy: f32| [(energy * 2.0).cos(), (energy * 2.0).sin()];
    let vectors: Vec<[f32; 2]> = tracks.iter().map(|t| vector(t.audio.energy.unwrap())).collect();
    let rows: UnitRows = vectors.iter().map(|v| Some(&v[..])).collect();
    let skipped: Vec<TrackFacts> = (20..23).map(|i| track_of(i, 1, &[], 0.9)).collect();
    let events: Vec<HeardEvent<'_>> = skipped
        .iter()
        .map(|facts| HeardEvent { at: Timestamp(0), listened_ms: 2_000, action: PlayAction::Skip, facts })
        .collect();
    let (profile, moment) = (TasteProfile::default(), Moment::default());
    let mean_energy = |events: &[HeardEvent<'_>]| {
        let session = Session::from_history(events.iter().copied(), Timestamp(60_000));
        let skips: UnitRows = session.skips.iter().map(|_| Some(&vectors[9][..])).collect();
        let listener =
            Listener { profile: &profile, session: &session, skip_vectors: &skips, moment: &moment };
        let bases: Vec<f64> = (0..10).map(|i| 0.5 + f64::from(i) / 100.0).collect();
        let ranked = rank(&tracks, &bases, &rows, &listener, 0.35);
        ranked[..5].iter().map(|c| f64::from(c.facts.audio.energy.unwrap())).sum::<f64>() / 5.0
    };
    let (before, after) = (mean_energy(&[]), mean_energy(&events));
    assert!(after < before - 0.2, "before {before}, after {after}");
}

#[test]
fn context_follows_the_hour_and_the_activity() {
    let mut hours = [0.0; 24];
    (hours[8], hours[20]) = (0.5, 0.5);
    let profile = TasteProfile {
        genres: vec![(GenreKey(1), 0.5), (GenreKey(2), 0.5)],
        morning_genres: vec![(GenreKey(1), 1.0)],
        evening_genres: vec![(GenreKey(2), 1.0)],
        hours: Some(hours),
        weekdays: Some([1.0 / 7.0; 7]),
        ..TasteProfile::default()
    };
    let at = |hour, activity: Option<&str>| Moment {
        hour,
        activity: activity.map(str::to_owned),
        ..Moment::default()
    };
    let (morning_track, loud) = (track_of(1, 1, &[1], 0.2), track_of(2, 2, &[1], 0.95));
    let fit = |facts: &TrackFacts, moment: Moment| ContextFit::new(&profile, &moment).of(facts);
    assert_eq!(fit(&morning_track, at(8, None)), 1.0);
    assert_eq!(fit(&morning_track, at(20, None)), 0.0);
    assert_eq!(fit(&morning_track, at(3, None)), 0.75, "half as sure at an hour without plays");
    assert!(fit(&loud, at(8, Some("gym"))) > fit(&morning_track, at(8, Some("GYM"))) + 0.2);
    assert_eq!(fit(&track(3, 3), at(8, Some("juggling"))), 0.5, "nothing known");
}

#[test]
fn novelty_is_what_the_listener_does_not_play() {
    let profile =
        TasteProfile { genres: vec![(GenreKey(1), 0.7), (GenreKey(2), 0.3)], ..TasteProfile::default() };
    let of = |genres: &[u64]| novelty(&track_of(1, 1, genres, 0.5), &GenreShares::new(&profile.genres));
    assert!((of(&[1]) - 0.3).abs() < 1e-12 && of(&[1, 2]).abs() < 1e-12);
    assert_eq!((of(&[3]), of(&[])), (1.0, 0.5));
}

proptest! {
    #[test]
    fn gamma_0_is_base_order_and_gamma_1_the_textbook_order(
        rows in prop::collection::vec((0_u8..20, 0.0_f32..1.0, 0_u64..4, 0_u64..3), 1..40),
        mood in 0.0_f64..1.0,
    ) {
        let tracks: Vec<TrackFacts> = (0..)
            .zip(&rows)
            .map(|(id, &(_, energy, artist, genre))| track_of(id, artist, &[genre], energy))
            .collect();
        let bases: Vec<f64> = rows.iter().map(|row| f64::from(row.0) / 20.0).collect();
        let profile = TasteProfile { genres: vec![(GenreKey(1), 0.6)], ..TasteProfile::default() };
        let heard = [track(99, 1)];
        let session = Session {
            plays: heard.iter().collect(),
            skips: Vec::new(),
            mood: Some(Mood { energy: Some(mood), ..Mood::default() }),
        };
        let (none, moment) = (UnitRows::default(), Moment::default());
        let listener = Listener { profile: &profile, session: &session, skip_vectors: &none, moment: &moment };

        let mut by_base: Vec<usize> = (0..tracks.len()).collect();
        by_base.sort_by(|&a, &b| bases[b].total_cmp(&bases[a]).then(a.cmp(&b)));
        let ranked = rank(&tracks, &bases, &none, &listener, 0.0);
        prop_assert_eq!(ids(&ranked), by_base.iter().map(|&i| i as u32).collect::<Vec<_>>());
        prop_assert!(ranked.iter().all(|c| c.score == c.base));

        let textbook: Vec<f64> = tracks
            .iter()
            .map(|t| {
                let energy = f64::from(t.audio.energy.unwrap());
                let session = (1.0 - 0.5 * (energy - mood).abs()).clamp(0.0, 1.0);
                let share = if t.genres[0].0 == GenreKey(1) { 0.6 } else { 0.0 };
                0.5 * session + 0.3 * ContextFit::new(&profile, &moment).of(t) + 0.2 * (1.0 - share)
            })
            .collect();
        let mut by_textbook: Vec<usize> = (0..tracks.len()).collect();
        by_textbook.sort_by(|&a, &b| textbook[b].total_cmp(&textbook[a]).then(a.cmp(&b)));
        let ranked = rank(&tracks, &bases, &none, &listener, 1.0);
        prop_assert_eq!(ids(&ranked), by_textbook.iter().map(|&i| i as u32).collect::<Vec<_>>());
    }
}
