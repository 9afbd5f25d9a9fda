//! Off-policy estimates: what another policy would have earned, from the log of the one that served (PIPELINE.md §8).
//!
//! Inverse propensity scoring (IPS), its self-normalised form (SNIPS) and the doubly robust form (DR; Dudík, Langford and
//! Li, ICML 2011). A number that the log cannot support is not given: unless the mean weight is near 1 and the effective
//! sample size is large enough, the answer is a refusal that says why.

use serde::Serialize;

/// How far from 1 the mean weight may be.
pub const WEIGHT_MEAN_ERROR_MAX: f64 = 0.1;
/// Effective sample sizes up to here carry no estimate.
pub const SAMPLE_SIZE_MIN: f64 = 100.0;

/// One logged choice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoggedChoice {
    /// What came of it, 0 to 1.
    pub reward: f64,
    /// Probability with which the serving policy chose it, in `(0, 1]`.
    pub propensity: f64,
    /// Probability with which the other policy would have, 0 to 1.
    pub target: f64,
    /// Reward a model expects of the logged choice.
    pub expected: f64,
    /// Reward the model expects of the other policy's choice in this situation.
    pub expected_target: f64,
}

/// Estimates of the other policy's mean reward.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// Logged choices.
    pub choices: u64,
    /// Mean of the logged rewards: what the serving policy earned.
    pub logged: f64,
    /// Mean of the weights; 1 when propensities are right and the policies choose among the same.
    pub weight_mean: f64,
    /// `(Σw)² / Σw²`.
    pub sample_size: f64,
    /// Inverse propensity scoring and its standard error.
    pub ips: (f64, f64),
    /// Self-normalised, and its standard error.
    pub snips: (f64, f64),
    /// Doubly robust, and its standard error.
    pub dr: (f64, f64),
}

/// Why there is no estimate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Nothing was logged.
    #[error("no logged exploration: serve lists, report them shown, and let listeners play")]
    Empty,
    /// A propensity or a number that cannot be.
    #[error("logged choice is malformed. row=`{0}`")]
    Malformed(usize),
    /// Propensities are wrong, or the policies hardly choose among the same.
    #[error(
        "mean weight is too far from 1 for an estimate. weight_mean=`{0:.3}`, error_max=`{WEIGHT_MEAN_ERROR_MAX}`"
    )]
    WeightMean(f64),
    /// A few choices carry all the weight.
    #[error(
        "effective sample size is too small for an estimate. sample_size=`{0:.1}`, needed above=`{SAMPLE_SIZE_MIN}`"
    )]
    SampleSize(f64),
}

/// The estimates, or why there are none.
///
/// # Errors
/// [`Refusal`].
pub fn estimate(log: &[LoggedChoice]) -> Result<Estimate, Refusal> {
    if log.is_empty() {
        return Err(Refusal::Empty);
    }
    let is_sound = |choice: &LoggedChoice| {
        let rest = [choice.reward, choice.target, choice.expected, choice.expected_target];
        choice.propensity > 0.0
            && choice.propensity <= 1.0
            && choice.target >= 0.0
            && rest.iter().all(|x| x.is_finite())
    };
    if let Some(row) = log.iter().position(|choice| !is_sound(choice)) {
        return Err(Refusal::Malformed(row));
    }
    let n = log.len() as f64;
    let weights: Vec<f64> = log.iter().map(|choice| choice.target / choice.propensity).collect();
    let (sum, squares) = weights.iter().fold((0.0, 0.0), |(sum, squares), w| (sum + w, squares + w * w));
    let (weight_mean, sample_size) = (sum / n, if squares > 0.0 { sum * sum / squares } else { 0.0 });
    if (weight_mean - 1.0).abs() >= WEIGHT_MEAN_ERROR_MAX {
        return Err(Refusal::WeightMean(weight_mean));
    }
    if sample_size <= SAMPLE_SIZE_MIN {
        return Err(Refusal::SampleSize(sample_size));
    }
    let rows = || log.iter().zip(&weights);
    let ips = mean_and_error(rows().map(|(choice, w)| w * choice.reward));
    let snips = rows().map(|(choice, w)| w * choice.reward).sum::<f64>() / sum;
    let spread: f64 = rows().map(|(choice, w)| (w * (choice.reward - snips)).powi(2)).sum();
    let dr = mean_and_error(
        rows().map(|(choice, w)| choice.expected_target + w * (choice.reward - choice.expected)),
    );
    let logged = log.iter().map(|choice| choice.reward).sum::<f64>() / n;
    let snips = (snips, spread.sqrt() / sum);
    Ok(Estimate { choices: log.len() as u64, logged, weight_mean, sample_size, ips, snips, dr })
}

