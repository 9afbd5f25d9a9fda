//! Learning how much each source is worth from the rewards of served tracks (PIPELINE.md §5).
//!
//! Sources are compared within lists only. What is liked runs out, listeners and hours differ, and a list by learnt weights
//! shows other tracks than the one before: means over all lists would put that down to the sources. For two sources the
//! ratio of their worths is that of Mantel and Haenszel (J. Natl. Cancer Inst. 22, 1959, for rates), a list being a stratum:
//! `Σ R_s·n_t/N` to `Σ R_t·n_s/N`. For several, worths are the stationary distribution of a chain with these sums as rates
//! (Negahban, Oh and Shah, Operations Research 65, 2017). The state is the sums: additive over parts, discounted by one factor.
//!
//! Weights are the third power of worths: any track brings in something, whoever offers it, so worths are less apart than the
//! sources are. A listener's own weights are shrunk towards everybody's by `n/(n+κ)`.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use super::recipe::Source;

/// Sources that can be told apart: every code below this.
pub const WIDTH: usize = 16;
/// Impressions at which a listener's own weights count as much as everybody's.
pub const KAPPA: f64 = 50.0;
/// What is added to each rate, against their mean: joins sources that were never in one list.
const PRIOR: f64 = 1e-3;
/// The power of a source's worth that is its weight. At 3 a source that is worth a quarter more weighs twice as much: the best
/// of the other list comes where scores of its own are half of its best.
const SHARPNESS: i32 = 3;

/// One number a source, by [`Source::code`].
pub type BySource = [f64; WIDTH];

/// What lists brought in, by the source that contributed most to each track.
#[derive(Debug, Clone, PartialEq, Default, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct WeightSums {
    /// Weight of the impressions in lists that teach something.
    pub weight: f64,
    /// `Σ w·R_s·n_t/N` over lists, by `s`, then `t`: `R_s` the rewards of a source's tracks, `n_t` the tracks of another, of
    /// `N` in the list.
    earned: [[f64; WIDTH]; WIDTH],
    /// `Σ w·n_s` over the same lists.
    compared: BySource,
}

impl WeightSums {
    /// Adds a list at weight `w`: the source of each track and its reward. A list of one source says nothing about it, and one
    /// that brought in nothing says nothing about any.
    pub fn add(&mut self, list: &[(Source, f64)], w: f64) {
        let (mut tracks, mut rewards): (BySource, BySource) = Default::default();
        for &(source, reward) in list {
            tracks[usize::from(source.code())] += 1.0;
            rewards[usize::from(source.code())] += reward;
        }
        let all = list.len() as f64;
        if tracks.contains(&all) || rewards.iter().sum::<f64>() <= 0.0 {
            return;
        }
        self.weight += w * all;
        for s in (0..WIDTH).filter(|&s| tracks[s] > 0.0) {
            self.compared[s] += w * tracks[s];
            for t in (0..WIDTH).filter(|&t| t != s) {
                self.earned[s][t] += w * rewards[s] * tracks[t] / all;
            }
        }
    }

    /// What sources are worth, summing to 1; all 0 when nothing was earned beside others.
    #[must_use]
    pub fn worths(&self) -> BySource {
        let mut worths = BySource::default();
        let known: Vec<usize> = (0..WIDTH).filter(|&s| self.compared[s] > 0.0).collect();
        let earned: BySource = std::array::from_fn(|s| self.earned[s].iter().sum());
        let total: f64 = earned.iter().sum();
        if total <= 0.0 {
            return worths;
        }
        let prior = PRIOR * total / (known.len() * known.len()) as f64;
        let rate = |from: usize, to: usize| self.earned[known[to]][known[from]] + prior;
        let rates = (0..known.len()).map(|from| (0..known.len()).map(|to| rate(from, to)).collect());
        for (&source, share) in known.iter().zip(stationary(rates.collect())) {
            // Who never earned anything is worth nothing, and not what the prior lends.
            worths[source] = if earned[source] > 0.0 { share } else { 0.0 };
        }
        let sum: f64 = worths.iter().sum();
        worths.map(|worth| worth / sum)
    }

    /// The weights for blending, summing to 1; `None` when nothing is worth anything.
    fn weights(&self) -> Option<BySource> {
        let sharp = self.worths().map(|worth| worth.powi(SHARPNESS));
        let total: f64 = sharp.iter().sum();
        (total > 0.0).then(|| sharp.map(|weight| weight / total))
    }
}

/// The stationary distribution of a chain with these rates, all above 0, by row from and column to; not summing to 1. By
/// elimination without a subtraction (Grassmann, Taksar and Heyman, Operations Research 33, 1985).
fn stationary(mut rates: Vec<Vec<f64>>) -> Vec<f64> {
    for last in (1..rates.len()).rev() {
        let leaves: f64 = rates[last][..last].iter().sum();
        for from in 0..last {
            rates[from][last] /= leaves;
            for to in (0..last).filter(|&to| to != from) {
                rates[from][to] += rates[from][last] * rates[last][to];
            }
        }
    }
    let mut shares: Vec<f64> = Vec::with_capacity(rates.len());
    for at in 0..rates.len() {
        let arrives: f64 = shares.iter().zip(&rates).map(|(share, row)| share * row[at]).sum();
        shares.push(if at == 0 { 1.0 } else { arrives });
    }
    shares
}

/// A listener's weights: their own by `n/(n+κ)`, everybody's for the rest, each summing to 1. Where one has nothing of worth,
/// all is left to the other.
#[must_use]
pub fn shrunk(own: &WeightSums, everybody: &WeightSums) -> BySource {
    match (own.weights(), everybody.weights()) {
        (None, None) => [0.0; WIDTH],
        (Some(only), None) | (None, Some(only)) => only,
        (Some(mine), Some(all)) => {
            let share = own.weight / (own.weight + KAPPA);
            std::array::from_fn(|i| share * mine[i] + (1.0 - share) * all[i])
        }
    }
}

/// Sources of which something was learnt: that they are worth something, or, from as many tracks beside others' as κ, that they
/// are not.
#[must_use]
pub fn known(learnt: &BySource, own: &WeightSums, everybody: &WeightSums) -> [bool; WIDTH] {
    std::array::from_fn(|i| learnt[i] > 0.0 || own.compared[i] + everybody.compared[i] >= KAPPA)
}

/// Blend weights with what was learnt in the place of the recipe's, for the sources the recipe weighs at all; the sum
/// stays. A source that is not `known` keeps its own, one that is known and worthless has none; nothing of worth learnt
/// changes nothing.
#[must_use]
pub fn reweighed(weights: &[(Source, f64)], learnt: &BySource, known: &[bool; WIDTH]) -> Vec<(Source, f64)> {
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
mod tests;
