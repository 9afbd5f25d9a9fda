//! Whole searches: recall numbers, filters, determinism, odd inputs.
#![expect(clippy::unwrap_used, reason = "tests")]

mod filters;
mod guarded;

use roaring::RoaringBitmap;

use super::kernels::{InstructionSet, Kernels};
use super::meta::Meta;
use super::*;
use crate::{Metric, SegmentOffset, SplitMix64};

/// Clustered vectors whose lengths vary tenfold, as those of matrix factorisation do.
fn clustered(n: usize, dim: usize, seed: u64) -> Vec<f32> {
    let mut random = SplitMix64::new(seed);
    let mut about_centres = SplitMix64::new(77);
    let centres: Vec<f32> = (0..20 * dim).map(|_| about_centres.normal() as f32).collect();
    let mut out = Vec::with_capacity(n * dim);
    for _ in 0..n {
        let centre = random.below(20) as usize * dim;
        let length = 10f64.powf(random.uniform() - 0.5) as f32;
        out.extend(centres[centre..centre + dim].iter().map(|c| length * (c + 0.8 * random.normal() as f32)));
    }
    out
}

struct Fixture {
    vectors: Vec<f32>,
    queries: Vec<f32>,
    dim: usize,
    metric: Metric,
    parts: IndexParts,
    head: IndexHead,
}

impl Fixture {
    fn new(vectors: Vec<f32>, dim: usize, metric: Metric, profile: Profile) -> Self {
        let rows = Rows::new(&vectors, vectors.len() / dim, dim, dim).unwrap();
        let parts = build(&rows, &BuildParams::new(metric, profile), &Progress::default()).unwrap();
        let head = IndexHead::open(&parts.meta).unwrap().with_sieve(&parts.slices()).unwrap();
        Self { queries: clustered(50, dim, 99), vectors, dim, metric, parts, head }
    }

    fn rows(&self) -> Rows<'_> {
        Rows::new(&self.vectors, self.vectors.len() / self.dim, self.dim, self.dim).unwrap()
    }

    fn view(&self) -> IndexView<'_> {
        let view = self.head.view(self.parts.slices(), self.rows()).unwrap();
        view.check().unwrap();
        view
    }

    fn exact(&self, query: &[f32], k: usize, allowed: &Allowed<'_>) -> Vec<(SegmentOffset, f32)> {
        exact::search(&self.rows(), self.metric, query, k, allowed, &mut Scratch::new()).unwrap()
    }

    /// Share of the exact answers found, counting equal scores as equal.
    fn recall(&self, params: SearchParams, allowed: &Allowed<'_>) -> f64 {
        let (view, mut scratch) = (self.view(), Scratch::new());
        let (mut found, mut wanted) = (0, 0);
        for query in self.queries.chunks_exact(self.dim) {
            let truth = self.exact(query, params.k, allowed);
            let got = view.search(query, &params, allowed, &mut scratch).unwrap().hits;
            assert_eq!(got.len(), truth.len(), "as many hits as there are allowed rows, up to k");
            assert!(got.iter().all(|hit| allowed.contains(hit.0.0)));
            assert!(got.is_sorted_by(|a, b| a.1 > b.1 || (a.1 == b.1 && a.0 < b.0)));
            let last = truth.last().map_or(f32::MIN, |hit| hit.1);
            found += got.iter().filter(|hit| hit.1 >= last).count();
            wanted += truth.len();
        }
        found as f64 / wanted.max(1) as f64
    }
}

const METRICS: [Metric; 3] = [Metric::Ip, Metric::Cosine, Metric::L2];

#[test]
fn recall_is_high_at_the_default_effort_for_every_metric_and_profile() {
    for metric in METRICS {
        for profile in [Profile::Fast, Profile::Compact] {
            let fixture = Fixture::new(clustered(6000, 48, 1), 48, metric, profile);
            for k in [1, 10, 100, 500] {
                let recall = fixture.recall(SearchParams::new(k), &Allowed::all());
                assert!(recall >= 0.97, "{metric} {profile:?} k={k} recall={recall}");
            }
        }
    }
}

