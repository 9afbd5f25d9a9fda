//! Fold-in: the vector of a listener whose plays the generation was not trained on (PIPELINE.md §2).

use std::collections::BTreeMap;

use super::plan::Plan;
use crate::error::Result;
use crate::pipeline::reader::Reader;
use crate::pipeline::spaces::track_cf;
use crate::train::{EventWeight, Observed, WeightParams, solve_row};
use crate::types::{GenerationId, TrackRef};

/// Solves the trainer's row for the listener's plays up to the request, with the generation's weights and its decay frozen
/// at its reference time. Events are weighed and added up as the trainer does it. Plays older than the kept events count
/// once, as old as their last time.
///
/// `None` when the generation cannot fold in or no liked track has a vector.
///
/// # Errors
/// `Corrupt` Gram data.
pub fn fold_in(reader: &Reader<'_>, plan: &Plan, generation: GenerationId) -> Result<Option<Vec<f32>>> {
    let Some(gram) = &reader.gram else { return Ok(None) };
    let trained = WeightParams { half_life_days: gram.half_life_days, reference_time: gram.reference_time };
    let mut weights: BTreeMap<TrackRef, EventWeight> = BTreeMap::new();
    for event in plan.listener.events().filter(|event| event.at <= plan.as_of) {
        let decay = trained.decay(event.at);
        let said = EventWeight::of(event.action, event.listened_ms, event.facts.duration_ms, decay);
        let sums = weights.entry(event.facts.track).or_default();
        sums.liked += said.liked;
        sums.disliked += said.disliked;
    }
    let heard = &plan.listener.state.heard;
    for (track, last) in heard.tracks.iter().zip(&heard.last).filter(|(_, last)| **last <= plan.as_of) {
        let once = EventWeight { liked: trained.decay(*last), disliked: 0.0 };
        weights.entry(*track).or_insert(once);
    }
    let space = track_cf();
    // In an order that does not depend on places: it decides the last bits of the sums.
    let mut weights: Vec<(TrackRef, EventWeight)> = weights.into_iter().collect();
    weights.sort_by_cached_key(|(track, _)| (reader.key(*track), *track));
    let observed: Vec<Observed<'_>> = weights
        .iter()
        .filter(|(_, sums)| !sums.is_silent())
        .filter_map(|(track, sums)| {
            let vector = reader.vector(&space, generation, *track)?;
            let (weight, liked) = sums.verdict();
            Some(Observed { vector, weight, liked })
        })
        .collect();
    if !observed.iter().any(|one| one.liked) {
        return Ok(None);
    }
    solve_row(gram, &observed).map(Some)
}
