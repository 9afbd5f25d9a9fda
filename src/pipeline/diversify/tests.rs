//! Tests of the selection.

use proptest::prelude::*;

use super::*;
use crate::pipeline::candidate::{Candidate, SourcePart};
use crate::pipeline::facts::TrackFacts;
use crate::pipeline::facts::samples::track;
use crate::pipeline::vectors::{UnitRows, random_vectors};
use crate::types::{AlbumKey, SplitMix64};

const NO_CAPS: CapLimits = CapLimits { artist: 0, album: 0, one_a_recording: true };
const CAPS: CapLimits = CapLimits { artist: 2, album: 2, one_a_recording: true };

fn candidates<'a>(tracks: &'a [TrackFacts], scores: &[f64]) -> Vec<Candidate<'a>> {
    tracks
        .iter()
        .zip(scores)
        .map(|(facts, &score)| Candidate::new(facts, Vec::<SourcePart>::new(), score))
        .collect()
}

/// One row in ten is absent.
fn most_of<'a>(rng: &mut SplitMix64, vectors: &'a [Vec<f32>]) -> UnitRows<'a> {
    vectors.iter().map(|vector| (rng.below(10) > 0).then_some(&vector[..])).collect()
}

fn rows_of(selection: &Selection) -> Vec<usize> {
    selection.picks.iter().map(|pick| pick.row).collect()
}

