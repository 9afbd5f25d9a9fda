//! Kernels for x86-64 with AVX-512 F, BW, VL, DQ and VNNI.
#![expect(
    unsafe_code,
    reason = "vector instructions behind run-time detection; lengths are checked by the caller, `Kernels`"
)]

use std::arch::x86_64::*;

use super::{BATCH, BlockScale, InstructionSet, Kernels};

mod one_bit;

/// Returns the table when this machine has the instructions.
pub(super) fn kernels() -> Option<Kernels> {
    let present = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vnni");
    // Every such processor has AVX2, whose loops for making a query ready are as good.
    let avx2 = super::avx2::kernels().filter(|_| present)?;
    Some(Kernels {
        instruction_set: InstructionSet::Avx512,
        // SAFETY: the features were detected; `Kernels` checked that the lengths are equal.
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
        dot_i8_four: |a, sum, codes| unsafe { dot_i8_four(a, sum, codes) },
        // SAFETY: as above; `codes` and `table` are equal multiples of 64 bytes and `factors` has 128.
        scan_block: |codes, table, factors, scale, threshold, out| unsafe {
            scan_block(codes, table, factors, scale, threshold, out)
        },
        sign_scores: if is_x86_feature_detected!("avx512vpopcntdq") {
            // SAFETY: the features were detected; `Kernels` checked that there are as many records as numbers.
            |planes, records, scale, out| unsafe { one_bit::sign_scores(planes, records, scale, out) }
        } else {
            avx2.sign_scores
        },
        ..avx2
    })
}

/// Adds the two registers of lanes and folds in the fixed order, the tree of `scalar::fold_lanes`.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn fold(low: __m512, high: __m512) -> f32 {
    let sixteen = _mm512_add_ps(low, high);
    let eight = _mm256_add_ps(_mm512_castps512_ps256(sixteen), _mm512_extractf32x8_ps::<1>(sixteen));
    let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
}

/// Hands over 16 numbers of both vectors at a time, with the register of lanes they belong to, 0 or 1, and a mask of those lanes that are there.
///
/// # Safety
/// AVX-512 F and DQ are present and the slices are equally long.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
unsafe fn for_each_sixteen(a: &[f32], b: &[f32], mut each: impl FnMut(usize, u16, __m512, __m512)) {
    let whole = a.len() / 32 * 32;
    for at in (0..whole).step_by(32) {
        // SAFETY: `at + 32 <= len` of both slices.
        unsafe {
            let (pa, pb) = (a.as_ptr().add(at), b.as_ptr().add(at));
            each(0, u16::MAX, _mm512_loadu_ps(pa), _mm512_loadu_ps(pb));
            each(1, u16::MAX, _mm512_loadu_ps(pa.add(16)), _mm512_loadu_ps(pb.add(16)));
        }
    }
    for (register, at) in [whole, whole + 16].into_iter().enumerate().filter(|&(_, at)| at < a.len()) {
        let lanes = ((1u32 << (a.len() - at).min(16)) - 1) as u16;
        // SAFETY: the mask covers exactly the numbers that are left; masked-out lanes are not read.
        unsafe {
            let (x, y) = (
                _mm512_maskz_loadu_ps(lanes, a.as_ptr().add(at)),
                _mm512_maskz_loadu_ps(lanes, b.as_ptr().add(at)),
            );
            each(register, lanes, x, y);
        }
    }
}

/// # Safety
/// AVX-512 F and DQ are present and the slices are equally long.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
unsafe fn sum_terms(a: &[f32], b: &[f32], difference: bool) -> f32 {
    let mut sums = [_mm512_setzero_ps(); 2];
    // SAFETY: the caller's contract is passed on.
    unsafe {
        for_each_sixteen(a, b, |at, lanes, x, y| {
            let d = _mm512_sub_ps(x, y);
            let term = if difference { _mm512_mul_ps(d, d) } else { _mm512_mul_ps(x, y) };
            sums[at] = _mm512_mask_add_ps(sums[at], lanes, sums[at], term);
        });
    }
    fold(sums[0], sums[1])
}

