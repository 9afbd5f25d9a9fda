//! The playing order of a chosen set (PIPELINE.md §9).
//!
//! Minimises `Σ (energy − target)² + a·Σ transition + b·artist closeness`: the target is the recipe's energy arc
//! mapped onto the set's own range of energy; a transition is how far two neighbours are apart in tempo (octaves, half
//! and double time forgiven), key (circle of fifths) and loudness. What no gain can buy: explored tracks never stand
//! in the first three slots, and tracks of one artist stand at least the recipe's gap apart wherever the set allows it.
//! Slot 0 is the safest track. The set itself was chosen before; ordering never changes it.

mod cost;
mod exact;
mod search;

use std::collections::BTreeSet;

use crate::pipeline::explore::{SAFE_SLOTS, place};
use crate::pipeline::facts::TrackFacts;
use crate::pipeline::recipe::EnergyArc;
use cost::Instance;

/// One track of the set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SequenceTrack<'a> {
    /// The track.
    pub facts: &'a TrackFacts,
    /// How sure the listener is to like it, any scale; the largest opens the list.
    pub safety: f64,
    /// Whether it is an exploration.
    pub explored: bool,
}

/// A playing order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sequence {
    /// Rows of the set, first to last.
    pub order: Vec<usize>,
    /// What was minimised, at this order.
    pub cost: f64,
    /// Root mean square of energy against its target.
    pub energy_error: f64,
    /// Tracks of one artist are at least so many positions apart (1 = may touch).
    pub artist_gap: usize,
    /// What could not be kept, in words.
    pub notes: Vec<String>,
}

/// Orders a set. `explored_slots` says which slots explore (from [`place`], as many as there are explored tracks;
/// another number is spread anew). The slots yield where artists would otherwise stand too close, but never into the
/// first three.
///
/// Exact for up to 9 tracks; otherwise rank-matching improved by exchanges until none gains, for up to about 100
/// tracks; larger sets stop after a fixed number of comparisons.
#[must_use]
pub fn sequence(
    tracks: &[SequenceTrack<'_>],
    explored_slots: &[bool],
    arc: &EnergyArc,
    artist_gap: usize,
) -> Sequence {
    if tracks.is_empty() {
        return Sequence { artist_gap: artist_gap.max(1), ..Sequence::default() };
    }
    let mut instance = Instance::new(tracks, &slots_of(tracks, explored_slots), arc);
    let asked = artist_gap.max(1);
    let safest = first_candidates(tracks, &instance);
    for gap in (1..=asked.min(largest_gap(&instance, asked))).rev() {
        instance.gap = gap;
        for fixed_slots in [true, false] {
            instance.fixed_slots = fixed_slots;
            for &first in &safest {
                if let Some(order) = solve(&instance, first) {
                    return finish(&instance, order, asked, first == safest[0]);
                }
            }
        }
    }
    // Not reached: a gap of 1 asks nothing. Kept total all the same.
    finish(&instance, search::rank_match(&instance, safest[0]), asked, true)
}

/// The largest distance between tracks of one artist that the set allows: `(c_max − 1)·gap + m ≤ n` with `c_max` the
/// most tracks of one artist and `m` the number of artists with so many.
fn largest_gap(instance: &Instance, asked: usize) -> usize {
    let most = instance.rows_of.iter().map(Vec::len).max().unwrap_or(1);
    if most < 2 {
        return asked;
    }
    let with_most = instance.rows_of.iter().filter(|rows| rows.len() == most).count();
    (instance.len().saturating_sub(with_most) / (most - 1)).clamp(1, asked)
}

/// The explored slots to use: as given if they fit the set.
fn slots_of(tracks: &[SequenceTrack<'_>], given: &[bool]) -> Vec<bool> {
    let explored = tracks.iter().filter(|track| track.explored).count();
    let fits = given.len() == tracks.len()
        && given.iter().filter(|&&slot| slot).count() == explored
        && given.iter().take(SAFE_SLOTS).all(|&slot| !slot);
    if fits { given.to_vec() } else { place(tracks.len(), explored, 0) }
}

/// Who may open the list: the safest track, then the safest of the artists with most tracks (when the set is so full
/// of them that one must come first), and of a few tracks the safest of each artist: where some explore, another one may have to come
/// first.
fn first_candidates(tracks: &[SequenceTrack<'_>], instance: &Instance) -> Vec<usize> {
    let safest = |rows: &mut dyn Iterator<Item = usize>| {
        rows.reduce(|best, row| if tracks[row].safety > tracks[best].safety { row } else { best })
    };
    let known = |row: &usize| !instance.explored[*row];
    let most = instance.rows_of.iter().map(Vec::len).max().unwrap_or(0);
    let rows = 0..tracks.len();
    let mut candidates: Vec<usize> = [
        safest(&mut rows.clone().filter(known)),
        safest(&mut rows.clone().filter(known).filter(|&row| instance.count_of(row) == most)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if tracks.len() <= exact::TRACKS_MAX {
        let mut others: Vec<usize> = (0..tracks.len()).filter(known).collect();
        others.sort_by(|&a, &b| tracks[b].safety.total_cmp(&tracks[a].safety));
        candidates.extend(others);
    }
    let mut seen = BTreeSet::new();
    candidates.retain(|&row| seen.insert(instance.artist[row]));
    candidates
}

/// An order that keeps the gap, or `None` when none was found.
fn solve(instance: &Instance, first: usize) -> Option<Vec<usize>> {
    let mut best = search::rank_match(instance, first);
    search::improve(instance, &mut best);
    if instance.violations(&best) > 0 {
        let mut spaced = search::spaced(instance, first);
        search::improve(instance, &mut spaced);
        if instance.cost(&spaced) < instance.cost(&best) {
            best = spaced;
        }
    }
    if instance.len() <= exact::TRACKS_MAX {
        best = exact::search(instance, best);
    }
    (instance.violations(&best) == 0).then_some(best)
}

fn finish(instance: &Instance, order: Vec<usize>, asked: usize, safest_first: bool) -> Sequence {
    let mut notes = Vec::new();
    if instance.gap < asked {
        notes.push(format!(
            "tracks of one artist are at least {} apart instead of {asked}: too few other artists",
            instance.gap
        ));
    }
    if !safest_first {
        notes
            .push("another track than the safest comes first, to keep tracks of one artist apart".to_owned());
    }
    Sequence {
        cost: instance.cost(&order),
        energy_error: instance.energy_error(&order),
        artist_gap: instance.gap,
        order,
        notes,
    }
}

#[cfg(test)]
mod tests;
