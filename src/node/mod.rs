//! Wiring: the only folder that knows every layer. [`Segue`] is the database in one process.

mod engine;
mod group;
mod replica;

pub use engine::{LoadKind, LoadProgress, OpenReport, Segue, VectorRow};
