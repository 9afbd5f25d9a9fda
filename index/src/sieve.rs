//! One-bit codes of all rows, relative to the centres of their blocks: two dozen bytes a row that say roughly how it scores.
//!
//! Rows of a block follow each other. Where near rows lie near each other ([`crate::locality_order`]) what is left of a row beside its
//! centre is short, so that estimates err less. Nothing of this is stored: it is made from the codes when a segment is opened.
//!
//! A record is that of [`super::quantize::signs`] (RaBitQ, arXiv:2405.12497); a centre is a code of eight bits with its factor.

use rayon::prelude::*;

use super::kernels::{BASE_ROWS, Kernels};
use super::meta::Meta;
use super::params::Profile;
use super::parts::IndexSlices;
use super::quantize::codes::{self, CodeQuery};
use super::quantize::signs;
use crate::Metric;

/// Bytes of memory a row takes, its part of a centre included.
pub(super) fn row_bytes(padded_dim: usize) -> usize {
    signs::record_bytes(padded_dim) + (padded_dim + size_of::<(f32, f32)>()).div_ceil(BASE_ROWS)
}

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
    /// Makes the codes from the vectors' own, on the rayon pool of the caller. Cost: two passes over the codes.
    ///
    /// * `slices`: as long as the meta says.
    pub(super) fn new(meta: &Meta, padded_dim: usize, slices: &IndexSlices<'_>) -> Self {
        let stride = signs::record_bytes(padded_dim);
        let mut centers = vec![0; meta.n.div_ceil(BASE_ROWS) * padded_dim];
        let mut records = vec![0; meta.n * stride];
        let blocks = centers.par_chunks_mut(padded_dim).zip(records.par_chunks_mut(BASE_ROWS * stride));
        let encode = |rows: &mut Vec<f32>, (block, (code, records)): (usize, (&mut [u8], &mut [u8]))| {
            let rows = &mut rows[..records.len() / stride * padded_dim];
            for (at, row) in rows.chunks_exact_mut(padded_dim).enumerate() {
                decode(meta, slices, block * BASE_ROWS + at, row);
            }
            encode_block(meta.metric, rows, code, records)
        };
        let center_factors =
            blocks.enumerate().map_init(|| vec![0.0f32; BASE_ROWS * padded_dim], encode).collect();
        Self { centers, center_factors, records, padded_dim }
    }

    /// Bytes of memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.centers.len() + size_of_val(&self.center_factors[..]) + self.records.len()
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

/// Makes the codes of one block from its rows, `[rows, code.len()]`; returns what estimates of the centre are multiplied with and
/// moved by.
fn encode_block(metric: Metric, rows: &[f32], code: &mut [u8], records: &mut [u8]) -> (f32, f32) {
    let dim = code.len();
    let count = rows.len() / dim;
    let (mut center, mut bytes) = (vec![0.0f32; dim], vec![0i8; dim]);
    for row in rows.chunks_exact(dim) {
        center.iter_mut().zip(row).for_each(|(mean, x)| *mean += x / count as f32);
    }
    let (factor, _) = codes::encode_bytes(&center, &mut bytes);
    code.iter_mut().zip(&bytes).for_each(|(to, &c)| *to = c as u8);
    // Relative to what its code says, which is what queries are compared with.
    center.iter_mut().zip(&bytes).for_each(|(x, &c)| *x = factor * f32::from(c));
    for (record, row) in records.chunks_exact_mut(signs::record_bytes(dim)).zip(rows.chunks_exact(dim)) {
        signs::encode(metric, &center, row, record);
    }
    let square: f32 = center.iter().map(|x| x * x).sum();
    if metric == Metric::L2 { (2.0 * factor, -square) } else { (factor, 0.0) }
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
