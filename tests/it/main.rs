//! Whole features through the program and the public interface, one module a topic.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod bad_input_cli;
mod batch;
mod breaking;
mod caches;
mod cluster;
mod command_line;
mod discovery;
mod durability;
mod experiments;
mod exploring;
mod feedback_stream;
mod filling;
mod first_steps;
mod learning;
mod learnt_weights;
mod logged;
mod on_use;
mod reactions;
mod reads;
mod rules;
mod running;
mod same_bytes;
mod server;
mod track_shards;
mod track_splits;
mod track_writes;
mod user_shards;
mod verify;
mod why_not;
