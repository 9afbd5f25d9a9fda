//! The arrays an index consists of, as a build produces them and a view reads them.

/// One array of fixed-size rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Name of the block in its file, at most eight characters.
    pub tag: &'static str,
    /// Bytes of one row.
    pub stride_bytes: usize,
    /// All rows, one after the other.
    pub bytes: Vec<u8>,
}

/// An index as plain arrays, ready to be written.
///
/// `codes` and `factors` belong into the file of codes, `rows` into the file of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexParts {
    /// Some kilobytes that say what the arrays are, 29 at 128 dimensions and 131,072 rows; see [`super::meta::Meta`].
    pub meta: Vec<u8>,
    /// One code a vector: `[n, padded_dim]` signed bytes, or `[n, padded_dim / 2]` nibbles in the compact profile.
    pub codes: Block,
    /// Factors of the codes: `[n, 1]` f32, `[n, 2]` for L2.
    pub factors: Block,
    /// Links, and in the fast profile the neighbours' codes; see [`super::layout`].
    pub rows: Block,
}

impl IndexParts {
    /// The arrays, borrowed.
    #[must_use]
    pub fn slices(&self) -> IndexSlices<'_> {
        IndexSlices { codes: &self.codes.bytes, factors: &self.factors.bytes, rows: &self.rows.bytes }
    }
}

/// The arrays of an index, borrowed from memory or from mapped files.
#[derive(Clone, Copy, Debug)]
pub struct IndexSlices<'a> {
    /// See [`IndexParts::codes`].
    pub codes: &'a [u8],
    /// See [`IndexParts::factors`].
    pub factors: &'a [u8],
    /// See [`IndexParts::rows`].
    pub rows: &'a [u8],
}
