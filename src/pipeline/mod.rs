//! The recommendation pipeline: one request from plan to finished list (PIPELINE.md), and the write path.

pub mod recipe;
pub mod request;
mod validate;

pub use recipe::{DEPTH_MAX, LIST_MAX};
pub use validate::{DIM_MAX, EF_MAX, SEEDS_MAX, validate_vector};