/// Mean and its standard error.
fn mean_and_error(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values: Vec<f64> = values.collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, (variance / n).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SplitMix64;

    const WORTH: [f64; 4] = [0.2, 0.5, 0.7, 0.3];
    const SERVED: [f64; 4] = [0.4, 0.3, 0.1, 0.2];
    const TARGET: [f64; 4] = [0.1, 0.2, 0.6, 0.1];

    fn truth() -> f64 {
        WORTH.iter().zip(TARGET).map(|(worth, p)| worth * p).sum()
    }

    /// A log of the serving policy; `bias` is how wrong the reward model is.
    fn log(seed: u64, n: usize, bias: f64) -> Vec<LoggedChoice> {
        let mut rng = SplitMix64::new(seed);
        let draw = |rng: &mut SplitMix64| {
            let (u, mut below) = (rng.uniform(), 0.0);
            let found = (0..4).find(|&arm| {
                below += SERVED[arm];
                u < below
            });
            found.unwrap_or(3)
        };
        let expected_target = truth() + bias;
        (0..n)
            .map(|_| {
                let arm = draw(&mut rng);
                LoggedChoice {
                    reward: f64::from(u8::from(rng.uniform() < WORTH[arm])),
                    propensity: SERVED[arm],
                    target: TARGET[arm],
                    expected: WORTH[arm] + bias,
                    expected_target,
                }
            })
            .collect()
    }

    #[test]
    fn estimates_are_unbiased_where_the_logged_mean_is_not() {
        let runs: Vec<Estimate> =
            (0..200).map(|seed| estimate(&log(seed, 4_000, 0.0))).filter_map(Result::ok).collect();
        assert!(runs.len() > 190, "{}", runs.len());
        let mean = |value: fn(&Estimate) -> f64| runs.iter().map(value).sum::<f64>() / runs.len() as f64;
        for found in [mean(|e| e.ips.0), mean(|e| e.snips.0), mean(|e| e.dr.0)] {
            assert!((found - truth()).abs() < 0.004, "{found} against {}", truth());
        }
        assert!((mean(|e| e.logged) - truth()).abs() > 0.15, "the naive mean answers another question");
        let inside = runs.iter().filter(|e| (e.ips.0 - truth()).abs() < 1.96 * e.ips.1).count();
        assert!((0.90..0.99).contains(&(inside as f64 / runs.len() as f64)), "{inside} of {}", runs.len());
    }

    #[test]
    fn doubly_robust_survives_a_wrong_model_and_gains_from_a_right_one() {
        let right = estimate(&log(1, 20_000, 0.0)).map(|e| (e.dr.1, e.ips.1)).ok();
        let wrong = estimate(&log(1, 20_000, 0.3)).map(|e| e.dr.0).ok();
        assert!(right.is_some_and(|(dr, ips)| dr < 0.9 * ips), "{right:?}");
        assert!(wrong.is_some_and(|dr| (dr - truth()).abs() < 0.03), "{wrong:?} against {}", truth());
    }

    #[test]
    fn the_gate_refuses_what_the_log_cannot_carry() {
        assert_eq!(estimate(&[]), Err(Refusal::Empty));
        let mut giant = log(2, 2_000, 0.0);
        giant[7] = LoggedChoice { propensity: 1e-5, target: 0.9, ..giant[7] };
        assert!(matches!(estimate(&giant), Err(Refusal::WeightMean(_))), "one giant weight");
        let mut hidden = giant.clone();
        // Scaled so that the mean weight is 1 again: now the sample size gives it away.
        let sum: f64 = hidden.iter().map(|c| c.target / c.propensity).sum();
        hidden.iter_mut().for_each(|c| c.target *= 2_000.0 / sum);
        assert!(matches!(estimate(&hidden), Err(Refusal::SampleSize(size)) if size < 100.0));
        let mut broken = log(3, 500, 0.0);
        broken[4].propensity = 0.0;
        assert_eq!(estimate(&broken), Err(Refusal::Malformed(4)));
    }
}
