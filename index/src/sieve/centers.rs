//! Centres of blocks of vectors that follow each other: a code of four bits a coordinate with its factor.

use super::codes::decode_nibbles;
use crate::Metric;
use crate::kernels::Kernels;
use crate::quantize::codes::encode_nibbles;
use crate::query::Query;

/// The centres of all blocks.
#[derive(Clone, Debug)]
pub(super) struct Centers {
    padded_dim: usize,
    /// `[blocks, padded_dim / 2]`.
    codes: Vec<u8>,
    /// For each block what the product with its code is multiplied with, and what is added then.
    factors: Vec<(f32, f32)>,
    /// For each block the root mean square distance of the vectors from the centre; twice that for L2, whose products count twice.
    pub(super) radii: Vec<f32>,
    /// For each block what the vectors score less than the centre on average.
    pub(super) below: Vec<f32>,
}

/// Bytes of memory a centre takes.
pub(super) fn center_bytes(padded_dim: usize) -> usize {
    padded_dim / 2 + size_of::<Center>()
}

/// What is known of one centre beside its code.
pub(super) struct Center {
    factors: (f32, f32),
    radius: f32,
    below: f32,
}

impl Centers {
    /// Takes over centres and their codes, `[blocks, padded_dim / 2]`.
    pub(super) fn new(padded_dim: usize, codes: Vec<u8>, centers: &[Center]) -> Self {
        Self {
            padded_dim,
            codes,
            factors: centers.iter().map(|center| center.factors).collect(),
            radii: centers.iter().map(|center| center.radius).collect(),
            below: centers.iter().map(|center| center.below).collect(),
        }
    }

    /// Number of blocks.
    pub(super) fn len(&self) -> usize {
        self.factors.len()
    }

    /// Bytes of memory they take.
    pub(super) fn bytes(&self) -> usize {
        self.len() * center_bytes(self.padded_dim)
    }

    /// Scores all centres in the scale of a walk.
    ///
    /// * `products`: working memory.
    pub(super) fn score(
        &self,
        kernels: &Kernels,
        query: &Query,
        products: &mut Vec<i32>,
        out: &mut Vec<f32>,
    ) {
        out.clear();
        let estimates = query.code.estimate_nibbles(kernels, &self.codes, products);
        out.extend(
            estimates.zip(&self.factors).map(|(product, (factor, constant))| product * factor + constant),
        );
    }
}

/// Makes the code of the centre of some vectors, `[vectors, 2 * code.len()]`; returns the centre as its code says it, which is what queries
/// are compared with.
pub(super) fn encode(metric: Metric, vectors: &[f32], code: &mut [u8]) -> (Vec<f32>, Center) {
    let dim = 2 * code.len();
    let vectors = vectors.chunks_exact(dim);
    let part = 1.0 / vectors.len() as f32;
    let mut center = vec![0.0f32; dim];
    for vector in vectors.clone() {
        center.iter_mut().zip(vector).for_each(|(mean, x)| *mean += part * x);
    }
    let factor = encode_nibbles(&center, code);
    decode_nibbles(code, factor, &mut center);
    let distance = |vector: &[f32]| center.iter().zip(vector).map(|(c, x)| (x - c) * (x - c)).sum::<f32>();
    let square: f32 = vectors.map(|vector| part * distance(vector)).sum();
    let known = if metric == Metric::L2 {
        let length: f32 = center.iter().map(|x| x * x).sum();
        Center { factors: (2.0 * factor, -length), radius: 2.0 * square.sqrt(), below: square }
    } else {
        Center { factors: (factor, 0.0), radius: square.sqrt(), below: 0.0 }
    };
    (center, known)
}
