//! The wires between nodes: connections with Raft's messages as opaque bytes, gRPC streams, and calls.
//!
//! For each pair of nodes and direction there is one ordered stream of Raft messages and one of snapshot pieces, each
//! on a connection of its own, so that files never delay a heartbeat. Raft's messages are written and read by the Raft thread
//! itself, on a plain connection; over gRPC between nodes with certificates, and while there is no plain one. Queues are bounded: what does not fit is dropped and Raft is
//! told, which repairs it. Everything that comes in passes [`edge`](crate::edge) before Raft sees it, and carries
//! version, cluster and both stores, so that neither another cluster nor a store that was here before is listened to.
//!
//! * [`proto`]: generated types; they stay in this folder. [`frame`]: between them and the crate's own.
//! * [`links`]: what the Raft thread sends through. [`directory`]: who is where. [`outbound`]: a stream, its queue, its pauses.
//! * [`wire`]: a plain connection. [`dial`]: who makes them. [`sockets`]: those the Raft thread has. [`forwards`]: proposals over them.
//! * [`server`]: what others call. [`calls`]: what this node calls. [`race`]: calls of which the first good answer counts.
//! * [`tls`]: who may connect, where the cluster has an authority of its own.
//! * [`network`]: threads and the port; starts and stops.
//!
//! Absent on purpose: retries of a proposal whose outcome is unknown; which certificate belongs to which store: whoever has one of
//! the authority is believed to be the store it says it is.

pub(crate) mod calls;
mod dial;
pub(crate) mod directory;
mod forwards;
pub(crate) mod frame;
pub(crate) mod links;
pub(crate) mod network;
mod outbound;
mod proto;
pub(crate) mod race;
mod server;
pub(crate) mod sockets;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

pub use network::{CallHandler, NetworkConfig, NetworkError, cluster_of};
pub use race::{RaceEvent, RaceStep};
pub use tls::TlsFiles;
