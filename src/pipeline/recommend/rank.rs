//! From lists to one ranking: facts, blend, session.

use super::plan::Plan;
use crate::error::Result;
use crate::pipeline::blend::{Blended, blend, weights_at};
use crate::pipeline::candidate::{Candidate, Parts};
use crate::pipeline::cold_start::ColdStart;
use crate::pipeline::editorial::{holding, weigh};
use crate::pipeline::facts::TrackFacts;
use crate::pipeline::learn::{known, reweighed, shrunk};
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::{Maturity, Source};
use crate::pipeline::session_rank::{self, Moment, session_rank};
use crate::pipeline::sources::Retrieved;
use crate::pipeline::spaces::{audio, track_cf};
use crate::pipeline::statistics::own_weights;
use crate::pipeline::vectors::UnitRows;
use crate::types::{GenerationId, TrackRef};

/// Candidates the stages after the blend look at, at most.
const POOL_MAX: usize = 600;

/// Candidates best first, with their vectors beside them.
pub struct Ranking<'a> {
    /// Best first.
    pub candidates: Vec<Candidate<'a>>,
    /// Audio vectors in the same order.
    pub audio: UnitRows<'a>,
    /// Track-space vectors in the same order; none while every candidate has an audio vector to be compared by.
    pub track: UnitRows<'a>,
}

impl<'a> Ranking<'a> {
    /// Appends tracks that no source returned, below all others, in their order.
    ///
    /// # Errors
    /// Those of the nodes that were asked.
    pub fn append(&mut self, reader: &'a Reader<'_>, facts: &'a [TrackFacts]) -> Result<()> {
        let (audio, generation) = (audio(), GenerationId::STATIC);
        reader.expect_vectors(&audio, generation, facts.iter().map(|facts| facts.track))?;
        for (place, facts) in facts.iter().enumerate() {
            let mut candidate = Candidate::new(facts, Parts::new(), 0.0);
            candidate.score = -1e-6 * place as f64;
            self.candidates.push(candidate);
            self.audio.push(reader.vector(&audio, generation, facts.track));
        }
        self.track = track_rows(reader, &self.candidates, &self.audio)?;
        Ok(())
    }
}

/// One score for each track that a source returned, best first: as many as the later stages look at, and the names of the rest in
/// their order.
///
/// * `step`: what gave the listener's vector.
///
/// # Errors
/// Those of the nodes that were asked.
pub fn blended(
    reader: &Reader<'_>,
    plan: &Plan,
    retrieved: &Retrieved,
    step: ColdStart,
) -> Result<(Vec<Blended>, Vec<TrackRef>)> {
    let key = |track| reader.key(track);
    let mut blended = blend(&retrieved.lists, &weights(reader, plan, step), plan.recipe.normalization, key);
    let most = POOL_MAX.max(plan.n).min(blended.len());
    let cut = blended.drain(most..).map(|blended| blended.track).collect();
    Ok((blended, cut))
}

/// Bends the blended scores by session, context and novelty; `facts` are those of the blended tracks, in their order.
///
/// # Errors
/// Those of the nodes that were asked.
pub fn rank<'a>(
    reader: &'a Reader<'_>,
    plan: &Plan,
    blended: Vec<Blended>,
    facts: &'a [TrackFacts],
) -> Result<Ranking<'a>> {
    let listener = &plan.listener;
    let mut candidates: Vec<Candidate<'a>> = blended
        .into_iter()
        .zip(facts)
        .map(|(blended, facts)| Candidate::new(facts, blended.parts, blended.base))
        .collect();
    let session = listener.session(plan.as_of);
    let moment = moment(plan);
    let region = listener.state.user.region;
    weigh(&mut candidates, &holding(&plan.recipe.editorial, &listener.profile, &moment, region));
    let tracks: Vec<TrackRef> = candidates.iter().map(Candidate::track).collect();
    let audio_rows = reader.unit_rows(&audio(), GenerationId::STATIC, &tracks)?;
    let skips: Vec<TrackRef> = session.skips.iter().map(|facts| facts.track).collect();
    let skip_vectors = reader.unit_rows(&audio(), GenerationId::STATIC, &skips)?;
    let who = session_rank::Listener {
        profile: &listener.profile,
        session: &session,
        skip_vectors: &skip_vectors,
        moment: &moment,
    };
    let order = session_rank(&mut candidates, &audio_rows, &who, plan.recipe.personal_weight);
    let audio = audio_rows.select(&order);
    Ok(Ranking { track: track_rows(reader, &candidates, &audio)?, audio, candidates })
}

/// Track-space vectors of the candidates, if any of them needs to be compared there.
fn track_rows<'a>(
    reader: &'a Reader<'_>,
    candidates: &[Candidate<'_>],
    audio: &UnitRows<'_>,
) -> Result<UnitRows<'a>> {
    let all_heard = (0..candidates.len()).all(|row| audio.is_present(row));
    match reader.generation.filter(|_| !all_heard) {
        Some(generation) => {
            let tracks: Vec<TrackRef> = candidates.iter().map(Candidate::track).collect();
            reader.unit_rows(&track_cf(), generation, &tracks)
        }
        None => Ok(UnitRows::default()),
    }
}

/// The recipe's weights for the listener's maturity, or what was learnt in their place. Whoever has named artists or genres has told as much as
/// the plays of the middle column do: in the first one, what they named would weigh nothing.
fn weights(reader: &Reader<'_>, plan: &Plan, step: ColdStart) -> Vec<(Source, f64)> {
    let told = if step == ColdStart::Onboarding { Maturity::PLAYS[1] } else { 0 };
    let weights = weights_at(&plan.recipe, plan.listener.plays.max(told));
    if !plan.recipe.learned_weights {
        return weights;
    }
    let own = own_weights(&plan.listener.state, plan.as_of);
    let everybody = &reader.statistics.weights;
    let learnt = shrunk(&own, everybody);
    reweighed(&weights, &learnt, &known(&learnt, &own, everybody))
}

pub(super) fn moment(plan: &Plan) -> Moment {
    let shift_ms = i64::from(plan.context.utc_offset_min) * 60_000;
    let local = crate::types::Timestamp(plan.as_of.0.saturating_add(shift_ms));
    Moment {
        hour: local.hour(),
        weekday: local.weekday(),
        device: plan.context.device.clone(),
        activity: plan.context.activity.clone(),
    }
}
