//! *Explain*: why a track is, or is not, in a list (PIPELINE.md §10).

use super::explain::Verdict;
use super::reader::Reader;
use super::recommend::{Outcome, Ranked, run};
use super::request::{ExplainRequest, Explanation, RecommendRequest};
use crate::error::{Error, Result};
use crate::types::TrackRef;

/// Runs the request again and says what became of the track: its place, or the stage that dropped it.
///
/// # Errors
/// `NotFound` for an unknown track or user; as for the request.
pub fn explain(reader: &Reader<'_>, request: &ExplainRequest) -> Result<Explanation> {
    let track =
        reader.find(&request.track_id)?.ok_or_else(|| Error::not_found("track", &request.track_id))?;
    let title = reader.row(track)?.track.title.clone();
    let outcome = run(reader, &RecommendRequest { explain: true, ..request.request.clone() }, true)?;
    let position = outcome.listed.iter().position(|listed| *listed == track);
    if let Some(position) = position {
        let shown = &outcome.reply.tracks[position];
        return Ok(Explanation {
            track_id: request.track_id.clone(),
            title,
            recipe: outcome.reply.recipe.clone(),
            experiment: outcome.reply.experiment.clone(),
            listed: true,
            position: u32::try_from(position).ok(),
            stage: Verdict::Listed(position).stage().to_owned(),
            reason: shown.reason.clone(),
            scores: shown.explanation.clone(),
        });
    }
    let verdict = why_not(reader, &outcome, track)?;
    Ok(Explanation {
        track_id: request.track_id.clone(),
        title,
        recipe: outcome.reply.recipe.clone(),
        experiment: outcome.reply.experiment.clone(),
        listed: false,
        position: None,
        stage: verdict.stage().to_owned(),
        reason: verdict.words(),
        scores: outcome.candidates.get(&track).map(|ranked| ranked.scores.clone()),
    })
}

/// The stage that dropped a track, the first that would have.
fn why_not(reader: &Reader<'_>, outcome: &Outcome, track: TrackRef) -> Result<Verdict> {
    let plan = &outcome.plan;
    if let Some(verdict) = plan.left_out(reader, track)? {
        return Ok(verdict);
    }
    // A track that the blend left behind may still have been looked at to fill a short list.
    if let Some(place) = outcome.cut.iter().position(|left| *left == track) {
        let kept = outcome.offered().count();
        return Ok(Verdict::Blend(kept + place, kept));
    }
    let offered = outcome.candidates.get(&track).filter(|ranked| ranked.is_offered());
    Ok(match offered {
        None => {
            Verdict::Retrieval(plan.recipe.sources.iter().map(|spec| (spec.source, spec.depth)).collect())
        }
        Some(Ranked { cap: Some(cap), .. }) => Verdict::Cap(*cap),
        Some(ranked) => Verdict::Diversity(ranked.rank as usize),
    })
}
