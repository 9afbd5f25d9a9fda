use nalgebra::DMatrix;

use super::*;
use crate::types::VectorRow;

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(vector: &[f32]) -> f32 {
    dot(vector, vector).sqrt()
}

/// The slope of log singular values against log rank, sign turned.
fn exponent(rows: &[VectorRow]) -> f64 {
    let dim = rows[0].vector.len();
    let unit = |row: &VectorRow| {
        let length = norm(&row.vector);
        row.vector.iter().map(move |x| f64::from(x / length)).collect::<Vec<_>>()
    };
    let matrix = DMatrix::from_row_iterator(rows.len(), dim, rows.iter().flat_map(unit));
    let mut values: Vec<f64> =
        (matrix.transpose() * matrix).symmetric_eigenvalues().iter().map(|x| x.sqrt()).collect();
    values.sort_by(|a, b| b.total_cmp(a));
    let points: Vec<(f64, f64)> =
        values.iter().enumerate().map(|(at, s)| ((at as f64 + 1.0).ln(), s.ln())).collect();
    let n = points.len() as f64;
    let (mx, my) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let over: f64 = points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
    -over / points.iter().map(|p| (p.0 - mx).powi(2)).sum::<f64>()
}

#[test]
fn audio_vectors_are_unit_and_near_within_genre_and_artist() {
    let made = generate(&small()).unwrap();
    let vectors: Vec<VectorRow> = made.audio_vectors().collect();
    assert!(vectors.iter().all(|row| row.vector.len() == 128 && (norm(&row.vector) - 1.0).abs() < 1e-4));
    let mut rng = SplitMix64::new(1);
    let (mut sums, mut counts) = ([0.0; 3], [0.0; 3]);
    for _ in 0..400_000 {
        let (a, b) = (rng.below(4_000) as usize, rng.below(4_000) as usize);
        let (row, other) = (&made.tracks[a], &made.tracks[b]);
        if a == b || row.original == other.original {
            continue;
        }
        let genre = |row: &crate::generate::tracks::TrackRow| made.artists[row.artist as usize].genre;
        let kind = match (row.artist == other.artist, genre(row) == genre(other)) {
            (true, _) => 0,
            (_, true) => 1,
            _ => 2,
        };
        sums[kind] += f64::from(dot(&vectors[a].vector, &vectors[b].vector));
        counts[kind] += 1.0;
    }
    let [artist, genre, other] = [0, 1, 2].map(|kind| sums[kind] / counts[kind]);
    eprintln!("mean cosine: same artist {artist:.3}, same genre {genre:.3}, others {other:.3}");
    assert!(artist > genre + 0.15 && genre > other + 0.2, "{artist} {genre} {other}");
}

#[test]
fn versions_of_a_recording_sound_alike() {
    let made = generate(&small()).unwrap();
    let vectors: Vec<VectorRow> = made.audio_vectors().collect();
    let pairs = made.tracks.iter().enumerate().filter(|(at, row)| row.original as usize != *at);
    let worst = pairs.map(|(at, row)| dot(&vectors[at].vector, &vectors[row.original as usize].vector));
    assert!(worst.fold(1.0, f32::min) > 0.9);
}

#[test]
fn singular_values_fall_by_the_stated_power() {
    let made = generate(&small()).unwrap();
    let audio = exponent(&made.audio_vectors().collect::<Vec<_>>());
    let cf = exponent(&made.track_vectors().collect::<Vec<_>>());
    assert!((audio - 0.5).abs() < 0.12, "audio {audio}");
    assert!((cf - 0.5).abs() < 0.12, "cf {cf}");
}

#[test]
fn collaborative_norms_have_the_stated_quantiles_and_grow_with_popularity() {
    let made = generate(&GenerateParams { tracks: 20_000, ..small() }).unwrap();
    let norms: Vec<f32> = made.track_vectors().map(|row| norm(&row.vector)).collect();
    let mut sorted = norms.clone();
    sorted.sort_by(f32::total_cmp);
    for (share, want) in [(0.01, 0.10), (0.5, 0.51), (0.99, 1.50)] {
        let got = sorted[(share * 20_000.0) as usize];
        assert!((got / want - 1.0).abs() < 0.1, "quantile {share}: {got}, not {want}");
    }
    let mean = |popular: bool| {
        let of: Vec<f32> = made
            .tracks
            .iter()
            .zip(&norms)
            .filter(|(row, _)| (row.rank < 2_000) == popular)
            .map(|(_, norm)| *norm)
            .collect();
        of.iter().sum::<f32>() / of.len() as f32
    };
    assert!(mean(true) > 1.5 * mean(false), "{} {}", mean(true), mean(false));
}

#[test]
fn a_listeners_vector_points_at_the_planted_tastes() {
    let made = generate(&small()).unwrap();
    let tracks: Vec<VectorRow> = made.track_vectors().collect();
    let genres: Vec<&str> = made
        .tracks
        .iter()
        .map(|row| super::super::genres::genre(usize::from(made.artists[row.artist as usize].genre)).name)
        .collect();
    let (mut hits, mut shown) = (0, 0);
    for (number, user) in (0..100).zip(made.user_vectors()) {
        let tastes: Vec<String> = made.tastes(number).into_iter().map(|taste| taste.genre).collect();
        let scored = tracks.iter().enumerate().map(|(at, row)| (at, dot(&user.vector, &row.vector)));
        for at in crate::eval::metrics::top_k(scored, 10) {
            shown += 1;
            hits += usize::from(tastes.iter().any(|taste| taste == genres[at]));
        }
    }
    // By chance it would be the share of one to three genres of sixty: under a tenth.
    assert!(hits * 2 > shown, "{hits} of {shown}");
}

#[test]
fn vectors_do_not_depend_on_the_number_of_threads() {
    let made = generate(&GenerateParams { tracks: 9_000, listeners: 50, plays: 0, ..small() }).unwrap();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| -> Vec<VectorRow> {
            made.audio_vectors().chain(made.track_vectors()).chain(made.user_vectors()).collect()
        })
    };
    let one = on(1);
    assert_eq!(one.len(), 18_050);
    assert_eq!(one, on(3));
}