#[test]
fn an_index_of_before_the_one_bit_codes_of_entries_searches_as_well() {
    let mut fixture = Fixture::new(clustered(6000, 48, 1), 48, Metric::Cosine, Profile::Fast);
    let with = fixture.recall(SearchParams::new(10), &Allowed::all());
    let meta = Meta { entry_signs: None, ..Meta::decode(&fixture.parts.meta).unwrap() };
    fixture.head = IndexHead::open(&meta.encode()).unwrap();
    let without = fixture.recall(SearchParams::new(10), &Allowed::all());
    assert!(with >= 0.97 && without >= 0.97, "with={with} without={without}");
}

#[test]
fn ordinals_live_rows_requirements_and_exclusions_all_count() {
    let (n, dim) = (5000usize, 32);
    let fixture = Fixture::new(clustered(n, dim, 3), dim, Metric::Ip, Profile::Fast);
    let ordinals: Vec<u32> = (0..n as u32).map(|i| 2 * (n as u32 - i)).collect();
    let mut live = vec![u64::MAX; n.div_ceil(64)];
    live[0] = 0;
    let mut base = vec![u64::MAX; (2 * n + 1).div_ceil(64)];
    base[40..].iter_mut().for_each(|w| *w = 0x5555_5555_0000_ffff);
    let required: RoaringBitmap = (0..9000).collect();
    let excluded: RoaringBitmap = (0..10_000).step_by(6).collect();
    let allowed = Allowed::all()
        .with_ordinals(&ordinals)
        .with_live(&live)
        .with_base(&base)
        .with_required(&required)
        .with_excluded(&excluded);
    for offset in 0..n as u32 {
        let o = ordinals[offset as usize];
        let expected =
            offset >= 64 && base[o as usize / 64] >> (o % 64) & 1 == 1 && o < 9000 && !o.is_multiple_of(6);
        assert_eq!(allowed.contains(offset), expected, "{offset}");
    }
    assert!(fixture.recall(SearchParams::new(10), &allowed) >= 0.95);
    let counted = (0..n as u32).filter(|&o| allowed.contains(o)).count() as f64;
    let estimated = allowed.estimated_count(n) as f64;
    assert!((estimated / counted - 1.0).abs() < 0.2, "{estimated} {counted}");
}

#[test]
fn excluding_the_best_tracks_gives_the_next_ones() {
    let fixture = Fixture::new(clustered(5000, 32, 4), 32, Metric::Ip, Profile::Fast);
    let query = &fixture.queries[..32];
    let heard: RoaringBitmap = fixture.exact(query, 300, &Allowed::all()).iter().map(|hit| hit.0.0).collect();
    let allowed = Allowed::all().with_excluded(&heard);
    let hits =
        fixture.view().search(query, &SearchParams::new(20), &allowed, &mut Scratch::new()).unwrap().hits;
    assert_eq!(hits, fixture.exact(query, 20, &allowed));
}

#[test]
fn builds_are_the_same_at_any_number_of_threads() {
    let vectors = clustered(4000, 40, 6);
    let rows = Rows::new(&vectors, 4000, 40, 40).unwrap();
    let at = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            build(&rows, &BuildParams::new(Metric::Cosine, Profile::Fast), &Progress::default()).unwrap()
        })
    };
    let one = at(1);
    assert_eq!(one, at(2));
    assert_eq!(one, at(5));
}

#[test]
fn hits_and_score_bits_do_not_depend_on_the_instruction_set() {
    for metric in METRICS {
        for profile in [Profile::Fast, Profile::Compact] {
            let fixture = Fixture::new(clustered(3000, 70, 7), 70, metric, profile);
            for set in [InstructionSet::Avx2, InstructionSet::Avx512] {
                let Some(table) = Kernels::of(set) else { continue };
                let (table, scalar) = (
                    Box::leak(Box::new(table)),
                    Box::leak(Box::new(Kernels::of(InstructionSet::Scalar).unwrap())),
                );
                for query in fixture.queries.chunks_exact(70) {
                    let run = |kernels| {
                        fixture
                            .view()
                            .with_kernels(kernels)
                            .search(query, &SearchParams::new(10), &Allowed::all(), &mut Scratch::new())
                            .unwrap()
                    };
                    assert_eq!(run(table), run(scalar));
                }
            }
        }
    }
}

