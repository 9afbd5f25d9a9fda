//! Which tracks of a pool are explored, and with what probability.

use super::{Stream, rng};
use crate::pipeline::facts::TrackFacts;
use crate::pipeline::recipe::Source;

/// What a learnt policy would keep a posterior of: a source and a cluster of genres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Arm {
    /// The source the track came from.
    pub source: Source,
    /// Number of its genre cluster; 0 when its genres are in none.
    pub genre_cluster: u16,
}

impl std::fmt::Display for Arm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.source.as_str(), self.genre_cluster)
    }
}

/// A track that may be explored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PoolTrack<'a> {
    /// The track.
    pub facts: &'a TrackFacts,
    /// Its arm.
    pub arm: Arm,
    /// How promising it looks; larger is better, any scale.
    pub value: f64,
}

/// How a choice balances promise and chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChoicePolicy {
    /// Share of draws made uniformly, 0 to 1: every track of the pool keeps a chance of at least `epsilon / pool`.
    pub epsilon: f64,
    /// Temperature of the rest, above 0, on values min-maxed over the pool: small = the most promising.
    pub temperature: f64,
    /// At most so many tracks of one primary artist, and of one album, among the chosen; 0 = any number.
    pub caps: DrawCaps,
}

/// How many tracks of one primary artist and of one album may be drawn; 0 = any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DrawCaps {
    /// Of one artist.
    pub artist: u32,
    /// Of one album.
    pub album: u32,
}

impl DrawCaps {
    /// What holds when nothing else is left.
    pub(super) const NONE: Self = Self { artist: 0, album: 0 };
}

/// Share of draws made uniformly by every recipe.
pub const EPSILON: f64 = 0.1;

impl Default for ChoicePolicy {
    fn default() -> Self {
        Self { epsilon: EPSILON, temperature: 0.2, caps: DrawCaps { artist: 1, album: 0 } }
    }
}

/// A track drawn from the pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chosen {
    /// Its row in the pool.
    pub row: usize,
    /// The exact probability of this draw, given the draws before it: `ε/m + (1−ε)·softmax(value/τ)` over the `m`
    /// tracks still open. In `(0, 1]`.
    pub propensity: f64,
    /// How many tracks it was drawn from.
    pub open: usize,
}

/// Draws up to `count` tracks one after the other. A drawn track closes the other versions of its recording, and its
/// artist and its album when these have enough; caps yield when nothing else is left, so the result is short only when the
/// pool has too few recordings. What then exceeds a cap is said of the finished set. Cost: O(pool · count).
#[must_use]
pub fn choose(pool: &[PoolTrack<'_>], count: usize, policy: &ChoicePolicy, seed: u64) -> Vec<Chosen> {
    let weights = softmax_weights(pool, policy.temperature);
    let mut rng = rng(seed, Stream::Choice);
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut doors = Doors::new(pool);
    let mut caps = policy.caps;
    while chosen.len() < count {
        let open: Vec<usize> = (0..pool.len()).filter(|&row| doors.is_open(row, caps)).collect();
        if open.is_empty() {
            if caps == DrawCaps::NONE {
                break;
            }
            caps = DrawCaps::NONE;
            continue;
        }
        let drawn = draw(&open, &weights, policy.epsilon.clamp(0.0, 1.0), rng.uniform());
        doors.take(drawn.row);
        chosen.push(drawn);
    }
    chosen
}

/// What the tracks drawn so far close.
pub(super) struct Doors<'p> {
    pool: &'p [PoolTrack<'p>],
    /// Whether a version of a row's recording was drawn.
    taken: Vec<bool>,
    /// How many tracks of a row's primary artist were drawn, and of its album.
    of_artist: Vec<u32>,
    of_album: Vec<u32>,
}

impl<'p> Doors<'p> {
    pub(super) fn new(pool: &'p [PoolTrack<'p>]) -> Self {
        let none = || vec![0; pool.len()];
        Self { pool, taken: vec![false; pool.len()], of_artist: none(), of_album: none() }
    }

    pub(super) fn is_open(&self, row: usize, caps: DrawCaps) -> bool {
        let has_room = |cap: u32, drawn: u32| cap == 0 || drawn < cap;
        !self.taken[row]
            && has_room(caps.artist, self.of_artist[row])
            && has_room(caps.album, self.of_album[row])
    }

    pub(super) fn take(&mut self, drawn: usize) {
        let facts = self.pool[drawn].facts;
        for (row, other) in self.pool.iter().map(|track| track.facts).enumerate() {
            self.taken[row] |= other.recording == facts.recording;
            let same = facts.primary_artist().is_some() && other.primary_artist() == facts.primary_artist();
            self.of_artist[row] += u32::from(same);
            self.of_album[row] += u32::from(facts.album.is_some() && other.album == facts.album);
        }
    }
}

/// `exp(value/τ)` of values min-maxed over the pool; the largest has 1. Values that are not finite count as lowest.
pub(super) fn softmax_weights(pool: &[PoolTrack<'_>], temperature: f64) -> Vec<f64> {
    let finite = || pool.iter().map(|track| track.value).filter(|value| value.is_finite());
    let (min, max) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let span = if max > min { max - min } else { 1.0 };
    let temperature = temperature.max(1e-3);
    pool.iter()
        .map(|track| {
            let value = if track.value.is_finite() { track.value } else { min.min(max) };
            ((value - max) / span / temperature).exp()
        })
        .map(|weight| if weight.is_finite() { weight } else { 1.0 })
        .collect()
}

/// One draw by inverting the distribution function at `u`, in row order. `open` is not empty.
fn draw(open: &[usize], weights: &[f64], epsilon: f64, u: f64) -> Chosen {
    let total: f64 = open.iter().map(|&row| weights[row]).sum();
    let even = 1.0 / open.len() as f64;
    let probability = |row: usize| {
        let greedy = if total > 0.0 { weights[row] / total } else { even };
        epsilon * even + (1.0 - epsilon) * greedy
    };
    let mut below = 0.0;
    let mut last = Chosen { row: open[0], propensity: probability(open[0]), open: open.len() };
    for &row in open {
        let propensity = probability(row);
        if propensity <= 0.0 {
            continue;
        }
        last = Chosen { row, propensity: propensity.min(1.0), open: open.len() };
        below += propensity;
        if u < below {
            break;
        }
    }
    last
}
