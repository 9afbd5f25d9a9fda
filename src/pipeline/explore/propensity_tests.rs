//! What is logged as the propensity of a draw: its probability given the draws before it, for every draw of a list.

use std::collections::BTreeMap;

use super::*;
use crate::pipeline::facts::TrackFacts;
use crate::pipeline::facts::samples::track;
use crate::pipeline::recipe::Source;

const LISTS: u64 = 40_000;
const DRAWS: usize = 4;
/// Draws below this expectation are counted together: the χ² distribution is a limit.
const EXPECTED_MIN: f64 = 8.0;

/// Seven tracks of three arms; two are versions of one recording, and two by one artist.
fn tracks() -> Vec<TrackFacts> {
    let mut tracks: Vec<TrackFacts> = (0..7).map(|i| track(i, u64::from(i))).collect();
    tracks[4].recording = tracks[0].recording;
    tracks[5].artists = tracks[1].artists.clone();
    tracks
}

fn pool(facts: &[TrackFacts]) -> Vec<PoolTrack<'_>> {
    let arm = |row: usize| match row % 3 {
        0 => Arm { source: Source::Audio, genre_cluster: 1 },
        1 => Arm { source: Source::Audio, genre_cluster: 2 },
        _ => Arm { source: Source::Trending, genre_cluster: 1 },
    };
    let rows = facts.iter().enumerate();
    rows.map(|(row, facts)| PoolTrack { facts, arm: arm(row), value: (row * 5 % 7) as f64 }).collect()
}

/// The chance of a χ² of so many degrees of freedom above `x`, by the cube-root approximation of Wilson and Hilferty
/// (1931): a tenth too large at 0.001 for four degrees, nearer for more.
fn chance_above(x: f64, degrees: f64) -> f64 {
    let spread = 2.0 / (9.0 * degrees);
    1.0 - normal_cdf(((x / degrees).cbrt() - (1.0 - spread)) / spread.sqrt())
}

/// How often each track was drawn after the same earlier draws, and the probability that was stated.
type Seen = BTreeMap<Vec<usize>, BTreeMap<usize, (u32, f64)>>;

fn seen(mut list: impl FnMut(u64) -> Vec<Chosen>) -> [Seen; DRAWS] {
    let mut seen: [Seen; DRAWS] = Default::default();
    for seed in 0..LISTS {
        let drawn = list(seed);
        let rows: Vec<usize> = drawn.iter().map(|chosen| chosen.row).collect();
        for (at, chosen) in drawn.iter().enumerate() {
            let after = seen[at].entry(rows[..at].to_vec()).or_default();
            let (count, stated) = after.entry(chosen.row).or_insert((0, chosen.propensity));
            *count += 1;
            assert_eq!(*stated, chosen.propensity, "the same draw after the same draws has one probability");
        }
    }
    seen
}

/// χ² and its degrees of freedom, summed over all sequences of earlier draws. `stated` may bend what was stated.
fn chi_squared(seen: &Seen, stated: impl Fn(f64) -> f64) -> (f64, f64) {
    let (mut chi, mut degrees) = (0.0, 0.0);
    for after in seen.values() {
        let lists = f64::from(after.values().map(|(count, _)| count).sum::<u32>());
        let (mut cells, mut rest) = (Vec::new(), (lists, lists));
        for &(count, p) in after.values().filter(|(_, p)| stated(*p) * lists >= EXPECTED_MIN) {
            let (found, expected) = (f64::from(count), stated(p) * lists);
            rest = (rest.0 - found, rest.1 - expected);
            cells.push((found, expected));
        }
        // Draws too rare to be counted alone, those that never happened among them.
        if rest.1 >= EXPECTED_MIN {
            cells.push(rest);
        } else if let Some(last) = cells.last_mut() {
            *last = (last.0 + rest.0, last.1 + rest.1);
        }
        chi += cells.iter().map(|(found, expected)| (found - expected).powi(2) / expected).sum::<f64>();
        degrees += cells.len().saturating_sub(1) as f64;
    }
    (chi, degrees)
}

fn every_draw_has_its_probability(name: &str, list: impl FnMut(u64) -> Vec<Chosen>) {
    for (at, seen) in seen(list).iter().enumerate() {
        let (chi, degrees) = chi_squared(seen, |p| p);
        let p = chance_above(chi, degrees);
        eprintln!("{name}, draw {at}: chi-squared {chi:.1} of {degrees} degrees of freedom, p {p:.3}");
        assert!(p > 0.001, "{name}, draw {at}: chi-squared {chi} of {degrees}, p {p}");
        // The test would see a probability that is wrong by a tenth.
        let (chi, degrees) = chi_squared(seen, |p| if p > 0.12 { 0.9 * p } else { p });
        assert!(chance_above(chi, degrees) < 1e-3, "{name}, draw {at} has no power: {chi} of {degrees}");
        if at == 0 {
            let all: f64 = seen[&Vec::new()].values().map(|(_, p)| p).sum();
            assert!((all - 1.0).abs() < 1e-9, "{name}: every track has a chance: {all}");
        }
    }
}

