//! Codes of vectors, four or eight bits a coordinate, with one factor that makes estimates unbiased.
//!
//! Four bits: after rotation coordinate `i` becomes `c_i` in `0..16`, standing for `c_i - 7.5` steps. The step is the one of a few
//! candidates that keeps the direction best (extended RaBitQ, arXiv:2409.09913), and the stored factor
//! `<x, x> / <x, c - 7.5>` makes `factor * <q, c - 7.5>` an unbiased estimate of `<q, x>`. Two dimensions share a
//! byte: `2j` in the low nibble, `2j + 1` in the high one. The query is rounded to signed bytes, whose error
//! is a tenth of the code's own. Eight bits: signed bytes of the vector itself, nothing clipped.

use crate::kernels::Kernels;

/// Steps tried for each vector, as fractions of the step that clips nothing.
const STEP_FRACTIONS: [f32; 12] = [0.30, 0.36, 0.42, 0.48, 0.54, 0.60, 0.66, 0.72, 0.78, 0.84, 0.92, 1.0];

/// Encodes a rotated vector into `code` (`[padded_dim / 2]` bytes) and returns its factor.
///
/// A zero vector gets factor 0, so that its estimates are 0.
pub fn encode_nibbles(rotated: &[f32], code: &mut [u8]) -> f32 {
    let largest = rotated.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    if largest == 0.0 {
        code.fill(0x88);
        return 0.0;
    }
    let quantise = |x: f32, inverse: f32| (x * inverse + 7.5).round().clamp(0.0, 15.0);
    let mut best = (f32::MIN, 0.0, 0.0);
    for fraction in STEP_FRACTIONS {
        let inverse = 7.5 / (largest * fraction);
        let (mut dot, mut norm) = (0.0f32, 0.0f32);
        for &x in rotated {
            let v = quantise(x, inverse) - 7.5;
            dot += x * v;
            norm += v * v;
        }
        let quality = dot / norm.sqrt();
        if quality > best.0 {
            best = (quality, inverse, dot);
        }
    }
    let (_, inverse, dot) = best;
    for (byte, pair) in code.iter_mut().zip(rotated.chunks_exact(2)) {
        *byte = quantise(pair[0], inverse) as u8 | (quantise(pair[1], inverse) as u8) << 4;
    }
    let square: f32 = rotated.iter().map(|x| x * x).sum();
    square / dot
}

/// Rounds a number below 2^23 in size; `f32::round` is a call on processors of the base line.
#[inline(always)]
fn nearest(x: f32) -> f32 {
    (x + 0.5f32.copysign(x)) as i32 as f32
}

/// Encodes a rotated vector into signed bytes and returns its factor and the size of one step.
pub fn encode_bytes(rotated: &[f32], code: &mut [i8]) -> (f32, f32) {
    let largest = rotated.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    if largest == 0.0 {
        code.fill(0);
        return (0.0, 0.0);
    }
    let inverse = 127.0 / largest;
    let (mut dot, mut square) = (0.0f32, 0.0f32);
    for (byte, &x) in code.iter_mut().zip(rotated) {
        let v = nearest(x * inverse);
        *byte = v as i8;
        dot += x * v;
        square += x * x;
    }
    (square / dot, largest / 127.0)
}

/// A query rounded to bytes, ready for [`CodeQuery::estimate`].
#[derive(Clone, Debug, Default)]
pub struct CodeQuery {
    low: Vec<i8>,
    high: Vec<i8>,
    plain: Vec<i8>,
    /// `Σ q`; 15 times that is taken off twice the product with nibbles to centre them.
    sum: i32,
    /// Half the size of one query step.
    half_step: f32,
}

impl CodeQuery {
    /// Takes over a rotated query of `[padded_dim]`.
    pub fn set(&mut self, kernels: &Kernels, rotated: &[f32]) {
        self.plain.resize(rotated.len(), 0);
        let largest = kernels.round_bytes(rotated, &mut self.plain);
        self.half_step = largest / 254.0;
        self.low.clear();
        self.high.clear();
        self.low.extend(self.plain.iter().step_by(2));
        self.high.extend(self.plain.iter().skip(1).step_by(2));
        self.sum = self.plain.iter().map(|&x| i32::from(x)).sum();
    }

    /// Size of one step of the rounded query.
    pub fn step(&self) -> f32 {
        2.0 * self.half_step
    }

    /// Estimates `<q, x>` for vectors from their codes of four bits a coordinate, one after the other, before their factors.
    ///
    /// * `products`: working memory.
    pub fn estimate_nibbles(
        &self,
        kernels: &Kernels,
        codes: &[u8],
        products: &mut Vec<i32>,
    ) -> impl Iterator<Item = f32> {
        products.resize(codes.len() / self.low.len(), 0);
        kernels.dot_u4_each(&self.low, &self.high, codes, products);
        products.iter().map(|product| (2 * product - 15 * self.sum) as f32 * self.half_step)
    }

    /// Estimates `<q, x>` for four vectors from their codes and factors.
    #[inline(always)]
    pub fn estimate(&self, kernels: &Kernels, codes: [&[u8]; 4], factors: [f32; 4]) -> [f32; 4] {
        let (products, step) = if codes[0].len() == self.plain.len() {
            (kernels.dot_i8_four(&self.plain, self.sum, codes), 2.0 * self.half_step)
        } else {
            let one = |code| 2 * kernels.dot_u4(&self.low, &self.high, code) - 15 * self.sum;
            (codes.map(one), self.half_step)
        };
        std::array::from_fn(|i| products[i] as f32 * step * factors[i])
    }
}
