//! Consensus and placement around any state machine.
//!
//! A [`ClusterNode`] owns one data directory and runs any number of Raft groups in it, all on one log with
//! one fsync for all of them per turn. What a group replicates is a [`StateMachine`]: bytes in, replies
//! out. This crate never looks inside the bytes.
//!
//! A write: [`GroupHandle::propose`] -> `driver` (mailbox, one turn) -> `log` (one synced write) -> commit
//! -> `group` (apply, reply). It is acknowledged only after it is fsynced and applied.
//! A linearizable read: [`GroupHandle::read_index`], then read the machine's own view.
//!
//! | module | what it is |
//! |---|---|
//! | `node` | the data directory and its groups; start and stop |
//! | `open` | what is checked before a data directory is used |
//! | `group` | one replica's logic (Raft paper, sections 5 and 8; thesis, 6.4 and 10.2.1), without threads or I/O |
//! | `members` | who is in a group, as of which entry (thesis, 4) |
//! | `snapshot` | snapshots as files, offered by Raft and pulled beside it (Raft paper, 7) |
//! | `placement` | the steps that put one replica in another's place |
//! | `edge` | what bytes of another node must pass before Raft sees them |
//! | `log` | the durable log of all groups, on `raft-engine`; what is checked before it is used |
//! | `driver` | the threads |
//! | `identity` | who a data directory is |
//! | `verify` | checks the files of a directory that is not open, and prints them |
//! | [`env`](mod@env) | time, random numbers, free disk space: what a simulation replaces |
//!
//! Absent so far: other nodes. A [`ClusterNode`] runs groups of one. Groups of several members, their changes
//! and snapshots are there and run in simulation (`sim`, tests only); the transport that connects real
//! nodes, and the shard map, get their modules when they come. Absent on purpose: clocks and random numbers that decide
//! anything replicated, lease reads, forwarding of proposals.

mod closed;
mod codec;
mod config;
mod driver;
#[cfg_attr(not(test), expect(dead_code, reason = "called by the transport, which is not wired to nodes yet"))]
mod edge;
pub mod env;
mod error;
mod files;
mod group;
mod identity;
mod ids;
mod log;
mod members;
mod metrics;
mod node;
mod open;
mod panic;
#[cfg_attr(not(test), expect(dead_code, reason = "moves come with the transport"))]
mod placement;
mod raft_log_bridge;
#[cfg(test)]
mod sim;
mod snapshot;
mod state_machine;
mod status;
mod verify;
mod wait;

pub use config::{ENTRY_BYTES_LIMIT, InvalidConfig, NodeConfig};
pub use error::{ClusterError, ErrorKind, GroupError, LogError, OpenError};
pub use group::{Applied, GroupHandle, ReadPoint};
pub use identity::Identity;
pub use ids::{ClusterId, GroupId, PeerId, StoreId};
pub use log::scan::TornTail;
pub use metrics::{HistogramSnapshot, MetricsSnapshot};
pub use node::ClusterNode;
pub use open::OpenReport;
pub use snapshot::{DirStaging, SnapshotFile, SnapshotFiles, SnapshotManifest, Staging};
pub use state_machine::{AppliedState, ApplyError, CommittedEntry, StateMachine};
pub use status::{GroupStatus, Role};
pub use verify::{
    Description, DirectoryHold, FileDamage, NodeCheck, VisitEntry, describe_file, hold_directory, verify_node,
};
pub use wait::Pending;
