//! The recommendation pipeline: one request from plan to finished list (PIPELINE.md), and the write path.

pub mod recipe;
pub mod request;
mod validate;

pub use validate::{DEPTH_MAX, DIM_MAX, EF_MAX, LIST_MAX, SEEDS_MAX, validate_vector};
