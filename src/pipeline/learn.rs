//! Learning how much each source is worth: non-negative least squares of rewards on what the sources said (PIPELINE.md §5).
//!
//! The state is the normal equations, two sums: additive over parts, discounted by one factor. What sources are worth is the
//! non-negative minimum, by coordinate descent. Weights are its third power: any track brings in something, whoever offers
//! it, so worths are less apart than the sources are. A listener's own weights are shrunk towards everybody's by `n/(n+κ)`.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use super::recipe::Source;

/// Sources that can be told apart: every code below this.
pub const WIDTH: usize = 16;
/// Impressions at which a listener's own weights count as much as everybody's.
pub const KAPPA: f64 = 50.0;
/// Pulls every weight a little towards 0, so that sources nobody saw get none and equal columns share.
const RIDGE: f64 = 1e-3;
const SWEEPS: usize = 300;
/// The power of a source's worth that is its weight. At 3 a source that is worth a quarter more weighs twice as much: the best
/// of the other list comes where scores of its own are half of its best.
const SHARPNESS: i32 = 3;

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

    /// The weights for blending, summing to 1; `None` when nothing is worth anything.
    fn weights(&self) -> Option<Said> {
        let sharp = self.solve().map(|worth| worth.powi(SHARPNESS));
        let total: f64 = sharp.iter().sum();
        (total > 0.0).then(|| sharp.map(|weight| weight / total))
    }
}

/// A listener's weights: their own by `n/(n+κ)`, everybody's for the rest, each summing to 1. Where one has nothing of worth,
/// all is left to the other.
#[must_use]
pub fn shrunk(own: &WeightSums, everybody: &WeightSums) -> Said {
    match (own.weights(), everybody.weights()) {
        (None, None) => [0.0; WIDTH],
        (Some(only), None) | (None, Some(only)) => only,
        (Some(mine), Some(all)) => {
            let share = own.weight / (own.weight + KAPPA);
            std::array::from_fn(|i| share * mine[i] + (1.0 - share) * all[i])
        }
    }
}

/// Sources of which something was learnt: that they are worth something, or, from as many tracks as κ, that they are not.
#[must_use]
pub fn known(learnt: &Said, own: &WeightSums, everybody: &WeightSums) -> [bool; WIDTH] {
    std::array::from_fn(|i| learnt[i] > 0.0 || own.a[i][i] + everybody.a[i][i] >= KAPPA)
}

