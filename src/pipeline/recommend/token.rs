//! The impression token of a finished list.

use super::choose::ChosenSet;
use super::finish::Slot;
use super::plan::Plan;
use super::rank::Ranking;
use crate::pipeline::impression::{Impression, ImpressionSlot, SlotExploration, candidate_set_hash};
use crate::pipeline::reader::Reader;
use crate::pipeline::request::RecommendRequest;
use crate::types::key_of;

/// Everything feedback needs to know of the list, signed.
pub(super) fn token(
    reader: &Reader<'_>,
    request: &RecommendRequest,
    plan: &Plan,
    ranking: &Ranking<'_>,
    set: &ChosenSet,
    slots: &[Slot],
) -> String {
    let slots = slots.iter().map(|slot| {
        let candidate = &ranking.candidates[slot.row];
        let exploration = slot.explored.map(|at| SlotExploration {
            genre_cluster: set.explored[at].arm.genre_cluster,
            propensity: set.explored[at].propensity,
            draw: u16::try_from(at).unwrap_or(u16::MAX),
            open: u16::try_from(set.explored[at].open).unwrap_or(u16::MAX),
        });
        let arm = slot.explored.map(|at| set.explored[at].arm.source);
        ImpressionSlot { track: candidate.track(), source: arm.or(candidate.main_source()), exploration }
    });
    Impression {
        user_key: key_of(request.user_id.as_str()),
        request_id: plan.request_id.clone(),
        recipe: plan.recipe.reference(),
        experiment: plan.assignment.clone(),
        surface: request.surface.as_str().to_owned(),
        generation: reader.generation,
        as_of: plan.as_of,
        seed: plan.seed,
        candidates_hash: candidate_set_hash(ranking.candidates.iter().map(|candidate| candidate.track())),
        slots: slots.collect(),
    }
    .encode(&reader.impression_key)
}
