//! The proximity graph: how it is built and pruned.

pub mod beam;
pub mod build;
pub mod fill;
pub mod geometry;
pub mod links;
pub mod prune;
pub mod repair;
pub mod visited;
