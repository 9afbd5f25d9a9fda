//! The selection itself.

use super::caps::{Cap, CapLimits, Counts};
use super::similarity::PairSimilarity;
use crate::pipeline::candidate::Candidate;

/// What a selection asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MmrParams {
    /// How many tracks to choose, those chosen before included.
    pub n: usize,
    /// λ: 1 = relevance order, 0 = diversity only.
    pub lambda: f64,
    /// Caps.
    pub limits: CapLimits,
    /// Whether a shortfall may raise the caps. Without it the selection stays short, so that the caller can search
    /// deeper first.
    pub relax: bool,
}

/// One chosen track.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pick {
    /// Its row among the candidates.
    pub row: usize,
    /// Its score min-maxed over the pool, 0 to 1.
    pub relevance: f64,
    /// `(1−λ) · largest similarity` to what was chosen before it: what diversity took off.
    pub penalty: f64,
}

/// The chosen set in order of choice.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Selection {
    /// What was chosen here, without those chosen before.
    pub picks: Vec<Pick>,
    /// What was relaxed to fill the list, in words; empty when nothing was.
    pub relaxed: Vec<String>,
    /// For every candidate that was not chosen: its row and the cap that keeps it out at the end, if one does.
    pub left_out: Vec<(usize, Option<Cap>)>,
}

/// Chooses `params.n − chosen.len()` of the candidates, which stand best first (that order breaks ties). `chosen`
/// are rows chosen before, for example for exploration: they count for similarity and caps, not for min-max.
///
/// On a shortfall (with `relax`) caps rise one by one, the album's before the artist's, and only as far as needed;
/// versions of one recording come last. Cost: candidates × picks similarities.
#[must_use]
pub fn diversify(
    candidates: &[Candidate<'_>],
    similarity: &PairSimilarity<'_>,
    chosen: &[usize],
    params: &MmrParams,
) -> Selection {
    let mut pool = Pool::new(candidates, similarity, params.lambda);
    for &row in chosen {
        if row < candidates.len() {
            pool.take(row);
        }
    }
    pool.scale_relevance();
    let mut picks = Vec::new();
    let mut limits = params.limits;
    let wanted = params.n.saturating_sub(chosen.len()).min(pool.open.len());
    while picks.len() < wanted {
        if let Some(pick) = pool.best(limits) {
            pool.take(pick.row);
            picks.push(pick);
        } else if !params.relax {
            break;
        } else {
            limits = pool.relaxed(limits);
        }
    }
    let left_out =
        pool.open.iter().map(|&row| (row, pool.counts.cap(candidates[row].facts, limits))).collect();
    Selection { picks, relaxed: pool.counts.exceeded(params.limits), left_out }
}

struct Pool<'p> {
    candidates: &'p [Candidate<'p>],
    similarity: &'p PairSimilarity<'p>,
    lambda: f64,
    /// Rows not chosen, ascending: best first.
    open: Vec<usize>,
    relevance: Vec<f64>,
    /// Largest similarity of each row to the chosen; 0 when there is none.
    nearest: Vec<f64>,
    counts: Counts,
}

impl<'p> Pool<'p> {
    fn new(candidates: &'p [Candidate<'p>], similarity: &'p PairSimilarity<'p>, lambda: f64) -> Self {
        let rows = candidates.len();
        Self {
            candidates,
            similarity,
            lambda,
            open: (0..rows).collect(),
            relevance: vec![0.5; rows],
            nearest: vec![0.0; rows],
            counts: Counts::default(),
        }
    }

    /// Min-max over the open rows; all equal gives 0.5.
    fn scale_relevance(&mut self) {
        let scores = || self.open.iter().map(|&row| self.candidates[row].score);
        let (min, max) = (scores().fold(f64::INFINITY, f64::min), scores().fold(f64::NEG_INFINITY, f64::max));
        if max > min {
            for &row in &self.open {
                self.relevance[row] = (self.candidates[row].score - min) / (max - min);
            }
        }
    }

    fn pick(&self, row: usize) -> Pick {
        Pick { row, relevance: self.relevance[row], penalty: (1.0 - self.lambda) * self.nearest[row] }
    }

    /// The open row with the largest marginal relevance that no cap keeps out; the earlier of equals.
    fn best(&self, limits: CapLimits) -> Option<Pick> {
        let mut best: Option<(f64, Pick)> = None;
        for &row in &self.open {
            let pick = self.pick(row);
            let value = self.lambda * pick.relevance - pick.penalty;
            let better = best.as_ref().is_none_or(|(most, _)| value > *most);
            if better && self.counts.cap(self.candidates[row].facts, limits).is_none() {
                best = Some((value, pick));
            }
        }
        best.map(|(_, pick)| pick)
    }

    fn take(&mut self, row: usize) {
        let Ok(place) = self.open.binary_search(&row) else { return };
        self.open.remove(place);
        self.counts.add(self.candidates[row].facts);
        if self.lambda < 1.0 {
            for &other in &self.open {
                self.nearest[other] = self.nearest[other].max(self.similarity.of(row, other));
            }
        }
    }

    fn any_open(&self, limits: CapLimits) -> bool {
        self.open.iter().any(|&row| self.counts.cap(self.candidates[row].facts, limits).is_none())
    }

    /// The least raised caps that let another track in. Rows are open and no cap lets one in.
    fn relaxed(&self, from: CapLimits) -> CapLimits {
        let raise = |limit: u32, by: u32| if limit == 0 { 0 } else { limit.saturating_add(by) };
        for by in 1..=u32::try_from(self.candidates.len()).unwrap_or(u32::MAX) {
            let album = CapLimits { album: raise(from.album, by), ..from };
            let artist = CapLimits { artist: raise(from.artist, by), ..from };
            let both = CapLimits { artist: artist.artist, ..album };
            if let Some(found) = [album, artist, both].into_iter().find(|&limits| self.any_open(limits)) {
                return found;
            }
            if self.counts_only_recordings(from) {
                break;
            }
        }
        CapLimits { one_a_recording: false, ..from }
    }

    /// Whether every open row is another version of something chosen, so that raising other caps cannot help.
    fn counts_only_recordings(&self, limits: CapLimits) -> bool {
        let free = CapLimits { artist: 0, album: 0, ..limits };
        !self.any_open(free)
    }
}
