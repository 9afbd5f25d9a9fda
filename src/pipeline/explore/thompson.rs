//! Choosing explored tracks by what their arms are worth: which arm by Thompson sampling, which of its tracks by promise.

use std::collections::BTreeMap;

use super::best_of::best_of;
use super::choose::{Arm, ChoicePolicy, Chosen, Doors, PoolTrack, softmax_weights};
use super::{Stream, rng};

/// As [`super::choose`], with the arm drawn first: a draw has probability
/// `ε/m + (1−ε) · P(arm is best) · softmax(value/τ within the arm)`, and that exact number is its propensity. `reward`
/// gives mean and standard deviation of an arm's expected reward. Cost: O(pool · count) and an integral each time an arm
/// runs empty.
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
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut doors = Doors::new(pool);
    let mut artist_cap = policy.artist_cap;
    let mut known: (Vec<Arm>, Vec<f64>) = Default::default();
    while chosen.len() < count {
        let mut arms: BTreeMap<Arm, Vec<usize>> = BTreeMap::new();
        for row in (0..pool.len()).filter(|&row| doors.is_open(row, artist_cap)) {
            arms.entry(pool[row].arm).or_default().push(row);
        }
        if arms.is_empty() {
            if artist_cap == 0 {
                break;
            }
            artist_cap = 0;
            continue;
        }
        let names: Vec<Arm> = arms.keys().copied().collect();
        if known.0 != names {
            let rewards: Vec<(f64, f64)> = names.iter().map(|arm| reward(*arm)).collect();
            known = (names, best_of(&rewards));
        }
        let drawn = draw(&arms, &known.1, &weights, policy.epsilon.clamp(0.0, 1.0), rng.uniform());
        doors.take(drawn.row);
        chosen.push(drawn);
    }
    chosen
}

/// One draw by inverting the distribution function at `u`, arm by arm and row by row. Some row is open.
fn draw(arms: &BTreeMap<Arm, Vec<usize>>, best: &[f64], weights: &[f64], epsilon: f64, u: f64) -> Chosen {
    let open: usize = arms.values().map(Vec::len).sum();
    let even = epsilon / open as f64;
    let mut below = 0.0;
    let mut last = Chosen { row: 0, propensity: 0.0 };
    for (rows, best) in arms.values().zip(best) {
        let total: f64 = rows.iter().map(|&row| weights[row]).sum();
        for &row in rows {
            let share = if total > 0.0 { weights[row] / total } else { 1.0 / rows.len() as f64 };
            let propensity = even + (1.0 - epsilon) * best * share;
            if propensity <= 0.0 {
                continue;
            }
            last = Chosen { row, propensity: propensity.min(1.0) };
            below += propensity;
            if u < below {
                return last;
            }
        }
    }
    last
}
