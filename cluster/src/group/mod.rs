//! One Raft group.
//!
//! * [`core`]: the replica's logic without threads, clock or I/O. The driver of a node and a
//!   single-threaded simulation step the same code: `propose`, `read`, `step`, `tick` go in;
//!   `take_write` gives what must become durable, `written` continues after it is, `next_apply` gives a
//!   batch for the state machine, `applied` takes its outcome.
//! * [`compaction`]: when and how far the log is cut.
//! * [`proposals`] and [`reads`]: who waits for what.
//! * [`apply`]: one batch on its way through the state machine.
//! * [`entry`]: what is inside an entry.
//! * [`handle`]: what callers hold. [`shared`]: what handle and node share.
//!
//! Messages to peers have their place (`core::Outbox`), but no transport carries them yet: a node runs
//! groups of one. Membership changes and snapshots come with it, in `membership` and `snapshot`.

pub(crate) mod apply;
mod compaction;
pub(crate) mod core;
pub(crate) mod entry;
pub(crate) mod handle;
pub(crate) mod proposals;
pub(crate) mod reads;
pub(crate) mod shared;

pub use handle::{Applied, GroupHandle, ReadPoint};

#[cfg(test)]
mod sim_tests;
