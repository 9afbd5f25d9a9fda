//! The meta group's state: spaces, generations, recipes, experiments, keys.
//!
//! Invariants: changed only by log entries, the same on every replica; at most one generation is active, and only a
//! complete one; generation numbers and versions of recipes and experiments are never used twice, and stored ones never
//! change; what an experiment needs is there, since no recipe ever goes.
//!
//! Absent on purpose: built-in recipes (they are code; stored ones come after them), what a recipe means (a document
//! is text here), vectors and their counts (shards know them, and tell them when a generation is to be activated),
//! progress of loads (each shard keeps its own, in the same write as the rows).

mod command;
mod first;
mod fourth;
mod generation;
mod second;
mod split;
mod state;
mod store;
mod third;

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod tests;

pub use command::{Field, MetaCommand, MetaReply, Named};
pub use generation::{DIM_MAX, GenerationContents, GenerationInfo, GenerationState, GramData};
pub use split::{ShardKind, ShardSplit, SplitPhase};
pub use state::MetaState;
pub use store::{MetaOpened, MetaStore, check_files};
