//! A blocking client with the operations of [`crate::Segue`], for the command line and for tests.
//!
//! Retries what the server says can be retried (`UNAVAILABLE`, `RESOURCE_EXHAUSTED`) with its hint, else with growing
//! pauses; operations that would do something twice are tried once. Of several servers of a cluster the next one is asked at once
//! when one does not serve. Other languages generate a client from `proto/`.

mod batches;
mod cluster;
mod connection;
mod experiments;
mod feedback_stream;
mod loader;
mod operations;
mod servers;
mod whole;

pub use connection::Client;
pub use feedback_stream::{FeedbackStream, Recorded};
pub use loader::Loader;
