//! Segue: a vector database for music recommendation.

pub mod api;
pub mod cli;
pub mod config;
pub mod error;
pub mod eval;
pub mod filter;
pub mod generate;
pub mod index;
pub mod ingest;
pub mod maintenance;
pub mod node;
pub mod pipeline;
pub mod storage;
pub mod telemetry;
pub mod train;
pub mod types;

pub use error::{Error, ErrorKind, Result};
pub use node::Segue;