/// Blend weights with what was learnt in the place of the recipe's, for the sources the recipe weighs at all; the sum
/// stays. A source that is not `known` keeps its own, one that is known and worthless has none; nothing of worth learnt
/// changes nothing.
#[must_use]
pub fn reweighed(weights: &[(Source, f64)], learnt: &Said, known: &[bool; WIDTH]) -> Vec<(Source, f64)> {
    let place = |source: Source| usize::from(source.code());
    let at_stake = || weights.iter().filter(|(source, weight)| known[place(*source)] && *weight > 0.0);
    let sum: f64 = at_stake().map(|(_, weight)| weight).sum();
    let total: f64 = at_stake().map(|(source, _)| learnt[place(*source)]).sum();
    let one = |&(source, weight): &(Source, f64)| {
        if known[place(source)] && weight > 0.0 && total > 0.0 {
            (source, sum * learnt[place(source)] / total)
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
        let sharp = |of: f64, other: f64| of.powi(3) / (of.powi(3) + other.powi(3));
        assert!((few[1] - (5.0 / 55.0 + 50.0 / 55.0 * sharp(0.2, 0.8))).abs() < 1e-3, "{few:?}");
        (0..495).for_each(|_| own.add(&said(&[(1, 1.0)]), 1.0, 1.0));
        assert!(shrunk(&own, &all)[1] > 0.9);
        assert!((shrunk(&WeightSums::default(), &all)[0] - sharp(0.8, 0.2)).abs() < 1e-3);
    }

    /// Random impressions of a listener and of everybody: the weights in use are `n/(n+κ)` of their own and the rest of
    /// everybody's, sum to 1 and are never negative, whatever `n`.
    #[test]
    fn a_listener_of_n_impressions_has_their_share_of_n_by_n_and_kappa() {
        let mut rng = SplitMix64::new(0x5EED);
        for n in [0, 1, 5, 50, 500, 5_000] {
            for _ in 0..20 {
                let (mut own, mut all) = (WeightSums::default(), WeightSums::default());
                let worth: [f64; 4] = std::array::from_fn(|i| if i == 0 { 0.5 } else { rng.uniform() - 0.3 });
                let mut add = |sums: &mut WeightSums, times: u32, turn: usize| {
                    for _ in 0..times {
                        let x: [f64; 4] = std::array::from_fn(|_| rng.uniform());
                        let reward = (0..4).map(|i| worth[(i + turn) % 4] * x[i]).sum::<f64>();
                        sums.add(&said(&[(0, x[0]), (1, x[1]), (2, x[2]), (3, x[3])]), reward.max(0.0), 1.0);
                    }
                };
                add(&mut all, 2_000, 0);
                add(&mut own, n, 1);
                let unit = |worth: Said| {
                    let total: f64 = worth.iter().map(|worth| worth.powi(3)).sum();
                    worth.map(|worth| if total > 0.0 { worth.powi(3) / total } else { 0.0 })
                };
                let (mine, everybody) = (unit(own.solve()), unit(all.solve()));
                let has_own = mine.iter().any(|weight| *weight > 0.0);
                let share = if has_own { f64::from(n) / (f64::from(n) + KAPPA) } else { 0.0 };
                let found = shrunk(&own, &all);
                for i in 0..WIDTH {
                    let expected = share * mine[i] + (1.0 - share) * everybody[i];
                    assert!(
                        (found[i] - expected).abs() < 1e-12,
                        "n {n}, source {i}: {} {expected}",
                        found[i]
                    );
                    assert!(found[i] >= 0.0);
                }
                assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-9, "n {n}: {found:?}");
            }
        }
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
        let found = reweighed(&weights, &learnt, &learnt.map(|weight| weight > 0.0));
        assert!((found[0].1 - 0.2).abs() < 1e-12 && (found[1].1 - 0.6).abs() < 1e-12, "{found:?}");
        assert_eq!((found[2].1, found[3].1), (0.2, 0.0));
        assert_eq!(reweighed(&weights, &[0.0; WIDTH], &[true; WIDTH]), weights);
        assert_eq!(reweighed(&weights, &learnt, &[false; WIDTH]), weights);
    }

    /// Found with a simulated population that likes one source alone: the others, worth nothing, kept their weights, and so
    /// nothing was ever learnt.
    #[test]
    fn a_source_that_is_known_to_be_worthless_loses_its_weight() {
        let weights = [(Source::Collaborative, 0.4), (Source::Content, 0.4), (Source::Audio, 0.2)];
        let (own, mut all) = (WeightSums::default(), WeightSums::default());
        let mut show = |source: usize, times: u32, reward: f64| {
            (0..times).for_each(|_| all.add(&said(&[(source, 1.0)]), reward, 1.0));
            let learnt = shrunk(&own, &all);
            let found = reweighed(&weights, &learnt, &known(&learnt, &own, &all));
            [found[0].1, found[1].1, found[2].1]
        };
        let near = |found: [f64; 3], expected: [f64; 3]| {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?} {expected:?}");
        };
        near(show(2, 100, 0.8), [0.4, 0.4, 0.2]);
        near(show(0, 49, 0.0), [0.4, 0.4, 0.2]);
        near(show(0, 1, 0.0), [0.0, 0.4, 0.6]);
        near(show(1, 50, 0.0), [0.0, 0.0, 1.0]);
    }
}
