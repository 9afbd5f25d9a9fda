//! The threads of a node.
//!
//! * [`alarm`]: how the Raft thread sleeps and is woken.
//! * [`mailbox`]: what comes in: requests of callers (bounded) and events of the node's own threads.
//! * [`raft_thread`]: one OS thread that owns all groups and runs them in turns, with one fsync a turn.
//! * [`lifecycle`]: how groups come to it and leave it.
//! * [`writer`]: that fsync, and what a full or broken disk does.
//! * [`apply_pool`]: threads that run state machines.
//! * [`collector`]: a thread that frees the log's old files.
//! * [`peers`]: what comes from other nodes and goes to them. [`transfer_thread`]: a thread for snapshot files.
//!
//! The Raft thread waits for the disk in one place only, the synced write; never for a state machine,
//! a caller or a file collection.

pub(crate) mod alarm;
pub(crate) mod apply_pool;
pub(crate) mod collector;
mod lifecycle;
pub(crate) mod mailbox;
mod peers;
pub(crate) mod raft_thread;
mod ticks;
pub(crate) mod transfer_thread;
pub(crate) mod writer;
