//! The small part of an index that is kept in memory: its meta and its rotation.

use super::error::IndexError;
use super::finer::FinerEntries;
use super::guard::{Guard, Guarded, StandIns};
use super::layout::RowLayout;
use super::meta::Meta;
use super::params::Profile;
use super::parts::IndexSlices;
use super::quantize::rotation::Rotation;
use super::rows::Rows;
use super::sieve::Sieve;
use super::view::IndexView;
use crate::Metric;

/// An opened index without its arrays: made once, used for every view.
#[derive(Clone, Debug)]
pub struct IndexHead {
    meta: Meta,
    rotation: Rotation,
    layout: RowLayout,
    sieve: Option<Sieve>,
    finer: Option<FinerEntries>,
    stand_ins: StandIns,
}

impl IndexHead {
    /// Reads the meta of an index.
    ///
    /// # Errors
    /// [`IndexError::Damaged`] when the bytes are not the meta of an index.
    pub fn open(meta: &[u8]) -> Result<Self, IndexError> {
        let meta = Meta::decode(meta)?;
        let rotation = Rotation::new(meta.dim, meta.seed);
        let layout = RowLayout::new(meta.profile, meta.degree, rotation.padded_dim());
        let stand_ins = StandIns { row: vec![0; layout.stride()], vector: vec![0.0; meta.dim] };
        Ok(Self { meta, rotation, layout, sieve: None, finer: None, stand_ins })
    }

    /// Adds what makes searches under filters fast: one-bit codes of all rows, made from the codes. And what lets walks in large indexes
    /// start near the query: such codes of one row in 48, or fewer where there are millions.
    ///
    /// Takes a pass over the codes and scans of parts of them, .2 s of one processor for 190,000 rows of 128 numbers.
    /// Memory: `padded_dim / 8 + 4` bytes a row, about as many for each 48 rows, and half of `padded_dim` bytes for each 64 rows; the last two filters with a base, a bit for
    /// each ordinal and row. Without it searches find as much, and take longer where few rows are allowed or those lie far from the query.
    ///
    /// # Errors
    /// [`IndexError::Damaged`] when an array has not the size the meta promises.
    pub fn with_sieve(self, slices: &IndexSlices<'_>) -> Result<Self, IndexError> {
        self.check_sizes(slices)?;
        let sieve = Sieve::new(&self.meta, self.layout.padded_dim, slices);
        let finer = FinerEntries::new(&self.meta, self.layout.padded_dim, slices);
        Ok(Self { sieve: Some(sieve), finer, ..self })
    }

    /// Bytes of memory that [`IndexHead::with_sieve`] takes; 0 without.
    #[must_use]
    pub fn sieve_bytes(&self) -> usize {
        self.sieve.as_ref().map_or(0, Sieve::bytes) + self.finer.as_ref().map_or(0, FinerEntries::bytes)
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

    /// Dimension of the vectors.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.meta.dim
    }

    /// Comparison the index serves.
    #[must_use]
    pub fn metric(&self) -> Metric {
        self.meta.metric
    }

    /// Layout of the index.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.meta.profile
    }

    /// Bytes a row of (codes, factors, graph rows).
    #[must_use]
    pub fn strides(&self) -> (usize, usize, usize) {
        let code = self.layout.padded_dim * self.meta.profile.code_bits() / 8;
        (code, if self.meta.metric == Metric::L2 { 8 } else { 4 }, self.layout.stride())
    }

    /// Puts the arrays behind the head. Cheap: done for every search.
    ///
    /// # Errors
    /// [`IndexError::Damaged`] when an array has not the size the meta promises.
    pub fn view<'a>(
        &'a self,
        slices: IndexSlices<'a>,
        vectors: Rows<'a>,
    ) -> Result<IndexView<'a>, IndexError> {
        self.check_sizes(&slices)?;
        if vectors.len() != self.meta.n || vectors.dim() != self.meta.dim {
            return Err(IndexError::damaged(
                "vectors",
                format!(
                    "expected {} rows of {}, got {} of {}",
                    self.meta.n,
                    self.meta.dim,
                    vectors.len(),
                    vectors.dim()
                ),
            ));
        }
        let view = IndexView::new(&self.meta, &self.rotation, self.layout, slices, vectors);
        Ok(view.with_sieve(self.sieve.as_ref(), self.finer.as_ref()))
    }

    /// As [`IndexHead::view`], on graph rows and vectors that are asked for when they are used; codes and factors are not.
    ///
    /// # Errors
    /// As [`IndexHead::view`].
    pub fn guarded_view<'a>(
        &'a self,
        slices: IndexSlices<'a>,
        vectors: Rows<'a>,
        guard: &'a dyn Guard,
    ) -> Result<IndexView<'a>, IndexError> {
        let guarded = Guarded { guard, stand_ins: &self.stand_ins };
        Ok(self.view(slices, vectors)?.with_guard(Some(guarded)))
    }

    /// Checks the arrays against the meta.
    fn check_sizes(&self, slices: &IndexSlices<'_>) -> Result<(), IndexError> {
        let (code, factor, row) = self.strides();
        let sizes = [
            ("codes", slices.codes.len(), code),
            ("factors", slices.factors.len(), factor),
            ("rows", slices.rows.len(), row),
        ];
        for (block, got, stride) in sizes {
            if got != self.meta.n * stride {
                return Err(IndexError::damaged(
                    block,
                    format!("expected {} rows of {stride} bytes, got {got} bytes", self.meta.n),
                ));
            }
        }
        Ok(())
    }
}
