//! Searches under filters: recall numbers, the sieve beside exact scans, damaged arrays.

use super::*;

#[test]
fn filters_of_every_selectivity_keep_recall_and_never_fall_short() {
    let n = 6000;
    for metric in METRICS {
        let fixture = Fixture::new(clustered(n, 48, 2), 48, metric, Profile::Fast);
        let anchor = fixture.vectors[..48].to_vec();
        let mut by_anchor: Vec<u32> = (0..n as u32).collect();
        let key =
            |v: u32| -> f32 { anchor.iter().zip(fixture.rows().row(v as usize)).map(|(a, b)| a * b).sum() };
        by_anchor.sort_by(|a, b| key(*b).total_cmp(&key(*a)));
        for share in [0.9, 0.5, 0.2, 0.05, 0.01, 0.001] {
            let m = ((n as f64 * share) as usize).max(1);
            let mut random = SplitMix64::new(5);
            let drawn: Vec<u32> = (0..n as u32).filter(|_| random.uniform() < share).collect();
            for rows in [&drawn, &by_anchor[..m].to_vec(), &by_anchor[n - m..].to_vec()] {
                let mut bits = vec![0u64; n.div_ceil(64)];
                rows.iter().for_each(|r| bits[*r as usize / 64] |= 1 << (r % 64));
                let recall = fixture.recall(SearchParams::new(10), &Allowed::all().with_base(&bits));
                assert!(recall >= 0.95, "{metric} share={share} recall={recall}");
            }
        }
    }
}

/// Some rows of `n`, drawn with the given chance, as a bitset.
fn drawn(n: usize, share: f64, seed: u64) -> Vec<u64> {
    let mut random = SplitMix64::new(seed);
    let mut bits = vec![0u64; n.div_ceil(64)];
    (0..n).filter(|_| random.uniform() < share).for_each(|row| bits[row / 64] |= 1 << (row % 64));
    bits
}

/// What a scan through the sieve returns, scored exactly.
fn sifted(fixture: &Fixture, query: &[f32], k: usize, allowed: &Allowed<'_>) -> Vec<f32> {
    let (head, mut scratch) = (fixture.head.clone(), Scratch::new());
    let view = head.view(fixture.parts.slices(), fixture.rows()).unwrap();
    // Makes the query ready.
    view.search(query, &SearchParams::new(k), &Allowed::all(), &mut scratch).unwrap();
    let count = allowed.estimated_count(view.len());
    sieve::scan::scan(&view, view.sieve.unwrap(), (k, 2 * k + 16), (allowed, count), &mut scratch);
    let found = scratch.found.iter();
    let mut scores: Vec<f32> = found
        .map(|entry| {
            assert!(allowed.contains(entry.node));
            exact::score(fixture.metric, query, fixture.rows().row(entry.node as usize))
        })
        .collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    scores.truncate(k);
    scores
}

#[test]
fn a_scan_through_the_sieve_finds_what_an_exact_scan_finds() {
    for metric in METRICS {
        for (profile, least) in [(Profile::Fast, 0.97), (Profile::Compact, 0.95)] {
            for (dim, n, seed) in [(48, 4000, 31), (128, 3001, 32)] {
                let fixture = Fixture::new(clustered(n, dim, seed), dim, metric, profile);
                for share in [0.001, 0.1, 1.0] {
                    let bits = drawn(n, share, seed);
                    let allowed = Allowed::all().with_base(&bits);
                    let (mut found, mut wanted) = (0, 0);
                    for query in fixture.queries.chunks_exact(dim) {
                        let truth = fixture.exact(query, 10, &allowed);
                        let scores = sifted(&fixture, query, 10, &allowed);
                        assert_eq!(scores.len(), truth.len(), "never fewer than there are");
                        let last = truth.last().map_or(f32::MIN, |hit| hit.1);
                        found += scores.iter().filter(|score| **score >= last).count();
                        wanted += truth.len();
                    }
                    let recall = found as f64 / wanted.max(1) as f64;
                    assert!(
                        recall >= least,
                        "{metric} {profile:?} dim={dim} share={share} seed={seed} {recall}"
                    );
                }
            }
        }
    }
}

/// Vectors in the order of their places.
fn in_order(vectors: &[f32], dim: usize) -> Vec<f32> {
    let rows: Vec<&[f32]> = vectors.chunks_exact(dim).collect();
    locality_order(&rows, 1).into_iter().flat_map(|at| rows[at as usize].to_vec()).collect()
}

#[test]
fn a_scan_reads_a_part_of_rows_in_groups_and_finds_what_is_near_and_far() {
    let (n, dim) = (12_000, 32);
    for metric in [Metric::Ip, Metric::Cosine] {
        let fixture = Fixture::new(in_order(&clustered(n, dim, 41), dim), dim, metric, Profile::Fast);
        let sieve = fixture.view().sieve.unwrap();
        let read = sieve.rows_read(n / 2, 10);
        assert!(read < n / 4, "{metric} {read}");
        // A stretch of rows lies together: near some queries, far from most.
        for (first, share) in [(0, 0.5), (n / 3, 0.25), (n / 2, 0.1)] {
            let mut bits = vec![0u64; n.div_ceil(64)];
            let last = first + (n as f64 * share) as usize;
            (first..last.min(n)).for_each(|row| bits[row / 64] |= 1 << (row % 64));
            for (k, least) in [(10, 0.95), (100, 0.95)] {
                let allowed = Allowed::all().with_base(&bits);
                let (mut found, mut wanted) = (0, 0);
                for query in fixture.queries.chunks_exact(dim) {
                    let truth = fixture.exact(query, k, &allowed);
                    let scores = sifted(&fixture, query, k, &allowed);
                    let least = truth.last().map_or(f32::MIN, |hit| hit.1);
                    found += scores.iter().filter(|score| **score >= least).count();
                    wanted += truth.len();
                }
                let recall = found as f64 / wanted as f64;
                assert!(recall >= least, "{metric} first={first} share={share} k={k} {recall}");
            }
        }
    }
}

