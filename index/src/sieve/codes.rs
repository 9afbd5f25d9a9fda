//! The rows' own codes, read back or estimated without the rest of an index.

use crate::Metric;
use crate::kernels::Kernels;
use crate::meta::Meta;
use crate::params::Profile;
use crate::parts::IndexSlices;
use crate::quantize::codes::CodeQuery;

/// Codes and factors of all rows.
pub(crate) struct RowCodes<'a> {
    codes: &'a [u8],
    factors: &'a [u8],
    profile: Profile,
    metric: Metric,
    n: usize,
    padded_dim: usize,
}

impl<'a> RowCodes<'a> {
    /// * `slices`: as long as the meta says.
    pub(crate) fn new(meta: &Meta, padded_dim: usize, slices: &IndexSlices<'a>) -> Self {
        let (profile, metric) = (meta.profile, meta.metric);
        Self { codes: slices.codes, factors: slices.factors, profile, metric, n: meta.n, padded_dim }
    }

    /// Comparison the codes are for.
    pub(super) fn metric(&self) -> Metric {
        self.metric
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.n
    }

    /// Numbers of a rotated row.
    pub(super) fn padded_dim(&self) -> usize {
        self.padded_dim
    }

    fn code(&self, row: usize) -> &'a [u8] {
        let stride = self.padded_dim * self.profile.code_bits() / 8;
        &self.codes[row * stride..(row + 1) * stride]
    }

    /// What a row's estimate is multiplied with, and what is added then.
    fn factors(&self, row: usize) -> (f32, f32) {
        let stride = if self.metric == Metric::L2 { 8 } else { 4 };
        let number = |at: usize| {
            let bytes =
                self.factors[row * stride..(row + 1) * stride].get(at..).and_then(<[u8]>::first_chunk);
            bytes.map_or(0.0, |&bytes| f32::from_le_bytes(bytes))
        };
        (number(0), number(4))
    }

    /// Reads back a rotated row.
    ///
    /// * `out`: `[padded_dim]`.
    pub(crate) fn decode(&self, row: usize, out: &mut [f32]) {
        let (factor, _) = self.factors(row);
        // Products count twice for L2.
        let factor = if self.metric == Metric::L2 { 0.5 * factor } else { factor };
        let code = self.code(row);
        match self.profile {
            Profile::Fast => {
                out.iter_mut().zip(code).for_each(|(x, &c)| *x = factor * f32::from(c as i8));
            }
            Profile::Compact => decode_nibbles(code, factor, out),
        }
    }

    /// Estimates the scores of some rows, in order, in the scale of a walk.
    pub(super) fn estimate(
        &self,
        kernels: &Kernels,
        query: &CodeQuery,
        rows: std::ops::Range<usize>,
        mut each: impl FnMut(f32, usize),
    ) {
        for first in rows.clone().step_by(4) {
            let at = |i: usize| (first + i).min(rows.end - 1);
            let factors: [(f32, f32); 4] = std::array::from_fn(|i| self.factors(at(i)));
            let codes = std::array::from_fn(|i| self.code(at(i)));
            let scores = query.estimate(kernels, codes, factors.map(|factors| factors.0));
            let added = scores.iter().zip(factors).map(|(score, (_, constant))| score + constant);
            added.zip(first..rows.end).for_each(|(score, row)| each(score, row));
        }
    }
}

/// Reads back a vector from a code of four bits a coordinate.
pub(super) fn decode_nibbles(code: &[u8], factor: f32, out: &mut [f32]) {
    for (pair, &c) in out.as_chunks_mut::<2>().0.iter_mut().zip(code) {
        *pair = [factor * (f32::from(c & 15) - 7.5), factor * (f32::from(c >> 4) - 7.5)];
    }
}
