//! The only conversion between protobuf and domain types, in both directions.
//!
//! Towards the domain every value is checked: structure here (enums, ids, regions, required parts), ranges by the
//! domain types' own `validate`. An error names the field as the .proto files do, rows of a batch by number. Towards
//! protobuf nothing can fail. Nothing here panics, whatever the bytes were.

mod catalog;
mod cluster;
mod common;
mod editorial;
mod experiments;
mod feedback;
mod filter;
mod generations;
mod loads;
mod logged;
mod placing;
mod portrait;
mod recipes;
mod recommender;
mod replies;
mod splitting;

pub(crate) use catalog::{id_batch, page_of_tracks, page_of_users, page_size, vector_rows};
pub(crate) use cluster::{node_state, node_state_to_proto};
pub(crate) use common::{part, rows, space};
pub(crate) use experiments::experiment;
pub(crate) use feedback::events;
pub(crate) use generations::create_generation;
pub use loads::Batch;
pub(crate) use loads::{load_id, load_kind, load_kind_to_proto, push};
pub(crate) use placing::{placing, placing_to_proto};
pub(crate) use recipes::recipe;
pub(crate) use splitting::{split_request, split_request_to_proto};

#[cfg(test)]
mod tests;
