//! One-bit codes of all rows, relative to the centres of their blocks: two dozen bytes a row that say roughly how it scores.
//!
//! Rows of a block follow each other. Where near rows lie near each other ([`crate::locality_order`]) what is left of a row beside its
//! centre is short, so that estimates err less. Nothing of this is stored: it is made from the codes when a segment is opened.
//!
//! A record is that of [`super::quantize::signs`] (RaBitQ, arXiv:2405.12497); a centre is a code of eight bits with its factor.

use super::kernels::{BASE_ROWS, Kernels};
use super::meta::Meta;
use super::params::Profile;
use super::parts::IndexSlices;
use super::quantize::codes::{self, CodeQuery};
use super::quantize::signs;
use crate::Metric;

/// One-bit codes of all rows of an index.
#[derive(Clone, Debug)]
pub(super) struct Sieve {
    /// Codes of the centres, `[blocks, padded_dim]`, and what their estimates are multiplied with and moved by.
    centers: Vec<u8>,
    center_factors: Vec<(f32, f32)>,
    /// A record a row.
    records: Vec<u8>,
    padded_dim: usize,
}

impl Sieve {
    /// Makes the codes from the vectors' own. Cost: two passes over the codes.
    ///
    /// * `slices`: as long as the meta says.
    pub(super) fn new(meta: &Meta, padded_dim: usize, slices: &IndexSlices<'_>) -> Self {
        let blocks = meta.n.div_ceil(BASE_ROWS);
        let stride = signs::record_bytes(padded_dim);
        let mut sieve = Self {
            centers: vec![0; blocks * padded_dim],
            center_factors: Vec::with_capacity(blocks),
            records: vec![0; meta.n * stride],
            padded_dim,
        };
        let mut rows = vec![0.0f32; BASE_ROWS * padded_dim];
        for block in 0..blocks {
            let first = block * BASE_ROWS;
            let count = BASE_ROWS.min(meta.n - first);
            for (at, row) in rows.chunks_exact_mut(padded_dim).take(count).enumerate() {
                decode(meta, slices, first + at, row);
            }
            sieve.encode_block(meta.metric, block, &rows[..count * padded_dim]);
        }
        sieve
    }

    /// Makes the codes of one block from its rows.
    fn encode_block(&mut self, metric: Metric, block: usize, rows: &[f32]) {
        let (dim, count) = (self.padded_dim, rows.len() / self.padded_dim);
        let mut center = vec![0.0f32; dim];
        for row in rows.chunks_exact(dim) {
            center.iter_mut().zip(row).for_each(|(mean, x)| *mean += x / count as f32);
        }
        let mut code = vec![0i8; dim];
        let (factor, _) = codes::encode_bytes(&center, &mut code);
        // Relative to what its code says, which is what queries are compared with.
        center.iter_mut().zip(&code).for_each(|(x, &c)| *x = factor * f32::from(c));
        let square: f32 = center.iter().map(|x| x * x).sum();
        self.center_factors.push(if metric == Metric::L2 { (2.0 * factor, -square) } else { (factor, 0.0) });
        let to = &mut self.centers[block * dim..(block + 1) * dim];
        to.iter_mut().zip(&code).for_each(|(to, &c)| *to = c as u8);
        let stride = signs::record_bytes(dim);
        let records = &mut self.records[block * BASE_ROWS * stride..][..count * stride];
        for (record, row) in records.chunks_exact_mut(stride).zip(rows.chunks_exact(dim)) {
            signs::encode(metric, &center, row, record);
        }
    }

    /// Number of blocks.
    pub(super) fn blocks(&self) -> usize {
        self.center_factors.len()
    }

    /// The records, one a row.
    pub(super) fn records(&self) -> &[u8] {
        &self.records
    }

    /// Scores the centres in the scale of a walk.
    pub(super) fn score_centers(&self, kernels: &Kernels, query: &CodeQuery, out: &mut Vec<f32>) {
        out.clear();
        let center = |at: usize| &self.centers[at * self.padded_dim..(at + 1) * self.padded_dim];
        for (four, factors) in self.center_factors.chunks(4).enumerate() {
            let at = |i: usize| i.min(factors.len() - 1);
            let codes = std::array::from_fn(|i| center(4 * four + at(i)));
            let scores = query.estimate(kernels, codes, std::array::from_fn(|i| factors[at(i)].0));
            out.extend(scores.iter().zip(factors).map(|(score, (_, constant))| score + constant));
        }
    }
}

/// Reads back a rotated row from its code.
fn decode(meta: &Meta, slices: &IndexSlices<'_>, row: usize, out: &mut [f32]) {
    let factor_stride = if meta.metric == Metric::L2 { 8 } else { 4 };
    let factor =
        slices.factors[row * factor_stride..].first_chunk().map_or(0.0, |&bytes| f32::from_le_bytes(bytes));
    // Products count twice for L2.
    let factor = if meta.metric == Metric::L2 { 0.5 * factor } else { factor };
    let stride = out.len() * meta.profile.code_bits() / 8;
    let code = &slices.codes[row * stride..(row + 1) * stride];
    match meta.profile {
        Profile::Fast => {
            out.iter_mut().zip(code).for_each(|(x, &c)| *x = factor * f32::from(c as i8));
        }
        Profile::Compact => {
            for (pair, &c) in out.as_chunks_mut::<2>().0.iter_mut().zip(code) {
                *pair = [factor * (f32::from(c & 15) - 7.5), factor * (f32::from(c >> 4) - 7.5)];
            }
        }
    }
}
