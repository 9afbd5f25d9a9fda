//! Background work on track shards: frozen rows become files (seal), several files become one (merge).
//!
//! Both end in a log entry that puts finished files in place; both can be interrupted anywhere and start again. Searches
//! and writes go on meanwhile: they see the rows in memory, or the old files, until the entry is applied. Absent on
//! purpose: when to run (the node's worker decides), how a graph is built (the index knows).

mod build;
mod merge;
#[cfg(test)]
mod overtaken_tests;
mod seal;
#[cfg(test)]
mod tests;

pub(crate) use build::{Background, give_way};
pub use build::{IndexChoice, write_vector_segment};
pub use merge::{MergePlan, merge, plan_merges};
pub use seal::{growing_rows, seal};

use crate::error::Result;
use crate::storage::track_shard::command::{TrackCommand, TrackReply};

/// Proposes a command to the shard's group and returns the reply once it is applied.
pub type Propose<'a> = dyn Fn(&TrackCommand) -> Result<TrackReply> + Sync + 'a;

/// Told the share of the work done, 0 to 1.
pub type ProgressFn<'a> = dyn Fn(f64) + Sync + 'a;
