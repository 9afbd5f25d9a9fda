//! Comparing stored vectors while a graph is built: signed bytes instead of floats.
//!
//! Rotated vectors are rounded to bytes with a scale of their own (error about a thousandth), which takes a quarter of the
//! memory traffic and makes every distance of the build an exact integer product times two floats: the
//! same on every machine. In the fast profile the bytes become the vectors' own codes.

use rayon::prelude::*;

use crate::index::kernels::Kernels;
use crate::index::quantize::codes::encode_bytes;

/// What makes two stored vectors near each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Squared Euclidean distance; for cosine the vectors are unit length.
    Euclidean,
    /// Negative dot product, for graphs that serve maximum inner product.
    Product,
}

/// All vectors of a build as bytes, with what comparing them needs.
#[derive(Debug)]
pub struct Geometry {
    kernels: &'static Kernels,
    comparison: Comparison,
    padded_dim: usize,
    bytes: Vec<i8>,
    /// Factor of each code; see [`encode_bytes`].
    factors: Vec<f32>,
    /// Size of one step of each vector.
    steps: Vec<f32>,
    /// Squared length of each rounded vector.
    squares: Vec<f32>,
}

impl Geometry {
    /// Rounds `n` vectors; `rotated(i, out)` writes vector `i` into `[padded_dim]`.
    pub fn new(
        n: usize,
        padded_dim: usize,
        comparison: Comparison,
        rotated: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Self {
        let kernels = Kernels::get();
        let mut bytes = vec![0i8; n * padded_dim];
        let round = |buffer: &mut Vec<f32>, (i, out): (usize, &mut [i8])| {
            rotated(i, buffer);
            let (factor, step) = encode_bytes(buffer, out);
            (factor, (step, kernels.dot_i8(out, out) as f32 * (step * step)))
        };
        let rounded =
            bytes.par_chunks_mut(padded_dim).enumerate().map_init(|| vec![0.0f32; padded_dim], round);
        let (factors, (steps, squares)) = rounded.unzip();
        Self { kernels, comparison, padded_dim, bytes, factors, steps, squares }
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Bytes of one vector.
    pub fn padded_dim(&self) -> usize {
        self.padded_dim
    }

    /// The bytes of one vector.
    #[inline(always)]
    pub fn bytes(&self, node: u32) -> &[i8] {
        let at = node as usize * self.padded_dim;
        &self.bytes[at..at + self.padded_dim]
    }

    /// Squared length of one vector.
    pub fn square(&self, node: u32) -> f32 {
        self.squares[node as usize]
    }

    /// Compares two vectors: smaller is nearer.
    #[inline(always)]
    pub fn distance(&self, a: u32, b: u32) -> f32 {
        let product = self.kernels.dot_i8(self.bytes(a), self.bytes(b)) as f32;
        let dot = product * (self.steps[a as usize] * self.steps[b as usize]);
        match self.comparison {
            Comparison::Product => -dot,
            Comparison::Euclidean => {
                (self.squares[a as usize] + self.squares[b as usize] - 2.0 * dot).max(0.0)
            }
        }
    }

    /// Whether a link at `detour` from a candidate makes a direct link of length `direct` to it needless, by `factor`.
    #[inline(always)]
    pub fn shadows(&self, detour: f32, direct: f32, factor: f32) -> bool {
        // Products are compared as negative numbers: there a factor must make `direct` larger, not smaller.
        if self.comparison == Comparison::Product && direct < 0.0 {
            detour < direct * factor
        } else {
            detour * factor < direct
        }
    }

    /// Writes one vector back as floats.
    pub fn decode(&self, node: u32, out: &mut [f32]) {
        let step = self.steps[node as usize];
        out.iter_mut().zip(self.bytes(node)).for_each(|(x, b)| *x = f32::from(*b) * step);
    }

    /// Gives the bytes and their factors away.
    pub fn into_codes(self) -> (Vec<u8>, Vec<f32>) {
        (self.bytes.into_iter().map(|b| b as u8).collect(), self.factors)
    }
}
