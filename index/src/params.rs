//! What a caller chooses: profile, build and search parameters.

use super::error::IndexError;
use super::kernels::BATCH;
use crate::Metric;

/// What is stored beside the links of a graph, and so speed against memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// One-bit codes of a node's neighbours beside its links, and an eight-bit code a vector: fastest.
    Fast,
    /// Links only, and one four-bit code a vector: least memory.
    Compact,
}

impl Profile {
    /// The name used in files, flags and replies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Compact => "compact",
        }
    }

    /// Bits of each coordinate of a vector's own code.
    #[must_use]
    pub fn code_bits(self) -> usize {
        match self {
            Self::Fast => 8,
            Self::Compact => 4,
        }
    }
}

impl std::str::FromStr for Profile {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "fast" => Ok(Self::Fast),
            "compact" => Ok(Self::Compact),
            other => Err(format!("unknown profile, expected fast or compact. profile=`{other}`")),
        }
    }
}

/// How an index is built.
#[derive(Clone, Debug)]
pub struct BuildParams {
    /// The comparison the index serves.
    pub metric: Metric,
    /// The layout.
    pub profile: Profile,
    /// Links of a node: a multiple of 32, up to 128.
    pub degree: usize,
    /// Candidates kept while the links of a node are searched, 8 to 4,096.
    pub ef_construction: usize,
    /// Decides rotation and insertion order.
    pub seed: u64,
}

impl BuildParams {
    /// Returns the defaults for one metric and profile.
    #[must_use]
    pub fn new(metric: Metric, profile: Profile) -> Self {
        Self { metric, profile, degree: 32, ef_construction: 128, seed: 1 }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`IndexError::Parameter`] names the first parameter out of range.
    pub fn check(&self) -> Result<(), IndexError> {
        if self.degree == 0 || !self.degree.is_multiple_of(BATCH) || self.degree > 128 {
            return Err(IndexError::parameter("degree", self.degree, "must be 32, 64, 96 or 128"));
        }
        if !(8..=4096).contains(&self.ef_construction) {
            return Err(IndexError::parameter("ef_construction", self.ef_construction, "must be 8 to 4096"));
        }
        Ok(())
    }
}

/// Most results one search may ask for.
pub const K_MAX: usize = 10_000;
/// Greatest effort of a walk.
pub(super) const WIDTH_MAX: usize = 4 * K_MAX;

/// How one search is done.
#[derive(Clone, Copy, Debug)]
pub struct SearchParams {
    /// Results wanted, 1 to [`K_MAX`].
    pub k: usize,
    /// Nodes a walk follows on average: fewer for easy queries, at most twice as many for hard ones. `None` takes what
    /// the build found to reach recall 0.98.
    pub ef: Option<usize>,
}

impl SearchParams {
    /// A search for `k` results with the default effort.
    #[must_use]
    pub fn new(k: usize) -> Self {
        Self { k, ef: None }
    }

    /// The same with a chosen effort.
    #[must_use]
    pub fn with_ef(self, ef: usize) -> Self {
        Self { ef: Some(ef), ..self }
    }
}
