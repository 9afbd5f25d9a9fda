//! State: track shards, user shards and the meta state, as deterministic state machines over log entries.
//!
//! A write becomes one log entry and is applied by one function; readers hold immutable views. Absent on purpose:
//! the search index (maintenance builds it, the pipeline walks it), the network, the clock.

pub mod codec;
pub mod digest;
pub mod entry;
pub mod error;
pub mod meta;
pub mod pinned;
pub mod track_shard;
pub mod user_shard;

#[cfg(test)]
mod entry_bytes_tests;
