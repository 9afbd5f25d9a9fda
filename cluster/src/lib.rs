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
//! | `replica_start` | how a replica begins |
//! | `recover` | a survivor goes on alone after a majority is lost |
//! | `cluster` | a node among others: joining, requests that find their leader, members that become what the map says |
//! | `map` | which nodes there are, and what is wanted of them; a group of its own |
//! | `net` | the wires between nodes |
//! | `group` | one replica's logic (Raft paper, sections 5 and 8; thesis, 6.4 and 10.2.1), without threads or I/O |
//! | `members` | who is in a group, as of which entry (thesis, 4) |
//! | `snapshot` | snapshots as files, offered by Raft and pulled beside it (Raft paper, 7) |
//! | `placement` | who shall vote, and the steps that make it so |
//! | `edge` | what bytes of another node must pass before Raft sees them |
//! | `log` | the durable log of all groups, on `raft-engine`; what is checked before it is used |
//! | `driver` | the threads |
//! | `identity` | who a data directory is |
//! | `verify` | checks the files of a directory that is not open, and prints them |
//! | [`env`](mod@env) | time, random numbers, free disk space: what a simulation replaces |
//!
//! Absent on purpose: clocks and random numbers that decide anything replicated, lease reads, forwarding of Raft's own
//! proposals.

mod closed;
mod cluster;
mod codec;
mod config;
mod driver;
mod edge;
pub mod env;
mod error;
mod files;
mod group;
mod identity;
mod ids;
mod log;
mod map;
mod members;
mod metrics;
mod net;
mod node;
mod open;
mod panic;
mod placement;
mod raft_log_bridge;
mod recover;
mod replica_start;
#[cfg(test)]
mod sim;
mod snapshot;
mod state_machine;
mod status;
mod verify;
mod wait;

pub use cluster::{
    Call, Cluster, ClusterOptions, ClusterStartError, ClusterStatus, Danger, Entry, IntentChange, NodeStatus,
};
pub use config::{ENTRY_BYTES_LIMIT, InvalidConfig, NodeConfig};
pub use error::{ClusterError, ErrorKind, GroupError, LogError, OpenError};
pub use group::{Applied, GroupCounters, GroupHandle, ReadPoint};
pub use identity::Identity;
pub use ids::{ClusterId, GroupId, PeerId, StoreId};
pub use log::scan::TornTail;
pub use map::{MAP_GROUP, MapState, NodeIntent, NodeRecord, map_machine};
pub use metrics::{HistogramSnapshot, MetricsSnapshot};
pub use net::{CallHandler, NetworkConfig, NetworkError, RaceEvent, RaceStep, TlsFiles, cluster_of};
pub use node::ClusterNode;
pub use open::OpenReport;
pub use placement::assign::{GroupPlace, PlacementChange, PlacementPlan};
pub use recover::{GroupRecovery, Others, RecoverError, Recovery, Source, apply_recovery, plan_recovery};
pub use snapshot::{DirStaging, NoFiles, SnapshotFile, SnapshotFiles, SnapshotManifest, Staging, Words};
pub use state_machine::{AppliedState, ApplyError, CommittedEntry, StateMachine};
pub use status::{GroupStatus, MemberProgress, MemberState, MemberStatus, Role};
pub use verify::{
    Description, DirectoryHold, FileDamage, NodeCheck, VisitEntry, describe_file, hold_directory, verify_node,
};
pub use wait::Pending;
