//! Comparing stored vectors while a graph is built: signed bytes instead of floats.
//!
//! Rotated vectors are rounded to bytes with a scale of their own (error about a thousandth), which takes a quarter of the
//! memory traffic and makes every distance of the build an exact integer product times two floats: the
//! same on every machine. In the fast profile the bytes become the vectors' own codes.

use rayon::prelude::*;

use crate::kernels::{Kernels, as_raw};
use crate::quantize::codes::encode_bytes;

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
    /// Sum of the bytes of each vector, for the kernels.
    sums: Vec<i32>,
    /// Squared length of each rounded vector.
    squares: Vec<f32>,
    /// One over the length of each rounded vector, 0 for zero vectors; for products only.
    inverse_lengths: Vec<f32>,
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
        let (factors, (steps, squares)): (Vec<f32>, (Vec<f32>, Vec<f32>)) = rounded.unzip();
        let inverse = |square: &f32| if *square > 0.0 { 1.0 / square.sqrt() } else { 0.0 };
        let inverse_lengths = match comparison {
            Comparison::Product => squares.iter().map(inverse).collect(),
            Comparison::Euclidean => Vec::new(),
        };
        let sum = |code: &[i8]| code.iter().map(|&b| i32::from(b)).sum();
        let sums = bytes.par_chunks(padded_dim).map(sum).collect();
        Self { kernels, comparison, padded_dim, bytes, factors, steps, sums, squares, inverse_lengths }
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether vectors are near each other whose product is large.
    pub fn is_product(&self) -> bool {
        self.comparison == Comparison::Product
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
        self.distance_of(a, b, self.kernels.dot_i8(self.bytes(a), self.bytes(b)))
    }

    /// Compares one vector with others and hands over what each is away, in order.
    #[inline(always)]
    pub fn distances(&self, a: u32, others: &[u32], mut each: impl FnMut(f32, u32)) {
        for four in others.chunks(4) {
            let products = self.products(a, four);
            for (&b, product) in four.iter().zip(products) {
                each(self.distance_of(a, b, product), b);
            }
        }
    }

    /// Integer products of one vector with up to four; where fewer are given the last one is repeated.
    #[inline(always)]
    fn products(&self, a: u32, others: &[u32]) -> [i32; 4] {
        let codes = std::array::from_fn(|i| as_raw(self.bytes(others[i.min(others.len() - 1)])));
        self.kernels.dot_i8_four(self.bytes(a), self.sums[a as usize], codes)
    }

    #[inline(always)]
    fn distance_of(&self, a: u32, b: u32, product: i32) -> f32 {
        let dot = product as f32 * (self.steps[a as usize] * self.steps[b as usize]);
        match self.comparison {
            Comparison::Product => -dot,
            Comparison::Euclidean => {
                (self.squares[a as usize] + self.squares[b as usize] - 2.0 * dot).max(0.0)
            }
        }
    }

    /// Whether a link from `node` to `candidate`, `direct` away, is needless beside those to `others`: one of them lies nearer to
    /// the candidate than the node does.
    ///
    /// For products nearer is meant by angle. By product, long vectors would be near to everything and a row would hold
    /// little else.
    #[inline(always)]
    pub fn shadowed(&self, others: &[u32], candidate: u32, node: u32, direct: f32) -> bool {
        let shadows = |other: u32, detour: f32| match self.comparison {
            Comparison::Euclidean => detour < direct,
            Comparison::Product => {
                let inverse = |v: u32| self.inverse_lengths[v as usize];
                detour * inverse(other) < direct * inverse(node)
            }
        };
        others.chunks(4).any(|four| {
            let products = self.products(candidate, four);
            four.iter().zip(products).any(|(&o, product)| shadows(o, self.distance_of(o, candidate, product)))
        })
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
