//! The set: exploration first, then diversity under caps, then whatever it takes to fill the list.

use std::cell::OnceCell;

use super::fill::{self, FillStep};
use super::plan::Plan;
use super::pool::pool;
use super::rank::Ranking;
use super::rank::moment;
use crate::error::Result;
use crate::pipeline::cold_start::ColdStart;
use crate::pipeline::diversify::{
    CapLimits, MmrParams, PairSimilarity, Pick, against_mean, diversify, dpp, long_tail,
};
use crate::pipeline::editorial::{holding, pinned};
use crate::pipeline::explore::{
    Arm, ChoicePolicy, DrawCaps, ExplorationFactors, SAFE_SLOTS, choose as draw, choose_by_arm, context,
    exploration_count, exploration_rate,
};
use crate::pipeline::facts::TrackFacts;
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::{Diversity, ExplorationPolicy};
use crate::pipeline::sources::Retrieved;

/// An exploration slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Explored {
    /// Its row among the candidates.
    pub row: usize,
    /// Which arm.
    pub arm: Arm,
    /// Probability of the draw.
    pub propensity: f64,
    /// How many tracks it was drawn from.
    pub open: usize,
}

/// The chosen set.
#[derive(Debug, Default)]
pub struct ChosenSet {
    /// Exploration slots in order of draw.
    pub explored: Vec<Explored>,
    /// The others in order of choice.
    pub picks: Vec<Pick>,
    /// What was relaxed, in words.
    pub relaxed: Vec<String>,
    /// The caps that held at the end.
    pub limits: CapLimits,
}

impl ChosenSet {
    /// Tracks chosen so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.explored.len() + self.picks.len()
    }

    /// A list that came out short has fewer places to explore in: its last draws become ordinary picks, so that none of
    /// the first places explores.
    fn keep_first_places_safe(&mut self) {
        let most = self.len().saturating_sub(SAFE_SLOTS);
        if self.explored.len() > most {
            let rest = self.explored.split_off(most);
            self.picks.extend(rest.iter().map(|slot| Pick { row: slot.row, relevance: 0.0, penalty: 0.0 }));
        }
    }

    /// Rows of the set among the candidates.
    pub fn rows(&self) -> Vec<usize> {
        self.explored.iter().map(|slot| slot.row).chain(self.picks.iter().map(|pick| pick.row)).collect()
    }
}

/// Room for the facts of tracks that fill a short list: one cell a step, so that candidates can borrow them.
pub type FillFacts = [OnceCell<Vec<TrackFacts>>; FillStep::ALL.len()];

/// Chooses the set; `ranking` grows by the tracks that fill a short list. Of what sources offered and what gave the listener's
/// vector.
///
/// # Errors
/// Damaged files.
pub fn choose<'a>(
    reader: &'a Reader<'_>,
    plan: &Plan,
    (retrieved, cold_start): (&Retrieved, ColdStart),
    ranking: &mut Ranking<'a>,
    cells: &'a FillFacts,
) -> Result<ChosenSet> {
    let explored = explore(reader, plan, (retrieved, cold_start), ranking);
    let mut set = ChosenSet { explored, ..ChosenSet::default() };
    pin(plan, ranking, &mut set);
    select(plan, ranking, &mut set, false);
    if is_complete(plan, ranking) {
        if set.len() < plan.n {
            select(plan, ranking, &mut set, true);
        }
    } else {
        fill(reader, plan, ranking, cells, &mut set)?;
    }
    set.keep_first_places_safe();
    Ok(set)
}

/// Fills a short list, step by step.
fn fill<'a>(
    reader: &'a Reader<'_>,
    plan: &Plan,
    ranking: &mut Ranking<'a>,
    cells: &'a FillFacts,
    set: &mut ChosenSet,
) -> Result<()> {
    for (step, cell) in FillStep::ALL.into_iter().zip(cells) {
        if set.len() >= plan.n {
            break;
        }
        reader.deadline.check()?;
        let facts = reader.facts(fill::more(reader, plan, step, ranking)?)?;
        let before = set.len();
        ranking.append(reader, cell.get_or_init(|| facts))?;
        select(plan, ranking, set, step.caps_yield());
        if let Some(words) = step.relaxes().filter(|_| set.len() > before) {
            set.relaxed.push(words.to_owned());
        }
    }
    Ok(())
}

/// Whether no other track may fill the list: one of releases only, for a listener whose artists released something. The
/// source then gave every release it has, unless it was cut at its depth.
fn is_complete(plan: &Plan, ranking: &Ranking<'_>) -> bool {
    let found = ranking.candidates.iter().filter(|candidate| !candidate.parts.is_empty()).count();
    let depth: usize = plan.recipe.sources.iter().map(|spec| spec.depth as usize).sum();
    plan.recipe.is_releases_only() && (1..depth).contains(&found)
}