#[test]
fn tiny_segments_return_everything_in_order() {
    for metric in METRICS {
        for n in [0usize, 1, 2, 3, 31, 33, 65] {
            for dim in [1usize, 2, 3, 64, 65] {
                let fixture = Fixture::new(clustered(n, dim, 8 + n as u64), dim, metric, Profile::Fast);
                let query = &fixture.queries[..dim];
                let outcome = fixture
                    .view()
                    .search(query, &SearchParams::new(1000), &Allowed::all(), &mut Scratch::new())
                    .unwrap();
                assert_eq!(
                    outcome.hits,
                    fixture.exact(query, 1000, &Allowed::all()),
                    "{metric} n={n} dim={dim}"
                );
            }
        }
    }
}

#[test]
fn wide_vectors_work() {
    let fixture = Fixture::new(clustered(300, 4096, 9), 4096, Metric::Cosine, Profile::Fast);
    assert!(fixture.recall(SearchParams::new(10), &Allowed::all()) >= 0.95);
}

#[test]
fn thousands_of_equal_vectors_are_all_found() {
    let mut vectors = clustered(6000, 24, 10);
    let copy = vectors[..24].to_vec();
    (0..3000).for_each(|i| vectors[24 * i..24 * (i + 1)].copy_from_slice(&copy));
    for metric in METRICS {
        let fixture = Fixture::new(vectors.clone(), 24, metric, Profile::Fast);
        let outcome = fixture
            .view()
            .search(&copy, &SearchParams::new(2000), &Allowed::all(), &mut Scratch::new())
            .unwrap();
        let truth = fixture.exact(&copy, 2000, &Allowed::all());
        let good = outcome.hits.iter().filter(|hit| hit.1 >= truth[1999].1).count();
        assert!(good >= 1960, "{metric} {good}");
        let recall = fixture.recall(SearchParams::new(10), &Allowed::all());
        assert!(recall >= 0.95, "{metric} {recall}");
    }
}

#[test]
fn zero_vectors_score_zero_and_do_no_harm() {
    let mut vectors = clustered(2000, 24, 11);
    vectors[..24 * 500].fill(0.0);
    for metric in METRICS {
        let fixture = Fixture::new(vectors.clone(), 24, metric, Profile::Fast);
        assert!(fixture.recall(SearchParams::new(10), &Allowed::all()) >= 0.97, "{metric}");
    }
    let fixture = Fixture::new(vectors, 24, Metric::Ip, Profile::Fast);
    let hits = fixture
        .view()
        .search(&[0.0; 24], &SearchParams::new(5), &Allowed::all(), &mut Scratch::new())
        .unwrap()
        .hits;
    assert_eq!(hits.len(), 5);
    assert!(hits.iter().all(|hit| hit.1 == 0.0));
}

#[test]
fn wrong_queries_and_rows_are_named() {
    let mut vectors = clustered(100, 8, 12);
    let fixture = Fixture::new(vectors.clone(), 8, Metric::Cosine, Profile::Fast);
    let (view, mut scratch) = (fixture.view(), Scratch::new());
    let mut search = |query: &[f32], k| {
        view.search(query, &SearchParams::new(k), &Allowed::all(), &mut scratch).unwrap_err()
    };
    assert!(matches!(search(&[1.0; 7], 10), IndexError::DimensionMismatch { expected: 8, got: 7 }));
    assert!(matches!(search(&[0.0; 8], 10), IndexError::ZeroQuery));
    assert!(matches!(search(&[1.0; 8], 0), IndexError::Parameter { name: "k", .. }));
    assert!(matches!(
        search(&[1.0, 1.0, f32::NAN, 0.0, 0.0, 0.0, 0.0, 0.0], 1),
        IndexError::QueryNotFinite { dimension: 2 }
    ));
    vectors[8 * 42 + 3] = f32::INFINITY;
    let rows = Rows::new(&vectors, 100, 8, 8).unwrap();
    let error = build(&rows, &BuildParams::new(Metric::Ip, Profile::Fast), &Progress::default()).unwrap_err();
    assert!(matches!(error, IndexError::NotFinite { row: 42, dimension: 3 }));
}

