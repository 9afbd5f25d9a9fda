//! Slots set aside for discovery (PIPELINE.md §8): how many, where, and which tracks.
//!
//! The parts are independent. [`exploration_rate`] gives the share; [`exploration_count`] rounds it so that short
//! lists explore at the right long-run rate; [`place`] spreads the slots; [`choose`] draws from a pool and states
//! the exact probability of each draw. All randomness comes from the request's seed, each part with a stream of its
//! own. [`choose_by_arm`] is the learnt policy in the place of [`choose`]: LinTS over arms, whose state are sums of
//! [`posterior`] that [`super::statistics`] keeps, and whose choice probabilities are computed, not sampled ([`best_of`]).

mod best_of;
mod choose;
mod place;
mod posterior;
mod rate;
mod thompson;

pub use best_of::{BestOf, best_of, normal_cdf};
pub use choose::{Arm, ChoicePolicy, Chosen, DrawCaps, EPSILON, PoolTrack, choose};
pub use place::{SAFE_SLOTS, exploration_count, fill_slots, place};
pub use posterior::{ArmSums, CONTEXT_DIM, Context, Posterior, context};
pub use rate::{ExplorationFactors, exploration_rate};
pub use thompson::choose_by_arm;

use crate::types::SplitMix64;

/// Independent streams of one request's seed.
#[derive(Debug, Clone, Copy)]
enum Stream {
    Count = 1,
    Phase = 2,
    Choice = 3,
}

fn rng(seed: u64, stream: Stream) -> SplitMix64 {
    let mut mixer = SplitMix64::new(seed ^ (stream as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93));
    SplitMix64::new(mixer.next_u64())
}

#[cfg(test)]
mod propensity_tests;
#[cfg(test)]
mod share_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod thompson_tests;
