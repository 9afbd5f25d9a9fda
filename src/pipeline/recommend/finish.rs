//! From the chosen set to the reply: playing order, last check of the rules, titles, reasons, the impression token.

use super::choose::{ChosenSet, Explored};
use super::plan::Plan;
use super::rank::Ranking;
use super::reason::Reasons;
use super::user_vector::UserVector;
use crate::error::{Error, Result};
use crate::pipeline::blend::SourceList;
use crate::pipeline::candidate::Candidate;
use crate::pipeline::diversify::Pick;
use crate::pipeline::explain::{explanation, shortfall};
use crate::pipeline::explore::{fill_slots, place};
use crate::pipeline::hydrate::reply_of;
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::Source;
use crate::pipeline::request::{RecommendRequest, Recommendation, RecommendedTrack, SourceOffer};
use crate::pipeline::sequence::{SequenceTrack, sequence};
use crate::pipeline::sources::Retrieved;
use crate::types::TrackRef;

/// One place of the finished list.
pub(super) struct Slot {
    /// The candidate.
    pub row: usize,
    /// Its place among the exploration slots, if it is one.
    pub explored: Option<usize>,
    /// Its choice, otherwise.
    pick: Option<Pick>,
}

impl Slot {
    /// The choice of an exploration slot.
    fn explored(&self, set: &ChosenSet) -> Option<Explored> {
        self.explored.map(|at| set.explored[at])
    }

    /// The source of the arm of an exploration slot.
    fn source(&self, set: &ChosenSet) -> Option<Source> {
        self.explored(set).map(|slot| slot.arm.source)
    }
}

/// Orders the set and makes the reply.
///
/// # Errors
/// Damaged files; `Internal` if a chosen track broke a hard rule (a bug, and never shown), `Unavailable` if it is on another node, where
/// it may have changed meanwhile.
pub(super) fn finish(
    reader: &Reader<'_>,
    request: &RecommendRequest,
    plan: &Plan,
    retrieved: &Retrieved,
    ranking: &Ranking<'_>,
    set: &ChosenSet,
    vector: &UserVector,
) -> Result<(Recommendation, Vec<TrackRef>)> {
    let mut relaxed = set.relaxed.clone();
    let slots = order(plan, ranking, set, &mut relaxed);
    let mut tracks = Vec::with_capacity(slots.len());
    let mut reasons = Reasons::new(reader, plan, retrieved, vector.step);
    let shown_tracks = slots.iter().map(|slot| ranking.candidates[slot.row].track());
    let seeds =
        slots.iter().filter_map(|slot| reasons.seed_of(&ranking.candidates[slot.row], slot.source(set)));
    reader.expect_rows(shown_tracks.chain(seeds))?;
    for slot in &slots {
        let candidate = &ranking.candidates[slot.row];
        tracks.push(shown(reader, request, plan, set, slot, candidate, &mut reasons)?);
    }
    let mut degraded: Vec<String> = retrieved
        .lists
        .iter()
        .filter(|list| list.hits.is_empty() && plan.is_asked(list.source))
        .map(|list| format!("source had nothing to offer: {}", list.source.as_str()))
        .collect();
    degraded.extend(plan.unknown_seeds.iter().map(|id| format!("seed not found: {id}")));
    if reader.statistics_unreadable {
        degraded.push(
            "statistics cannot be read and are derived again: sources that ask them had nothing to offer"
                .to_owned(),
        );
    }
    degraded.extend(
        reader.missing.shards().into_iter().map(|shard| format!("user shard did not answer: users-{shard}")),
    );
    degraded.extend(reader.missing_words());
    degraded.extend(shortfall(plan.n, tracks.len(), plan.recipe.released_within_days));
    let listed = slots.iter().map(|slot| ranking.candidates[slot.row].track()).collect();
    let reply = Recommendation {
        user_id: Some(request.user_id.clone()),
        recipe: plan.recipe.reference(),
        experiment: plan.assignment.clone(),
        request_id: plan.request_id.clone(),
        seed: plan.seed,
        cold_start: vector.step.as_str().to_owned(),
        degraded,
        relaxed,
        searches: retrieved.reports.clone(),
        impression: super::token::token(reader, request, plan, ranking, set, &slots),
        tracks,
        offers: if request.offers { offers(reader, retrieved)? } else { Vec::new() },
        funnel: None,
        ..reply_of(reader, plan.as_of, reader.generation)
    };
    Ok((reply, listed))
}

