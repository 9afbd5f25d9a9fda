//! An index ready to be searched: head, arrays and full-precision vectors.

use rayon::prelude::*;

use super::error::IndexError;
use super::finer::FinerEntries;
use super::guard::Guarded;
use super::kernels::{Kernels, prefetch};
use super::layout::RowLayout;
use super::meta::Meta;
use super::parts::IndexSlices;
use super::plan::Sizes;
use super::quantize::rotation::Rotation;
use super::query::Query;
use super::rows::Rows;
use super::sieve::Sieve;
use crate::Metric;

/// The bits of a number that name a node.
const NODE_BITS: u32 = (1 << 31) - 1;

/// A borrowed index. See [`super::search`] for searching it.
#[derive(Clone, Copy, Debug)]
pub struct IndexView<'a> {
    pub(super) meta: &'a Meta,
    pub(super) rotation: &'a Rotation,
    pub(super) layout: RowLayout,
    pub(super) kernels: &'static Kernels,
    slices: IndexSlices<'a>,
    vectors: Rows<'a>,
    code_stride: usize,
    factor_stride: usize,
    row_stride: usize,
    pub(super) sieve: Option<&'a Sieve>,
    pub(super) finer: Option<&'a FinerEntries>,
    guarded: Option<Guarded<'a>>,
}

impl<'a> IndexView<'a> {
    /// Takes arrays whose sizes were checked against the meta.
    pub(super) fn new(
        meta: &'a Meta,
        rotation: &'a Rotation,
        layout: RowLayout,
        slices: IndexSlices<'a>,
        vectors: Rows<'a>,
    ) -> Self {
        let code_stride = layout.padded_dim * meta.profile.code_bits() / 8;
        let factor_stride = if meta.metric == Metric::L2 { 8 } else { 4 };
        Self {
            meta,
            rotation,
            layout,
            kernels: Kernels::get(),
            slices,
            vectors,
            code_stride,
            factor_stride,
            row_stride: layout.stride(),
            sieve: None,
            finer: None,
            guarded: None,
        }
    }

    /// The same view with one-bit codes of all rows, and more places to start from.
    pub(super) fn with_sieve(self, sieve: Option<&'a Sieve>, finer: Option<&'a FinerEntries>) -> Self {
        Self { sieve, finer, ..self }
    }

    /// The same view on arrays that were not checked.
    pub(super) fn with_guard(self, guarded: Option<Guarded<'a>>) -> Self {
        Self { guarded, ..self }
    }

    /// The same view on another table of kernels; results do not change.
    #[must_use]
    pub fn with_kernels(self, kernels: &'static Kernels) -> Self {
        Self { kernels, ..self }
    }