#[test]
fn damaged_arrays_are_refused_or_harmless() {
    let fixture = Fixture::new(clustered(3000, 16, 13), 16, Metric::Ip, Profile::Fast);
    for at in 0..fixture.parts.meta.len() {
        for flip in [1u8, 0x80, 0xff] {
            let mut meta = fixture.parts.meta.clone();
            meta[at] ^= flip;
            let Ok(head) = IndexHead::open(&meta) else { continue };
            let Ok(view) = head.view(fixture.parts.slices(), fixture.rows()) else { continue };
            let _ = view.search(
                &fixture.queries[..16],
                &SearchParams::new(5),
                &Allowed::all(),
                &mut Scratch::new(),
            );
        }
        assert!(IndexHead::open(&fixture.parts.meta[..at]).is_err());
    }
    let mut random = SplitMix64::new(14);
    for _ in 0..200 {
        let mut parts = fixture.parts.clone();
        for block in [&mut parts.codes, &mut parts.factors, &mut parts.rows] {
            let at = random.below(block.bytes.len() as u64) as usize;
            block.bytes[at] = random.next_u64() as u8;
        }
        let view = fixture.head.view(parts.slices(), fixture.rows()).unwrap();
        let hits = view
            .search(&fixture.queries[..16], &SearchParams::new(5), &Allowed::all(), &mut Scratch::new())
            .unwrap()
            .hits;
        assert_eq!(hits.len(), 5);
    }
    let mut parts = fixture.parts.clone();
    parts.rows.bytes[4..8].copy_from_slice(&3000u32.to_le_bytes());
    assert!(matches!(
        fixture.head.view(parts.slices(), fixture.rows()).unwrap().check(),
        Err(IndexError::Damaged { block: "rows", .. })
    ));
    parts.rows.bytes.pop();
    assert!(fixture.head.view(parts.slices(), fixture.rows()).is_err());
}

#[test]
fn a_build_reports_progress_and_can_be_cancelled() {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    let vectors = clustered(2000, 16, 15);
    let rows = Rows::new(&vectors, 2000, 16, 16).unwrap();
    let (last, cancel) = (AtomicUsize::new(0), AtomicBool::new(false));
    let report = |done: usize, total: usize| {
        assert!(done >= last.swap(done, Ordering::Relaxed) && done <= total);
        cancel.store(done > total / 2, Ordering::Relaxed);
    };
    let progress = Progress::new(&report).with_cancel(&cancel);
    let error = build(&rows, &BuildParams::new(Metric::Cosine, Profile::Fast), &progress).unwrap_err();
    assert!(matches!(error, IndexError::Cancelled));
    assert!(last.load(Ordering::Relaxed) > 1000);
}

/// A third of the rows are deleted and others arrive in a segment of their own, as between two merges.
#[test]
fn recall_after_deleting_and_inserting_three_tenths_is_that_of_a_fresh_build() {
    let (n, dim) = (6000usize, 48);
    let all = clustered(n + 3 * n / 10, dim, 21);
    let mut random = SplitMix64::new(22);
    let mut live = vec![0u64; n.div_ceil(64)];
    let kept: Vec<usize> = (0..n).filter(|_| random.uniform() < 0.7).collect();
    kept.iter().for_each(|row| live[row / 64] |= 1 << (row % 64));
    let (old, new) = all.split_at(n * dim);
    let fresh: Vec<f32> =
        kept.iter().flat_map(|row| &old[row * dim..(row + 1) * dim]).chain(new).copied().collect();
    for metric in METRICS {
        let whole = Fixture::new(fresh.clone(), dim, metric, Profile::Fast);
        let first = Fixture::new(old.to_vec(), dim, metric, Profile::Fast);
        let second = Fixture::new(new.to_vec(), dim, metric, Profile::Fast);
        let (params, mut scratch) = (SearchParams::new(10), Scratch::new());
        let (mut found, mut wanted) = (0, 0);
        for query in whole.queries.chunks_exact(dim) {
            let worst = whole.exact(query, 10, &Allowed::all())[9].1;
            let mut hits = first
                .view()
                .search(query, &params, &Allowed::all().with_live(&live), &mut scratch)
                .unwrap()
                .hits;
            hits.extend(second.view().search(query, &params, &Allowed::all(), &mut scratch).unwrap().hits);
            hits.sort_by(|a, b| b.1.total_cmp(&a.1));
            found += hits.iter().take(10).filter(|hit| hit.1 >= worst).count();
            wanted += 10;
        }
        let recall = found as f64 / f64::from(wanted);
        let fresh = whole.recall(params, &Allowed::all());
        assert!(recall >= fresh - 0.01, "{metric} {recall} {fresh}");
    }
}
