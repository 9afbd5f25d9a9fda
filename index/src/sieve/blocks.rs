//! Rows in blocks.

use rayon::prelude::*;

use super::batches::{self, Batches, batch_bytes};
use super::centers::{self, Centers};
use super::codes::RowCodes;
use crate::Metric;
use crate::kernels::{BATCH, Kernels};
use crate::query::Query;

/// Rows of a block: those of one word of a bitset.
pub(crate) const BLOCK_ROWS: usize = 64;
/// Batches of a block.
pub(super) const BLOCK_BATCHES: usize = BLOCK_ROWS / BATCH;

/// All rows of an index.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    pub(super) centers: Centers,
    /// One-bit codes of the rows.
    codes: Batches,
}

impl Blocks {
    /// Makes the codes on the rayon pool of the caller. Cost: a pass over the rows' own codes.
    pub(super) fn new(metric: Metric, rows: &RowCodes<'_>) -> Self {
        let (dim, n) = (rows.padded_dim(), rows.len());
        let count = n.div_ceil(BLOCK_ROWS);
        let bytes = BLOCK_BATCHES * batch_bytes(dim);
        let (mut codes, mut batches) = (vec![0; count * dim / 2], vec![0; count * bytes]);
        let encode = |vectors: &mut Vec<f32>, (block, (code, batches)): (usize, (&mut [u8], &mut [u8]))| {
            let first = block * BLOCK_ROWS;
            let vectors = &mut vectors[..(n - first).min(BLOCK_ROWS) * dim];
            for (at, vector) in vectors.chunks_exact_mut(dim).enumerate() {
                rows.decode(first + at, vector);
            }
            let (center, known) = centers::encode(metric, vectors, code);
            (batches::encode(metric, &center, vectors, batches), known)
        };
        let (scales, known): (Vec<f32>, Vec<_>) = codes
            .par_chunks_mut(dim / 2)
            .zip(batches.par_chunks_mut(bytes))
            .enumerate()
            .map_init(|| vec![0.0; BLOCK_ROWS * dim], encode)
            .unzip();
        Self { centers: Centers::new(dim, codes, &known), codes: Batches::new(dim, batches, scales) }
    }

    /// Number of blocks.
    pub(super) fn len(&self) -> usize {
        self.centers.len()
    }

    /// Bytes of memory they take.
    pub(super) fn bytes(&self) -> usize {
        self.centers.bytes() + self.codes.bytes()
    }

    /// Returns those of some rows of a block, a bit each, that may score more than `threshold` by their one-bit codes.
    ///
    /// * `center`: the score of its centre.
    /// * `optimism`: added to each estimate times the slope of its code, which is in proportion to its error.
    #[inline(always)]
    pub(super) fn reaching(
        &self,
        kernels: &Kernels,
        query: &Query,
        (block, rows): (usize, u64),
        center: f32,
        (optimism, threshold): (f32, f32),
    ) -> u64 {
        let scores = (center, optimism);
        let mut estimates = [0.0; BATCH];
        let mut reached = 0;
        for part in 0..BLOCK_BATCHES {
            let wanted = (rows >> (BATCH * part)) as u32;
            if wanted != 0 {
                let at = (block, BLOCK_BATCHES * block + part);
                let above = self.codes.scan(kernels, query, at, scores, threshold, &mut estimates);
                reached |= u64::from(above & wanted) << (BATCH * part);
            }
        }
        reached
    }

    /// Asks for what [`Blocks::reaching`] reads.
    #[inline(always)]
    pub(super) fn prefetch(&self, block: usize, rows: u64) {
        for part in 0..BLOCK_BATCHES {
            if (rows >> (BATCH * part)) as u32 != 0 {
                self.codes.prefetch(BLOCK_BATCHES * block + part);
            }
        }
    }
}
