//! Choosing the set: maximal marginal relevance under caps (PIPELINE.md §7), once, at the coordinator.
//!
//! `argmax λ·rel − (1−λ)·max_{j∈S} sim(i,j)` with `rel` the score min-maxed over the pool and `sim = (1+cos)/2`.
//! Raw scores would let the scale of the blend decide how much diversity there is (EVAL.md: 9.3 % of NDCG lost
//! against 1.0 %). Carbonell and Goldstein, SIGIR 1998. Each candidate keeps its largest similarity to the chosen
//! ones, so a pick costs at most one comparison a candidate: O(n·k) in all and no n² matrix.

mod caps;
mod dpp;
mod greedy;
mod long_tail;
mod mean;
mod mmr;
mod similarity;

pub use caps::{Cap, CapLimits, left_out};
pub use dpp::dpp;
pub use long_tail::long_tail;
pub use mean::against_mean;
pub use mmr::{MmrParams, Pick, Selection, diversify};
pub use similarity::PairSimilarity;

#[cfg(test)]
mod tests;
