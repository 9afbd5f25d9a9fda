//! Estimates from one-bit codes of single vectors, one after the other: loops that every instruction set compiles for itself
//! from the same lines.

use super::Kernels;

/// Bytes of slope and constant at the front of a record.
pub const SIGN_HEAD_BYTES: usize = 8;

/// The map from the integer sum of one record to an estimated score.
#[derive(Clone, Copy, Debug, Default)]
pub struct SignScale {
    /// Multiplies each integer sum.
    pub step: f32,
    /// Added to the scaled sum.
    pub offset: f32,
    /// Added to each score at the end.
    pub base: f32,
}

impl Kernels {
    /// Estimates scores from one-bit codes, one record after the other: `(sum·step + offset)·slope + (constant + base)`, where `sum` adds the
    /// numbers of the query whose bits are set.
    ///
    /// * `planes`: four times as many words as the bits of a record take: the bits of numbers from -8 to 7.
    /// * `records`: as many as `out`; each a slope and a constant (f32, little-endian), then its bits, in words.
    #[inline]
    pub fn sign_scores(&self, planes: &[u64], records: &[u8], scale: &SignScale, out: &mut [f32]) {
        let stride = SIGN_HEAD_BYTES + 2 * planes.len();
        assert!(planes.len().is_multiple_of(4) && records.len() == out.len() * stride);
        (self.sign_scores)(planes, records, scale, out);
    }
}

/// See [`super::Kernels::sign_scores`].
#[inline(always)]
pub(super) fn sign_scores(planes: &[u64], records: &[u8], scale: &SignScale, out: &mut [f32]) {
    match planes.len() / 4 {
        1 => fixed::<1>(planes, records, scale, out),
        2 => fixed::<2>(planes, records, scale, out),
        4 => fixed::<4>(planes, records, scale, out),
        words => each(words, records, scale, out, |word, at| weigh(word, |plane| planes[words * plane + at])),
    }
}

/// The same for a number of words that is known when this is compiled: the planes stay in registers.
#[inline(always)]
fn fixed<const WORDS: usize>(planes: &[u64], records: &[u8], scale: &SignScale, out: &mut [f32]) {
    let mut own = [[0u64; WORDS]; 4];
    for (own, plane) in own.iter_mut().zip(planes.chunks_exact(WORDS)) {
        own.copy_from_slice(plane);
    }
    each(WORDS, records, scale, out, |word, at| weigh(word, |plane| own[plane][at]));
}

/// The numbers whose bits are set in a word, added up: planes are the bits of numbers from -8 to 7.
#[inline(always)]
fn weigh(word: u64, plane: impl Fn(usize) -> u64) -> i32 {
    let count = |at: usize| (word & plane(at)).count_ones() as i32;
    count(0) + 2 * count(1) + 4 * count(2) - 8 * count(3)
}

#[inline(always)]
fn each(words: usize, records: &[u8], scale: &SignScale, out: &mut [f32], weigh: impl Fn(u64, usize) -> i32) {
    let stride = SIGN_HEAD_BYTES + 8 * words;
    for (out, record) in out.iter_mut().zip(records.chunks_exact(stride)) {
        let record = record.as_chunks::<8>().0;
        let [a, b, c, d, e, f, g, h] = record[0];
        let (slope, constant) = (f32::from_le_bytes([a, b, c, d]), f32::from_le_bytes([e, f, g, h]));
        let sum: i32 = (0..words).map(|at| weigh(u64::from_le_bytes(record[1 + at]), at)).sum();
        *out = (sum as f32 * scale.step + scale.offset) * slope + (constant + scale.base);
    }
}
