//! What is known of one arm: a linear-Gaussian posterior of its reward (LinTS; Agrawal and Goyal, ICML 2013).
//!
//! The state of an arm is two sums, `A = Σ w·x·xᵀ` and `b = Σ w·r·x`: sums of parts can be added in any order, decay
//! is one factor, and the mean and covariance follow from them with the prior `N(0, I/ridge)` and the noise of a reward.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

/// Components of a context.
pub const CONTEXT_DIM: usize = 5;
/// The prior's precision: as much as one impression.
const RIDGE: f64 = 1.0;
/// What a reward of a new arm is expected to be: the prior mean of the constant component. A little hopeful.
const PRIOR_MEAN: f64 = 0.4;
/// Standard deviation of one reward around its mean; rewards are 0 to 1.
const NOISE: f64 = 0.35;

/// When and for whom a slot was served: constant, maturity 0 to 1, hour of day as a point of a circle, weekend.
pub type Context = [f64; CONTEXT_DIM];
type Matrix = [[f64; CONTEXT_DIM]; CONTEXT_DIM];

/// The context of a listener with so many plays at a UTC hour and weekday (Monday = 0). Made of nothing but what a
/// history tells again later, so that it need not be logged.
#[must_use]
pub fn context(plays: u64, hour: u8, weekday: u8) -> Context {
    let maturity = ((plays as f64).ln_1p() / 500_f64.ln_1p()).min(1.0);
    let angle = f64::from(hour) / 24.0 * std::f64::consts::TAU;
    [1.0, maturity, 0.5 * angle.sin(), 0.5 * angle.cos(), f64::from(u8::from(weekday >= 5))]
}

/// The sums of one arm.
#[derive(Debug, Clone, Copy, PartialEq, Default, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct ArmSums {
    /// Weight of the impressions.
    pub weight: f64,
    /// `Σ w·x·xᵀ`.
    pub a: Matrix,
    /// `Σ w·r·x`.
    pub b: [f64; CONTEXT_DIM],
}

impl ArmSums {
    /// Adds an impression of weight `w` (its discount) with its reward.
    pub fn add(&mut self, x: &Context, reward: f64, w: f64) {
        self.weight += w;
        for i in 0..CONTEXT_DIM {
            self.b[i] += w * reward * x[i];
            for j in 0..CONTEXT_DIM {
                self.a[i][j] += w * x[i] * x[j];
            }
        }
    }

    /// Adds the sums of other impressions, times `factor` (their discount since their own time).
    pub fn merge(&mut self, other: &Self, factor: f64) {
        self.weight += factor * other.weight;
        for i in 0..CONTEXT_DIM {
            self.b[i] += factor * other.b[i];
            for j in 0..CONTEXT_DIM {
                self.a[i][j] += factor * other.a[i][j];
            }
        }
    }

    /// The posterior, by inverting the precision once. Cost: about a microsecond.
    #[must_use]
    pub fn posterior(&self) -> Posterior {
        let mut precision = self.a;
        (0..CONTEXT_DIM).for_each(|i| precision[i][i] += RIDGE);
        let mut moment = self.b;
        moment[0] += RIDGE * PRIOR_MEAN;
        Posterior { inverse: inverse(precision), moment }
    }
}

/// A posterior that can go on learning one impression at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Posterior {
    /// Inverse of the precision.
    inverse: Matrix,
    moment: [f64; CONTEXT_DIM],
}

impl Posterior {
    /// Learns an impression of weight `w`: a Sherman–Morrison update of the inverse.
    pub fn update(&mut self, x: &Context, reward: f64, w: f64) {
        let ax = times(&self.inverse, x);
        let scale = w / (1.0 + w * dot(&ax, x));
        for i in 0..CONTEXT_DIM {
            self.moment[i] += w * reward * x[i];
            for j in 0..CONTEXT_DIM {
                self.inverse[i][j] -= scale * ax[i] * ax[j];
            }
        }
    }

    /// Mean and standard deviation of the expected reward in a context.
    #[must_use]
    pub fn reward(&self, x: &Context) -> (f64, f64) {
        let ax = times(&self.inverse, x);
        (dot(&ax, &self.moment), NOISE * dot(&ax, x).max(0.0).sqrt())
    }
}

