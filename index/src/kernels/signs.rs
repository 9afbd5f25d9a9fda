//! Estimates from one-bit codes of single vectors: loops that every instruction set compiles for itself from the same lines.

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
        1 => each(&own::<1>(planes), records, scale, out),
        2 => each(&own::<2>(planes), records, scale, out),
        4 => each(&own::<4>(planes), records, scale, out),
        words => each(&Planes { planes, words }, records, scale, out),
    }
}

/// The planes of a query: the bits of numbers from -8 to 7.
trait Weigh {
    /// Words of a plane.
    fn words(&self) -> usize;
    /// The numbers whose bits are set in word `at`, added up.
    fn weigh(&self, word: u64, at: usize) -> i32;
}

/// Planes of any number of words.
struct Planes<'a> {
    planes: &'a [u64],
    words: usize,
}

impl Weigh for Planes<'_> {
    #[inline(always)]
    fn words(&self) -> usize {
        self.words
    }

    #[inline(always)]
    fn weigh(&self, word: u64, at: usize) -> i32 {
        weigh(word, |plane| self.planes[self.words * plane + at])
    }
}

/// Planes of a number of words that is known when this is compiled: they stay in registers.
struct Own<const WORDS: usize>([[u64; WORDS]; 4]);

/// Copies the planes.
#[inline(always)]
fn own<const WORDS: usize>(planes: &[u64]) -> Own<WORDS> {
    let mut own = [[0u64; WORDS]; 4];
    for (own, plane) in own.iter_mut().zip(planes.chunks_exact(WORDS)) {
        own.copy_from_slice(plane);
    }
    Own(own)
}

impl<const WORDS: usize> Weigh for Own<WORDS> {
    #[inline(always)]
    fn words(&self) -> usize {
        WORDS
    }

    #[inline(always)]
    fn weigh(&self, word: u64, at: usize) -> i32 {
        weigh(word, |plane| self.0[plane][at])
    }
}

#[inline(always)]
fn weigh(word: u64, plane: impl Fn(usize) -> u64) -> i32 {
    let count = |at: usize| (word & plane(at)).count_ones() as i32;
    count(0) + 2 * count(1) + 4 * count(2) - 8 * count(3)
}

/// The score of one record.
#[inline(always)]
fn score(planes: &impl Weigh, record: &[u8], scale: &SignScale, base: f32) -> f32 {
    let record = record.as_chunks::<8>().0;
    let [a, b, c, d, e, f, g, h] = record[0];
    let (slope, constant) = (f32::from_le_bytes([a, b, c, d]), f32::from_le_bytes([e, f, g, h]));
    let sum: i32 = (0..planes.words()).map(|at| planes.weigh(u64::from_le_bytes(record[1 + at]), at)).sum();
    (sum as f32 * scale.step + scale.offset) * slope + (constant + base)
}

#[inline(always)]
fn each(planes: &impl Weigh, records: &[u8], scale: &SignScale, out: &mut [f32]) {
    let stride = SIGN_HEAD_BYTES + 8 * planes.words();
    for (out, record) in out.iter_mut().zip(records.chunks_exact(stride)) {
        *out = score(planes, record, scale, scale.base);
    }
}
