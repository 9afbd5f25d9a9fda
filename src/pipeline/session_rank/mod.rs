//! Bending the order to the moment (PIPELINE.md §6): session, context and novelty against the base score.
//!
//! `final = (1−γ)·base + γ·personal`. The textbook form drops the base altogether, so that one skip reorders
//! everything; that is γ = 1 here, and γ = 0 keeps the base order exactly.

mod context;

use context::GenreShares;
pub use context::{ContextFit, Moment, energy_fit, target_energy};

use super::candidate::{Candidate, best_first, order_by};
use super::facts::{TrackFacts, finite};
use super::profile::{Session, TasteProfile};
use super::vectors::{UnitRow, UnitRows};

/// Cosine in the audio space from which a track counts as similar to a skipped one.
pub const SKIP_SIMILARITY: f32 = 0.8;
/// What every track has when a part cannot be told.
const NEUTRAL: f64 = 0.5;

/// What the candidates are judged by.
#[derive(Debug, Clone, Copy)]
pub struct Listener<'a> {
    /// What they like.
    pub profile: &'a TasteProfile,
    /// What they do now.
    pub session: &'a Session<'a>,
    /// Audio vectors of [`Session::skips`], in that order.
    pub skip_vectors: &'a UnitRows<'a>,
    /// When and how they listen.
    pub moment: &'a Moment,
}

/// Scores every candidate and sorts them best first. `audio` holds the candidates' audio vectors in their order
/// **before** sorting; the result is, for each place of the new order, the old place, so that rows can follow.
/// `gamma` is the recipe's personal weight, 0 to 1.
pub fn session_rank(
    candidates: &mut Vec<Candidate<'_>>,
    audio: &UnitRows<'_>,
    listener: &Listener<'_>,
    gamma: f64,
) -> Vec<usize> {
    let context = ContextFit::new(listener.profile, listener.moment);
    let shares = GenreShares::new(&listener.profile.genres);
    for (row, candidate) in candidates.iter_mut().enumerate() {
        candidate.session = session_fit(candidate.facts, || audio.row(row), listener);
        candidate.context = context.of(candidate.facts);
        candidate.novelty = novelty(candidate.facts, &shares);
        candidate.score = (1.0 - gamma) * candidate.base + gamma * personal(candidate);
    }
    let tie = |a: usize, b: usize| {
        let (a, b) = (&candidates[a], &candidates[b]);
        best_first((a.score, &a.parts), (b.score, &b.parts)).then(a.facts.key.cmp(&b.facts.key))
    };
    let order = order_by(candidates.len(), |place| candidates[place].score, tie);
    let mut slots: Vec<Option<Candidate<'_>>> = candidates.drain(..).map(Some).collect();
    candidates.extend(order.iter().filter_map(|&row| slots[row].take()));
    order
}

/// `0.5·session + 0.3·context + 0.2·novelty`.
#[must_use]
pub fn personal(candidate: &Candidate<'_>) -> f64 {
    0.5 * candidate.session + 0.3 * candidate.context + 0.2 * candidate.novelty
}

/// `clamp(1 − 0.5·|energy − mood| − 0.3·[similar to a skip] + 0.1·[artist of an earlier play], 0, 1)`; 0.5 without a
/// session. An unknown energy is no distance. The audio vector is only read where there is a skip to compare it with.
fn session_fit<'a>(
    facts: &TrackFacts,
    audio: impl FnOnce() -> Option<UnitRow<'a>>,
    listener: &Listener<'_>,
) -> f64 {
    let session = listener.session;
    if session.is_empty() {
        return NEUTRAL;
    }
    let mood = session.mood.and_then(|mood| mood.energy);
    let distance = match (finite(facts.audio.energy), mood) {
        (Some(energy), Some(mood)) => (energy - mood).abs(),
        _ => 0.0,
    };
    let skips = listener.skip_vectors;
    let is_like = |vector: UnitRow<'_>| {
        (0..skips.len()).filter_map(|row| skips.row(row)).any(|skip| skip.cosine(vector) >= SKIP_SIMILARITY)
    };
    let like_a_skip = !skips.is_empty() && audio().is_some_and(is_like);
    let familiar = facts
        .primary_artist()
        .is_some_and(|artist| session.earlier_artists().any(|earlier| earlier == artist));
    let fit =
        1.0 - 0.5 * distance - 0.3 * f64::from(u8::from(like_a_skip)) + 0.1 * f64::from(u8::from(familiar));
    fit.clamp(0.0, 1.0)
}

/// 1 − the share of the listener's plays in the track's genres; 0.5 when the track's genres are unknown.
fn novelty(facts: &TrackFacts, shares: &GenreShares) -> f64 {
    if facts.genres.is_empty() {
        return NEUTRAL;
    }
    let share: f64 = facts.genres.iter().map(|&(genre, _)| shares.of(genre)).sum();
    (1.0 - share).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests;
