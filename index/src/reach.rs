//! How far a walk goes on past what it has found: to a number of nodes on average, fewer for easy queries and more for hard ones.
//!
//! A walk that always follows the best `ef` nodes does too much for most queries and too little for a few. Here
//! it stops where the next node scores worse than the k-th best by a margin: `margin` times a spread that follows from that score
//! (arXiv:2505.15636 does this with distances). A build measures, on a few of its rows as queries, which margin makes
//! walks follow `ef` nodes on average, for a few efforts and numbers of results, and keeps them in the meta. The effort stays
//! what callers choose, and no walk follows more than twice as many.
//!
//! The spread is the squared distance of the k-th best and a part that does not shrink with it, since near duplicates say
//! nothing about what lies around them. For inner product distance says little, and the spread is constant.

use super::effort::RESULTS;
use super::graph::beam::Beam;
use super::query::Query;

/// Efforts that margins are measured for.
pub(super) const EFFORTS: [usize; 6] = [32, 64, 128, 256, 512, 1024];
/// Nodes a walk keeps, times its effort.
const KEPT: usize = 2;
/// Width of the walks that margins are measured with.
pub(super) const WIDEST: usize = KEPT * EFFORTS[EFFORTS.len() - 1];
/// How far codes beside links may lead, in margins. Less than what is followed: a look at a node that comes to nothing costs as much as one that
/// comes to something, and what the codes turn down here other nodes propose again. Beside 1.2 there are 7 to 34 % fewer looks
/// and up to .007 less recall at one effort (`mf128`, `glove100`, 800,000 x 256); at one recall no difference that two runs agree on.
const PROPOSED: f32 = 0.8;
/// First hops of a walk, which lead to where the query is: as long as they do, only what is among the best few so far is looked
/// at. The neighbours of nodes far from the query are many and soon forgotten.
const DESCENT_HOPS: u64 = 12;
/// Those best few at the start; one more every other hop.
const DESCENT_BEAM: usize = 4;
/// Hops of the way down that are under way when its last begins.
const DESCENT_ENDS: u64 = 2;
/// Stands for a walk that no margin stops.
const UNBOUNDED: f32 = f32::MAX;

/// Margins for [`RESULTS`] and [`EFFORTS`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margins(pub [[f32; EFFORTS.len()]; RESULTS.len()]);

/// Where one walk stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reach {
    /// Nodes it keeps.
    pub(super) keep: usize,
    /// Place of the node whose score counts.
    rank: usize,
    margin: f32,
}

/// Scores below which a walk does not follow, or not look at, a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// For nodes by their own code.
    pub(super) follow: f32,
    /// For nodes by the codes beside links.
    pub(super) look: f32,
}

impl Reach {
    /// A walk that follows the best `ef` nodes, whatever their scores.
    pub(super) fn fixed(ef: usize) -> Self {
        Self { keep: ef, rank: usize::MAX, margin: UNBOUNDED }
    }

    /// The bounds as of what was found so far, in so many hops.
    #[inline(always)]
    pub(super) fn bounds(&self, beam: &Beam, query: &Query, hops: u64) -> Bounds {
        let full = beam.threshold();
        let mut bounds = Bounds { follow: full, look: full };
        if let Some(score) = beam.score(self.rank) {
            let margin = self.margin * query.spread(score);
            bounds = Bounds { follow: full.max(score - margin), look: full.max(score - PROPOSED * margin) };
        }
        if hops < DESCENT_HOPS
            && let Some(score) = beam.score(DESCENT_BEAM + hops as usize / 2)
        {
            bounds.look = bounds.look.max(score);
        }
        bounds
    }
}

/// Whether a walk of so many hops is on its way down.
#[inline(always)]
pub(super) fn descends(hops: u64) -> bool {
    hops < DESCENT_HOPS + DESCENT_ENDS
}

impl Margins {
    /// What indexes get that were built before margins were measured, or are too small to measure them.
    pub const UNBOUNDED: Self = Self([[UNBOUNDED; EFFORTS.len()]; RESULTS.len()]);

    /// Returns where a walk stops for `k` results with effort `ef`, keeping at least `least` nodes.
    pub(super) fn reach(&self, k: usize, ef: usize, least: usize) -> Reach {
        let last = RESULTS.len() - 1;
        let margin = match (0..last).find(|&i| k < RESULTS[i + 1]) {
            _ if k <= RESULTS[0] => self.at(0, ef as f64),
            Some(i) => {
                let part = (k - RESULTS[i]) as f32 / (RESULTS[i + 1] - RESULTS[i]) as f32;
                let (low, high) = (self.at(i, ef as f64), self.at(i + 1, ef as f64));
                low * (1.0 - part) + high * part
            }
            None => self.at(last, (ef * RESULTS[last]) as f64 / k as f64),
        };
        if margin >= UNBOUNDED / 2.0 {
            return Reach::fixed(ef.max(least));
        }
        Reach { keep: (KEPT * ef).max(least), rank: k.max(RESULTS[0]) - 1, margin }
    }

