//! The selection itself.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::caps::{CapLimits, Counts};
use super::similarity::PairSimilarity;
use crate::pipeline::candidate::Candidate;

/// Candidates whose vectors are asked of memory before they are looked at.
const AHEAD: usize = 4;

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
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// What was chosen here, without those chosen before.
    pub picks: Vec<Pick>,
    /// What was relaxed to fill the list, in words; empty when nothing was.
    pub relaxed: Vec<String>,
    /// The caps that held at the end: those asked for, or higher ones.
    pub limits: CapLimits,
}

/// Chooses `params.n − chosen.len()` of the candidates, which stand best first (that order breaks ties). `chosen`
/// are rows chosen before, for example for exploration: they count for similarity and caps, not for min-max.
///
/// On a shortfall (with `relax`) caps rise one by one, the album's before the artist's, and only as far as needed;
/// versions of one recording come last. Cost: at most candidates × picks similarities, usually far fewer.
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
            pool.reopen();
        }
    }
    Selection { picks, relaxed: pool.counts.exceeded(params.limits), limits }
}

/// Scales the scores of the open rows to 0..=1; all equal leaves `relevance` as it is.
pub(super) fn min_max(candidates: &[Candidate<'_>], open: &[usize], relevance: &mut [f64]) {
    let scores = || open.iter().map(|&row| candidates[row].score);
    let (min, max) = (scores().fold(f64::INFINITY, f64::min), scores().fold(f64::NEG_INFINITY, f64::max));
    if max > min {
        open.iter().for_each(|&row| relevance[row] = (candidates[row].score - min) / (max - min));
    }
}

/// What a row is worth at most; the largest first, of equal ones the earlier row.
#[derive(Debug, Clone, Copy)]
struct Bound {
    value: f64,
    row: usize,
}

impl Bound {
    /// Zero has one sign here: equal values must compare as equal.
    fn new(value: f64, row: usize) -> Self {
        Self { value: value + 0.0, row }
    }
}

impl Ord for Bound {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.total_cmp(&other.value).then(other.row.cmp(&self.row))
    }
}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Bound {}

/// Bounds, the largest first. Most rows are never looked at a second time, so those that have not been lie in a sorted list, and
/// only the others in a heap.
#[derive(Debug, Default)]
struct Bounds {
    /// Ascending.
    fresh: Vec<Bound>,
    again: BinaryHeap<Bound>,
}

impl Bounds {
    /// Bounds that stand best first or nearly so.
    fn new(bounds: impl DoubleEndedIterator<Item = Bound>) -> Self {
        let mut fresh: Vec<Bound> = bounds.rev().collect();
        fresh.sort();
        Self { fresh, again: BinaryHeap::new() }
    }

    fn peek(&self) -> Option<&Bound> {
        self.fresh.last().max(self.again.peek())
    }

    fn pop(&mut self) -> Option<Bound> {
        if self.fresh.last() > self.again.peek() { self.fresh.pop() } else { self.again.pop() }
    }

    fn push(&mut self, bound: Bound) {
        self.again.push(bound);
    }
}

struct Pool<'p> {
    candidates: &'p [Candidate<'p>],
    similarity: &'p PairSimilarity<'p>,
    lambda: f64,
    /// Rows not chosen, ascending: best first.
    open: Vec<usize>,
    /// Those of them that no cap was found to keep out, by what they were worth when last compared.
    bounds: Bounds,
    /// Those that one does.
    capped: Vec<usize>,
    relevance: Vec<f64>,
    /// Rows chosen so far.
    taken: Vec<usize>,
    /// Largest similarity of each row to the first `compared` of the taken; 0 when there is none.
    nearest: Vec<f64>,
    compared: Vec<usize>,
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
            bounds: Bounds::default(),
            capped: Vec::new(),
            relevance: vec![0.5; rows],
            taken: Vec::new(),
            nearest: vec![0.0; rows],
            compared: vec![0; rows],
            counts: Counts::default(),
        }
    }

    /// Min-max over the open rows; all equal gives 0.5. From here on rows are picked.
    fn scale_relevance(&mut self) {
        min_max(self.candidates, &self.open, &mut self.relevance);
        self.bounds = Bounds::new(self.open.iter().map(|&row| self.bound(row)));
    }

    /// The open row with the largest marginal relevance that no cap keeps out; the earlier of equals.
    ///
    /// A row's similarity to the taken only grows, so its value at last sight is an upper bound (Minoux 1978). The row with the
    /// largest bound is compared with what was taken since, one after the other, until another row's bound is larger, or its
    /// bound is its value.
    fn best(&mut self, limits: CapLimits) -> Option<Pick> {
        while let Some(Bound { row, .. }) = self.bounds.pop() {
            if self.counts.cap(self.candidates[row].facts, limits).is_some() {
                self.capped.push(row);
                continue;
            }
            if self.compared[row] == 0 {
                // Rows are first looked at in their order.
                self.similarity.expect(row + AHEAD);
            }
            while self.compared[row] < self.taken.len() {
                self.compare(row);
                if self.bounds.peek().is_some_and(|next| *next > self.bound(row)) {
                    break;
                }
            }
            let bound = self.bound(row);
            if self.bounds.peek().is_none_or(|next| *next < bound) {
                return Some(Pick { row, relevance: self.relevance[row], penalty: self.penalty(row) });
            }
            self.bounds.push(bound);
        }
        None
    }

    /// Other caps hold from here on: they may keep out fewer.
    fn reopen(&mut self) {
        let capped = std::mem::take(&mut self.capped);
        for row in capped {
            self.bounds.push(self.bound(row));
        }
    }

    fn bound(&self, row: usize) -> Bound {
        Bound::new(self.value(row), row)
    }

    fn value(&self, row: usize) -> f64 {
        self.lambda * self.relevance[row] - self.penalty(row)
    }

    fn penalty(&self, row: usize) -> f64 {
        (1.0 - self.lambda) * self.nearest[row]
    }

    /// Compares a row with the next of the taken.
    fn compare(&mut self, row: usize) {
        let similarity = self.similarity.of(self.taken[self.compared[row]], row);
        self.nearest[row] = self.nearest[row].max(similarity);
        self.compared[row] += 1;
    }

    fn take(&mut self, row: usize) {
        let Ok(place) = self.open.binary_search(&row) else { return };
        self.open.remove(place);
        self.taken.push(row);
        self.counts.add(self.candidates[row].facts);
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
