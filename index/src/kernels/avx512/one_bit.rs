//! Estimates from one-bit codes of single vectors, eight records at a time.
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

/// Records that are scored together.
const TOGETHER: usize = 8;

/// Eight records at a time; returns how many were done.
///
/// Counts of a word each fill as many registers as a record has words. Folding these together leaves one sum a record,
/// so that whatever comes after the counts is done once for all eight.
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
    let stride = SIGN_HEAD_BYTES + 8 * WORDS;
    let plane_of_lane = |plane: usize, lane: usize| planes[plane * WORDS + lane % WORDS] as i64;
    let planes: [__m512i; 4] = std::array::from_fn(|plane| lanes(|lane| plane_of_lane(plane, lane)));
    let heads = lanes(|record| (record * stride) as i64);
    let (step, offset, base) =
        (_mm256_set1_ps(scale.step), _mm256_set1_ps(scale.offset), _mm256_set1_ps(scale.base));
    let whole = out.len() / TOGETHER * TOGETHER;
    for record in (0..whole).step_by(TOGETHER) {
        // SAFETY: the records up to `record + TOGETHER` are there, and all reads are inside of them.
        let (sums, head) = unsafe {
            let start = records.as_ptr().add(record * stride);
            let weighed =
                |register: usize| weigh(words_of::<WORDS>(start.add(register * 8 / WORDS * stride)), planes);
            let sums: [__m512i; WORDS] = std::array::from_fn(weighed);
            (sums, _mm512_i64gather_epi64::<1>(heads, start.cast()))
        };
        let sum = _mm512_cvtepi64_ps(fold::<WORDS>(sums));
        let slope = _mm256_castsi256_ps(_mm512_cvtepi64_epi32(head));
        let constant = _mm256_castsi256_ps(_mm512_cvtepi64_epi32(_mm512_srli_epi64::<32>(head)));
        let product = _mm256_mul_ps(_mm256_add_ps(_mm256_mul_ps(sum, step), offset), slope);
        let scores = _mm256_add_ps(product, _mm256_add_ps(constant, base));
        // SAFETY: `out` has eight numbers from `record` on.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(record), scores) };
    }
    whole
}

/// A register of what a function says of each lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn lanes(of: impl Fn(usize) -> i64) -> __m512i {
    _mm512_setr_epi64(of(0), of(1), of(2), of(3), of(4), of(5), of(6), of(7))
}

/// The numbers of the query whose bits are set, added up for each word.
#[inline]
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
fn weigh(bits: __m512i, planes: [__m512i; 4]) -> __m512i {
    let count = |plane: usize| _mm512_popcnt_epi64(_mm512_and_si512(bits, planes[plane]));
    let low = _mm512_add_epi64(count(0), _mm512_slli_epi64::<1>(count(1)));
    let high = _mm512_sub_epi64(_mm512_slli_epi64::<2>(count(2)), _mm512_slli_epi64::<3>(count(3)));
    _mm512_add_epi64(low, high)
}

/// The sums of the words of eight records, one after the other in so many registers.
#[inline]
#[target_feature(enable = "avx512f")]
fn fold<const WORDS: usize>(sums: [__m512i; WORDS]) -> __m512i {
    // Neighbouring words of two registers.
    let words =
        |x: __m512i, y: __m512i| _mm512_add_epi64(_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y));
    // Neighbouring quarters of two registers.
    let quarters = |x: __m512i, y: __m512i| {
        let (even, odd) =
            (_mm512_shuffle_i64x2::<0b10_00_10_00>(x, y), _mm512_shuffle_i64x2::<0b11_01_11_01>(x, y));
        _mm512_add_epi64(even, odd)
    };
    match *sums.as_slice() {
        // Record 0 stands beside record 4, and so on.
        [a, b] => _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), words(a, b)),
        // Records 0 and 2 stand beside 1 and 3.
        [a, b, c, d] => {
            let all = quarters(words(a, b), words(c, d));
            _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 1, 3, 4, 6, 5, 7), all)
        }
        [a, b, c, d, e, f, g, h] => {
            let first = quarters(words(a, b), words(c, d));
            quarters(first, quarters(words(e, f), words(g, h)))
        }
        _ => sums[0],
    }
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