/// # Safety
/// AVX-512 F and DQ are present and the slices are equally long.
#[target_feature(enable = "avx512f,avx512dq")]
unsafe fn dot_and_square(a: &[f32], b: &[f32]) -> (f32, f32) {
    let (mut dots, mut squares) = ([_mm512_setzero_ps(); 2], [_mm512_setzero_ps(); 2]);
    // SAFETY: the caller's contract is passed on.
    unsafe {
        for_each_sixteen(a, b, |at, lanes, x, y| {
            dots[at] = _mm512_mask_add_ps(dots[at], lanes, dots[at], _mm512_mul_ps(x, y));
            squares[at] = _mm512_mask_add_ps(squares[at], lanes, squares[at], _mm512_mul_ps(y, y));
        });
    }
    (fold(dots[0], dots[1]), fold(squares[0], squares[1]))
}

/// # Safety
/// AVX-512 F and DQ are present and the slices are equally long.
#[target_feature(enable = "avx512f,avx512dq")]
unsafe fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    // SAFETY: the caller's contract is passed on.
    unsafe { sum_terms(a, b, false) }
}

/// # Safety
/// AVX-512 F and DQ are present and the slices are equally long.
#[target_feature(enable = "avx512f,avx512dq")]
unsafe fn l2_f32(a: &[f32], b: &[f32]) -> f32 {
    // SAFETY: the caller's contract is passed on.
    unsafe { sum_terms(a, b, true) }
}

/// # Safety
/// The features are present; lengths are equal multiples of 32.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn dot_u4(low: &[i8], high: &[i8], code: &[u8]) -> i32 {
    let mask = _mm512_set1_epi8(15);
    let (mut acc_low, mut acc_high) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    let mut at = 0;
    while at < code.len() {
        let lanes = if code.len() - at >= 64 { u64::MAX } else { u64::from(u32::MAX) };
        // SAFETY: 64 bytes are left, or 32 are and the mask covers only those.
        let (c, l, h) = unsafe {
            let load = |p: *const i8| _mm512_maskz_loadu_epi8(lanes, p.add(at));
            (load(code.as_ptr().cast()), load(low.as_ptr()), load(high.as_ptr()))
        };
        acc_low = _mm512_dpbusd_epi32(acc_low, _mm512_and_si512(c, mask), l);
        acc_high = _mm512_dpbusd_epi32(acc_high, _mm512_and_si512(_mm512_srli_epi16::<4>(c), mask), h);
        at += 64;
    }
    _mm512_reduce_add_epi32(_mm512_add_epi32(acc_low, acc_high))
}

/// # Safety
/// As [`dot_u4`] for each of the codes.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn dot_u4_each(low: &[i8], high: &[i8], codes: &[u8], out: &mut [i32]) {
    for (out, code) in out.iter_mut().zip(codes.chunks_exact(low.len())) {
        // SAFETY: each code is as long as the halves of the query.
        *out = unsafe { dot_u4(low, high, code) };
    }
}

/// # Safety
/// The features are present; lengths are equal multiples of 64.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    // The instruction multiplies unsigned by signed: a + 128 is used, and 128·Σb taken off again.
    let flip = _mm512_set1_epi8(-128);
    let (mut acc, mut sum) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for at in (0..a.len()).step_by(64) {
        // SAFETY: `at + 64 <= len` of both slices.
        let (x, y) = unsafe {
            (_mm512_loadu_si512(a.as_ptr().add(at).cast()), _mm512_loadu_si512(b.as_ptr().add(at).cast()))
        };
        acc = _mm512_dpbusd_epi32(acc, _mm512_xor_si512(x, flip), y);
        sum = _mm512_dpbusd_epi32(sum, flip, y);
    }
    _mm512_reduce_add_epi32(_mm512_sub_epi32(acc, sum))
}

/// Four codes against one query. The instruction multiplies unsigned by signed: code + 128 is used, and 128·Σa taken off again.
///
/// # Safety
/// The features are present; all lengths are equal multiples of 64; `sum` is Σa.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn dot_i8_four(a: &[i8], sum: i32, codes: [&[u8]; 4]) -> [i32; 4] {
    let flip = _mm512_set1_epi8(-128);
    let mut acc = [_mm512_setzero_si512(); 4];
    for at in (0..a.len()).step_by(64) {
        // SAFETY: `at + 64 <= len` of the query and of every code.
        unsafe {
            let query = _mm512_loadu_si512(a.as_ptr().add(at).cast());
            for (acc, code) in acc.iter_mut().zip(codes) {
                let code = _mm512_loadu_si512(code.as_ptr().add(at).cast());
                *acc = _mm512_dpbusd_epi32(*acc, _mm512_xor_si512(code, flip), query);
            }
        }
    }
    // Transposed sums: pairs of accumulators are folded together until one lane each is left.
    let fold =
        |x: __m512i, y: __m512i| _mm512_add_epi32(_mm512_unpacklo_epi32(x, y), _mm512_unpackhi_epi32(x, y));
    let (ab, cd) = (fold(acc[0], acc[1]), fold(acc[2], acc[3]));
    let all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    let half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64::<1>(all));
    let four = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
    let four = _mm_sub_epi32(four, _mm_set1_epi32(sum * 128));
    let mut out = [0; 4];
    // SAFETY: `out` has room for four numbers.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), four) };
    out
}

