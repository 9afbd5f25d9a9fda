//! Where things lie in a row of the graph.
//!
//! ```text
//! links      4 * degree bytes                          u32, little-endian
//! factors    4 * degree bytes, fast profile only       for each 32 links: 32 f16 slopes, 32 f16 constants
//! signs      degree / 2 * padded_dim / 4, fast only    for each 32 links and each 4 dimensions: 16 bytes of nibbles
//! ```

use std::ops::Range;

use super::kernels::BATCH;
use super::params::Profile;

/// Sizes of one graph row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowLayout {
    /// Links of a node, a multiple of 32.
    pub degree: usize,
    /// Dimension after rotation, a multiple of 64.
    pub padded_dim: usize,
    /// Whether factors and signs follow the links.
    pub with_signs: bool,
}

impl RowLayout {
    /// The layout of one profile.
    pub fn new(profile: Profile, degree: usize, padded_dim: usize) -> Self {
        Self { degree, padded_dim, with_signs: profile == Profile::Fast }
    }

    /// Bytes of one row.
    pub fn stride(&self) -> usize {
        let beside =
            if self.with_signs { 4 * self.degree + self.degree / BATCH * self.signs_len() } else { 0 };
        4 * self.degree + beside
    }

    /// Bytes of the signs of 32 neighbours.
    pub fn signs_len(&self) -> usize {
        4 * self.padded_dim
    }

    /// Where the factors of one block of 32 neighbours lie.
    #[inline(always)]
    pub fn factors(&self, block: usize) -> Range<usize> {
        let at = 4 * self.degree + 4 * BATCH * block;
        at..at + 4 * BATCH
    }

    /// Where the signs of one block of 32 neighbours lie.
    #[inline(always)]
    pub fn signs(&self, block: usize) -> Range<usize> {
        let at = 8 * self.degree + self.signs_len() * block;
        at..at + self.signs_len()
    }
}
