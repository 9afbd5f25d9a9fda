//! What an index takes, from its parameters alone: for plans of machines that do not exist yet.

use super::layout::RowLayout;
use super::params::BuildParams;
use super::quantize::rotation::padded_dim;
use super::sieve;
use crate::Metric;

/// Bytes that one indexed vector takes in each file of its index, headers and checksums left out, and in memory beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexRowBytes {
    /// In the file of codes: the vector's own code and its factors.
    pub codes: usize,
    /// In the file of the graph: links, and in the fast profile the neighbours' codes beside them.
    pub graph: usize,
    /// In memory only, while the index is open: one-bit codes that scans read first.
    pub sieve: usize,
}

impl IndexRowBytes {
    /// The sizes an index built with `params` has for vectors of `dim` numbers.
    #[must_use]
    pub fn new(params: &BuildParams, dim: usize) -> Self {
        let padded = padded_dim(dim);
        let factors = if params.metric == Metric::L2 { 8 } else { 4 };
        Self {
            codes: padded * params.profile.code_bits() / 8 + factors,
            graph: RowLayout::new(params.profile, params.degree, padded).stride(),
            sieve: sieve::row_bytes(padded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IndexHead, Profile, Progress, Rows, build};

    #[test]
    fn the_sizes_are_those_of_a_real_index() {
        for (metric, profile, dim) in [
            (Metric::Ip, Profile::Fast, 64),
            (Metric::L2, Profile::Fast, 40),
            (Metric::Cosine, Profile::Compact, 100),
        ] {
            let data: Vec<f32> = (0..128 * dim).map(|at| ((at * 37 % 101) as f32) - 50.5).collect();
            let rows = Rows::new(&data, 128, dim, dim).expect("valid rows");
            let params = BuildParams::new(metric, profile);
            let parts = build(&rows, &params, &Progress::default()).expect("built");
            let sizes = IndexRowBytes::new(&params, dim);
            let codes = parts.codes.bytes.len() + parts.factors.bytes.len();
            assert_eq!((sizes.codes * 128, sizes.graph * 128), (codes, parts.rows.bytes.len()));
            let head = IndexHead::open(&parts.meta).expect("opens");
            let (code, factor, row) = head.strides();
            assert_eq!((sizes.codes, sizes.graph), (code + factor, row));
            let sieve = head.with_sieve(&parts.slices()).expect("fits").sieve_bytes();
            assert!((sizes.sieve * 128).abs_diff(sieve) < 128, "{sizes:?} {sieve}");
        }
    }
}
