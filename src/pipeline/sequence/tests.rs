//! Tests of the playing order.

use proptest::prelude::*;

use super::*;
use crate::pipeline::facts::samples::track_of;
use crate::types::SplitMix64;

fn random_set(rng: &mut SplitMix64, count: usize, artists: u64) -> Vec<TrackFacts> {
    (0..count)
        .map(|i| {
            let mut facts = track_of(i as u32, rng.below(artists), &[], rng.uniform() as f32);
            facts.audio.tempo = (rng.below(8) > 0).then(|| 60.0 + 120.0 * rng.uniform() as f32);
            facts.audio.key = (rng.below(8) > 0).then(|| rng.below(12) as u8);
            facts.audio.mode = Some(rng.below(2) as u8);
            facts.audio.loudness = Some(-20.0 * rng.uniform() as f32);
            if rng.below(10) == 0 {
                facts.audio.energy = None;
            }
            facts
        })
        .collect()
}

fn set<'a>(facts: &'a [TrackFacts], explored: &[usize], rng: &mut SplitMix64) -> Vec<SequenceTrack<'a>> {
    (0..)
        .zip(facts)
        .map(|(row, facts)| SequenceTrack { facts, safety: rng.uniform(), explored: explored.contains(&row) })
        .collect()
}

fn instance(tracks: &[SequenceTrack<'_>], slots: &[bool], gap: usize) -> Instance {
    let mut instance = Instance::new(tracks, slots, &EnergyArc::default());
    instance.gap = gap;
    instance
}

/// The smallest distance between tracks of one artist; the length when no artist has two.
fn smallest_distance(tracks: &[SequenceTrack<'_>], order: &[usize]) -> usize {
    let mut smallest = order.len();
    for (slot, &a) in order.iter().enumerate() {
        for (later, &b) in order.iter().enumerate().skip(slot + 1) {
            if tracks[a].facts.artists == tracks[b].facts.artists {
                smallest = smallest.min(later - slot);
            }
        }
    }
    smallest
}

fn permutations(rows: &mut Vec<usize>, from: usize, visit: &mut dyn FnMut(&[usize])) {
    if from == rows.len() {
        return visit(rows);
    }
    for other in from..rows.len() {
        rows.swap(from, other);
        permutations(rows, from + 1, visit);
        rows.swap(from, other);
    }
}

/// Compares with all orders there are.
fn is_ordered_as_exhaustive_search_does(seed: u64, count: usize, artists: u64, explores: bool) {
    let mut rng = SplitMix64::new(seed);
    let facts = random_set(&mut rng, count, artists);
    let explored: Vec<usize> =
        if explores && count > 3 { vec![rng.below(count as u64) as usize] } else { vec![] };
    let tracks = set(&facts, &explored, &mut rng);
    let slots = place(count, explored.len(), seed);
    let found = sequence(&tracks, &slots, &EnergyArc::default(), 3);
    let instance = instance(&tracks, &slots, found.artist_gap);

    let first = found.order[0];
    // The cheapest order with that first track, and the widest distance of any order at all.
    let (mut least, mut widest) = (f64::INFINITY, 0);
    permutations(&mut (0..count).collect(), 0, &mut |order| {
        let safe = order.iter().take(3).all(|&row| !tracks[row].explored);
        if safe {
            widest = widest.max(smallest_distance(&tracks, order).min(3));
        }
        let allowed = order.iter().enumerate().all(|(slot, &row)| instance.allowed(row, slot));
        if order[0] == first && allowed && instance.violations(order) == 0 {
            least = least.min(instance.cost(order));
        }
    });
    if least.is_finite() {
        assert!(found.cost <= least + 1e-9, "seed {seed}, {count} tracks: {} against {least}", found.cost);
    }
    assert!(smallest_distance(&tracks, &found.order) >= found.artist_gap.min(count), "seed {seed}");
    assert_eq!(found.artist_gap.min(count), widest.max(1), "seed {seed}: as far apart as any order could");
}

#[test]
fn sets_of_eight_and_nine_are_ordered_as_exhaustive_search_does() {
    for seed in 0..3 {
        is_ordered_as_exhaustive_search_does(seed, 8, 3 + seed, seed == 1);
        is_ordered_as_exhaustive_search_does(40 + seed, 9, 3 + seed, seed == 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn small_sets_are_ordered_as_exhaustive_search_does(
        seed in any::<u64>(), count in 1_usize..=7, artists in 2_u64..9, explores in any::<bool>(),
    ) {
        is_ordered_as_exhaustive_search_does(seed, count, artists, explores);
    }

    #[test]
    fn the_order_is_never_worse_than_rank_matching(seed in any::<u64>(), count in 1_usize..60, artists in 2_u64..80) {
        let mut rng = SplitMix64::new(seed);
        let facts = random_set(&mut rng, count, artists);
        let explored: Vec<usize> =
            (0..count).filter(|_| rng.below(4) == 0).take(count.saturating_sub(3)).collect();
        let tracks = set(&facts, &explored, &mut rng);
        let slots = place(count, explored.len(), seed);
        let found = sequence(&tracks, &slots, &EnergyArc::default(), 3);
        let mut sorted = found.order.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..count).collect::<Vec<_>>(), "ordering keeps the set");
        prop_assert!(found.order.iter().take(3).all(|&row| !tracks[row].explored));
        let instance = instance(&tracks, &slots, found.artist_gap);
        prop_assert!(found.cost <= instance.cost(&search::rank_match(&instance, found.order[0])) + 1e-9);
        prop_assert_eq!(&sequence(&tracks, &slots, &EnergyArc::default(), 3), &found);
    }

    #[test]
    fn artists_keep_their_distance_whenever_feasible(
        seed in any::<u64>(), count in 1_usize..60, artists in 1_u64..40, gap in 1_usize..6,
    ) {
        let mut rng = SplitMix64::new(seed);
        let facts = random_set(&mut rng, count, artists);
        let tracks = set(&facts, &[], &mut rng);
        let found = sequence(&tracks, &vec![false; count], &EnergyArc::default(), gap);
        let mut counts = std::collections::BTreeMap::new();
        facts.iter().for_each(|facts| *counts.entry(facts.artists[0]).or_insert(0_usize) += 1);
        let most = counts.values().copied().max().unwrap_or(0);
        let with_most = counts.values().filter(|&&c| c == most).count();
        let feasible = |distance: usize| (most - 1) * distance + with_most <= count;
        let widest = (1..=gap).rev().find(|&distance| feasible(distance)).unwrap_or(1);
        prop_assert_eq!(found.artist_gap, widest);
        prop_assert!(most < 2 || smallest_distance(&tracks, &found.order) >= widest);
        prop_assert_eq!(found.notes.iter().any(|note| note.contains("apart instead of")), widest < gap);
    }
}

#[test]
fn the_safest_track_opens_and_energy_follows_the_arc() {
    let facts: Vec<TrackFacts> = (0..30).map(|i| track_of(i, u64::from(i), &[], i as f32 / 29.0)).collect();
    let tracks: Vec<SequenceTrack<'_>> = facts
        .iter()
        .map(|facts| SequenceTrack {
            facts,
            safety: if facts.track.ordinal.0 == 3 { 1.0 } else { 0.0 },
            explored: false,
        })
        .collect();
    let found = sequence(&tracks, &[false; 30], &EnergyArc::default(), 3);
    assert_eq!(found.order[0], 3);
    let peak = found.order.iter().position(|&row| row == 29).unwrap_or(0);
    assert!((15..=20).contains(&peak), "the most energetic track stands at {peak}");
    assert!(found.energy_error < 0.05, "{}", found.energy_error);
    assert!(found.notes.is_empty());
}

#[test]
fn a_crowded_artist_opens_when_only_that_keeps_the_distance() {
    let facts: Vec<TrackFacts> =
        [1, 1, 2, 3].into_iter().zip(0..).map(|(artist, i)| track_of(i, artist, &[], 0.5)).collect();
    let tracks: Vec<SequenceTrack<'_>> = facts
        .iter()
        .map(|facts| SequenceTrack { facts, safety: f64::from(facts.track.ordinal.0), explored: false })
        .collect();
    let found = sequence(&tracks, &[false; 4], &EnergyArc::default(), 3);
    assert_eq!((found.order[0], found.order[3], found.artist_gap), (1, 0, 3));
    assert_eq!(found.notes.len(), 1, "{:?}", found.notes);
}

/// Found by chance: two artists with two tracks each, and an exploration by the safer one, which must come last.
#[test]
fn the_artist_of_an_exploration_does_not_open_when_only_another_keeps_the_distance() {
    is_ordered_as_exhaustive_search_does(6_513_934_803_794_345_379, 4, 2, true);
}

#[test]
fn one_artist_alone_is_no_obstacle() {
    let facts: Vec<TrackFacts> = (0..12).map(|i| track_of(i, 7, &[], 0.5)).collect();
    let tracks = set(&facts, &[5], &mut SplitMix64::new(1));
    let found = sequence(&tracks, &place(12, 1, 1), &EnergyArc::default(), 3);
    assert_eq!((found.order.len(), found.artist_gap, found.notes.len()), (12, 1, 1));
    assert_eq!(sequence(&[], &[], &EnergyArc::default(), 3).order, Vec::<usize>::new());
}

/// `cargo test --release -p segue --lib -- --ignored --nocapture sequence_speed`
#[test]
#[ignore = "a measurement, for the release profile"]
fn sequence_speed() {
    for (count, explored) in [(9_usize, 1_usize), (30, 13), (100, 0), (100, 45)] {
        let mut rng = SplitMix64::new(1);
        let rounds = 50;
        let mut times = Vec::new();
        for seed in 0..rounds {
            let facts = random_set(&mut rng, count, count as u64 / 2);
            let tracks = set(&facts, &(0..explored).collect::<Vec<_>>(), &mut rng);
            let slots = place(count, explored, seed);
            let start = std::time::Instant::now();
            let found = std::hint::black_box(sequence(&tracks, &slots, &EnergyArc::default(), 3));
            times.push(start.elapsed());
            assert_eq!(found.order.len(), count);
        }
        times.sort_unstable();
        println!("sequence of {count}, {explored} explored: median {:?}, slowest {:?}", times[25], times[49]);
    }
}
