//! Fold-in: the vector of a listener whose plays the generation was not trained on (PIPELINE.md §2).

use std::collections::BTreeMap;

use super::plan::Plan;
use crate::error::{Error, Result};
use crate::pipeline::folded_in::Basis;
use crate::pipeline::reader::Reader;
use crate::pipeline::spaces::track_cf;
use crate::storage::meta::GramData;
use crate::train::{EventWeight, Observed, WeightParams, solve_row};
use crate::types::{GenerationId, Timestamp, TrackRef};

/// What was said of each track.
type Sums = BTreeMap<TrackRef, EventWeight>;

/// Solves the trainer's row for all that the listener played up to the request, with the generation's weights and its decay
/// frozen at its reference time. Events are weighed and added up as the trainer does it.
///
/// Where nodes that hold the listener cannot say what was played longer ago than the view of them reaches, a track that was
/// heard then counts once, as old as its last time, and the shard is missing.
///
/// Cost: one range of the listener's older events, 24 bytes each, and [`solve_row`] of all tracks heard. The vector is kept with
/// what is derived of an active listener whose shard is here, as long as that is and no track shard changes.
///
/// `None` when the generation cannot fold in or no liked track has a vector.
///
/// # Errors
/// Corrupt Gram data; damaged files; those of the nodes that were asked.
pub fn fold_in(reader: &Reader<'_>, plan: &Plan, generation: GenerationId) -> Result<Option<Vec<f32>>> {
    let (Some(gram), Some(oldest)) = (&reader.gram, plan.listener.state.plays.last()) else {
        return Ok(None);
    };
    // What is derived of a listener is told apart by the events it keeps: of older ones it may not know whether the request is before them.
    let is_kept = plan.as_of >= oldest.at;
    let (basis, kept) = (Basis::of(reader, generation), &plan.listener.folded_in);
    if let Some(vector) = kept.find(&basis).filter(|_| is_kept) {
        return Ok(vector);
    }
    let trained = WeightParams { half_life_days: gram.half_life_days, reference_time: gram.reference_time };
    let (sums, is_whole) = add_up(reader, plan, oldest.at, &trained)?;
    let vector = solve(reader, gram, generation, sums)?;
    if is_kept && is_whole && reader.is_whole() {
        kept.keep(basis, vector.clone());
    }
    Ok(vector)
}

fn solve(
    reader: &Reader<'_>,
    gram: &GramData,
    generation: GenerationId,
    sums: Sums,
) -> Result<Option<Vec<f32>>> {
    let space = track_cf();
    reader.expect(sums.keys().copied())?;
    reader.expect_vectors(&space, generation, sums.keys().copied())?;
    // In an order that does not depend on places: it decides the last bits of the sums.
    let mut weights: Vec<(TrackRef, EventWeight)> = sums.into_iter().collect();
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

/// What the listener's events up to the request say of each track, and whether it is all of them; `oldest` is the time of
/// the oldest that their view keeps.
fn add_up(
    reader: &Reader<'_>,
    plan: &Plan,
    oldest: Timestamp,
    trained: &WeightParams,
) -> Result<(Sums, bool)> {
    let state = &plan.listener.state;
    let mut sums = Sums::new();
    // Of several events at the oldest moment the view may keep some only: all of them are read.
    let until = oldest.min(plan.as_of);
    let older = reader.users.plays_until(&state.user.user_id, until, &reader.missing).map_err(Error::from)?;
    let after = if older.is_some() { oldest } else { Timestamp(i64::MIN) };
    for event in plan.listener.events().filter(|event| event.at > after && event.at <= plan.as_of) {
        let decay = trained.decay(event.at);
        let said = EventWeight::of(event.action, event.listened_ms, event.facts.duration_ms, decay);
        add(&mut sums, event.facts.track, said);
    }
    reader.expect(older.iter().flatten().map(|play| play.track))?;
    for play in older.iter().flatten() {
        let (duration_ms, decay) = (reader.duration_ms(play.track), trained.decay(play.at));
        add(&mut sums, play.track, EventWeight::of(play.action, play.listened_ms, duration_ms, decay));
    }
    if older.is_none() {
        let heard = &state.heard;
        for (track, last) in heard.tracks.iter().zip(&heard.last).filter(|(_, last)| **last <= plan.as_of) {
            let once = EventWeight { liked: trained.decay(*last), disliked: 0.0 };
            sums.entry(*track).or_insert(once);
        }
    }
    Ok((sums, older.is_some()))
}

fn add(sums: &mut Sums, track: TrackRef, said: EventWeight) {
    let sum = sums.entry(track).or_default();
    sum.liked += said.liked;
    sum.disliked += said.disliked;
}
