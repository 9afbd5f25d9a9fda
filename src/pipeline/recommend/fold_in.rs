//! Fold-in: the vector of a listener whose plays the generation was not trained on (PIPELINE.md §2).

use std::collections::BTreeMap;

use super::plan::Plan;
use crate::error::Result;
use crate::pipeline::reader::Reader;
use crate::pipeline::signals::{Signal, decay, signal};
use crate::pipeline::spaces::track_cf;
use crate::train::{Observed, solve_row};
use crate::types::{GenerationId, Timestamp, TrackRef};

/// Solves the trainer's row for the listener's plays up to the request, with the generation's weights and its decay frozen
/// at its reference time. Plays older than the kept events count once, as old as their last time.
///
/// `None` when the generation cannot fold in or no played track has a vector.
///
/// # Errors
/// `Corrupt` Gram data.
pub fn fold_in(reader: &Reader<'_>, plan: &Plan, generation: GenerationId) -> Result<Option<Vec<f32>>> {
    let Some(gram) = &reader.gram else { return Ok(None) };
    let age = |at: Timestamp| gram.reference_time.days_since(at);
    let mut weights: BTreeMap<TrackRef, (f64, f64)> = BTreeMap::new();
    for event in plan.listener.events().filter(|event| event.at <= plan.as_of) {
        let said = signal(
            event.action,
            event.listened_ms,
            event.facts.duration_ms,
            age(event.at),
            gram.half_life_days,
        );
        let sums = weights.entry(event.facts.track).or_default();
        match said {
            Signal::Like(weight) => sums.0 += weight,
            Signal::Dislike(weight) => sums.1 += weight,
        }
    }
    let heard = &plan.listener.state.heard;
    for (track, last) in heard.tracks.iter().zip(&heard.last).filter(|(_, last)| **last <= plan.as_of) {
        weights.entry(*track).or_insert_with(|| (decay(age(*last), gram.half_life_days), 0.0));
    }
    let space = track_cf();
    // In an order that does not depend on places: it decides the last bits of the sums.
    let mut weights: Vec<(TrackRef, (f64, f64))> = weights.into_iter().collect();
    weights.sort_by_cached_key(|(track, _)| (reader.key(*track), *track));
    let observed: Vec<Observed<'_>> = weights
        .iter()
        .filter_map(|&(track, (liked, disliked))| {
            let vector = reader.vector(&space, generation, track)?;
            let is_liked = liked > 0.0;
            Some(Observed { vector, weight: if is_liked { liked } else { disliked }, liked: is_liked })
        })
        .collect();
    if !observed.iter().any(|one| one.liked) {
        return Ok(None);
    }
    solve_row(gram, &observed).map(Some)
}
