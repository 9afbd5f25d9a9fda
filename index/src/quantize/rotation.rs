//! A random rotation in `O(d log d)`: signs and fast Hadamard transforms.
//!
//! Quantisers with one scale for all coordinates need coordinates of equal spread, which real embeddings do
//! not have; after a random rotation every vector has them (RaBitQ, arXiv:2405.12497, section 3.1). Four rounds of
//! random signs followed by a Hadamard transform stand in for a dense random matrix; where the padded
//! dimension is no power of two, rounds alternate between the first and the last power-of-two block.
//! The rotation is orthonormal, so dot products and distances stay what they were.

use crate::SplitMix64;
use crate::kernels::Kernels;

/// Rounds of signs and transform.
const ROUNDS: usize = 4;

/// The dimension of rotated vectors: `dim` rounded up to a multiple of 64.
pub fn padded_dim(dim: usize) -> usize {
    dim.next_multiple_of(64)
}

/// A random rotation of vectors of one dimension, made again from its seed.
#[derive(Clone, Debug)]
pub struct Rotation {
    dim: usize,
    padded_dim: usize,
    /// `ROUNDS` times `padded_dim` signs, each `1.0` or `-1.0`.
    signs: Vec<f32>,
}

impl Rotation {
    /// Makes the rotation of `seed` for vectors of `dim` numbers.
    pub fn new(dim: usize, seed: u64) -> Self {
        let padded_dim = padded_dim(dim);
        let mut random = SplitMix64::new(seed ^ 0x5EED_0F20_7A7E_0001);
        let signs =
            (0..ROUNDS * padded_dim).map(|_| if random.next_u64() >> 63 == 0 { 1.0 } else { -1.0 }).collect();
        Self { dim, padded_dim, signs }
    }

    /// Returns the dimension of rotated vectors: `dim` rounded up to a multiple of 64.
    pub fn padded_dim(&self) -> usize {
        self.padded_dim
    }

    /// Rotates `[dim]` into `[padded_dim]`.
    pub fn apply(&self, kernels: &Kernels, vector: &[f32], out: &mut [f32]) {
        out[..self.dim].copy_from_slice(vector);
        out[self.dim..].fill(0.0);
        let block = 1usize << self.padded_dim.ilog2();
        for (round, signs) in self.signs.chunks_exact(self.padded_dim).enumerate() {
            for (x, sign) in out.iter_mut().zip(signs) {
                *x *= sign;
            }
            let start = if round % 2 == 0 { 0 } else { self.padded_dim - block };
            kernels.hadamard(&mut out[start..start + block]);
        }
    }
}
