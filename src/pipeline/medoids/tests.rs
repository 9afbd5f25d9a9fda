//! Tests of the points that stand for others.

use proptest::prelude::*;

use super::*;
use crate::pipeline::vectors::random_vectors;
use crate::types::SplitMix64;

fn around(center: [f32; 3], count: usize, rng: &mut SplitMix64) -> Vec<[f32; 3]> {
    (0..count).map(|_| center.map(|x| x + 0.05 * rng.normal() as f32)).collect()
}

#[test]
fn two_tastes_have_two_medoids_where_the_average_lies_in_neither() {
    let mut rng = SplitMix64::new(1);
    let mut points = around([1.0, 0.0, 0.0], 30, &mut rng);
    points.extend(around([0.0, 1.0, 0.0], 10, &mut rng));
    let all: UnitRows = points.iter().map(|point| Some(&point[..])).collect();
    let found = medoids(&all, &vec![1.0; 40], MEDOIDS_MAX);
    assert_eq!(found.len(), 2);
    assert!(found[0].row < 30 && found[1].row >= 30);
    assert_eq!((found[0].share, found[1].share), (0.75, 0.25));
    let average: Vec<f32> = (0..3).map(|at| points.iter().map(|point| point[at]).sum()).collect();
    let middles: UnitRows = [Some(&[1.0, 1.0, 0.0][..]), Some(&average[..])].into_iter().collect();
    for track in 0..40 {
        let cosine = |rows: &UnitRows<'_>, at| rows.row(at).zip(all.row(track)).map(|(a, b)| a.cosine(b));
        assert!(cosine(&middles, 0) < Some(0.85), "no track is near the middle of two tastes");
        assert!(found.iter().any(|medoid| cosine(&all, medoid.row) > Some(0.95)));
        if track >= 30 {
            assert!(cosine(&middles, 1) < Some(0.6), "the average forgets the smaller taste");
        }
    }
}

#[test]
fn equal_rows_need_one_medoid_and_unusable_rows_none() {
    let one: UnitRows = [Some(&[1.0, 2.0][..]); 5].into_iter().collect();
    let found = medoids(&one, &[1.0; 5], 8);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].row, found[0].share, found[0].members.len()), (0, 1.0, 5));
    assert!(medoids(&one, &[0.0, -1.0, f64::NAN, f64::INFINITY], 8).is_empty());
    assert!(medoids(&UnitRows::new(4), &[], 8).is_empty());
}

#[test]
fn a_heavy_row_draws_the_medoid() {
    let rows: UnitRows =
        [Some(&[1.0, 0.0][..]), Some(&[0.9, 0.436]), Some(&[0.6, 0.8])].into_iter().collect();
    let weights = [0.1, 0.1, 10.0];
    assert_eq!(medoids(&rows, &weights, 1)[0].row, 2);
}

#[test]
fn a_smaller_taste_keeps_its_places() {
    let close: Vec<(u32, f64)> = (0..10).map(|i| (i, 0.99 - f64::from(i) / 1_000.0)).collect();
    let loose: Vec<(u32, f64)> = (100..110).map(|i| (i, 0.5 - f64::from(i - 100) / 1_000.0)).collect();
    let merged = merge_by_share(&[(0.8, close.clone()), (0.2, loose)], 10, |a, b| a.cmp(&b));
    assert_eq!(merged.iter().filter(|(track, ..)| *track >= 100).count(), 2);
    assert_eq!(merged.len(), 10);
    assert!(merged.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    assert_eq!(merge_by_share(&[(0.5, close), (0.5, vec![(0, 1.5)])], 20, |a, b| a.cmp(&b)).len(), 10);
}

/// `cargo test --release -p segue --lib -- --ignored --nocapture medoids_speed`
#[test]
#[ignore = "a measurement, for the release profile"]
fn medoids_speed() {
    let mut rng = SplitMix64::new(1);
    for count in [50_usize, 200] {
        let vectors = random_vectors(&mut rng, count, 128);
        let rows: UnitRows = vectors.iter().map(|vector| Some(&vector[..])).collect();
        let weights: Vec<f64> = (0..count).map(|_| rng.uniform()).collect();
        let mut times = Vec::new();
        for _ in 0..101 {
            let start = std::time::Instant::now();
            assert!(!std::hint::black_box(medoids(&rows, &weights, 8)).is_empty());
            times.push(start.elapsed());
        }
        times.sort_unstable();
        println!("medoids of {count} rows x 128 d: median {:?}", times[50]);
    }
}

proptest! {
    #[test]
    fn groups_cover_every_usable_row_once(seed in any::<u64>(), count in 1_usize..60, k in 1_usize..12) {
        let mut rng = SplitMix64::new(seed);
        let vectors = random_vectors(&mut rng, count, 4);
        let rows: UnitRows = vectors.iter().map(|vector| (rng.below(8) > 0).then_some(&vector[..])).collect();
        let weights: Vec<f64> = (0..count).map(|_| rng.uniform() - 0.1).collect();
        let found = medoids(&rows, &weights, k);
        prop_assert!(found.len() <= k.min(MEDOIDS_MAX));
        let mut covered: Vec<usize> = found.iter().flat_map(|m| m.members.clone()).collect();
        covered.sort_unstable();
        let usable: Vec<usize> =
            (0..count).filter(|&row| rows.row(row).is_some() && weights[row] > 0.0).collect();
        prop_assert_eq!(covered, usable);
        prop_assert!(found.iter().all(|m| m.members.contains(&m.row)));
        prop_assert_eq!(&medoids(&rows, &weights, k), &found);
    }
}
