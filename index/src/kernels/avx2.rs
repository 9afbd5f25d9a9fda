//! Kernels for x86-64 with AVX2 and F16C.
#![expect(
    unsafe_code,
    reason = "vector instructions behind run-time detection; lengths are checked by the caller, `Kernels`"
)]

use std::arch::x86_64::*;

use super::prefetch::as_signed;
use super::scalar::{finish_block, fold_lanes};
use super::{BATCH, BlockScale, InstructionSet, Kernels};

/// Returns the table when this machine has the instructions.
pub(super) fn kernels() -> Option<Kernels> {
    let present = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c");
    // SAFETY (each closure below): this table is only handed out when the features were detected just above.
    present.then_some(Kernels {
        instruction_set: InstructionSet::Avx2,
        // SAFETY: AVX2 was detected; `Kernels` checked that the lengths are equal.
        dot_f32: |a, b| unsafe { dot_f32(a, b) },
        // SAFETY: as above.
        l2_f32: |a, b| unsafe { l2_f32(a, b) },
        // SAFETY: as above; lengths are equal multiples of 32.
        dot_u4: |low, high, code| unsafe { dot_u4(low, high, code) },
        // SAFETY: as above; lengths are equal multiples of 64.
        dot_i8: |a, b| unsafe { dot_i8(a, b) },
        // SAFETY: as above; all four codes are as long as the query.
        dot_i8_four: |a, _sum, codes| codes.map(|code| unsafe { dot_i8(a, as_signed(code)) }),
        // SAFETY: as above; `codes` and `table` are equal multiples of 64 bytes.
        scan_block: |codes, table, factors, scale, threshold, out| unsafe {
            scan_block(codes, table, factors, scale, threshold, out)
        },
    })
}

/// Sums 32 lanes of `term` over whole chunks, then the tail, then folds in the fixed order.
///
/// # Safety
/// AVX2 is present and the slices are equally long.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sum_terms(a: &[f32], b: &[f32], difference: bool) -> f32 {
    let mut acc = [_mm256_setzero_ps(); 4];
    let whole = a.len() / 32 * 32;
    for at in (0..whole).step_by(32) {
        for (lane, acc) in acc.iter_mut().enumerate() {
            // SAFETY: `at + 32 <= len` of both slices.
            let (x, y) = unsafe {
                (
                    _mm256_loadu_ps(a.as_ptr().add(at + 8 * lane)),
                    _mm256_loadu_ps(b.as_ptr().add(at + 8 * lane)),
                )
            };
            let d = _mm256_sub_ps(x, y);
            *acc = _mm256_add_ps(*acc, if difference { _mm256_mul_ps(d, d) } else { _mm256_mul_ps(x, y) });
        }
    }
    let mut lanes = [0.0f32; 32];
    for (lane, acc) in acc.iter().enumerate() {
        // SAFETY: `lanes` has room for four times eight floats.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr().add(8 * lane), *acc) };
    }
    for (lane, (x, y)) in lanes.iter_mut().zip(a[whole..].iter().zip(&b[whole..])) {
        *lane += if difference { (x - y) * (x - y) } else { x * y };
    }
    fold_lanes(lanes)
}

#[target_feature(enable = "avx2")]
unsafe fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    // SAFETY: the caller's contract is passed on.
    unsafe { sum_terms(a, b, false) }
}