    /// The margin of one number of results: on lines over the logarithm of the effort, and on along the last one.
    fn at(&self, results: usize, ef: f64) -> f32 {
        let margins = &self.0[results];
        let place = (ef / EFFORTS[0] as f64).log2().max(0.0);
        let low = (place as usize).min(EFFORTS.len() - 2);
        let part = (place - low as f64) as f32;
        if margins[low + 1] >= UNBOUNDED {
            UNBOUNDED
        } else {
            margins[low] * (1.0 - part) + margins[low + 1] * part
        }
    }
}

/// Measures the margins from what wide walks found: for each query its own form and the scores, best first.
pub(super) fn measure(found: &[(Query, Vec<f32>)], n: usize) -> Margins {
    let mut margins = Margins::UNBOUNDED;
    for (row, k) in margins.0.iter_mut().zip(RESULTS) {
        // Where copies of one vector are the k-th best, any margin reaches all of them, which says nothing about other queries.
        let tells = |scores: &[f32]| scores.get(2 * k).is_none_or(|&later| later < scores[k - 1]);
        let telling: Vec<_> = found.iter().filter(|(_, scores)| tells(scores)).collect();
        for (margin, ef) in row.iter_mut().zip(EFFORTS) {
            // An effort too large for the index is served without a margin.
            if n > 2 * KEPT * ef && !telling.is_empty() {
                *margin = margin_for(&telling, k, ef);
            }
        }
    }
    margins
}

/// Returns the margin within which `ef` nodes lie on average, counting at most twice as many of one query.
fn margin_for(found: &[&(Query, Vec<f32>)], k: usize, ef: usize) -> f32 {
    let mean = |margin: f32| {
        let count = |(query, scores): &&(Query, Vec<f32>)| {
            let Some(&score) = scores.get(k - 1) else { return scores.len().min(KEPT * ef) };
            let bound = score - margin * query.spread(score);
            scores.partition_point(|&other| other >= bound).min(KEPT * ef)
        };
        found.iter().map(count).sum::<usize>() as f64 / found.len() as f64
    };
    let (mut low, mut high) = (0.0f32, 1.0 / 64.0);
    while mean(high) < ef as f64 && high < 1024.0 {
        (low, high) = (high, 2.0 * high);
    }
    for _ in 0..20 {
        let middle = 0.5 * (low + high);
        if mean(middle) < ef as f64 { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Queries whose scores fall by 0.001 a node, or by 0.0001, below a best of 0.9; the spread is 1.
    fn found() -> Vec<(Query, Vec<f32>)> {
        let scores = |step: f32| (0..WIDEST).map(|i| 0.9 - step * i as f32).collect();
        [0.001, 0.0001].map(|step| (Query::with_spread(1.0, 0.0), scores(step))).to_vec()
    }

    #[test]
    fn a_margin_makes_walks_follow_the_effort_on_average_and_at_most_twice_that() {
        let margins = measure(&found(), 1_000_000);
        // At effort 64 the tenth best scores are 0.891 and 0.8991. The flat query takes all it may, 128; nothing is left for the other.
        let margin = margins.0[0][1];
        assert!(margin < 0.02, "{margin}");
        let follows = |step: f32, margin: f32| (10.0 + margin / step).min(128.0);
        let mean = 0.5 * (follows(0.001, margin) + follows(0.0001, margin));
        assert!((mean - 64.0).abs() < 2.0, "{mean} {margin}");
        assert!(margins.0.iter().all(|row| row.is_sorted()), "{margins:?}");
    }

    #[test]
    fn margins_lie_on_lines_and_small_indexes_have_none() {
        let mut margins = Margins::UNBOUNDED;
        assert_eq!(margins.reach(10, 100, 36), Reach::fixed(100));
        assert_eq!(margins.reach(100, 20, 216).keep, 216);
        margins.0[0] = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2];
        margins.0[1] = [0.0, 0.0, 0.2, 0.4, 0.8, 1.6];
        let reach = |k, ef| margins.reach(k, ef, 36);
        assert_eq!(reach(10, 64), Reach { keep: 128, rank: 9, margin: 0.2 });
        assert_eq!(reach(1, 16), Reach { keep: 36, rank: 9, margin: 0.1 });
        assert!((reach(10, 91).margin - 0.3).abs() < 0.01);
        assert!((reach(55, 128).margin - 0.3).abs() < 0.01);
        assert!((reach(10, 2048).margin - 4.8).abs() < 0.01, "on along the last line");
        assert_eq!(measure(&found(), 100), Margins::UNBOUNDED);
        assert_eq!(measure(&[], 1_000_000), Margins::UNBOUNDED);
        // Copies of one vector say nothing.
        let copies = vec![(Query::with_spread(1.0, 0.0), vec![0.5; WIDEST])];
        assert_eq!(measure(&copies, 1_000_000), Margins::UNBOUNDED);
    }
}
