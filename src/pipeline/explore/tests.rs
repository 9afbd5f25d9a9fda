//! Tests of exploration: rate, places, choice.

use proptest::prelude::*;

use super::*;
use crate::pipeline::facts::TrackFacts;
use crate::pipeline::facts::samples::track;
use crate::pipeline::recipe::Source;
use crate::types::AlbumKey;

#[test]
fn the_factors_are_those_of_the_table_and_clamped() {
    let rate = |base, factors| exploration_rate(base, &factors);
    let none = ExplorationFactors::default();
    let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
    assert_eq!(rate(0.2, none), 0.2);
    assert!(near(rate(0.2, ExplorationFactors { profile_age_days: Some(29.9), ..none }), 0.26));
    assert!(near(rate(0.2, ExplorationFactors { profile_age_days: Some(30.0), ..none }), 0.2));
    assert!(near(
        rate(0.2, ExplorationFactors { popularity_only: true, profile_age_days: Some(0.0), ..none }),
        0.26
    ));
    assert!(near(rate(0.2, ExplorationFactors { diversity: Some(0.71), ..none }), 0.24));
    assert!(near(rate(0.2, ExplorationFactors { diversity: Some(0.29), ..none }), 0.14));
    assert!(near(rate(0.2, ExplorationFactors { success: Some((4, 10)), ..none }), 0.22));
    assert!(near(rate(0.2, ExplorationFactors { success: Some((0, 10)), ..none }), 0.16));
    assert_eq!(rate(0.2, ExplorationFactors { success: Some((0, 9)), ..none }), 0.2, "too few to tell");
    assert_eq!(rate(0.08, ExplorationFactors { diversity: Some(0.1), success: Some((0, 50)), ..none }), 0.05);
    assert_eq!(rate(0.45, ExplorationFactors { profile_age_days: Some(1.0), ..none }), 0.5);
    assert_eq!(rate(0.0, ExplorationFactors { popularity_only: true, ..none }), 0.0, "off is off");
}

#[test]
fn naive_counts_and_places_miss_the_rate() {
    assert_eq!((10.0_f64 * 0.08).floor(), 0.0, "rounding down never explores radio");
    let mean = (0..1_000).map(|seed| exploration_count(0.08, 10, seed)).sum::<usize>() as f64 / 1_000.0;
    assert!((mean - 0.8).abs() < 0.05, "{mean}");
    assert_eq!((3..30).step_by(4).count(), 7, "every fourth slot from 3 on serves 23 %");
    let counts: Vec<usize> = (0..1_000).map(|seed| exploration_count(0.45, 30, seed)).collect();
    assert!(counts.iter().all(|count| (13..=14).contains(count)));
}

#[test]
fn very_short_lists_do_not_explore() {
    for n in 0..=3 {
        assert_eq!(exploration_count(0.5, n, 1), 0);
        assert_eq!(place(n, 3, 1), vec![false; n]);
    }
    assert!((0..100).all(|seed| exploration_count(0.5, 4, seed) <= 1));
}

#[test]
fn slots_are_spread_and_every_open_slot_gets_its_turn() {
    let mut served = [0_u32; 30];
    for seed in 0..3_000 {
        let slots = place(30, 9, seed);
        let at: Vec<usize> = (0..30).filter(|&slot| slots[slot]).collect();
        assert!(at.windows(2).all(|pair| pair[1] - pair[0] == 3), "{at:?}");
        at.iter().for_each(|&slot| served[slot] += 1);
    }
    assert!(served[3..].iter().all(|&count| count > 800), "{served:?}");
}

#[test]
fn lists_that_are_not_sequenced_keep_order_and_slots() {
    let slots = [false, false, false, true, false, true];
    assert_eq!(fill_slots(&[1, 2, 3, 4], &[-1, -2], &slots), [1, 2, 3, -1, 4, -2]);
    assert_eq!(fill_slots(&[1, 2, 3, 4, 5], &[-1], &slots), [1, 2, 3, -1, 4, 5]);
    assert_eq!(fill_slots(&[1, 2], &[-1, -2, -3], &slots), [1, 2, -1, -2, -3]);
}

fn pool(tracks: &[TrackFacts]) -> Vec<PoolTrack<'_>> {
    let arm = Arm { source: Source::Audio, genre_cluster: 0 };
    tracks.iter().zip(0..).map(|(facts, value)| PoolTrack { facts, arm, value: f64::from(value) }).collect()
}

