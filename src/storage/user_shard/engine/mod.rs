//! The ordered key-value store below a user shard: an `lsm-tree` without a write-ahead log of its own.
//!
//! Invariants:
//! * One tree, one writer. Each log entry is one sequence number; readers see whole entries only.
//! * The Raft log is the write-ahead log. Memory is turned into a file only between entries, so what is on disk
//!   is always the state after some entry, with that entry's index in it, switched in atomically (new files,
//!   fsync, then a version file named by `current`).
//! * Nothing here panics out: the tree's calls run under `catch_unwind`, since it panics on some damage.
//!
//! Absent on purpose: a journal (docs/adr/0005), transactions, and any idea of what a value means.

mod files;
mod read;
mod store;
mod trees;
mod worker;

pub(super) use files::{check_tree, overlay, tables};
pub(super) use read::Snapshot;
pub(super) use store::{Engine, EngineOptions, WriteSet};
pub(super) use trees::tree_of;
pub use trees::{KnownTables, table_number};
