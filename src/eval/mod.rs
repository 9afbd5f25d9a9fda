//! Judging lists: the measures that `segue eval`, `segue train --hold-out` and the reference tests share, the evaluation of a
//! recipe, alone or beside another, that of a training run, and what another policy of exploration would have earned.

pub mod bootstrap;
mod exploration;
pub mod hold_out;
pub mod metrics;
pub mod ope;
pub mod quality;
mod rules;
mod run;
mod shadow;
mod split;

pub use crate::pipeline::judge::EvalRequest;
pub use exploration::{ExplorationEstimate, explore_otherwise};
pub use rules::{Example, Repeats, RulesReport, RulesRequest, ShortLists, Violations, check_rules};
pub use run::{Comparison, Difference, EvalReport, MEANS, compare, evaluate};
pub use shadow::{ShadowReport, ShadowRequest, shadow};
pub use split::{Part, Split, SplitReport, split};
