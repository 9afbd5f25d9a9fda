//! One-bit codes of vectors relative to the centre of the block they lie in, a batch of which is estimated at once.
//!
//! They are what [`neighbors`] keeps of a node's neighbours (RaBitQ, arXiv:2405.12497), with the centre for the node.

use crate::Metric;
use crate::kernels::{BATCH, Kernels, prefetch};
use crate::quantize::neighbors;
use crate::query::Query;

/// Bytes of a batch: four dimensions of 32 vectors in 16 bytes, then slopes and constants.
pub(super) fn batch_bytes(padded_dim: usize) -> usize {
    4 * padded_dim + 4 * BATCH
}

/// Batches, those of a block after those of another; each block has equally many.
#[derive(Clone, Debug)]
pub(super) struct Batches {
    padded_dim: usize,
    bytes: Vec<u8>,
    /// For each block what its slopes and constants are multiplied with.
    scales: Vec<f32>,
}

impl Batches {
    /// Takes over what [`encode`] wrote and returned for each block.
    pub(super) fn new(padded_dim: usize, bytes: Vec<u8>, scales: Vec<f32>) -> Self {
        Self { padded_dim, bytes, scales }
    }

    /// Bytes of memory they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len() + size_of_val(&self.scales[..])
    }

    #[inline(always)]
    fn batch(&self, batch: usize) -> &[u8] {
        let bytes = batch_bytes(self.padded_dim);
        &self.bytes[batch * bytes..(batch + 1) * bytes]
    }

    /// Estimates the scores of a batch of a block whose centre scores `center`; returns which exceed `threshold`, a bit each.
    ///
    /// * `optimism`: added to each estimate times the slope of its code, which is in proportion to its error.
    #[inline(always)]
    pub(super) fn scan(
        &self,
        kernels: &Kernels,
        query: &Query,
        (block, batch): (usize, usize),
        (center, optimism): (f32, f32),
        threshold: f32,
        out: &mut [f32; BATCH],
    ) -> u32 {
        let codes = self.batch(batch).split_at(4 * self.padded_dim);
        query.table.scan(kernels, codes, (center, optimism), self.scales[block], threshold, out)
    }

    /// Asks for a batch.
    #[inline(always)]
    pub(super) fn prefetch(&self, batch: usize) {
        prefetch(self.batch(batch));
    }
}

/// Writes the codes of the vectors of one block, `[vectors, center.len()]`, into its batches, which were zero before; returns the scale of
/// their slopes and constants.
pub(super) fn encode(metric: Metric, center: &[f32], vectors: &[f32], batches: &mut [u8]) -> f32 {
    let dim = center.len();
    let vectors = vectors.chunks_exact(dim);
    let factors: Vec<_> = vectors.clone().map(|vector| neighbors::factors(metric, center, vector)).collect();
    let largest = factors.iter().fold(0.0f32, |m, (slope, constant)| m.max(slope.abs()).max(constant.abs()));
    let scale = if largest > 0.0 && largest.is_finite() { largest } else { 1.0 };
    for (at, (vector, &factors)) in vectors.zip(&factors).enumerate() {
        let batch = &mut batches[at / BATCH * batch_bytes(dim)..][..batch_bytes(dim)];
        let (signs, beside) = batch.split_at_mut(4 * dim);
        neighbors::write_signs(signs, at % BATCH, center, vector);
        neighbors::write_factors(beside, at % BATCH, factors, scale);
    }
    scale
}