/// Puts the set in playing order: exploration slots where they belong, the rest by energy and flow, or by choice.
fn order(plan: &Plan, ranking: &Ranking<'_>, set: &ChosenSet, relaxed: &mut Vec<String>) -> Vec<Slot> {
    let picks = set.picks.iter().map(|pick| Slot { row: pick.row, explored: None, pick: Some(*pick) });
    let explored = set.explored.iter().enumerate();
    let explored = explored.map(|(at, slot)| Slot { row: slot.row, explored: Some(at), pick: None });
    let mut all: Vec<Option<Slot>> = picks.chain(explored).map(Some).collect();
    let places = place(all.len(), set.explored.len(), plan.seed);
    if plan.recipe.sequence {
        let members: Vec<SequenceTrack<'_>> = all
            .iter()
            .flatten()
            .map(|slot| SequenceTrack {
                facts: ranking.candidates[slot.row].facts,
                safety: ranking.candidates[slot.row].score,
                explored: slot.explored.is_some(),
            })
            .collect();
        let found = sequence(&members, &places, &plan.recipe.energy_arc, plan.recipe.artist_gap as usize);
        relaxed.extend(found.notes);
        return found.order.into_iter().filter_map(|row| all[row].take()).collect();
    }
    let rows: Vec<usize> = (0..all.len()).collect();
    let (picks, explored) = rows.split_at(set.picks.len());
    fill_slots(picks, explored, &places).into_iter().filter_map(|row| all[row].take()).collect()
}

/// What each source offered, by the callers' ids.
fn offers(reader: &Reader<'_>, retrieved: &Retrieved) -> Result<Vec<SourceOffer>> {
    let name = |&(track, score): &(TrackRef, f64)| Ok((reader.row(track)?.track.track_id.clone(), score));
    let offer = |list: &SourceList| {
        reader.expect_rows(list.hits.iter().map(|(track, _)| *track))?;
        let tracks = list.hits.iter().map(name).collect::<Result<_>>()?;
        Ok(SourceOffer { source: list.source.as_str().to_owned(), tracks })
    };
    retrieved.lists.iter().map(offer).collect()
}

/// A track as the caller sees it. The rules are asked once more, of the row itself.
fn shown(
    reader: &Reader<'_>,
    request: &RecommendRequest,
    plan: &Plan,
    set: &ChosenSet,
    slot: &Slot,
    candidate: &Candidate<'_>,
    reasons: &mut Reasons<'_>,
) -> Result<RecommendedTrack> {
    let track = candidate.track();
    let row = reader.row(track)?;
    let blocked =
        plan.recipe.rules && plan.listener.blocked_artists().any(|artist| row.artists.contains(&artist));
    if !plan.class.allows(&row) || blocked {
        let id = &row.track.track_id;
        if !reader.is_here(track) {
            return Err(Error::Unavailable(format!(
                "a track changed while the list was made: ask again. track_id=`{id}`"
            )));
        }
        let rule = match (blocked, row.deleted) {
            (true, _) => "blocked artist",
            (_, true) => "taken down",
            _ => "region or explicit",
        };
        return Err(Error::Internal(format!(
            "a chosen track breaks a hard rule. track_id=`{id}`, rule=`{rule}`, track=`{track:?}`, versions=`{:?}`",
            reader.tracks.versions()
        )));
    }
    let explored = slot.explored(set);
    let arm = explored.map(|explored| (explored.arm, explored.propensity));
    let explanation = request.explain.then(|| explanation(candidate, slot.pick.as_ref(), arm));
    Ok(RecommendedTrack {
        track_id: row.track.track_id.clone(),
        title: row.track.title.clone(),
        artists: row.track.artists.iter().map(|artist| artist.name.clone()).collect(),
        score: candidate.score,
        sources: candidate.parts.iter().map(|part| part.source.as_str().to_owned()).collect(),
        explored: explored.is_some(),
        reason: reasons.of(candidate, &row, slot.source(set))?,
        explanation,
    })
}
