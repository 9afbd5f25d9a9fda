//! One request, from plan to finished list; each step is a file.
//!
//! | step | where |
//! |---|---|
//! | recipe, listener, exclusions | `plan` |
//! | candidates of every source | [`super::sources`] |
//! | one score each | [`super::blend`], [`super::session_rank`] |
//! | the listener's vector | `user_vector`, `fold_in` |
//! | the set: exploration, diversity, caps | `choose` |
//! | what to do when it is short | `fill` |
//! | playing order | [`super::sequence`] |
//! | last check of the rules, titles, reasons | `finish` |

mod choose;
mod fill;
mod finish;
mod fold_in;
mod note;
mod plan;
mod pool;
mod rank;
mod reason;
mod token;
mod user_vector;

pub use plan::{Plan, Windows};
#[cfg(test)]
pub(crate) use user_vector::{UserVector, user_vector};

use std::cell::OnceCell;
use std::collections::BTreeMap;

use super::diversify::{Cap, left_out};
use super::explain::explanation;
use super::reader::Reader;
use super::request::{RecommendRequest, Recommendation, TrackExplanation};
use super::sources::{Retrieved, SourceRequest, retrieve};
use super::spaces::audio;
use crate::error::Result;
use crate::telemetry::StageClock;
use crate::types::{GenerationId, TrackRef};

/// Everything a request computed: the reply, and what explains it.
pub struct Outcome {
    /// The finished list.
    pub reply: Recommendation,
    /// What was asked of which listener.
    pub plan: Plan,
    /// The listed tracks, first to last.
    pub listed: Vec<TrackRef>,
    /// Candidates: place in the ranking, numbers, and the cap that kept it out, if one did.
    pub candidates: BTreeMap<TrackRef, Ranked>,
    /// What sources offered besides, and the blend left behind, best first.
    pub cut: Vec<TrackRef>,
}

/// What became of a candidate.
pub struct Ranked {
    /// 0-based place in the ranking by final score.
    pub rank: u32,
    /// Its final score.
    pub score: f64,
    /// The numbers behind it.
    pub scores: TrackExplanation,
    /// The cap that kept it out of the list at the end, if one did.
    pub cap: Option<Cap>,
}

impl Outcome {
    /// Candidates that a source offered; the others fill a short list. Of a traced outcome.
    pub fn offered(&self) -> impl Iterator<Item = &Ranked> {
        self.candidates.values().filter(|ranked| ranked.is_offered())
    }
}

impl Ranked {
    /// Whether any source offered it.
    #[must_use]
    pub fn is_offered(&self) -> bool {
        !self.scores.sources.is_empty()
    }
}

/// Returns a finished list. `request.as_of` and `request.request_id` must be set: the border fills them in.
///
/// # Errors
/// `NotFound` for an unknown user, recipe or seed; `InvalidField`; `Timeout` at the first stage or segment that begins
/// after the deadline; damaged files.
pub fn recommend(reader: &Reader<'_>, request: &RecommendRequest) -> Result<Recommendation> {
    let outcome = run(reader, request, request.explain)?;
    let funnel = request.explain.then(|| outcome.funnel());
    Ok(Recommendation { funnel, ..outcome.reply })
}

/// As [`recommend`], with everything that explains the list if `traced`.
///
/// # Errors
/// As [`recommend`].
pub fn run(reader: &Reader<'_>, request: &RecommendRequest, traced: bool) -> Result<Outcome> {
    let mut clock = StageClock::start();
    let plan = Plan::make(reader, request, &mut clock)?;
    reader.deadline.check()?;
    let vector = user_vector::user_vector(reader, &plan)?;
    clock.end("user_vector");
    let retrieved = candidates(reader, request, &plan, vector.components.as_deref(), &mut clock)?;
    reader.deadline.check()?;
    let (blended, cut) = rank::blended(reader, &plan, &retrieved, vector.step)?;
    clock.end("blend");
    let set = (&audio(), GenerationId::STATIC);
    let facts = reader.facts_and_vectors(blended.iter().map(|blended| blended.track), Some(set))?;
    clock.end("facts");
    let mut ranking = rank::rank(reader, &plan, blended, &facts)?;
    clock.end("rank");
    reader.deadline.check()?;
    let cells: choose::FillFacts = std::array::from_fn(|_| OnceCell::new());
    let set = choose::choose(reader, &plan, (&retrieved, vector.step), &mut ranking, &cells)?;
    clock.end("choose");
    let (reply, listed) = finish::finish(reader, request, &plan, &retrieved, &ranking, &set, &vector)?;
    clock.end("finish");
    let candidates = if traced { trace(&ranking, &set) } else { BTreeMap::new() };
    Ok(Outcome { reply, plan, listed, candidates, cut })
}

fn candidates(
    reader: &Reader<'_>,
    request: &RecommendRequest,
    plan: &Plan,
    user_vector: Option<&[f32]>,
    clock: &mut StageClock,
) -> Result<Retrieved> {
    let moment = rank::moment(plan);
    let sources = SourceRequest {
        listener: &plan.listener,
        user_vector,
        seeds: &plan.seeds,
        as_of: plan.as_of,
        moment: &moment,
        seed: plan.seed,
        editorial: &plan.recipe.editorial,
        exact: request.exact,
        allowed: &|source| plan.allowed(source, Windows::All),
    };
    retrieve(reader, &plan.recipe, &sources, clock)
}

fn trace(ranking: &rank::Ranking<'_>, set: &choose::ChosenSet) -> BTreeMap<TrackRef, Ranked> {
    let caps: BTreeMap<usize, Option<Cap>> =
        left_out(&ranking.candidates, &set.rows(), set.limits).into_iter().collect();
    let ranked = ranking.candidates.iter().enumerate().map(|(row, candidate)| {
        let rank = u32::try_from(row).unwrap_or(u32::MAX);
        let cap = caps.get(&row).copied().flatten();
        (
            candidate.track(),
            Ranked { rank, score: candidate.score, scores: explanation(candidate, None, None), cap },
        )
    });
    ranked.collect()
}
