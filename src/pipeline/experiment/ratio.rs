//! Whether the parts of a split are what they should be: Pearson's chi-square against their shares.

use std::f64::consts::PI;

use crate::pipeline::explore::normal_cdf;

/// Parts as unequal as theirs are rarer than this by chance: then the split is broken.
pub const RATIO_P_MIN: f64 = 0.001;

/// Probability of counts at least as far from the weights' shares by chance; 1 when nothing was counted or there are fewer
/// than two parts.
///
/// * `parts`: count and weight (above 0, in any unit) of each part.
#[must_use]
pub fn sample_ratio(parts: &[(u64, f64)]) -> f64 {
    let all = parts.iter().map(|(count, _)| *count as f64).sum::<f64>();
    let weights = parts.iter().map(|(_, weight)| weight).sum::<f64>();
    if all == 0.0 || parts.len() < 2 {
        return 1.0;
    }
    let chi = parts.iter().map(|(count, weight)| {
        let expected = all * weight / weights;
        (*count as f64 - expected).powi(2) / expected
    });
    chi_square_tail(chi.sum(), parts.len() - 1)
}

/// Probability that a chi-square variable is above `x`: the closed form for whole degrees of freedom (Abramowitz and
/// Stegun, 26.4.4 and 26.4.5).
fn chi_square_tail(x: f64, degrees: usize) -> f64 {
    let half = x / 2.0;
    // The term that goes from `d` degrees to `d + 2`: (x/2)^(d/2) e^(-x/2) / gamma(d/2 + 1).
    let (mut tail, mut term, mut d) = if degrees % 2 == 1 {
        (2.0 * normal_cdf(-x.sqrt()), 2.0 * (half / PI).sqrt() * (-half).exp(), 1)
    } else {
        ((-half).exp(), half * (-half).exp(), 2)
    };
    while d < degrees {
        tail += term;
        d += 2;
        term *= half / (d as f64 / 2.0);
    }
    tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_the_tabled_ones() {
        // Critical values of 5 % and .1 %, to three decimals.
        let table = [
            (1, 3.841, 10.828),
            (2, 5.991, 13.816),
            (3, 7.815, 16.266),
            (4, 9.488, 18.467),
            (7, 14.067, 24.322),
            (10, 18.307, 29.588),
            (15, 24.996, 37.697),
        ];
        for (degrees, five_percent, one_thousandth) in table {
            let tail = |x| chi_square_tail(x, degrees);
            assert!((tail(five_percent) - 0.05).abs() < 2e-5, "{degrees}: {}", tail(five_percent));
            assert!((tail(one_thousandth) - 0.001).abs() < 1e-6, "{degrees}: {}", tail(one_thousandth));
            assert!((tail(0.0) - 1.0).abs() < 1e-12, "{degrees}");
        }
    }

    #[test]
    fn a_biased_log_is_noticed_and_a_fair_one_is_not() {
        // Two standard deviations off: 0.0455.
        assert!((sample_ratio(&[(5_100, 1.0), (4_900, 1.0)]) - 0.0455).abs() < 1e-4);
        assert!(sample_ratio(&[(5_000, 0.5), (4_600, 0.5)]) < RATIO_P_MIN, "four in fifty lost");
        assert!(sample_ratio(&[(9_000, 0.9), (1_000, 0.1)]) > 0.99);
        assert!(sample_ratio(&[(3_300, 1.0), (3_350, 1.0), (3_350, 1.0)]) > 0.5);
        assert!(sample_ratio(&[(3_100, 1.0), (3_450, 1.0), (3_450, 1.0)]) < RATIO_P_MIN);
        assert_eq!(sample_ratio(&[(0, 1.0), (0, 1.0)]), 1.0);
        assert_eq!(sample_ratio(&[(7, 1.0)]), 1.0);
        assert!(sample_ratio(&[(1_000_000, 1.0), (0, 1.0)]) < 1e-100);
    }
}