/// The definition, word for word: every similarity anew for every pick.
fn naive(candidates: &[Candidate<'_>], similarity: &PairSimilarity<'_>, params: &MmrParams) -> Vec<usize> {
    let scores = || candidates.iter().map(|candidate| candidate.score);
    let (min, max) = (scores().fold(f64::INFINITY, f64::min), scores().fold(f64::NEG_INFINITY, f64::max));
    let relevance = |row: usize| if max > min { (candidates[row].score - min) / (max - min) } else { 0.5 };
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < params.n.min(candidates.len()) {
        let mut best: Option<(f64, usize)> = None;
        for row in (0..candidates.len()).filter(|row| !chosen.contains(row)) {
            let facts = candidates[row].facts;
            let same = |same: &dyn Fn(&TrackFacts) -> bool| {
                chosen.iter().filter(|&&other| same(candidates[other].facts)).count() as u32
            };
            let limits = params.limits;
            let artists = same(&|other| other.primary_artist() == facts.primary_artist());
            let albums = same(&|other| other.album.is_some() && other.album == facts.album);
            if limits.artist > 0 && artists >= limits.artist || limits.album > 0 && albums >= limits.album {
                continue;
            }
            let nearest = chosen.iter().map(|&other| similarity.of(other, row)).fold(0.0, f64::max);
            let value = params.lambda * relevance(row) - (1.0 - params.lambda) * nearest;
            if best.is_none_or(|(most, _)| value > most) {
                best = Some((value, row));
            }
        }
        let Some((_, row)) = best else { break };
        chosen.push(row);
    }
    chosen
}

proptest! {
    #[test]
    fn incremental_selection_equals_the_definition(
        seed in any::<u64>(),
        count in 1_usize..60,
        n in 1_usize..30,
        lambda in prop::sample::select(vec![0.0, 0.3, 0.6, 0.9, 1.0]),
        capped in any::<bool>(),
    ) {
        let mut rng = SplitMix64::new(seed);
        let mut tracks: Vec<TrackFacts> = (0..count).map(|i| track(i as u32, rng.below(12))).collect();
        tracks.iter_mut().for_each(|facts| facts.album = Some(AlbumKey(rng.below(15))));
        let mut scores: Vec<f64> = (0..count).map(|_| rng.below(20) as f64 / 20.0).collect();
        scores.sort_by(|a, b| b.total_cmp(a));
        let candidates = candidates(&tracks, &scores);
        let (sounds, tastes) = (random_vectors(&mut rng, count, 5), random_vectors(&mut rng, count, 3));
        let (audio, track) = (most_of(&mut rng, &sounds), most_of(&mut rng, &tastes));
        let similarity = PairSimilarity { audio: &audio, track: &track };
        let params = MmrParams { n, lambda, limits: if capped { CAPS } else { NO_CAPS }, relax: false };
        let selection = diversify(&candidates, &similarity, &[], &params);
        prop_assert_eq!(rows_of(&selection), naive(&candidates, &similarity, &params));
        if lambda == 1.0 && !capped {
            prop_assert_eq!(rows_of(&selection), (0..n.min(count)).collect::<Vec<_>>(), "relevance order");
        }
        let full = diversify(&candidates, &similarity, &[], &MmrParams { relax: true, ..params });
        prop_assert_eq!(full.picks.len(), n.min(count), "a relaxed selection is full");
        prop_assert_eq!(full.relaxed.is_empty(), selection.picks.len() == n.min(count));
    }
}

#[test]
fn diversity_does_not_depend_on_the_scale_of_scores() {
    // Three near-equal sounds lead, another sound follows close. On raw scores a small scale would leave relevance
    // no say (the least alike, far worse track would be second) and a large one diversity.
    let tracks: Vec<TrackFacts> = (0..5).map(|i| track(i, u64::from(i))).collect();
    let audio: UnitRows = [
        Some(&[1.0, 0.0][..]),
        Some(&[1.0, 0.01]),
        Some(&[1.0, 0.02]),
        Some(&[0.0, 1.0]),
        Some(&[-1.0, 0.0]),
    ]
    .into_iter()
    .collect();
    let none = UnitRows::default();
    let similarity = PairSimilarity { audio: &audio, track: &none };
    let params = MmrParams { n: 3, lambda: 0.6, limits: NO_CAPS, relax: false };
    for scale in [1e-3, 1.0, 1e3] {
        let scores = [1.0, 0.9, 0.8, 0.75, 0.0].map(|score| score * scale);
        let selection = diversify(&candidates(&tracks, &scores), &similarity, &[], &params);
        assert_eq!(rows_of(&selection), [0, 3, 1], "scale {scale}");
    }
}

#[test]
fn caps_hold_until_a_shortfall_and_the_reply_says_so() {
    let mut tracks: Vec<TrackFacts> = (0..6).map(|i| track(i, if i < 5 { 1 } else { 2 })).collect();
    tracks[1].recording = tracks[0].recording;
    let candidates = candidates(&tracks, &[0.9, 0.8, 0.7, 0.6, 0.5, 0.4]);
    let none = UnitRows::default();
    let similarity = PairSimilarity { audio: &none, track: &none };
    let select = |n, relax| {
        diversify(&candidates, &similarity, &[], &MmrParams { n, lambda: 1.0, limits: CAPS, relax })
    };
    let short = select(4, false);
    assert_eq!((rows_of(&short), short.relaxed.len()), (vec![0, 2, 5], 0));
    let left = |of: &Selection| left_out(&candidates, &rows_of(of), of.limits);
    assert_eq!(left(&short), [(1, Some(Cap::Recording)), (3, Some(Cap::Artist)), (4, Some(Cap::Artist))]);
    let full = select(4, true);
    assert_eq!(rows_of(&full), [0, 2, 5, 3]);
    assert_eq!(full.relaxed, ["artist cap raised from 2 to 3: too few tracks by other artists"]);
    let all = select(6, true);
    assert_eq!(rows_of(&all), [0, 2, 5, 3, 4, 1], "another version comes last of all");
    assert_eq!(all.relaxed.len(), 2, "{:?}", all.relaxed);
    assert!(left(&all).is_empty());
}

#[test]
fn what_was_chosen_before_counts_for_caps_and_likeness() {
    let tracks: Vec<TrackFacts> =
        [1, 1, 2, 3].into_iter().zip(0..).map(|(artist, i)| track(i, artist)).collect();
    let candidates = candidates(&tracks, &[0.9, 0.8, 0.7, 0.1]);
    let audio: UnitRows = [Some(&[1.0, 0.0][..]), Some(&[0.0, 1.0]), Some(&[0.1, 1.0]), Some(&[-1.0, -1.0])]
        .into_iter()
        .collect();
    let none = UnitRows::default();
    let similarity = PairSimilarity { audio: &audio, track: &none };
    let limits = CapLimits { artist: 1, ..CAPS };
    let params = MmrParams { n: 2, lambda: 0.3, limits, relax: false };
    let selection = diversify(&candidates, &similarity, &[1], &params);
    assert_eq!(rows_of(&selection), [3], "0 is of the chosen one's artist, 2 sounds like it");
}

/// `cargo test --release -p segue --lib -- --ignored --nocapture mmr_speed`
#[test]
#[ignore = "a measurement, for the release profile"]
fn mmr_speed() {
    let mut rng = SplitMix64::new(1);
    let tracks: Vec<TrackFacts> = (0..500).map(|i| track(i, rng.below(200))).collect();
    let mut scores: Vec<f64> = (0..500).map(|_| rng.uniform()).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    let candidates = candidates(&tracks, &scores);
    let vectors = random_vectors(&mut rng, 500, 128);
    let audio: UnitRows = vectors.iter().map(|vector| Some(&vector[..])).collect();
    let none = UnitRows::default();
    let similarity = PairSimilarity { audio: &audio, track: &none };
    let params = MmrParams { n: 30, lambda: 0.6, limits: CAPS, relax: true };
    let mut times = Vec::new();
    for _ in 0..1_001 {
        let start = std::time::Instant::now();
        assert_eq!(std::hint::black_box(diversify(&candidates, &similarity, &[], &params)).picks.len(), 30);
        times.push(start.elapsed());
    }
    times.sort_unstable();
    println!("500 candidates x 128 d, 30 picks: median {:?}, p99 {:?}", times[500], times[990]);
}