#[test]
fn propensities_are_the_frequencies_of_the_draws() {
    let tracks: Vec<TrackFacts> = (0..6).map(|i| track(i, u64::from(i))).collect();
    let pool = pool(&tracks);
    let policy = ChoicePolicy::default();
    let (mut counts, mut propensity) = ([0_u32; 6], [0.0; 6]);
    let draws = 20_000;
    for seed in 0..draws {
        let chosen = choose(&pool, 1, &policy, seed)[0];
        counts[chosen.row] += 1;
        propensity[chosen.row] = chosen.propensity;
    }
    assert!((propensity.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{propensity:?}");
    let chi_squared: f64 = counts
        .iter()
        .zip(propensity)
        .map(|(&count, p)| (f64::from(count) - p * draws as f64).powi(2) / (p * draws as f64))
        .sum();
    assert!(chi_squared < 20.5, "99.9 % quantile for 5 degrees of freedom: {chi_squared}");
    assert!(propensity[0] >= 0.1 / 6.0, "every track keeps a chance");
}

#[test]
fn one_artist_and_one_recording_do_not_fill_the_choice() {
    let mut tracks: Vec<TrackFacts> = (0..6).map(|i| track(i, u64::from(i / 3))).collect();
    tracks[5].recording = tracks[4].recording;
    let pool = pool(&tracks);
    for seed in 0..50 {
        let two = choose(&pool, 2, &ChoicePolicy::default(), seed);
        let artists: Vec<u64> = two.iter().map(|c| tracks[c.row].artists[0].0).collect();
        assert_ne!(artists[0], artists[1]);
        assert_eq!(choose(&pool, 6, &ChoicePolicy::default(), seed).len(), 5, "five recordings");
    }
}

/// Albums of several artists, as compilations are: no artist's cap holds there.
#[test]
fn an_album_is_drawn_from_as_often_as_its_cap_allows_and_more_only_when_nothing_else_is_left() {
    let album = |i: u64| Some(AlbumKey(1 + i / 4));
    let tracks: Vec<TrackFacts> =
        (0..8).map(|i| TrackFacts { album: album(i), ..track(i as u32, i) }).collect();
    let pool = pool(&tracks);
    let policy = ChoicePolicy { caps: DrawCaps { artist: 2, album: 2 }, ..ChoicePolicy::default() };
    let reward = |_: Arm| (0.5, 0.1);
    for seed in 0..200 {
        for drawn in [choose(&pool, 6, &policy, seed), choose_by_arm(&pool, 6, &policy, &reward, seed)] {
            let of_first =
                |count: usize| drawn[..count].iter().filter(|one| tracks[one.row].album == album(0)).count();
            assert_eq!((drawn.len(), of_first(4)), (6, 2), "two of each album, then any");
        }
    }
}

proptest! {
    #[test]
    fn any_rate_and_pool_is_served_without_panic(
        seed in any::<u64>(),
        rate in 0.0_f64..=0.5,
        n in 0_usize..120,
        values in prop::collection::vec(any::<f64>(), 0..40),
        epsilon in 0.0_f64..=1.0,
        temperature in 0.0_f64..3.0,
    ) {
        let count = exploration_count(rate, n, seed);
        let slots = place(n, count, seed);
        prop_assert_eq!(slots.iter().filter(|&&slot| slot).count(), count);
        prop_assert!(slots.iter().take(3).all(|&slot| !slot));
        let tracks: Vec<TrackFacts> = (0..values.len()).map(|i| track(i as u32, i as u64 % 5)).collect();
        let mut pool = pool(&tracks);
        pool.iter_mut().zip(&values).for_each(|(track, &value)| track.value = value);
        let policy = ChoicePolicy { epsilon, temperature, caps: DrawCaps { artist: 1, album: 1 } };
        let chosen = choose(&pool, count, &policy, seed);
        prop_assert_eq!(chosen.len(), count.min(values.len()));
        prop_assert!(chosen.iter().all(|c| c.propensity > 0.0 && c.propensity <= 1.0));
        let rows: std::collections::BTreeSet<usize> = chosen.iter().map(|c| c.row).collect();
        prop_assert_eq!(rows.len(), chosen.len());
    }
}
