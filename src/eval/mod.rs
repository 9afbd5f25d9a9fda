//! Judging lists: the measures that `segue eval`, `segue train --hold-out` and the reference tests share, the evaluation of a
//! recipe, and that of a training run.

pub mod hold_out;
pub mod metrics;
mod run;

pub use crate::pipeline::judge::EvalRequest;
pub use run::{EvalReport, evaluate};
