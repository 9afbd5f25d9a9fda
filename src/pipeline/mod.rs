//! The recommendation pipeline: one request from plan to finished list (PIPELINE.md), and the write path.

pub mod recipe;
pub mod request;