/// What a walk under a filter finds, allowed rows best first by their exact scores, and how many nodes it looked at.
fn walked(view: &IndexView<'_>, query: &[f32], allowed: &Allowed<'_>, share: f64) -> (Vec<f32>, u64) {
    let mut scratch = Scratch::new();
    scratch.query.set(view.kernels, view.meta, view.rotation, query);
    let hops = plan::Hops { enough: 160, enough_far: Some(400), max: 2_000, share };
    assert!(walk::filtered(view, &reach::Reach::fixed(64), allowed, hops, &mut scratch));
    let found = scratch.beam.iter().inspect(|(_, node)| assert!(allowed.contains(*node)));
    let mut scores: Vec<f32> = found.map(|(_, node)| view.score(query, scratch.query.length, node)).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    (scores, scratch.counts.estimates)
}

#[test]
fn walks_go_down_as_those_without_filter_where_much_is_allowed_and_find_what_others_do() {
    let (n, dim) = (26_000, 32);
    let fixture = Fixture::new(in_order(&clustered(n, dim, 51), dim), dim, Metric::Cosine, Profile::Fast);
    let view = fixture.view();
    let from_entries = view.with_sieve(view.sieve, None);
    let scalar: &'static Kernels = Box::leak(Box::new(Kernels::of(InstructionSet::Scalar).unwrap()));
    for share in [0.9, 0.5] {
        let bits = drawn(n, share, 52);
        let allowed = Allowed::all().with_base(&bits);
        let (mut found, mut estimates) = ([0, 0], [0, 0]);
        for query in fixture.queries.chunks_exact(dim) {
            let truth = fixture.exact(query, 10, &allowed);
            let runs = [&view, &from_entries].map(|view| walked(view, query, &allowed, share));
            assert_eq!(runs[0], walked(&view.with_kernels(scalar), query, &allowed, share));
            for (at, (scores, looked_at)) in runs.iter().enumerate() {
                found[at] += scores.iter().take(10).filter(|score| **score >= truth[9].1).count();
                estimates[at] += looked_at;
            }
        }
        assert!(found[0] >= 490 && found[0] + 5 >= found[1], "share {share}: {found:?} of 500");
        assert!(estimates[0] < estimates[1], "share {share}: {estimates:?}");
    }
}

#[test]
fn a_scan_reads_all_rows_where_they_form_no_groups() {
    let (n, dim) = (10_000, 64);
    let mut random = SplitMix64::new(43);
    let vectors: Vec<f32> = (0..n * dim).map(|_| random.normal() as f32).collect();
    let fixture = Fixture::new(in_order(&vectors, dim), dim, Metric::Cosine, Profile::Fast);
    let read = fixture.view().sieve.unwrap().rows_read(n / 2, 10);
    assert!(read > n * 7 / 20, "{read} of {} rows", n / 2);
}

#[test]
fn filtered_hits_do_not_depend_on_the_instruction_set_nor_few_hits_on_the_sieve() {
    let (n, dim) = (9000usize, 40);
    let fixture = Fixture::new(clustered(n, dim, 33), dim, Metric::Cosine, Profile::Fast);
    let scalar = Box::leak(Box::new(Kernels::of(InstructionSet::Scalar).unwrap()));
    for share in [0.5, 0.3, 0.03] {
        let bits = drawn(n, share, 34);
        let allowed = Allowed::all().with_base(&bits);
        for query in fixture.queries.chunks_exact(dim) {
            let run = |view: IndexView<'_>| {
                view.search(query, &SearchParams::new(10), &allowed, &mut Scratch::new()).unwrap()
            };
            let own = run(fixture.view());
            assert_eq!(own, run(fixture.view().with_kernels(scalar)), "share {share}");
            let without = IndexHead::open(&fixture.parts.meta).unwrap();
            let plain = run(without.view(fixture.parts.slices(), fixture.rows()).unwrap());
            assert_eq!(own.hits.len(), plain.hits.len());
            if share < 0.04 {
                assert_eq!(own.hits, fixture.exact(query, 10, &allowed), "few rows are scored exactly");
            }
        }
    }
}

#[test]
fn damaged_factors_make_a_sieve_that_loses_no_rows() {
    let mut fixture = Fixture::new(clustered(3000, 16, 36), 16, Metric::Ip, Profile::Fast);
    for wrong in [f32::NAN, f32::INFINITY] {
        for factor in fixture.parts.factors.bytes.as_chunks_mut::<4>().0 {
            *factor = wrong.to_le_bytes();
        }
        fixture.head =
            IndexHead::open(&fixture.parts.meta).unwrap().with_sieve(&fixture.parts.slices()).unwrap();
        let bits = drawn(3000, 0.5, 37);
        let query = fixture.queries[..16].to_vec();
        assert_eq!(sifted(&fixture, &query, 10, &Allowed::all().with_base(&bits)).len(), 10);
    }
}

#[test]
fn a_sieve_of_arrays_of_another_size_is_refused() {
    let fixture = Fixture::new(clustered(300, 16, 35), 16, Metric::Ip, Profile::Fast);
    let mut parts = fixture.parts.clone();
    parts.codes.bytes.pop();
    let head = IndexHead::open(&parts.meta).unwrap();
    assert!(matches!(head.with_sieve(&parts.slices()), Err(IndexError::Damaged { block: "codes", .. })));
}
