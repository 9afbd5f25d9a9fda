//! Learning how much each source is worth: non-negative least squares of rewards on what the sources said (PIPELINE.md §5).
//!
//! The state is the normal equations, two sums: additive over parts, discounted by one factor. Weights are the
//! non-negative minimum, by coordinate descent; a listener's own are shrunk towards everybody's by `n/(n+κ)`.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use super::recipe::Source;

/// Sources that can be told apart: every code below this.
pub const WIDTH: usize = 16;
/// Impressions at which a listener's own weights count as much as everybody's.
pub const KAPPA: f64 = 50.0;
/// Pulls every weight a little towards 0, so that sources nobody saw get none and equal columns share.
const RIDGE: f64 = 1e-3;
const SWEEPS: usize = 300;

/// What each source said of one track: its normalised score by [`Source::code`], 0 when it did not offer it.
pub type Said = [f64; WIDTH];

/// `Σ w·x·xᵀ`, `Σ w·r·x` and `Σ w` over served tracks.
#[derive(Debug, Clone, PartialEq, Default, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct WeightSums {
    /// Weight of the impressions.
    pub weight: f64,
    a: [[f64; WIDTH]; WIDTH],
    b: [f64; WIDTH],
}

impl WeightSums {
    /// Adds a served track with its reward, at weight `w`.
    pub fn add(&mut self, said: &Said, reward: f64, w: f64) {
        self.weight += w;
        for (i, &x) in said.iter().enumerate().filter(|(_, x)| **x != 0.0) {
            self.b[i] += w * reward * x;
            for (j, &y) in said.iter().enumerate() {
                self.a[i][j] += w * x * y;
            }
        }
    }

    /// The non-negative weights that explain the rewards best; all 0 when nothing was added.
    #[must_use]
    pub fn solve(&self) -> Said {
        let mut weights = [0.0; WIDTH];
        let ridge = RIDGE * self.weight.max(f64::MIN_POSITIVE);
        for _ in 0..SWEEPS {
            let mut moved = 0.0_f64;
            for i in 0..WIDTH {
                let others: f64 = (0..WIDTH).filter(|&j| j != i).map(|j| self.a[i][j] * weights[j]).sum();
                let next = ((self.b[i] - others) / (self.a[i][i] + ridge)).max(0.0);
                moved = moved.max((next - weights[i]).abs());
                weights[i] = next;
            }
            if moved < 1e-12 {
                break;
            }
        }
        weights
    }
}

/// A listener's weights: their own by `n/(n+κ)`, everybody's for the rest. Each vector is first scaled to sum to 1; one
/// without weight leaves all to the other.
#[must_use]
pub fn shrunk(own: &WeightSums, everybody: &WeightSums) -> Said {
    let unit = |mut weights: Said| {
        let total: f64 = weights.iter().sum();
        if total > 0.0 {
            weights.iter_mut().for_each(|weight| *weight /= total);
        }
        (weights, total > 0.0)
    };
    let ((own_weights, has_own), (all, has_all)) = (unit(own.solve()), unit(everybody.solve()));
    let share = match (has_own, has_all) {
        (false, _) => 0.0,
        (true, false) => 1.0,
        (true, true) => own.weight / (own.weight + KAPPA),
    };
    std::array::from_fn(|i| share * own_weights[i] + (1.0 - share) * all[i])
}

/// Blend weights with what was learnt in the place of the recipe's, for the sources the recipe weighs at all; the sum
/// stays. A source of which nothing was learnt keeps its own; nothing learnt changes nothing.
#[must_use]
pub fn reweighed(weights: &[(Source, f64)], learnt: &Said) -> Vec<(Source, f64)> {
    let known = |source: Source| learnt[usize::from(source.code())] > 0.0;
    let at_stake: f64 = weights.iter().filter(|(source, _)| known(*source)).map(|(_, weight)| weight).sum();
    let total: f64 = weights
        .iter()
        .filter(|(source, weight)| known(*source) && *weight > 0.0)
        .map(|(source, _)| learnt[usize::from(source.code())])
        .sum();
    let one = |&(source, weight): &(Source, f64)| {
        let learnt = learnt[usize::from(source.code())];
        if learnt > 0.0 && weight > 0.0 && total > 0.0 {
            (source, at_stake * learnt / total)
        } else {
            (source, weight)
        }
    };
    weights.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SplitMix64;

    fn said(pairs: &[(usize, f64)]) -> Said {
        let mut said = [0.0; WIDTH];
        pairs.iter().for_each(|&(i, x)| said[i] = x);
        said
    }

    #[test]
    fn the_weights_behind_rewards_are_found_and_never_negative() {
        let (mut sums, mut rng) = (WeightSums::default(), SplitMix64::new(9));
        for _ in 0..20_000 {
            let x = said(&[(0, rng.uniform()), (1, rng.uniform()), (2, rng.uniform())]);
            // The third source is worse than useless.
            let reward = 0.6 * x[0] + 0.2 * x[1] - 0.3 * x[2] + 0.05 * rng.normal();
            sums.add(&x, reward, 1.0);
        }
        let weights = sums.solve();
        assert!(weights.iter().all(|weight| *weight >= 0.0), "{weights:?}");
        assert_eq!(weights[2], 0.0);
        assert!(weights[0] > 2.0 * weights[1] && weights[0] > 0.3, "{weights:?}");
        assert_eq!(WeightSums::default().solve(), [0.0; WIDTH]);
    }

    #[test]
    fn few_impressions_of_ones_own_hardly_move_everybodys_weights() {
        let (mut own, mut all) = (WeightSums::default(), WeightSums::default());
        (0..1_000).for_each(|_| all.add(&said(&[(0, 1.0)]), 0.8, 1.0));
        (0..1_000).for_each(|_| all.add(&said(&[(1, 1.0)]), 0.2, 1.0));
        (0..5).for_each(|_| own.add(&said(&[(1, 1.0)]), 1.0, 1.0));
        let few = shrunk(&own, &all);
        assert!((few[1] - (5.0 / 55.0 + 50.0 / 55.0 * 0.2)).abs() < 1e-3, "{few:?}");
        (0..495).for_each(|_| own.add(&said(&[(1, 1.0)]), 1.0, 1.0));
        assert!(shrunk(&own, &all)[1] > 0.9);
        assert!((shrunk(&WeightSums::default(), &all)[0] - 0.8).abs() < 1e-3);
    }

    #[test]
    fn only_what_the_recipe_weighs_is_reweighed_and_the_sum_stays() {
        let weights = [
            (Source::Collaborative, 0.5),
            (Source::Content, 0.3),
            (Source::Audio, 0.2),
            (Source::Trending, 0.0),
        ];
        let learnt = said(&[(0, 0.1), (1, 0.3), (3, 0.6)]);
        let found = reweighed(&weights, &learnt);
        assert!((found[0].1 - 0.2).abs() < 1e-12 && (found[1].1 - 0.6).abs() < 1e-12, "{found:?}");
        assert_eq!((found[2].1, found[3].1), (0.2, 0.0));
        assert_eq!(reweighed(&weights, &[0.0; WIDTH]), weights);
    }
}
