//! The exact choice probabilities of Thompson sampling.
//!
//! Thompson sampling draws one value of each arm's posterior and takes the largest. With independent normal
//! posteriors the probability that an arm is the largest is the one-dimensional integral
//! `∫ φᵢ(v) · Π_{j≠i} Φⱼ(v) dv`. Drawing the arm from these probabilities is the same policy, and what is logged as
//! propensity is then the very number that was drawn with: no Monte Carlo error for off-policy estimates to inherit.

/// Points of the integral. The trapezoid rule on smooth, fast-falling integrands converges faster than any power.
const POINTS: usize = 160;
/// Beyond so many standard deviations nothing is left.
const REACH: f64 = 7.0;

/// For each `(mean, standard deviation)` the probability that its draw is the largest; they sum to 1. Cost:
/// O(160 · arms).
#[must_use]
pub fn best_of(arms: &[(f64, f64)]) -> Vec<f64> {
    BestOf::new(arms).among(&vec![true; arms.len()])
}

/// The integrand of some arms on one grid, for the probabilities among any of them.
#[derive(Debug, Clone)]
pub struct BestOf {
    /// Which kind each arm is of. Arms nobody has seen yet are all alike, and most are of that kind for a while.
    kind_of: Vec<usize>,
    kinds: usize,
    /// Point by point, kind by kind: density and distribution function; none when all arms are equal and certain.
    values: Vec<(f64, f64)>,
}

impl BestOf {
    /// Evaluates the densities of arms given as `(mean, standard deviation)`.
    #[must_use]
    pub fn new(arms: &[(f64, f64)]) -> Self {
        let fold = |value: fn(&(f64, f64)) -> f64| arms.iter().map(value).fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = (fold(|(mean, sd)| mean - REACH * sd), fold(|(mean, sd)| mean + REACH * sd));
        let step = (high - low) / POINTS as f64;
        let (kind_of, kinds) = kinds(arms);
        if arms.len() < 2 || !(step.is_finite() && step > 0.0) {
            return Self { kind_of, kinds: kinds.len(), values: Vec::new() };
        }
        let mut values = Vec::with_capacity((POINTS + 1) * kinds.len());
        for point in 0..=POINTS {
            let v = low + step * point as f64;
            values.extend(kinds.iter().map(|&(mean, sd)| {
                // A posterior narrower than the steps would fall between them.
                let sd = sd.max(step);
                let z = (v - mean) / sd;
                let bell = (-0.5 * z * z).exp();
                (bell / sd, cdf_of(z, bell))
            }));
        }
        Self { kind_of, kinds: kinds.len(), values }
    }

    /// The probabilities among the arms that are `open`: 0 for the others, and the same for each open one when the
    /// integral has nothing to tell them apart by.
    #[must_use]
    pub fn among(&self, open: &[bool]) -> Vec<f64> {
        let arms = self.kind_of.len();
        let open: Vec<usize> = (0..arms).filter(|&arm| open[arm]).collect();
        let mut sums = vec![0.0; arms];
        let mut before = vec![0.0; open.len()];
        for row in self.values.chunks_exact(self.kinds.max(1)) {
            // All distribution functions but one's own, as a product from the left and one from the right.
            let mut product = 1.0;
            for (slot, &arm) in before.iter_mut().zip(&open) {
                *slot = product;
                product *= row[self.kind_of[arm]].1;
            }
            let mut after = 1.0;
            for (&before, &arm) in before.iter().zip(&open).rev() {
                let (density, below) = row[self.kind_of[arm]];
                sums[arm] += density * before * after;
                after *= below;
            }
        }
        let total: f64 = sums.iter().sum();
        if total > 0.0 {
            sums.iter_mut().for_each(|sum| *sum /= total);
        } else {
            open.iter().for_each(|&arm| sums[arm] = 1.0 / open.len() as f64);
        }
        sums
    }
}

/// Which kind each arm is of, and the kinds: arms of equal mean and deviation, in the order of their first ones.
fn kinds(arms: &[(f64, f64)]) -> (Vec<usize>, Vec<(f64, f64)>) {
    let mut kinds: Vec<(f64, f64)> = Vec::new();
    let kind_of = arms.iter().map(|arm| {
        kinds.iter().position(|kind| kind == arm).unwrap_or_else(|| {
            kinds.push(*arm);
            kinds.len() - 1
        })
    });
    (kind_of.collect(), kinds)
}

/// The standard normal distribution function (Hart's rational approximation as given by West, Wilmott 2005), 1e-14.
#[must_use]
pub fn normal_cdf(x: f64) -> f64 {
    cdf_of(x, (-0.5 * x * x).exp())
}

