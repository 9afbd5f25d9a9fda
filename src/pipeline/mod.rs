//! The recommendation pipeline: one request from plan to finished list (PIPELINE.md), and the write path.
//!
//! The stages are pure functions of their inputs: no storage, no clock, no thread, and no order that a hash map
//! could decide. In the order a request meets them: [`recipe`] chooses the parameters; [`profile`] and [`signals`]
//! describe the listener; [`cold_start`], [`prior`], [`medoids`] and [`similar`] make queries, [`compatible`] checks what the
//! audio source found; [`blend`] joins the sources' scores; [`session_rank`] bends them to the moment; [`explore`]
//! sets slots aside for discovery; [`diversify`] chooses the set; [`sequence`] orders it; [`explain`] says why; and
//! [`impression`] remembers what was shown.

pub mod batch;
pub mod blend;
pub mod candidate;
pub mod cold_start;
pub mod compatible;
pub mod diversify;
pub mod editorial;
mod exclusions;
pub mod experiment;
pub mod explain;
pub mod explain_request;
pub mod explore;
pub mod facts;
mod folded_in;
pub mod funnel;
pub mod gather;
pub mod hydrate;
pub mod impression;
pub mod judge;
pub mod learn;
pub mod listener;
pub mod logged;
pub mod medoids;
mod names;
pub mod portrait;
pub mod prior;
pub mod profile;
pub mod quality;
pub mod reader;
pub mod recipe;
pub mod recommend;
pub mod request;
pub mod retrieve;
pub mod search;
pub mod sequence;
pub mod session_rank;
pub mod signals;
pub mod similar;
pub mod similar_request;
pub mod sources;
pub mod spaces;
pub mod statistics;
pub mod tracks;
mod validate;
pub mod vectors;

pub use recipe::{DEPTH_MAX, LIST_MAX};
pub use validate::{DIM_MAX, EF_MAX, SEEDS_MAX, validate_vector};
