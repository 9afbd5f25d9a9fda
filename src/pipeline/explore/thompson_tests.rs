//! Tests of the bandit: its propensities, and its regret on simulated listeners.

use std::collections::BTreeMap;

use super::*;
use crate::pipeline::facts::TrackFacts;
use crate::pipeline::facts::samples::track;
use crate::pipeline::recipe::Source;
use crate::types::SplitMix64;

fn arm(number: usize) -> Arm {
    let source = if number.is_multiple_of(2) { Source::Audio } else { Source::Trending };
    Arm { source, genre_cluster: u16::try_from(number / 2).unwrap_or(0) }
}

fn pool(facts: &[TrackFacts], arms: usize) -> Vec<PoolTrack<'_>> {
    let rows = facts.iter().enumerate();
    rows.map(|(i, facts)| PoolTrack { facts, arm: arm(i % arms), value: (i % 3) as f64 }).collect()
}

#[test]
fn logged_propensities_are_the_frequencies_of_first_draws() {
    let facts: Vec<TrackFacts> = (0..12).map(|i| track(i, u64::from(i))).collect();
    let pool = pool(&facts, 4);
    let reward = |arm: Arm| match (arm.source, arm.genre_cluster) {
        (Source::Audio, 0) => (0.5, 0.1),
        (Source::Audio, _) => (0.4, 0.2),
        (_, 0) => (0.45, 0.3),
        _ => (0.1, 0.1),
    };
    let (mut counts, mut stated) = ([0_u32; 12], [0.0; 12]);
    let trials = 6_000_u32;
    for seed in 0..trials {
        let drawn = choose_by_arm(&pool, 1, &ChoicePolicy::default(), &reward, u64::from(seed));
        counts[drawn[0].row] += 1;
        stated[drawn[0].row] = drawn[0].propensity;
    }
    assert!((stated.iter().sum::<f64>() - 1.0).abs() < 1e-9, "every track has a chance: {stated:?}");
    let chi: f64 = counts
        .iter()
        .zip(stated)
        .map(|(&count, p)| (f64::from(count) - p * f64::from(trials)).powi(2) / (p * f64::from(trials)))
        .sum();
    assert!(chi < 31.3, "chi-square of 11 degrees of freedom, 0.1 % point 31.3: {chi}");
}

#[test]
fn an_arm_that_runs_empty_leaves_its_chance_to_the_others() {
    let facts: Vec<TrackFacts> = (0..6).map(|i| track(i, u64::from(i))).collect();
    let pool = pool(&facts, 2);
    let sure = |arm: Arm| if arm.source == Source::Audio { (0.9, 0.01) } else { (0.1, 0.01) };
    let policy = ChoicePolicy { epsilon: 0.0, ..ChoicePolicy::default() };
    let drawn = choose_by_arm(&pool, 9, &policy, &sure, 3);
    assert_eq!(drawn.len(), 6);
    assert!(drawn[..3].iter().all(|chosen| pool[chosen.row].arm.source == Source::Audio));
    assert!(drawn[3..].iter().all(|chosen| pool[chosen.row].arm.source == Source::Trending));
}

/// Simulated listeners: what an arm is worth depends on how mature they are. Regret against the best arm for each.
fn regret(thompson: bool, horizon: usize, seed: u64) -> Vec<f64> {
    const ARMS: usize = 6;
    let worth = |arm: usize, maturity: f64| match arm {
        0 => 0.15 + 0.6 * maturity,
        1 => 0.65 - 0.5 * maturity,
        2 => 0.35,
        other => 0.1 + 0.03 * other as f64,
    };
    let mut rng = SplitMix64::new(seed);
    let mut sums: BTreeMap<usize, ArmSums> = BTreeMap::new();
    let (mut total, mut course) = (0.0, Vec::with_capacity(horizon));
    for _ in 0..horizon {
        let x = context(rng.below(500), rng.below(24) as u8, rng.below(7) as u8);
        let rewards: Vec<(f64, f64)> =
            (0..ARMS).map(|arm| sums.get(&arm).copied().unwrap_or_default().posterior().reward(&x)).collect();
        let greedy = (0..ARMS).max_by(|&a, &b| rewards[a].0.total_cmp(&rewards[b].0)).unwrap_or(0);
        let chosen = if thompson {
            let chances = best_of(&rewards);
            let (u, mut below) = (rng.uniform(), 0.0);
            (0..ARMS).find(|&arm| {
                below += chances[arm];
                u < below
            })
        } else if rng.uniform() < 0.1 {
            Some(rng.below(ARMS as u64) as usize)
        } else {
            Some(greedy)
        };
        let chosen = chosen.unwrap_or(greedy);
        let mean = worth(chosen, x[1]);
        let best = (0..ARMS).map(|arm| worth(arm, x[1])).fold(0.0, f64::max);
        sums.entry(chosen).or_default().add(&x, f64::from(u8::from(rng.uniform() < mean)), 1.0);
        total += best - mean;
        course.push(total);
    }
    course
}

#[test]
fn regret_grows_sublinearly_and_ends_below_epsilon_greedy() {
    let horizon = 1_500;
    let mean = |thompson: bool| -> Vec<f64> {
        let runs: Vec<Vec<f64>> = (0..3).map(|seed| regret(thompson, horizon, 100 + seed)).collect();
        (0..horizon).map(|t| runs.iter().map(|run| run[t]).sum::<f64>() / 3.0).collect()
    };
    let (thompson, greedy) = (mean(true), mean(false));
    let (half, end) = (thompson[horizon / 2 - 1], thompson[horizon - 1]);
    assert!(end < 1.7 * half, "the second half costs less than the first: {half} then {end}");
    assert!(end < greedy[horizon - 1], "Thompson {end}, epsilon-greedy {}", greedy[horizon - 1]);
}