/// As [`normal_cdf`]; `bell` is `exp(−x²/2)`.
fn cdf_of(x: f64, bell: f64) -> f64 {
    let z = x.abs();
    if z > 37.0 {
        return f64::from(u8::from(x > 0.0));
    }
    let horner = |coefficients: &[f64]| coefficients.iter().fold(0.0, |sum, c| sum * z + c);
    let tail = if z < 7.071_067_811_865_47 {
        let above = horner(&[
            3.526_249_659_989_11e-2,
            0.700_383_064_443_688,
            6.373_962_203_531_65,
            33.912_866_078_383,
            112.079_291_497_871,
            221.213_596_169_931,
            220.206_867_912_376,
        ]);
        let below = horner(&[
            8.838_834_764_831_84e-2,
            1.755_667_163_182_64,
            16.064_177_579_207,
            86.780_732_202_946_1,
            296.564_248_779_674,
            637.333_633_378_831,
            793.826_512_519_948,
            440.413_735_824_752,
        ]);
        bell * above / below
    } else {
        let fraction = z + 1.0 / (z + 2.0 / (z + 3.0 / (z + 4.0 / (z + 0.65))));
        bell / fraction / 2.506_628_274_631
    };
    if x > 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SplitMix64;

    #[test]
    fn the_distribution_function_is_the_tabled_one() {
        let table =
            [(0.0, 0.5), (1.0, 0.841_344_746_068_543), (-1.96, 0.024_997_895_148_220_4), (-8.0, 6.22e-16)];
        for (x, p) in table {
            assert!((normal_cdf(x) - p).abs() < 1e-12, "{x}: {}", normal_cdf(x));
        }
    }

    #[test]
    fn two_arms_have_the_closed_form() {
        for (a, b) in [((0.5, 0.1), (0.4, 0.2)), ((0.0, 1.0), (0.0, 1.0)), ((0.9, 0.01), (0.1, 0.3))] {
            let expected = normal_cdf((a.0 - b.0) / f64::hypot(a.1, b.1));
            let found = best_of(&[a, b])[0];
            assert!((found - expected).abs() < 2e-4, "{found} {expected}");
        }
        assert_eq!(best_of(&[(0.3, 0.1)]), [1.0]);
        assert!(best_of(&[]).is_empty());
        assert_eq!(best_of(&[(0.3, 0.0), (0.3, 0.0)]), [0.5, 0.5]);
    }

    #[test]
    fn arms_that_are_alike_have_the_same_chance() {
        let (unseen, seen) = ((0.4, 0.35), (0.5, 0.1));
        let found = best_of(&[unseen, seen, unseen, unseen]);
        // Almost the same arms are evaluated one by one.
        let apart = best_of(&[unseen, seen, (0.4, 0.350_000_1), (0.400_000_1, 0.35)]);
        for (found, apart) in found.iter().zip(&apart) {
            assert!((found - apart).abs() < 1e-5, "{found} {apart}");
        }
        assert!((found[0] - found[3]).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn arms_that_close_leave_the_others_what_they_would_have_alone() {
        let arms = [(0.40, 0.10), (0.35, 0.20), (0.45, 0.05), (0.10, 0.30)];
        let among = BestOf::new(&arms).among(&[true, false, true, true]);
        let alone = best_of(&[arms[0], arms[2], arms[3]]);
        assert_eq!(among[1], 0.0);
        for (found, expected) in [among[0], among[2], among[3]].iter().zip(&alone) {
            assert!((found - expected).abs() < 1e-4, "{among:?} {alone:?}");
        }
        assert_eq!(BestOf::new(&arms).among(&[false, true, false, false]), [0.0, 1.0, 0.0, 0.0]);
    }

    /// χ² of draws of the posteriors themselves against the integral.
    #[test]
    fn probabilities_are_the_frequencies_of_thompson_sampling() {
        let arms = [(0.40, 0.10), (0.35, 0.20), (0.45, 0.05), (0.10, 0.30), (0.2, 0.1)];
        let expected = best_of(&arms);
        let mut rng = SplitMix64::new(11);
        let (mut counts, trials) = ([0_u32; 5], 200_000);
        for _ in 0..trials {
            let draws = arms.map(|(mean, sd)| mean + sd * rng.normal());
            let best = (0..5).max_by(|&a, &b| draws[a].total_cmp(&draws[b])).unwrap_or(0);
            counts[best] += 1;
        }
        let chi: f64 = counts
            .iter()
            .zip(&expected)
            .map(|(&count, p)| (f64::from(count) - p * f64::from(trials)).powi(2) / (p * f64::from(trials)))
            .sum();
        assert!(
            chi < 18.5,
            "chi-square of 4 degrees of freedom, 0.1 % point 18.5: {chi}, {counts:?} {expected:?}"
        );
    }
}
