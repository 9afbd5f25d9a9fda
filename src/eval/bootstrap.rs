//! How sure a mean over users is: percentile intervals by resampling users (Efron 1979).

use crate::types::SplitMix64;

/// Resamples of an interval.
const RESAMPLES: usize = 2_000;

/// The 95 % interval of the mean of `values`, by a fixed seed; `None` for fewer than two values.
#[must_use]
pub fn mean_interval(values: &[f64], seed: u64) -> Option<(f64, f64)> {
    if values.len() < 2 {
        return None;
    }
    let mut rng = SplitMix64::new(seed);
    let n = values.len();
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| (0..n).map(|_| values[rng.below(n as u64) as usize]).sum::<f64>() / n as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    Some((means[RESAMPLES / 40], means[RESAMPLES - 1 - RESAMPLES / 40]))
}

/// The 95 % interval of the mean difference `b − a` of the same users: pairs are resampled together, so what users have
/// in common cancels out.
///
/// # Panics
/// When the two have different lengths.
#[must_use]
pub fn difference_interval(a: &[f64], b: &[f64], seed: u64) -> Option<(f64, f64)> {
    assert_eq!(a.len(), b.len(), "one value a user on both sides");
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
    mean_interval(&differences, seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_hold_the_true_mean_about_as_often_as_they_say() {
        let mut rng = SplitMix64::new(3);
        let mut inside = 0;
        for seed in 0..200 {
            let values: Vec<f64> = (0..60).map(|_| rng.normal() + 1.0).collect();
            let (low, high) = mean_interval(&values, seed).unwrap_or((0.0, 0.0));
            inside += u32::from(low < 1.0 && 1.0 < high);
        }
        assert!((180..=199).contains(&inside), "{inside} of 200");
        assert_eq!(mean_interval(&[1.0], 1), None);
    }

    #[test]
    fn a_small_but_steady_difference_is_seen_beside_large_differences_of_users() {
        let mut rng = SplitMix64::new(4);
        let a: Vec<f64> = (0..100).map(|_| 10.0 * rng.normal()).collect();
        let b: Vec<f64> = a.iter().map(|a| a + 0.1 + 0.05 * rng.normal()).collect();
        let (low, high) = difference_interval(&a, &b, 5).unwrap_or((0.0, 0.0));
        assert!(low > 0.05 && high < 0.15, "{low} {high}");
    }
}
