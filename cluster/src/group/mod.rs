//! One Raft group.
//!
//! * [`core`]: the replica's logic without threads, clock or I/O. The driver of a node and a
//!   single-threaded simulation step the same code: `propose`, `read`, `step`, `tick` go in;
//!   `take_write` gives what must become durable, `written` continues after it is, `next_apply` gives a
//!   batch for the state machine, `applied` takes its outcome.
//! * [`compaction`]: when and how far the log is cut.
//! * [`propose`]: how proposals come to Raft. [`proposals`] and [`reads`]: who waits for what.
//! * [`apply`]: one batch on its way through the state machine.
//! * [`entry`]: what is inside an entry.
//! * [`handle`]: what callers hold. [`shared`]: what handle and node share.
//!
//! * [`messages`]: what comes in and goes out.
//! * [`standing`]: where a replica stands. [`counters`]: what happened to it. [`lost_leader`]: what it does when the leader's process is gone.
//! * [`membership`]: changes of the members. [`snapshots`]: what is offered, fetched and installed.
//!
//! Messages to peers leave through `core::Outbox`; `net` carries them.

pub(crate) mod apply;
mod compaction;
pub(crate) mod core;
mod counters;
pub(crate) mod entry;
pub(crate) mod handle;
mod lost_leader;
mod membership;
mod messages;
pub(crate) mod proposals;
mod propose;
pub(crate) mod reads;
mod settings;
pub(crate) mod shared;
pub(crate) mod snapshots;
mod standing;

pub use counters::GroupCounters;
pub use handle::{Applied, GroupHandle, ReadPoint};
