//! The share of explored places, through everything a request does for it: rate, count, choice, places.

use rayon::prelude::*;

use super::*;
use crate::pipeline::facts::TrackFacts;
use crate::pipeline::facts::samples::track;
use crate::pipeline::recipe::{Recipe, Source, built_in, request_seed};

const REQUESTS: usize = 10_000;

/// The rates of PIPELINE.md §1; every other surface has the last one.
const RATES: [(&str, f64); 7] = [
    ("radio", 0.08),
    ("top_mixes", 0.125),
    ("daily_mix", 0.25),
    ("discover_weekly", 0.45),
    ("release_radar", 0.10),
    ("made_for_you", 0.25),
    ("default", 0.20),
];

/// Whether each place of a request's list explores. The pool has two arms and more tracks than any list explores; even
/// requests choose by arm, odd ones do not.
fn explored_places(recipe: &Recipe, pool: &[PoolTrack<'_>], n: usize, request: usize) -> Vec<bool> {
    let seed = request_seed(&format!("request {request}"), &recipe.reference());
    let rate = exploration_rate(recipe.exploration_rate, &ExplorationFactors::default());
    let count = exploration_count(rate, n, seed);
    let caps = DrawCaps { artist: recipe.artist_cap, album: recipe.album_cap };
    let policy = ChoicePolicy { caps, ..ChoicePolicy::default() };
    let reward = |arm: Arm| if arm.source == Source::Audio { (0.5, 0.2) } else { (0.4, 0.3) };
    let drawn = if request.is_multiple_of(2) {
        choose_by_arm(pool, count, &policy, &reward, seed)
    } else {
        choose(pool, count, &policy, seed)
    };
    let explored: Vec<Option<usize>> = drawn.iter().map(|chosen| Some(chosen.row)).collect();
    let others = vec![None; n - explored.len()];
    let list = fill_slots(&others, &explored, &place(n, explored.len(), seed));
    assert_eq!(list.len(), n);
    list.iter().map(Option::is_some).collect()
}

/// Goal: over 10,000 requests the explored share of the whole list is the rate, for every surface and length, and the
/// first three places never explore.
///
/// A count is a rounding to one of two neighbours, so its variance is at most 1/4, and a mean of 10,000 has a standard
/// deviation of at most 0.005 places: the bound is five of them, a quarter of a percentage point of a list of ten.
#[test]
fn the_explored_share_of_whole_lists_is_the_rate_for_every_surface_and_length() {
    let facts: Vec<TrackFacts> = (0..48).map(|i| track(i, u64::from(i / 2))).collect();
    let arm = |row: usize| {
        let source = if row.is_multiple_of(3) { Source::Audio } else { Source::GenreExploration };
        Arm { source, genre_cluster: 1 }
    };
    let rows = facts.iter().enumerate();
    let pool: Vec<PoolTrack<'_>> =
        rows.map(|(row, facts)| PoolTrack { facts, arm: arm(row), value: (row % 7) as f64 }).collect();
    let cases: Vec<(Recipe, f64, usize)> = built_in()
        .into_iter()
        .filter_map(|recipe| {
            let rate = RATES.iter().find(|(name, _)| *name == recipe.name)?.1;
            Some([10, 20, 30, 50].map(|n| (recipe.clone(), rate, n)))
        })
        .flatten()
        .collect();
    assert_eq!(cases.len(), 4 * RATES.len(), "every surface has its recipe");
    cases.par_iter().for_each(|(recipe, rate, n)| {
        let (mut explored, mut first_three) = (0, 0);
        for request in 0..REQUESTS {
            let places = explored_places(recipe, &pool, *n, request);
            explored += places.iter().filter(|explores| **explores).count();
            first_three += places[..SAFE_SLOTS].iter().filter(|explores| **explores).count();
        }
        let (a_list, name) = (explored as f64 / REQUESTS as f64, &recipe.name);
        assert!((a_list - rate * *n as f64).abs() < 0.025, "{name}, n {n}: {a_list} places a list");
        let share = a_list / *n as f64;
        assert!((share - rate).abs() < 0.01, "{name}, n {n}: {share}");
        assert_eq!(first_three, 0, "{name}, n {n}");
    });
}
