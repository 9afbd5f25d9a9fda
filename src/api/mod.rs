//! The network border: gRPC services, the small HTTP port, and a client of the same services.
//!
//! A request enters as protobuf, is admitted (or refused with a hint when to retry), converted and checked once,
//! answered by the engine on a blocking thread, and leaves. Generated types stay inside this folder; [`convert`] is
//! the only place that turns them into domain types, [`status`] the only one that knows gRPC codes.
//! Absent on purpose: no decision about recommendations, no storage, no authentication (see docs/API.md).

mod admission;
mod border;
mod catalog;
mod client;
mod cluster;
mod convert;
mod core;
mod deadline;
mod experiments;
mod feedback;
mod generations;
mod http;
mod loads;
mod observe;
pub(crate) mod proto;
mod recipes;
mod recommend_all;
mod recommender;
mod server;
pub mod status;
mod streams;
mod vectors;

pub use border::{stamp_events, stamp_recommend, stamp_similar};
pub use client::{Client, FeedbackStream, Loader, Recorded};
pub use convert::Batch;
pub use loads::push_batch;
pub use server::{ClusterEntry, Server};

#[cfg(test)]
mod bad_input_tests;
#[cfg(test)]
mod tests;
