//! Kernels for x86-64 with AVX2 and F16C.
#![expect(
    unsafe_code,
    reason = "vector instructions behind run-time detection; lengths are checked by the caller, `Kernels`"
)]

use std::arch::x86_64::*;

use super::scalar::fold_lanes;
use super::{BATCH, BlockScale, InstructionSet, Kernels, SignScale, bits, prepare, signs};

/// Returns the table when this machine has the instructions.
pub(super) fn kernels() -> Option<Kernels> {
    let present = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2");
    // SAFETY (each closure below): this table is only handed out when the features were detected just above.
    present.then_some(Kernels {
        instruction_set: InstructionSet::Avx2,
        // SAFETY: AVX2 was detected; `Kernels` checked that the lengths are equal.
        dot_f32: |a, b| unsafe { dot_f32(a, b) },
        // SAFETY: as above, for all of them.
        l2_f32: |a, b| unsafe { l2_f32(a, b) },
        // SAFETY: as above.
        dot_and_square: |a, b| unsafe { dot_and_square(a, b) },
        // SAFETY: as above; lengths are equal multiples of 32.
        dot_u4: |low, high, code| unsafe { dot_u4(low, high, code) },
        // SAFETY: as above; there are as many codes as numbers.
        dot_u4_each: |low, high, codes, out| unsafe { dot_u4_each(low, high, codes, out) },
        // SAFETY: as above; lengths are equal multiples of 64.
        dot_i8: |a, b| unsafe { dot_i8(a, b) },
        // SAFETY: as above; all four codes are as long as the query.
        dot_i8_four: |a, _sum, codes| unsafe { dot_i8_four(a, codes) },
        // SAFETY: as above; `codes` and `table` are equal multiples of 64 bytes.
        scan_block: |codes, table, factors, scale, threshold, out| unsafe {
            scan_block(codes, table, factors, scale, threshold, out)
        },
        // SAFETY: AVX2 was detected, here and for the next two.
        hadamard: |numbers| unsafe { hadamard(numbers) },
        // SAFETY: as above.
        round_bytes: |numbers, out| unsafe { round_bytes(numbers, out) },
        // SAFETY: as above.
        sign_table: |numbers, table| unsafe { sign_table(numbers, table) },
        // SAFETY: POPCNT was detected.
        sign_scores: |planes, records, scale, out| unsafe { sign_scores(planes, records, scale, out) },
        // SAFETY: as above.
        count_bits: |words| unsafe { count_bits(words) },
        // SAFETY: POPCNT, BMI1 and BMI2 were detected.
        mark_places: |words, places, marks| unsafe { mark_places(words, places, marks) },
    })
}

#[target_feature(enable = "avx2")]
fn hadamard(numbers: &mut [f32]) {
    prepare::hadamard(numbers);
}

#[target_feature(enable = "avx2")]
fn round_bytes(numbers: &[f32], out: &mut [i8]) -> f32 {
    prepare::round_bytes(numbers, out)
}

#[target_feature(enable = "avx2")]
fn sign_table(numbers: &[f32], table: &mut [u8]) -> f32 {
    prepare::sign_table(numbers, table)
}

/// Without AVX2: counting bits in its registers takes more instructions than POPCNT does.
#[target_feature(enable = "popcnt")]
fn sign_scores(planes: &[u64], records: &[u8], scale: &SignScale, out: &mut [f32]) {
    signs::sign_scores(planes, records, scale, out);
}

#[target_feature(enable = "popcnt")]
fn count_bits(words: &[u64]) -> usize {
    bits::count_bits(words)
}

#[target_feature(enable = "popcnt,bmi1,bmi2")]
fn mark_places(words: &[u64], places: &[u32], marks: &mut [u64]) {
    bits::mark_places(words, places, marks);
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
    fold(&acc, &a[whole..], &b[whole..], |x, y| if difference { (x - y) * (x - y) } else { x * y })
}

/// # Safety
/// AVX2 is present and the slices are equally long.
#[target_feature(enable = "avx2")]
unsafe fn dot_and_square(a: &[f32], b: &[f32]) -> (f32, f32) {
    let (mut dots, mut squares) = ([_mm256_setzero_ps(); 4], [_mm256_setzero_ps(); 4]);
    let whole = a.len() / 32 * 32;
    for at in (0..whole).step_by(32) {
        for lane in 0..4 {
            // SAFETY: `at + 32 <= len` of both slices.
            let (x, y) = unsafe {
                (
                    _mm256_loadu_ps(a.as_ptr().add(at + 8 * lane)),
                    _mm256_loadu_ps(b.as_ptr().add(at + 8 * lane)),
                )
            };
            dots[lane] = _mm256_add_ps(dots[lane], _mm256_mul_ps(x, y));
            squares[lane] = _mm256_add_ps(squares[lane], _mm256_mul_ps(y, y));
        }
    }
    let (a, b) = (&a[whole..], &b[whole..]);
    (fold(&dots, a, b, |x, y| x * y), fold(&squares, b, b, |x, y| x * y))
}