/// Adds the four 128-bit parts of a register of 16-bit sums: 8 sums, as 32-bit values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn fold_words(v: __m512i) -> __m256i {
    let half = _mm256_add_epi16(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64::<1>(v));
    let quarter = _mm_add_epi16(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
    _mm256_cvtepu16_epi32(quarter)
}

/// # Safety
/// The features are present; `codes` and `table` are equal multiples of 64 bytes, `factors` has 128.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn scan_block(
    codes: &[u8],
    table: &[u8],
    factors: &[u8],
    scale: &BlockScale,
    threshold: f32,
    out: &mut [f32; BATCH],
) -> u32 {
    let (nibble, byte) = (_mm512_set1_epi8(15), _mm512_set1_epi16(0xff));
    let mut sums = [_mm512_setzero_si512(); 2];
    // 256 groups of at most 255 stay below 65,536 even when all four parts are added.
    for (codes, table) in codes.chunks(16 * 256).zip(table.chunks(16 * 256)) {
        let mut acc = [_mm512_setzero_si512(); 4];
        for at in (0..codes.len()).step_by(64) {
            // SAFETY: `at + 64 <= len` of both slices, whose lengths are equal multiples of 64.
            let (c, t) = unsafe {
                (
                    _mm512_loadu_si512(codes.as_ptr().add(at).cast()),
                    _mm512_loadu_si512(table.as_ptr().add(at).cast()),
                )
            };
            let low = _mm512_shuffle_epi8(t, _mm512_and_si512(c, nibble));
            let high = _mm512_shuffle_epi8(t, _mm512_and_si512(_mm512_srli_epi16::<4>(c), nibble));
            acc[0] = _mm512_add_epi16(acc[0], _mm512_and_si512(low, byte));
            acc[1] = _mm512_add_epi16(acc[1], _mm512_srli_epi16::<8>(low));
            acc[2] = _mm512_add_epi16(acc[2], _mm512_and_si512(high, byte));
            acc[3] = _mm512_add_epi16(acc[3], _mm512_srli_epi16::<8>(high));
        }
        for half in 0..2 {
            let even_odd = _mm512_inserti64x4::<1>(
                _mm512_castsi256_si512(fold_words(acc[2 * half])),
                fold_words(acc[2 * half + 1]),
            );
            // Even sums are in the first eight lanes, odd ones in the last: interleave.
            let order = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
            sums[half] = _mm512_add_epi32(sums[half], _mm512_permutexvar_epi32(order, even_odd));
        }
    }
    let (step, offset) = (_mm512_set1_ps(scale.step), _mm512_set1_ps(scale.offset));
    let (base, factor_scale) = (_mm512_set1_ps(scale.base), _mm512_set1_ps(scale.factor_scale));
    let mut mask = 0;
    for (half, sum) in sums.into_iter().enumerate() {
        // SAFETY: `factors` has 128 bytes: four times sixteen halves; `out` has 32 floats.
        unsafe {
            let halves = |at: usize| {
                _mm512_mul_ps(
                    _mm512_cvtph_ps(_mm256_loadu_si256(factors.as_ptr().add(at + 32 * half).cast())),
                    factor_scale,
                )
            };
            let product = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), step), offset);
            let score = _mm512_add_ps(_mm512_mul_ps(product, halves(0)), _mm512_add_ps(halves(64), base));
            _mm512_storeu_ps(out.as_mut_ptr().add(16 * half), score);
            let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(score, _mm512_set1_ps(threshold));
            mask |= u32::from(above) << (16 * half);
        }
    }
    mask
}
