//! Estimates from one-bit codes of single vectors, as many records at a time as fill a register.
#![expect(
    unsafe_code,
    reason = "vector instructions behind run-time detection; lengths are checked by the caller, `Kernels`"
)]

use std::arch::x86_64::*;

use crate::kernels::{SIGN_HEAD_BYTES, SignScale, signs};

/// # Safety
/// AVX-512 F, DQ, VL and VPOPCNTDQ are present; `records` are as many as `out`, of as many words as a plane.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512vpopcntdq,popcnt")]
pub(super) unsafe fn sign_scores(planes: &[u64], records: &[u8], scale: &SignScale, out: &mut [f32]) {
    // SAFETY: as above.
    let done = unsafe {
        match planes.len() / 4 {
            1 => several_records::<1>(planes, records, scale, out),
            2 => several_records::<2>(planes, records, scale, out),
            4 => several_records::<4>(planes, records, scale, out),
            8 => several_records::<8>(planes, records, scale, out),
            _ => 0,
        }
    };
    let stride = SIGN_HEAD_BYTES + 2 * planes.len();
    signs::sign_scores(planes, &records[done * stride..], scale, &mut out[done..]);
}

/// As many records at a time as fill a register; returns how many were done.
///
/// # Safety
/// As [`sign_scores`]; a record has `WORDS` words, a power of two up to 8.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512vpopcntdq")]
unsafe fn several_records<const WORDS: usize>(
    planes: &[u64],
    records: &[u8],
    scale: &SignScale,
    out: &mut [f32],
) -> usize {
    let (stride, at_a_time) = (SIGN_HEAD_BYTES + 8 * WORDS, 8 / WORDS);
    let head_of_lane = |lane: usize| (lane % at_a_time * stride) as i64;
    let plane_of_lane = |plane: usize, lane: usize| planes[plane * WORDS + lane % WORDS] as i64;
    let lanes =
        |of: &dyn Fn(usize) -> i64| _mm512_setr_epi64(of(0), of(1), of(2), of(3), of(4), of(5), of(6), of(7));
    let heads = lanes(&head_of_lane);
    let planes: [__m512i; 4] = std::array::from_fn(|plane| lanes(&|lane| plane_of_lane(plane, lane)));
    let firsts = (0..at_a_time).fold(0u8, |mask, record| mask | 1 << (record * WORDS));
    let present = ((1u16 << at_a_time) - 1) as u8;
    let (step, offset, base) =
        (_mm256_set1_ps(scale.step), _mm256_set1_ps(scale.offset), _mm256_set1_ps(scale.base));
    let whole = out.len() / at_a_time * at_a_time;
    for record in (0..whole).step_by(at_a_time) {
        // SAFETY: the records up to `record + at_a_time` are there, and lanes read inside of them.
        let (bits, head) = unsafe {
            let start = records.as_ptr().add(record * stride);
            (words_of::<WORDS>(start), _mm512_i64gather_epi64::<1>(heads, start.cast()))
        };
        let count = |plane: usize| _mm512_popcnt_epi64(_mm512_and_si512(bits, planes[plane]));
        let low = _mm512_add_epi64(count(0), _mm512_slli_epi64::<1>(count(1)));
        let high = _mm512_sub_epi64(_mm512_slli_epi64::<2>(count(2)), _mm512_slli_epi64::<3>(count(3)));
        let mut sum = _mm512_add_epi64(low, high);
        if WORDS > 1 {
            sum = _mm512_add_epi64(sum, _mm512_permutex_epi64::<0b10_11_00_01>(sum));
        }
        if WORDS > 2 {
            sum = _mm512_add_epi64(sum, _mm512_permutex_epi64::<0b01_00_11_10>(sum));
        }
        if WORDS > 4 {
            sum = _mm512_add_epi64(sum, _mm512_shuffle_i64x2::<0b01_00_11_10>(sum, sum));
        }
        let sum = _mm512_cvtepi64_ps(_mm512_maskz_compress_epi64(firsts, sum));
        let slope = _mm256_castsi256_ps(_mm512_cvtepi64_epi32(head));
        let constant = _mm256_castsi256_ps(_mm512_cvtepi64_epi32(_mm512_srli_epi64::<32>(head)));
        let product = _mm256_mul_ps(_mm256_add_ps(_mm256_mul_ps(sum, step), offset), slope);
        let scores = _mm256_add_ps(product, _mm256_add_ps(constant, base));
        // SAFETY: `out` has `at_a_time` numbers from `record` on, and the mask covers no more.
        unsafe { _mm256_mask_storeu_ps(out.as_mut_ptr().add(record), present, scores) };
    }
    whole
}

/// The words of as many records as fill a register, one record after the other.
///
/// # Safety
/// AVX-512 F and DQ are present; `8 / WORDS` records start at `start`.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
unsafe fn words_of<const WORDS: usize>(start: *const u8) -> __m512i {
    let stride = SIGN_HEAD_BYTES + 8 * WORDS;
    // SAFETY: each read is of the words of one of the records.
    unsafe {
        let words = |record: usize| start.add(record * stride + SIGN_HEAD_BYTES);
        match WORDS {
            8 => _mm512_loadu_si512(words(0).cast()),
            4 => {
                let [low, high] = [0, 1].map(|record| _mm256_loadu_si256(words(record).cast()));
                _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
            }
            2 => {
                let [a, b, c, d] = [0, 1, 2, 3].map(|record| _mm_loadu_si128(words(record).cast()));
                let low = _mm256_inserti64x2::<1>(_mm256_castsi128_si256(a), b);
                let high = _mm256_inserti64x2::<1>(_mm256_castsi128_si256(c), d);
                _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
            }
            _ => {
                let word = |record: usize| words(record).cast::<i64>().read_unaligned();
                _mm512_setr_epi64(word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7))
            }
        }
    }
}
