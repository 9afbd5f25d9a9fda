//! One-bit codes of a node's neighbours, relative to the node, estimated 32 at a time.
//!
//! For a node `p` and a neighbour `o` the signs of the rotated difference `r = o - p` are kept, and two
//! half-precision factors. With `f = <r, r> / Σ|r|` the product `<q - p, r>` is estimated without bias as
//! `f·(<q, signs> - <p, signs>)` (RaBitQ, arXiv:2405.12497; beside the links: SymphonyQG, arXiv:2411.12229). For every
//! metric the score of `o` is then `score(p) + constant + slope·<q, signs>`. The sums `<q, signs>` come from a table of
//! 16 bytes for each four dimensions, looked up for 32 neighbours at once.

use half::f16;

use crate::Metric;
use crate::kernels::{BATCH, BlockScale, Kernels, TABLE_MAX};

/// Slope and constant of one neighbour, before they are scaled and halved.
pub fn factors(metric: Metric, node: &[f32], neighbor: &[f32]) -> (f32, f32) {
    let (mut square, mut absolute, mut node_signs, mut node_difference) = (0.0f32, 0.0f32, 0.0f32, 0.0f32);
    for (p, o) in node.iter().zip(neighbor) {
        let r = o - p;
        square += r * r;
        absolute += r.abs();
        node_signs += if r >= 0.0 { *p } else { -*p };
        node_difference += p * r;
    }
    let f = if absolute > 0.0 { square / absolute } else { 0.0 };
    match metric {
        Metric::Cosine | Metric::Ip => (f, node_difference - f * node_signs),
        Metric::L2 => (2.0 * f, -square - 2.0 * f * node_signs),
    }
}

/// Writes the signs of neighbour `slot` (0..32) of a block of `4 · padded_dim` bytes that was zero before.
pub fn write_signs(block: &mut [u8], slot: usize, node: &[f32], neighbor: &[f32]) {
    for (group, (p, o)) in block.chunks_exact_mut(16).zip(node.chunks_exact(4).zip(neighbor.chunks_exact(4)))
    {
        let nibble = (0..4).fold(0u8, |bits, i| bits | u8::from(o[i] >= p[i]) << i);
        group[slot % 16] |= nibble << (4 * (slot / 16));
    }
}

/// Writes slope and constant of neighbour `slot`, divided by `factor_scale`.
pub fn write_factors(factors: &mut [u8], slot: usize, (slope, constant): (f32, f32), factor_scale: f32) {
    let half = |x: f32| f16::from_f32(x / factor_scale).to_le_bytes();
    factors[2 * slot..2 * slot + 2].copy_from_slice(&half(slope));
    factors[2 * (BATCH + slot)..2 * (BATCH + slot) + 2].copy_from_slice(&half(constant));
}

/// A query as a look-up table: for each four dimensions the sixteen signed sums, as bytes.
#[derive(Clone, Debug, Default)]
pub struct TableQuery {
    table: Vec<u8>,
    step: f32,
    offset: f32,
}

impl TableQuery {
    /// Takes over a rotated query of `[padded_dim]`.
    pub fn set(&mut self, kernels: &Kernels, rotated: &[f32]) {
        self.table.resize(4 * rotated.len(), 0);
        let largest = kernels.sign_table(rotated, &mut self.table);
        self.step = 2.0 * largest / f32::from(TABLE_MAX);
        self.offset = -largest * (rotated.len() / 4) as f32;
    }

    /// Estimates the scores of a block of 32 neighbours of a node that scores `base`; see [`Kernels::scan_block`].
    ///
    /// * `optimism`: added to each estimate times its slope, which is in proportion to its error.
    #[inline(always)]
    pub fn scan(
        &self,
        kernels: &Kernels,
        block: (&[u8], &[u8]),
        (base, optimism): (f32, f32),
        factor_scale: f32,
        threshold: f32,
        out: &mut [f32; BATCH],
    ) -> u32 {
        let scale = BlockScale { step: self.step, offset: self.offset + optimism, base, factor_scale };
        kernels.scan_block(block.0, &self.table, block.1, &scale, threshold, out)
    }
}
