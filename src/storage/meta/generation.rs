//! Generations of embeddings, as operators see them and as they are stored.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

use crate::types::{GenerationId, Timestamp};

/// The largest dimension of a generation.
pub const DIM_MAX: u32 = 4096;

/// Where a generation stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum GenerationState {
    /// Being filled.
    Building,
    /// The one requests use.
    Active,
    /// Was active before; can be rolled back to.
    Retired,
}

/// A generation as operators see it.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize)]
pub struct GenerationInfo {
    /// Its number, 1 and up.
    pub id: GenerationId,
    /// Where it stands.
    pub state: GenerationState,
    /// Dimension of its user and track vectors.
    pub dim: u32,
    /// User vectors in it, as counted when it was activated; 0 before.
    pub users: u64,
    /// Track vectors in it, as counted when it was activated; 0 before.
    pub tracks: u64,
    /// Whether fold-in is possible.
    pub fold_in: bool,
}

/// What the implicit-ALS row solve of a new user needs (PIPELINE.md §2, *Online user vector*).
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize)]
pub struct GramData {
    /// Dimension d.
    pub dim: u32,
    /// `Σ_i v_i v_iᵀ` over all track vectors, row-major `[d, d]`.
    pub gram: Vec<f64>,
    /// Unobserved weight α₀.
    pub alpha0: f64,
    /// Regularisation λ.
    pub lambda: f64,
    /// Exponent ν of the frequency-scaled regularisation.
    pub nu: f64,
    /// Confidence α of one unit of interaction weight.
    pub alpha: f64,
    /// Number of tracks trained on.
    pub tracks: u64,
    /// Half-life of the interaction weights, in days.
    pub half_life_days: f64,
    /// The time decay is measured from.
    pub reference_time: Timestamp,
}

impl GramData {
    /// What is wrong with it for a generation of this dimension, if anything.
    #[must_use]
    pub fn problem(&self, dim: u32) -> Option<String> {
        let cells = self.dim as usize * self.dim as usize;
        let numbers = [self.alpha0, self.lambda, self.nu, self.alpha, self.half_life_days];
        if self.dim != dim {
            return Some(format!("gram has a wrong dimension. expected=`{dim}`, found=`{}`", self.dim));
        }
        if self.gram.len() != cells {
            return Some(format!("gram is not square. expected=`{cells}`, found=`{}`", self.gram.len()));
        }
        if self.gram.iter().any(|x| !x.is_finite()) {
            return Some("gram has a cell that is not a number".to_owned());
        }
        if numbers.iter().any(|x| !x.is_finite() || *x < 0.0) || self.half_life_days == 0.0 {
            return Some("training parameters must be numbers from 0 up, the half-life above 0".to_owned());
        }
        None
    }
}

/// What the shards hold of a generation, as counted by whoever wants to activate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct GenerationContents {
    /// User vectors.
    pub users: u64,
    /// Their dimension; 0 when there are none.
    pub user_dim: u32,
    /// Track vectors.
    pub tracks: u64,
    /// Their dimension; 0 when there are none.
    pub track_dim: u32,
}
