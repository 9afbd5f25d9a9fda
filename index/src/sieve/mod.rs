//! One-bit codes of all rows, relative to the centres of their blocks: two dozen bytes a row that say roughly how it scores.
//!
//! Rows of a block follow each other. Where near rows lie near each other ([`crate::locality_order`]) what is left of a row beside its
//! centre is short: estimates err less, and most blocks can be passed over by the score of their centre. How far one may go with that
//! is measured ([`limits`]). Nothing of this is stored: it is made from the codes when a segment is opened.

mod batches;
mod blocks;
mod centers;
mod codes;
mod limits;
mod marks;
pub(super) mod scan;

pub(super) use self::blocks::BLOCK_ROWS;
pub(super) use self::codes::RowCodes;

use self::batches::batch_bytes;
use self::blocks::{BLOCK_BATCHES, Blocks};
use self::limits::Limits;
use self::marks::MarkCache;
use super::meta::Meta;
use super::parts::IndexSlices;

/// A block may hold something better than its centre: this part of its radius times the query's length is added to the centre's score.
const HOPE: f32 = 0.2;

/// Bytes of memory a row takes, its part of a block included.
pub(super) fn row_bytes(padded_dim: usize) -> usize {
    let block = centers::center_bytes(padded_dim) + size_of::<f32>();
    (BLOCK_BATCHES * batch_bytes(padded_dim) + block).div_ceil(BLOCK_ROWS)
}

/// One-bit codes of all rows of an index.
#[derive(Clone, Debug)]
pub(super) struct Sieve {
    blocks: Blocks,
    limits: Limits,
    filters: MarkCache,
}

impl Sieve {
    /// Makes the codes from the vectors' own, on the rayon pool of the caller. Cost: a pass over the codes, and scans of parts of them
    /// for [`limits`].
    ///
    /// * `slices`: as long as the meta says.
    pub(super) fn new(meta: &Meta, padded_dim: usize, slices: &IndexSlices<'_>) -> Self {
        let rows = RowCodes::new(meta, padded_dim, slices);
        let blocks = Blocks::new(meta.metric, &rows);
        let sieve = Self { blocks, limits: Limits::NONE, filters: MarkCache::default() };
        Self { limits: Limits::measure(&sieve, &rows, meta.seed), ..sieve }
    }

    /// Bytes of memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.blocks.bytes()
    }

    /// Number of blocks.
    pub(super) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// About how many of so many allowed rows a scan for the best `k` reads.
    pub(super) fn rows_read(&self, allowed: usize, k: usize) -> usize {
        self.limits.rows(allowed, k)
    }
}