/// Goal: an off-policy estimate may take every logged draw as a decision of its own, given the draws before it.
#[test]
fn every_draw_of_a_list_has_the_probability_that_is_logged_with_it() {
    let facts = tracks();
    let pool = pool(&facts);
    let policy = ChoicePolicy { temperature: 0.5, ..ChoicePolicy::default() };
    every_draw_has_its_probability("softmax", |seed| choose(&pool, DRAWS, &policy, seed));
    let reward = |arm: Arm| match (arm.source, arm.genre_cluster) {
        (Source::Audio, 1) => (0.5, 0.1),
        (Source::Audio, _) => (0.45, 0.2),
        _ => (0.4, 0.3),
    };
    every_draw_has_its_probability("by arm", |seed| choose_by_arm(&pool, DRAWS, &policy, &reward, seed));
}

/// What the propensities say of the arms is what Thompson sampling does: draw a value of each arm that is still open,
/// take the largest, then a track of it; with probability ε any open track.
#[test]
fn the_sequence_of_arms_is_that_of_thompson_sampling_by_drawn_values() {
    let facts = tracks();
    let pool = pool(&facts);
    let policy = ChoicePolicy::default();
    let worth = |arm: Arm| match (arm.source, arm.genre_cluster) {
        (Source::Audio, 1) => (0.5, 0.1),
        (Source::Audio, _) => (0.45, 0.2),
        _ => (0.4, 0.3),
    };
    let arms: Vec<Arm> = pool.iter().map(|track| track.arm).collect();
    let mut rng = crate::types::SplitMix64::new(0x7407);
    let mut frequency: BTreeMap<[Arm; 2], [f64; 2]> = BTreeMap::new();
    for seed in 0..LISTS {
        let drawn = choose_by_arm(&pool, 2, &policy, &worth, seed);
        frequency.entry([arms[drawn[0].row], arms[drawn[1].row]]).or_default()[0] += 1.0;
        // The same by the textbook.
        let mut doors = super::choose::Doors::new(&pool);
        let weights = super::choose::softmax_weights(&pool, policy.temperature);
        let pair = [(); 2].map(|()| {
            let open: Vec<usize> = (0..pool.len()).filter(|row| doors.is_open(*row, policy.caps)).collect();
            let row = if rng.uniform() < policy.epsilon {
                open[rng.below(open.len() as u64) as usize]
            } else {
                let mut values: BTreeMap<Arm, f64> = BTreeMap::new();
                for &row in &open {
                    let (mean, deviation) = worth(arms[row]);
                    values.entry(arms[row]).or_insert_with(|| mean + deviation * rng.normal());
                }
                let best = values.iter().max_by(|a, b| a.1.total_cmp(b.1)).map(|(arm, _)| *arm);
                let rows: Vec<usize> = open.iter().copied().filter(|row| Some(arms[*row]) == best).collect();
                let total: f64 = rows.iter().map(|row| weights[*row]).sum();
                let (u, mut below) = (rng.uniform() * total, 0.0);
                let found = rows.iter().find(|row| {
                    below += weights[**row];
                    u < below
                });
                found.or(rows.last()).copied().unwrap_or(open[0])
            };
            doors.take(row);
            arms[row]
        });
        frequency.entry(pair).or_default()[1] += 1.0;
    }
    // Two samples of the same size: χ² = Σ (a − b)² / (a + b).
    let chi: f64 = frequency.values().map(|[a, b]| (a - b).powi(2) / (a + b)).sum();
    let p = chance_above(chi, frequency.len() as f64 - 1.0);
    assert!(p > 0.001, "chi-squared {chi} of {} pairs of arms, p {p}: {frequency:?}", frequency.len());
}

#[test]
fn the_tail_of_chi_squared_is_the_tabled_one() {
    for (x, degrees, p) in [(18.467, 4.0, 0.001), (31.264, 11.0, 0.001), (79.490, 50.0, 0.005)] {
        let found = chance_above(x, degrees);
        assert!((found - p).abs() < 0.2 * p, "{x} of {degrees}: {found}");
    }
}
