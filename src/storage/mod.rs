//! State: track shards, user shards and the meta state, as deterministic state machines over log entries.

pub mod meta;