#[target_feature(enable = "avx2")]
unsafe fn l2_f32(a: &[f32], b: &[f32]) -> f32 {
    // SAFETY: the caller's contract is passed on.
    unsafe { sum_terms(a, b, true) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn sum_i32(v: __m256i) -> i32 {
    let v = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
    let v = _mm_add_epi32(v, _mm_shuffle_epi32::<0b00_00_11_10>(v));
    _mm_cvtsi128_si32(_mm_add_epi32(v, _mm_shuffle_epi32::<1>(v)))
}

/// # Safety
/// AVX2 is present; lengths are equal multiples of 32.
#[target_feature(enable = "avx2")]
unsafe fn dot_u4(low: &[i8], high: &[i8], code: &[u8]) -> i32 {
    let (mask, ones) = (_mm256_set1_epi8(15), _mm256_set1_epi16(1));
    let mut acc = _mm256_setzero_si256();
    for at in (0..code.len()).step_by(32) {
        // SAFETY: `at + 32 <= len` of all three slices.
        let (c, l, h) = unsafe {
            let load = |p: *const u8| _mm256_loadu_si256(p.add(at).cast());
            (load(code.as_ptr()), load(low.as_ptr().cast()), load(high.as_ptr().cast()))
        };
        // At most 2·15·128 = 3,840 a pair and 7,680 for the two: 16 bits never saturate.
        let pairs = _mm256_add_epi16(
            _mm256_maddubs_epi16(_mm256_and_si256(c, mask), l),
            _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16::<4>(c), mask), h),
        );
        acc = _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, ones));
    }
    sum_i32(acc)
}

/// # Safety
/// AVX2 is present; lengths are equal multiples of 64.
#[target_feature(enable = "avx2")]
unsafe fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    let mut acc = _mm256_setzero_si256();
    for at in (0..a.len()).step_by(16) {
        // SAFETY: `at + 16 <= len` of both slices.
        let (x, y) = unsafe {
            (
                _mm256_cvtepi8_epi16(_mm_loadu_si128(a.as_ptr().add(at).cast())),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(b.as_ptr().add(at).cast())),
            )
        };
        acc = _mm256_add_epi32(acc, _mm256_madd_epi16(x, y));
    }
    sum_i32(acc)
}

/// # Safety
/// AVX2 and F16C are present; `codes` and `table` are equal multiples of 64 bytes.
#[target_feature(enable = "avx2,f16c")]
unsafe fn scan_block(
    codes: &[u8],
    table: &[u8],
    factors: &[u8],
    scale: &BlockScale,
    threshold: f32,
    out: &mut [f32; BATCH],
) -> u32 {
    let mask = _mm256_set1_epi8(15);
    let mut sums = [0u32; BATCH];
    // 128 groups of at most 255 stay below 65,536, so 16-bit sums are exact inside one stretch.
    for (codes, table) in codes.chunks(16 * 128).zip(table.chunks(16 * 128)) {
        // Even bytes (neighbours 0, 2, …) and odd bytes of the low and of the high nibbles.
        let mut acc = [_mm256_setzero_si256(); 4];
        for at in (0..codes.len()).step_by(32) {
            // SAFETY: `at + 32 <= len` of both slices, whose lengths are equal multiples of 64.
            let (c, t) = unsafe {
                (
                    _mm256_loadu_si256(codes.as_ptr().add(at).cast()),
                    _mm256_loadu_si256(table.as_ptr().add(at).cast()),
                )
            };
            let low = _mm256_shuffle_epi8(t, _mm256_and_si256(c, mask));
            let high = _mm256_shuffle_epi8(t, _mm256_and_si256(_mm256_srli_epi16::<4>(c), mask));
            let bytes = _mm256_set1_epi16(0xff);
            acc[0] = _mm256_add_epi16(acc[0], _mm256_and_si256(low, bytes));
            acc[1] = _mm256_add_epi16(acc[1], _mm256_srli_epi16::<8>(low));
            acc[2] = _mm256_add_epi16(acc[2], _mm256_and_si256(high, bytes));
            acc[3] = _mm256_add_epi16(acc[3], _mm256_srli_epi16::<8>(high));
        }
        for (part, acc) in acc.into_iter().enumerate() {
            let mut words = [0u16; 16];
            // SAFETY: `words` holds exactly 32 bytes.
            unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), acc) };
            for i in 0..8 {
                sums[16 * (part / 2) + 2 * i + part % 2] += u32::from(words[i]) + u32::from(words[i + 8]);
            }
        }
    }
    finish_block(&sums, factors, scale, threshold, out)
}