/// Gives their places to what the recipe's rules pin.
fn pin(plan: &Plan, ranking: &Ranking<'_>, set: &mut ChosenSet) {
    if plan.recipe.editorial.is_empty() {
        return;
    }
    let (listener, moment) = (&plan.listener, moment(plan));
    let rules = holding(&plan.recipe.editorial, &listener.profile, &moment, listener.state.user.region);
    let rows = pinned(&ranking.candidates, &rules, &set.rows(), plan.n);
    set.picks.extend(rows.into_iter().map(|row| Pick { row, relevance: 1.0, penalty: 0.0 }));
}

/// Fills the set up to the list's length from the candidates at hand: by diversity, the last places from the long tail, and
/// what these could not fill by diversity again.
fn select(plan: &Plan, ranking: &Ranking<'_>, set: &mut ChosenSet, relax: bool) {
    let recipe = &plan.recipe;
    let limits =
        CapLimits { artist: recipe.artist_cap, album: recipe.album_cap, one_a_recording: recipe.rules };
    let tail = (recipe.long_tail_share * plan.n as f64).round() as usize;
    if tail > 0 {
        by_diversity(plan, ranking, set, (plan.n.saturating_sub(tail), limits, relax));
        let open = plan.n.saturating_sub(set.len()).min(tail);
        set.picks.extend(long_tail(&ranking.candidates, &set.rows(), (plan.n, open), limits));
    }
    if tail == 0 || set.len() < plan.n {
        by_diversity(plan, ranking, set, (plan.n, limits, relax));
    }
}

/// Fills the set up to `n` by the recipe's way of keeping it diverse.
fn by_diversity(
    plan: &Plan,
    ranking: &Ranking<'_>,
    set: &mut ChosenSet,
    (n, limits, relax): (usize, CapLimits, bool),
) {
    let recipe = &plan.recipe;
    let params = MmrParams { n, lambda: recipe.mmr_lambda, limits, relax };
    let similarity = PairSimilarity { audio: &ranking.audio, track: &ranking.track };
    let selection = match recipe.diversity {
        Diversity::Mmr => diversify(&ranking.candidates, &similarity, &set.rows(), &params),
        Diversity::Dpp => dpp(&ranking.candidates, &similarity, &set.rows(), &params),
        Diversity::Mean => against_mean(&ranking.candidates, &similarity, &set.rows(), &params),
    };
    set.picks.extend(selection.picks);
    // The set is filled in steps, and each says what it has relaxed so far.
    for words in selection.relaxed {
        if !set.relaxed.contains(&words) {
            set.relaxed.push(words);
        }
    }
    set.limits = selection.limits;
}

/// Draws the exploration slots.
fn explore(
    reader: &Reader<'_>,
    plan: &Plan,
    (retrieved, cold_start): (&Retrieved, ColdStart),
    ranking: &Ranking<'_>,
) -> Vec<Explored> {
    let profile = &plan.listener.profile;
    let outcomes = &plan.listener.state.explored_outcomes;
    let count = |successes: bool| {
        let matching =
            outcomes.iter().filter(|outcome| outcome.at <= plan.as_of && (outcome.success || !successes));
        u32::try_from(matching.count()).unwrap_or(u32::MAX)
    };
    let factors = ExplorationFactors {
        profile_age_days: profile.profile_age_days,
        diversity: profile.diversity,
        success: Some((count(true), count(false))),
        popularity_only: cold_start.is_popularity(),
    };
    let rate = exploration_rate(plan.recipe.exploration_rate, &factors);
    // A list that stays short explores its rate of what it holds.
    let n = if is_complete(plan, ranking) { plan.n.min(ranking.candidates.len()) } else { plan.n };
    let count = exploration_count(rate, n, plan.seed);
    if count == 0 {
        return Vec::new();
    }
    let (rows, pool) = pool(plan, &reader.statistics, retrieved, ranking, count);
    let caps = DrawCaps { artist: plan.recipe.artist_cap, album: plan.recipe.album_cap };
    let policy = ChoicePolicy { caps, ..ChoicePolicy::default() };
    let drawn = match plan.recipe.exploration_policy {
        ExplorationPolicy::Softmax => draw(&pool, count, &policy, plan.seed),
        ExplorationPolicy::LinTs => {
            let x = context(plan.listener.plays.into(), plan.as_of.hour(), plan.as_of.weekday());
            let reward = |arm| reader.statistics.arm(arm, plan.as_of).posterior().reward(&x);
            choose_by_arm(&pool, count, &policy, &reward, plan.seed)
        }
    };
    let slot = |drawn: &crate::pipeline::explore::Chosen| Explored {
        row: rows[drawn.row],
        arm: pool[drawn.row].arm,
        propensity: drawn.propensity,
        open: drawn.open,
    };
    drawn.iter().map(slot).collect()
}
