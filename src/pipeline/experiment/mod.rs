//! Experiments: recipes tried on parts of the listeners of a surface, and a recipe that runs in the shadow of what is served.
//!
//! An experiment is a stored, versioned document, one at a time for a surface. Which arm a listener is in follows from their
//! id and the salt alone ([`Experiment::arm_of`]): every node says the same, before and after a restart, and another salt
//! is an independent split. Arms name exact recipe versions, so what an arm means never changes under it.
//!
//! Absent on purpose: what runs the shadow and counts lists (`node`), and what the arms brought in (`eval`).

mod assign;
mod document;
mod overlap;
mod ratio;
mod report;

pub use assign::{Assignment, point};
pub use document::{ARMS_MAX, Arm, Experiment, SHADOW_K_MAX, Shadow};
pub use overlap::{RANK_BIAS, rank_biased_overlap, shared};
pub use ratio::{RATIO_P_MIN, sample_ratio};
pub use report::{ArmReport, ExperimentReport, ShadowReport};
