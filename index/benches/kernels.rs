//! The loops a search spends its time in, per instruction set and dimension.
//!
//! `cargo bench -p segue-index`; ids are `kernel/instruction set/dimension`. Inputs are random by a fixed seed and fit into
//! the first cache, so these are times of computing, not of fetching.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use segue_index::SplitMix64;
use segue_index::kernels::{BATCH, BlockScale, InstructionSet, Kernels};

const DIMS: [usize; 3] = [64, 128, 256];

fn tables() -> Vec<Kernels> {
    [InstructionSet::Scalar, InstructionSet::Avx2, InstructionSet::Avx512]
        .into_iter()
        .filter_map(Kernels::of)
        .collect()
}

fn floats(random: &mut SplitMix64, n: usize) -> Vec<f32> {
    (0..n).map(|_| random.normal() as f32).collect()
}

fn bytes(random: &mut SplitMix64, n: usize) -> Vec<u8> {
    (0..n).map(|_| random.next_u64() as u8).collect()
}

/// Runs `body` for each instruction set and dimension.
fn each(
    criterion: &mut Criterion,
    name: &str,
    elements: usize,
    body: impl Fn(&Kernels, usize) -> Box<dyn Fn()>,
) {
    let mut group = criterion.benchmark_group(name);
    for kernels in tables() {
        for dim in DIMS {
            let run = body(Box::leak(Box::new(kernels)), dim);
            group.throughput(Throughput::Elements(elements as u64));
            let id = BenchmarkId::new(format!("{:?}", kernels.instruction_set), dim);
            group.bench_function(id, |bencher| bencher.iter(&*run));
        }
    }
    group.finish();
}

fn scores(criterion: &mut Criterion) {
    let pair = |dim: usize| {
        let mut random = SplitMix64::new(1);
        (floats(&mut random, dim), floats(&mut random, dim))
    };
    each(criterion, "dot_f32", 1, |kernels, dim| {
        let (kernels, (a, b)) = (*kernels, pair(dim));
        Box::new(move || {
            black_box(kernels.dot_f32(black_box(&a), &b));
        })
    });
    each(criterion, "l2_f32", 1, |kernels, dim| {
        let (kernels, (a, b)) = (*kernels, pair(dim));
        Box::new(move || {
            black_box(kernels.l2_f32(black_box(&a), &b));
        })
    });
}

fn codes(criterion: &mut Criterion) {
    let signed = |bytes: Vec<u8>| bytes.into_iter().map(|b| b as i8).collect::<Vec<i8>>();
    each(criterion, "dot_i8_four", 4, move |kernels, dim| {
        let mut random = SplitMix64::new(2);
        let (kernels, a, b) = (*kernels, signed(bytes(&mut random, dim)), bytes(&mut random, dim));
        Box::new(move || {
            black_box(kernels.dot_i8_four(black_box(&a), 0, [&b; 4]));
        })
    });
    each(criterion, "dot_u4", 1, move |kernels, dim| {
        let mut random = SplitMix64::new(3);
        let (low, high) = (signed(bytes(&mut random, dim / 2)), signed(bytes(&mut random, dim / 2)));
        let (kernels, code) = (*kernels, bytes(&mut random, dim / 2));
        Box::new(move || {
            black_box(kernels.dot_u4(black_box(&low), &high, &code));
        })
    });
}

fn blocks(criterion: &mut Criterion) {
    each(criterion, "scan_block", BATCH, |kernels, dim| {
        let mut random = SplitMix64::new(4);
        let (signs, table) = (bytes(&mut random, 4 * dim), bytes(&mut random, 4 * dim));
        let factors: Vec<u8> =
            (0..2 * BATCH).flat_map(|_| half::f16::from_f64(random.normal()).to_le_bytes()).collect();
        let scale = BlockScale { step: 0.01, offset: -1.5, base: 0.3, factor_scale: 2.5 };
        let kernels = *kernels;
        Box::new(move || {
            let mut out = [0.0; BATCH];
            black_box(kernels.scan_block(black_box(&signs), &table, &factors, &scale, 0.2, &mut out));
            black_box(out);
        })
    });
}

criterion_group!(benches, scores, codes, blocks);
criterion_main!(benches);