/// Adds the terms of a tail shorter than 32 to the lanes, and folds in the fixed order, the tree of `scalar::fold_lanes`.
#[inline]
#[target_feature(enable = "avx2")]
fn fold(acc: &[__m256; 4], a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    if !a.is_empty() {
        let mut lanes = [0.0f32; 32];
        for (lane, acc) in acc.iter().enumerate() {
            // SAFETY: `lanes` has room for four times eight floats.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr().add(8 * lane), *acc) };
        }
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (x, y))| *lane += term(*x, *y));
        return fold_lanes(lanes);
    }
    let sixteen = [_mm256_add_ps(acc[0], acc[2]), _mm256_add_ps(acc[1], acc[3])];
    let eight = _mm256_add_ps(sixteen[0], sixteen[1]);
    let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
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
/// As [`dot_u4`] for each of the codes.
#[target_feature(enable = "avx2")]
unsafe fn dot_u4_each(low: &[i8], high: &[i8], codes: &[u8], out: &mut [i32]) {
    for (out, code) in out.iter_mut().zip(codes.chunks_exact(low.len())) {
        // SAFETY: each code is as long as the halves of the query.
        *out = unsafe { dot_u4(low, high, code) };
    }
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

/// Four codes against one query, whose bytes are widened once; the four sums are folded together.
///
/// # Safety
/// AVX2 is present; all lengths are equal multiples of 64.
#[target_feature(enable = "avx2")]
unsafe fn dot_i8_four(a: &[i8], codes: [&[u8]; 4]) -> [i32; 4] {
    let mut acc = [_mm256_setzero_si256(); 4];
    for at in (0..a.len()).step_by(16) {
        // SAFETY: `at + 16 <= len` of the query and of every code.
        unsafe {
            let query = _mm256_cvtepi8_epi16(_mm_loadu_si128(a.as_ptr().add(at).cast()));
            for (acc, code) in acc.iter_mut().zip(codes) {
                let code = _mm256_cvtepi8_epi16(_mm_loadu_si128(code.as_ptr().add(at).cast()));
                *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(code, query));
            }
        }
    }
    let pairs = (_mm256_hadd_epi32(acc[0], acc[1]), _mm256_hadd_epi32(acc[2], acc[3]));
    let all = _mm256_hadd_epi32(pairs.0, pairs.1);
    let four = _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256::<1>(all));
    let mut out = [0; 4];
    // SAFETY: `out` has room for four numbers.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), four) };
    out
}

/// Adds the halves of a register of 16-bit sums.
#[inline]
#[target_feature(enable = "avx2")]
fn fold_words(v: __m256i) -> __m128i {
    _mm_add_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v))
}

/// # Safety
/// AVX2 and F16C are present; `codes` and `table` are equal multiples of 64 bytes, `factors` has 128.
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
    // Eight neighbours each.
    let mut sums = [_mm256_setzero_si256(); 4];
    // 256 groups stay below 65,536 even when both halves are added.
    for (codes, table) in codes.chunks(16 * 256).zip(table.chunks(16 * 256)) {
        // Of the low and of the high nibbles: sums of whole words, where those of odd bytes are added to the upper half and
        // whatever overflows is lost, and sums of odd bytes alone.
        let (mut all, mut odd) = ([_mm256_setzero_si256(); 2], [_mm256_setzero_si256(); 2]);
        let look_up = |at: usize| {
            // SAFETY: `at + 32 <= len` of both slices, whose lengths are equal multiples of 64.
            let (c, t) = unsafe {
                (
                    _mm256_loadu_si256(codes.as_ptr().add(at).cast()),
                    _mm256_loadu_si256(table.as_ptr().add(at).cast()),
                )
            };
            let high = _mm256_and_si256(_mm256_srli_epi16::<4>(c), mask);
            [_mm256_shuffle_epi8(t, _mm256_and_si256(c, mask)), _mm256_shuffle_epi8(t, high)]
        };
        let both =
            |a: [__m256i; 2], b: [__m256i; 2]| [_mm256_add_epi8(a[0], b[0]), _mm256_add_epi8(a[1], b[1])];
        for at in (0..codes.len()).step_by(128) {
            // Four entries fit a byte.
            let mut four = both(look_up(at), look_up(at + 32));
            if at + 64 < codes.len() {
                four = both(four, both(look_up(at + 64), look_up(at + 96)));
            }
            let [low, high] = four;
            all = [_mm256_add_epi16(all[0], low), _mm256_add_epi16(all[1], high)];
            odd = [
                _mm256_add_epi16(odd[0], _mm256_srli_epi16::<8>(low)),
                _mm256_add_epi16(odd[1], _mm256_srli_epi16::<8>(high)),
            ];
        }
        for half in 0..2 {
            let even = _mm256_sub_epi16(all[half], _mm256_slli_epi16::<8>(odd[half]));
            let (even, odd) = (fold_words(even), fold_words(odd[half]));
            let eights = [_mm_unpacklo_epi16(even, odd), _mm_unpackhi_epi16(even, odd)];
            for (sum, eight) in sums[2 * half..].iter_mut().zip(eights) {
                *sum = _mm256_add_epi32(*sum, _mm256_cvtepu16_epi32(eight));
            }
        }
    }
    let (step, offset) = (_mm256_set1_ps(scale.step), _mm256_set1_ps(scale.offset));
    let (base, factor_scale) = (_mm256_set1_ps(scale.base), _mm256_set1_ps(scale.factor_scale));
    let threshold = _mm256_set1_ps(threshold);
    let mut mask = 0;
    for (eight, sum) in sums.into_iter().enumerate() {
        // SAFETY: `factors` has 128 bytes: eight times eight halves; `out` has 32 floats.
        unsafe {
            let halves = |at: usize| {
                let halves = _mm_loadu_si128(factors.as_ptr().add(at + 16 * eight).cast());
                _mm256_mul_ps(_mm256_cvtph_ps(halves), factor_scale)
            };
            let product = _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), step), offset);
            let score = _mm256_add_ps(_mm256_mul_ps(product, halves(0)), _mm256_add_ps(halves(64), base));
            _mm256_storeu_ps(out.as_mut_ptr().add(8 * eight), score);
            let above = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(score, threshold));
            mask |= (above as u32) << (8 * eight);
        }
    }
    mask
}