    /// Number of vectors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.meta.n
    }

    /// Whether the index holds no vector.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.meta.n == 0
    }

    /// Checks that every link leads to a node, on the rayon pool of the caller. Done once when a segment is opened; reads all rows.
    ///
    /// # Errors
    /// [`IndexError::Damaged`] names the first row with a wrong link.
    pub fn check(&self) -> Result<(), IndexError> {
        let leads_nowhere = |&node: &u32| self.links(node).any(|link| link as usize >= self.meta.n);
        let wrong = (0..self.meta.n as u32).into_par_iter().find_first(leads_nowhere);
        wrong.map_or(Ok(()), |node| Err(IndexError::damaged("rows", format!("row {node} links to no node"))))
    }

    /// What the cost of a search depends on.
    ///
    /// * `allowed`, `k`: of one search.
    pub(super) fn sizes(&self, allowed: usize, k: usize) -> Sizes {
        Sizes {
            n: self.meta.n,
            row_bytes: self.row_stride,
            code_bytes: self.code_stride + self.factor_stride,
            blocks: self.sieve.map_or(0, Sieve::blocks),
            sifted: self.sieve.map_or(0, |sieve| sieve.rows_read(allowed, k)),
        }
    }

    /// The graph row of a node.
    #[inline(always)]
    pub(super) fn row(&self, node: u32) -> &'a [u8] {
        match &self.guarded {
            None => self.stored_row(node),
            Some(guarded) => self.guarded_row(guarded, node),
        }
    }

    #[inline(always)]
    fn stored_row(&self, node: u32) -> &'a [u8] {
        let at = node as usize * self.row_stride;
        &self.slices.rows[at..at + self.row_stride]
    }

    #[cold]
    fn guarded_row(&self, guarded: &Guarded<'a>, node: u32) -> &'a [u8] {
        if !guarded.guard.row(node) {
            return &guarded.stand_ins.row;
        }
        let row = self.stored_row(node);
        if self.links_of(row).any(|link| link as usize >= self.meta.n) {
            guarded.guard.stray_link(node);
            return &guarded.stand_ins.row;
        }
        row
    }

    /// The links of a node.
    pub(super) fn links(&self, node: u32) -> impl Iterator<Item = u32> + 'a {
        self.links_of(self.stored_row(node))
    }

    fn links_of(&self, row: &'a [u8]) -> impl Iterator<Item = u32> + use<'a> {
        row[..4 * self.layout.degree].as_chunks::<4>().0.iter().map(|link| u32::from_le_bytes(*link))
    }

    /// The full vector of a node.
    #[inline(always)]
    fn vector(&self, node: u32) -> &'a [f32] {
        match &self.guarded {
            Some(guarded) if !guarded.guard.vector(node) => &guarded.stand_ins.vector,
            _ => self.vectors.row(node as usize),
        }
    }

    #[inline(always)]
    fn code(&self, node: u32) -> &'a [u8] {
        let at = node as usize * self.code_stride;
        &self.slices.codes[at..at + self.code_stride]
    }

    #[inline(always)]
    fn factors(&self, node: u32) -> &'a [u8] {
        let at = node as usize * self.factor_stride;
        &self.slices.factors[at..at + self.factor_stride]
    }

    /// Asks for the code and the factors of a node.
    #[inline(always)]
    pub(super) fn prefetch_code(&self, node: u32) {
        prefetch(self.code(node));
        prefetch(self.factors(node));
    }

    /// Asks for the graph row of a node.
    #[inline(always)]
    pub(super) fn prefetch_row(&self, node: u32) {
        prefetch(self.stored_row(node));
    }

    /// Asks for the full vector of a node.
    #[inline(always)]
    pub(super) fn prefetch_vector(&self, node: u32) {
        prefetch(self.vectors.row(node as usize));
    }

    /// Estimates the scores of nodes in the walk's scale (see [`Query`]) and hands them over in order. The highest bit of a node
    /// is a mark of the caller's.
    #[inline(always)]
    pub(super) fn estimate(&self, query: &Query, nodes: &[u32], mut each: impl FnMut(f32, u32)) {
        let (fours, rest) = nodes.as_chunks::<4>();
        for four in fours {
            let estimates = self.estimate_four(query, *four);
            four.iter().zip(estimates).for_each(|(&node, estimate)| each(estimate, node));
        }
        if let Some(&last) = rest.last() {
            // The last one is estimated again and again.
            let four = std::array::from_fn(|i| rest.get(i).copied().unwrap_or(last));
            let estimates = self.estimate_four(query, four);
            rest.iter().zip(estimates).for_each(|(&node, estimate)| each(estimate, node));
        }
    }

    #[inline(always)]
    fn estimate_four(&self, query: &Query, nodes: [u32; 4]) -> [f32; 4] {
        let nodes = nodes.map(|node| node & NODE_BITS);
        let codes = nodes.map(|node| self.code(node));
        let factors = nodes.map(|node| self.factors(node).as_chunks::<4>().0);
        let factor = |i: usize, at: usize| factors[i].get(at).map_or(0.0, |&bytes| f32::from_le_bytes(bytes));
        let estimates = query.code.estimate(self.kernels, codes, std::array::from_fn(|i| factor(i, 0)));
        if self.factor_stride == 8 { std::array::from_fn(|i| estimates[i] + factor(i, 1)) } else { estimates }
    }

    /// Returns what the estimates of a node are multiplied with: about the size of one step of its code.
    #[inline(always)]
    pub(super) fn factor(&self, node: u32) -> f32 {
        self.factors(node).first_chunk().map_or(0.0, |&bytes| f32::from_le_bytes(bytes))
    }

    /// Returns the exact score of a node.
    #[inline(always)]
    pub(super) fn score(&self, vector: &[f32], length: f32, node: u32) -> f32 {
        score(self.kernels, self.meta.metric, vector, length, self.vector(node))
    }
}

/// Returns the exact score of one stored vector: larger is better.
///
/// * `length`: Euclidean length of the query, used by cosine.
/// * cosine with a zero vector is 0; L2 gives the negative squared distance.
#[inline(always)]
pub(super) fn score(kernels: &Kernels, metric: Metric, query: &[f32], length: f32, vector: &[f32]) -> f32 {
    match metric {
        Metric::Ip => kernels.dot_f32(query, vector),
        Metric::L2 => -kernels.l2_f32(query, vector),
        Metric::Cosine => {
            let (product, square) = kernels.dot_and_square(query, vector);
            let lengths = length * square.sqrt();
            if lengths > 0.0 { product / lengths } else { 0.0 }
        }
    }
}
