//! Portable kernels: the definition the other instruction sets are tested against.

use super::prefetch::as_signed;
use super::{BATCH, BlockScale};

/// Lanes of the fixed summation order.
const LANES: usize = 32;

/// Folds the lanes in a fixed tree: 32, 16, 8, 4, 2, 1.
pub(super) fn fold_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Applies `term` to each pair and sums in the fixed order.
#[inline(always)]
fn sum_terms(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let mut pairs = a.chunks_exact(LANES).zip(b.chunks_exact(LANES));
    for (x, y) in &mut pairs {
        for i in 0..LANES {
            lanes[i] += term(x[i], y[i]);
        }
    }
    let tail = a.len() / LANES * LANES;
    for (lane, (x, y)) in lanes.iter_mut().zip(a[tail..].iter().zip(&b[tail..])) {
        *lane += term(*x, *y);
    }
    fold_lanes(lanes)
}

pub(super) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    sum_terms(a, b, |x, y| x * y)
}

pub(super) fn dot_and_square(a: &[f32], b: &[f32]) -> (f32, f32) {
    (dot_f32(a, b), dot_f32(b, b))
}

pub(super) fn l2_f32(a: &[f32], b: &[f32]) -> f32 {
    sum_terms(a, b, |x, y| (x - y) * (x - y))
}

pub(super) fn dot_u4(low: &[i8], high: &[i8], code: &[u8]) -> i32 {
    let pairs = low.iter().zip(high);
    pairs
        .zip(code)
        .map(|((l, h), c)| i32::from(*l) * i32::from(c & 15) + i32::from(*h) * i32::from(c >> 4))
        .sum()
}

pub(super) fn dot_u4_each(low: &[i8], high: &[i8], codes: &[u8], out: &mut [i32]) {
    for (out, code) in out.iter_mut().zip(codes.chunks_exact(low.len())) {
        *out = dot_u4(low, high, code);
    }
}

pub(super) fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(x, y)| i32::from(*x) * i32::from(*y)).sum()
}

pub(super) fn dot_i8_four(a: &[i8], _sum: i32, codes: [&[u8]; 4]) -> [i32; 4] {
    codes.map(|code| dot_i8(a, as_signed(code)))
}

/// Turns the 32 integer sums of a block into scores and the mask of those above `threshold`.
pub(super) fn finish_block(
    sums: &[u32; BATCH],
    factors: &[u8],
    scale: &BlockScale,
    threshold: f32,
    out: &mut [f32; BATCH],
) -> u32 {
    let half_at = |i: usize| {
        half::f16::from_le_bytes([factors[2 * i], factors[2 * i + 1]]).to_f32() * scale.factor_scale
    };
    let mut mask = 0;
    for i in 0..BATCH {
        let product = sums[i] as f32 * scale.step + scale.offset;
        out[i] = product * half_at(i) + (half_at(BATCH + i) + scale.base);
        mask |= u32::from(out[i] > threshold) << i;
    }
    mask
}

pub(super) fn scan_block(
    codes: &[u8],
    table: &[u8],
    factors: &[u8],
    scale: &BlockScale,
    threshold: f32,
    out: &mut [f32; BATCH],
) -> u32 {
    let mut sums = [0u32; BATCH];
    for (group, entries) in codes.chunks_exact(16).zip(table.chunks_exact(16)) {
        for (i, byte) in group.iter().enumerate() {
            sums[i] += u32::from(entries[usize::from(byte & 15)]);
            sums[i + 16] += u32::from(entries[usize::from(byte >> 4)]);
        }
    }
    finish_block(&sums, factors, scale, threshold, out)
}
