//! What exploration would have earned with another share of uniform draws, from the log of what was explored.
//!
//! A logged draw has probability `p = ε/m + (1 − ε)·q` over `m` open tracks, where `q` is what the learnt part of the policy
//! gave it. `p` and `m` are logged and `ε` is the program's, so `q` follows, and with it the probability `ε'/m + (1 − ε')·q`
//! under any other share: the family from what was learnt alone (0) to chance (1). Draws of one list count as decisions of
//! their own, each given the draws before it.
//!
//! The reward model of the doubly robust form knows who was asked and when, not which track: its expectation is then the
//! same under either policy, and it is fitted on the other half of the listeners.

use serde::Serialize;

use super::ope::{Estimate, LoggedChoice, Refusal, estimate};
use crate::error::Result;
use crate::node::Segue;
use crate::pipeline::explore::{ArmSums, EPSILON};
use crate::pipeline::statistics::outcomes::Outcome;

/// An estimate, and what it is of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ExplorationEstimate {
    /// Share of uniform draws that was asked about.
    pub epsilon: f64,
    /// Logged draws that do not say how many tracks they were drawn from, and count nowhere.
    pub left_out: u64,
    /// The numbers.
    #[serde(flatten)]
    pub estimate: Estimate,
}

/// Estimates the mean reward of exploration with `epsilon` (0 to 1) as the share of uniform draws.
///
/// # Errors
/// Damaged files. Inside: why the log cannot tell.
pub fn explore_otherwise(
    engine: &Segue,
    epsilon: f64,
) -> Result<std::result::Result<ExplorationEstimate, Refusal>> {
    let log = engine.exploration_log()?;
    let all = log.len();
    let known: Vec<(bool, Outcome)> = log.into_iter().filter(|(_, slot)| slot.choice.open > 0).collect();
    let left_out = (all - known.len()) as u64;
    let found = estimate(&choices(&known, epsilon));
    Ok(found.map(|estimate| ExplorationEstimate { epsilon, left_out, estimate }))
}

fn choices(log: &[(bool, Outcome)], epsilon: f64) -> Vec<LoggedChoice> {
    let mut halves = [ArmSums::default(), ArmSums::default()];
    for (half, slot) in log {
        halves[usize::from(*half)].add(&slot.context, slot.reward, 1.0);
    }
    let models = halves.map(|sums| sums.posterior());
    let choice = |(half, slot): &(bool, Outcome)| {
        let propensity = f64::from(slot.choice.propensity);
        let even = 1.0 / f64::from(slot.choice.open);
        let learnt = ((propensity - EPSILON * even) / (1.0 - EPSILON)).clamp(0.0, 1.0);
        let (expected, _) = models[usize::from(!half)].reward(&slot.context);
        LoggedChoice {
            reward: slot.reward,
            propensity,
            target: epsilon * even + (1.0 - epsilon) * learnt,
            expected,
            expected_target: expected,
        }
    };
    log.iter().map(choice).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::pipeline::explore::context;
    use crate::storage::user_shard::SlotChoice;
    use crate::types::{SplitMix64, Timestamp};

    const TRACKS: u16 = 8;
    /// What the learnt part gives each track, and what each track is worth.
    const LEARNT: [f64; 8] = [0.3, 0.25, 0.2, 0.1, 0.05, 0.05, 0.03, 0.02];
    const WORTH: [f64; 8] = [0.6, 0.5, 0.4, 0.3, 0.3, 0.2, 0.2, 0.1];

    fn probability(track: usize, epsilon: f64) -> f64 {
        epsilon / f64::from(TRACKS) + (1.0 - epsilon) * LEARNT[track]
    }

    fn truth(epsilon: f64) -> f64 {
        (0..8).map(|track| probability(track, epsilon) * WORTH[track]).sum()
    }

    fn log(seed: u64) -> Vec<(bool, Outcome)> {
        let mut rng = SplitMix64::new(seed);
        let slot = |rng: &mut SplitMix64| {
            let (u, mut below) = (rng.uniform(), 0.0);
            let drawn = (0..8).find(|&track| {
                below += probability(track, EPSILON);
                u < below
            });
            let track = drawn.unwrap_or(7);
            let choice = SlotChoice {
                source: 2,
                genre_cluster: 1,
                propensity: probability(track, EPSILON) as f32,
                draw: 0,
                open: TRACKS,
            };
            let x = context(rng.below(400), rng.below(24) as u8, rng.below(7) as u8);
            let reward = f64::from(u8::from(rng.uniform() < WORTH[track]));
            (rng.below(2) == 0, Outcome { at: Timestamp(0), context: x, choice, explored: true, reward })
        };
        (0..6_000).map(|_| slot(&mut rng)).collect()
    }

    #[test]
    fn chance_and_what_was_learnt_alone_are_estimated_from_the_log_of_their_mixture() {
        for epsilon in [0.0, EPSILON, 0.5, 1.0] {
            let runs: Vec<Estimate> =
                (0..40).map(|seed| estimate(&choices(&log(seed), epsilon)).unwrap()).collect();
            let mean = |value: fn(&Estimate) -> f64| runs.iter().map(value).sum::<f64>() / runs.len() as f64;
            for found in [mean(|e| e.ips.0), mean(|e| e.snips.0), mean(|e| e.dr.0)] {
                assert!((found - truth(epsilon)).abs() < 0.006, "{found} against {}", truth(epsilon));
            }
        }
        assert!(truth(0.0) - truth(1.0) > 0.1, "the policies differ");
        let same = estimate(&choices(&log(1), EPSILON)).unwrap();
        assert!((same.ips.0 - same.logged).abs() < 1e-6 && (same.sample_size - 6_000.0).abs() < 1e-3);
    }
}
