//! Choosing explored tracks by what their arms are worth: which arm by Thompson sampling, which of its tracks by promise.

use std::collections::BTreeMap;

use super::best_of::BestOf;
use super::choose::{Arm, ChoicePolicy, Chosen, Doors, DrawCaps, PoolTrack, softmax_weights};
use super::{Stream, rng};

/// As [`super::choose`], with the arm drawn first: a draw has probability
/// `ε/m + (1−ε) · P(arm is best) · softmax(value/τ within the arm)`, and that exact number is its propensity. `reward`
/// gives mean and standard deviation of an arm's expected reward. Cost: O(pool · count) and the integral of all arms.
#[must_use]
pub fn choose_by_arm(
    pool: &[PoolTrack<'_>],
    count: usize,
    policy: &ChoicePolicy,
    reward: &dyn Fn(Arm) -> (f64, f64),
    seed: u64,
) -> Vec<Chosen> {
    let weights = softmax_weights(pool, policy.temperature);
    let mut rng = rng(seed, Stream::Choice);
    let mut rows_of: BTreeMap<Arm, Vec<usize>> = BTreeMap::new();
    pool.iter().enumerate().for_each(|(row, track)| rows_of.entry(track.arm).or_default().push(row));
    let rewards: Vec<(f64, f64)> = rows_of.keys().map(|arm| reward(*arm)).collect();
    let integral = BestOf::new(&rewards);
    let (mut known, mut chances) = (Vec::new(), Vec::new());
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut doors = Doors::new(pool);
    let mut caps = policy.caps;
    let all: Vec<Vec<usize>> = rows_of.into_values().collect();
    // Rows that are still open: none opens again before the cap yields.
    let mut arms = all.clone();
    while chosen.len() < count {
        arms.iter_mut().for_each(|rows| rows.retain(|row| doors.is_open(*row, caps)));
        let open: Vec<bool> = arms.iter().map(|rows| !rows.is_empty()).collect();
        if !open.contains(&true) {
            if caps == DrawCaps::NONE {
                break;
            }
            caps = DrawCaps::NONE;
            arms.clone_from(&all);
            continue;
        }
        if known != open {
            chances = integral.among(&open);
            known = open;
        }
        let drawn = draw(&arms, &chances, &weights, policy.epsilon.clamp(0.0, 1.0), rng.uniform());
        doors.take(drawn.row);
        chosen.push(drawn);
    }
    chosen
}

/// One draw by inverting the distribution function at `u`, arm by arm and row by row. Some row is open.
fn draw(arms: &[Vec<usize>], best: &[f64], weights: &[f64], epsilon: f64, u: f64) -> Chosen {
    let open: usize = arms.iter().map(Vec::len).sum();
    let even = epsilon / open as f64;
    let mut below = 0.0;
    let mut last = Chosen { row: 0, propensity: 0.0, open };
    for (rows, best) in arms.iter().zip(best) {
        let total: f64 = rows.iter().map(|&row| weights[row]).sum();
        for &row in rows {
            let share = if total > 0.0 { weights[row] / total } else { 1.0 / rows.len() as f64 };
            let propensity = even + (1.0 - epsilon) * best * share;
            if propensity <= 0.0 {
                continue;
            }
            last = Chosen { row, propensity: propensity.min(1.0), open };
            below += propensity;
            if u < below {
                return last;
            }
        }
    }
    last
}
