//! Wiring: the only folder that knows every layer. [`Segue`] is the database in one process.

mod catalog;
mod engine;
mod group;
mod judge;
mod listeners;
mod load;
mod meta;
mod open;
mod read;
mod replica;
mod stage;
mod statistics;
mod worker;

pub use crate::types::VectorRow;
pub use engine::{LoadKind, LoadProgress, OpenReport, Segue};
