//! The meta group's state: spaces, generations, recipes.

use serde::{Deserialize, Serialize};

use crate::types::{GenerationId, Timestamp};

/// Where a generation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerationInfo {
    /// Its number, 1 and up.
    pub id: GenerationId,
    /// Where it stands.
    pub state: GenerationState,
    /// Dimension of its user and track vectors.
    pub dim: u32,
    /// User vectors in it.
    pub users: u64,
    /// Track vectors in it.
    pub tracks: u64,
    /// Whether fold-in is possible.
    pub fold_in: bool,
}

/// What the implicit-ALS row solve of a new user needs (PIPELINE.md §2, *Online user vector*).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
