//! Judging lists: the measures that `segue eval` and the reference tests share, and the evaluation of a recipe.

pub mod metrics;
mod rules;
mod run;

pub use crate::pipeline::judge::EvalRequest;
pub use rules::{Example, Repeats, RulesReport, RulesRequest, ShortLists, Violations, check_rules};
pub use run::{EvalReport, evaluate};