fn dot(a: &Context, b: &Context) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn times(m: &Matrix, x: &Context) -> Context {
    std::array::from_fn(|i| dot(&m[i], x))
}

/// Inverse of a symmetric positive definite matrix by Cholesky.
fn inverse(m: Matrix) -> Matrix {
    let n = CONTEXT_DIM;
    let mut l = [[0.0; CONTEXT_DIM]; CONTEXT_DIM];
    for i in 0..n {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| l[i][k] * l[j][k]).sum();
            // A ridge of one keeps every pivot at or above one.
            l[i][j] = if i == j { (m[i][i] - sum).max(RIDGE).sqrt() } else { (m[i][j] - sum) / l[j][j] };
        }
    }
    let mut out = [[0.0; CONTEXT_DIM]; CONTEXT_DIM];
    // The inverse is symmetric: its columns are its rows.
    for (column, row) in out.iter_mut().enumerate() {
        let mut y = [0.0; CONTEXT_DIM];
        for i in 0..n {
            let sum: f64 = (0..i).map(|k| l[i][k] * y[k]).sum();
            y[i] = (f64::from(u8::from(i == column)) - sum) / l[i][i];
        }
        for i in (0..n).rev() {
            let sum: f64 = (i + 1..n).map(|k| l[k][i] * row[k]).sum();
            row[i] = (y[i] - sum) / l[i][i];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SplitMix64;

    fn random(rng: &mut SplitMix64) -> (Context, f64, f64) {
        (context(rng.below(2_000), rng.below(24) as u8, rng.below(7) as u8), rng.uniform(), rng.uniform())
    }

    #[test]
    fn one_impression_at_a_time_equals_the_direct_inverse() {
        let mut rng = SplitMix64::new(5);
        let (mut sums, mut live) = (ArmSums::default(), ArmSums::default().posterior());
        for _ in 0..5_000 {
            let (x, reward, w) = random(&mut rng);
            sums.add(&x, reward, w);
            live.update(&x, reward, w);
        }
        let direct = sums.posterior();
        for (a, b) in live.inverse.as_flattened().iter().zip(direct.inverse.as_flattened()) {
            assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
        let identity = direct.inverse.map(|row| {
            let mut precision = sums.a;
            (0..CONTEXT_DIM).for_each(|i| precision[i][i] += RIDGE);
            times(&precision, &row)
        });
        for (i, row) in identity.iter().enumerate() {
            for (j, value) in row.iter().enumerate() {
                assert!((value - f64::from(u8::from(i == j))).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn parts_add_up_in_any_order_and_decay_is_one_factor() {
        let mut rng = SplitMix64::new(6);
        let rows: Vec<_> = (0..200).map(|_| random(&mut rng)).collect();
        let sum = |rows: &mut dyn Iterator<Item = &(Context, f64, f64)>, factor: f64| {
            let mut sums = ArmSums::default();
            rows.for_each(|(x, reward, w)| sums.add(x, *reward, w * factor));
            sums
        };
        let whole = sum(&mut rows.iter(), 1.0);
        let mut parts = sum(&mut rows[100..].iter(), 1.0);
        parts.merge(&sum(&mut rows[..100].iter(), 1.0), 1.0);
        assert!((whole.b[0] - parts.b[0]).abs() < 1e-9 && (whole.a[1][2] - parts.a[1][2]).abs() < 1e-9);
        let mut decayed = ArmSums::default();
        decayed.merge(&whole, 0.25);
        let direct = sum(&mut rows.iter(), 0.25);
        assert!(
            (decayed.a[0][0] - direct.a[0][0]).abs() < 1e-9 && (decayed.weight - direct.weight).abs() < 1e-9
        );
    }

    #[test]
    fn an_arm_nobody_saw_is_hopeful_and_unsure() {
        let x = context(30, 12, 2);
        let (mean, sd) = ArmSums::default().posterior().reward(&x);
        assert!((mean - PRIOR_MEAN).abs() < 1e-12 && sd > 0.3);
        let mut seen = ArmSums::default();
        (0..500).for_each(|_| seen.add(&x, 0.8, 1.0));
        let (mean, sd) = seen.posterior().reward(&x);
        assert!((mean - 0.8).abs() < 0.01 && sd < 0.03, "{mean} {sd}");
    }
}
