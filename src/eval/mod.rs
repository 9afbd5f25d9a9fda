//! Judging lists: the measures that `segue eval` and the reference tests share, the evaluation of a recipe, alone or
//! beside another, and what another policy of exploration would have earned.

pub mod bootstrap;
pub mod metrics;
pub mod ope;
pub mod quality;
mod run;

pub use crate::pipeline::judge::EvalRequest;
pub use run::{Comparison, EvalReport, compare, evaluate, shared};
