//! The set: exploration first, then diversity under caps, then whatever it takes to fill the list.

use std::cell::OnceCell;

use super::fill::{self, FillStep};
use super::plan::Plan;
use super::rank::Ranking;
use crate::error::Result;
use crate::pipeline::cold_start::ColdStart;
use crate::pipeline::diversify::{Cap, CapLimits, MmrParams, PairSimilarity, Pick, diversify};
use crate::pipeline::explore::{
    Arm, ChoicePolicy, ExplorationFactors, PoolTrack, choose as draw, exploration_count, exploration_rate,
};
use crate::pipeline::facts::TrackFacts;
use crate::pipeline::reader::Reader;
use crate::pipeline::recipe::Source;

/// Artists a listener knows well: exploration leaves them out.
const KNOWN_ARTISTS: usize = 50;
/// Genres a listener lives in: sound-alikes from outside them are discoveries.
const HOME_GENRES: usize = 5;

/// An exploration slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Explored {
    /// Its row among the candidates.
    pub row: usize,
    /// Which arm.
    pub arm: Arm,
    /// Probability of the draw.
    pub propensity: f64,
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
    /// Candidates left out at the end, with the cap that keeps them out, if one does.
    pub left_out: Vec<(usize, Option<Cap>)>,
}

impl ChosenSet {
    /// Tracks chosen so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.explored.len() + self.picks.len()
    }

    fn rows(&self) -> Vec<usize> {
        self.explored.iter().map(|slot| slot.row).chain(self.picks.iter().map(|pick| pick.row)).collect()
    }
}

/// Room for the facts of tracks that fill a short list: one cell a step, so that candidates can borrow them.
pub type FillFacts = [OnceCell<Vec<TrackFacts>>; FillStep::ALL.len()];

/// Chooses the set; `ranking` grows by the tracks that fill a short list.
///
/// # Errors
/// Damaged files.
pub fn choose<'a>(
    reader: &Reader<'_>,
    plan: &Plan,
    cold_start: ColdStart,
    ranking: &mut Ranking<'a>,
    cells: &'a FillFacts,
) -> Result<ChosenSet> {
    let mut set = ChosenSet { explored: explore(plan, cold_start, ranking), ..ChosenSet::default() };
    select(plan, ranking, &mut set, false);
    for (step, cell) in FillStep::ALL.into_iter().zip(cells) {
        if set.len() >= plan.n {
            break;
        }
        reader.deadline.check()?;
        let facts = reader.facts(fill::more(reader, plan, step, ranking))?;
        let before = set.len();
        ranking.append(reader, cell.get_or_init(|| facts));
        select(plan, ranking, &mut set, step.caps_yield());
        if let Some(words) = step.relaxes().filter(|_| set.len() > before) {
            set.relaxed.push(words.to_owned());
        }
    }
    Ok(set)
}

/// Fills the set up to the list's length from the candidates at hand.
fn select(plan: &Plan, ranking: &Ranking<'_>, set: &mut ChosenSet, relax: bool) {
    let recipe = &plan.recipe;
    let params = MmrParams {
        n: plan.n,
        lambda: recipe.mmr_lambda,
        limits: CapLimits {
            artist: recipe.artist_cap,
            album: recipe.album_cap,
            one_a_recording: recipe.rules,
        },
        relax,
    };
    let similarity = PairSimilarity { audio: &ranking.audio, track: &ranking.track };
    let selection = diversify(&ranking.candidates, &similarity, &set.rows(), &params);
    set.picks.extend(selection.picks);
    set.relaxed.extend(selection.relaxed);
    set.left_out = selection.left_out;
}

/// Draws the exploration slots.
fn explore(plan: &Plan, cold_start: ColdStart, ranking: &Ranking<'_>) -> Vec<Explored> {
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
    let count = exploration_count(rate, plan.n, plan.seed);
    if count == 0 {
        return Vec::new();
    }
    let (rows, pool) = exploration_pool(plan, ranking, count);
    let policy = ChoicePolicy { artist_cap: plan.recipe.artist_cap, ..ChoicePolicy::default() };
    let drawn = draw(&pool, count, &policy, plan.seed);
    let slot = |drawn: &crate::pipeline::explore::Chosen| Explored {
        row: rows[drawn.row],
        arm: pool[drawn.row].arm,
        propensity: drawn.propensity,
    };
    drawn.iter().map(slot).collect()
}

/// Candidates that are a discovery for the listener: never heard, by none of their fifty best artists, and from outside
/// their five best genres or from trends. When those are too few, genres, then artists no longer matter.
fn exploration_pool<'a>(
    plan: &Plan,
    ranking: &Ranking<'a>,
    count: usize,
) -> (Vec<usize>, Vec<PoolTrack<'a>>) {
    let profile = &plan.listener.profile;
    let known: std::collections::BTreeSet<_> =
        profile.artists.iter().take(KNOWN_ARTISTS).map(|(artist, _)| *artist).collect();
    let home: std::collections::BTreeSet<_> =
        profile.genres.iter().take(HOME_GENRES).map(|(genre, _)| *genre).collect();
    let heard = &plan.listener.state.heard;
    let new_artist = |facts: &TrackFacts| !facts.artists.iter().any(|artist| known.contains(artist));
    let new_genre = |facts: &TrackFacts| {
        !facts.genres.is_empty() && !facts.genres.iter().any(|(genre, _)| home.contains(genre))
    };
    let unheard: Vec<usize> = (0..ranking.candidates.len())
        .filter(|&row| heard.last_of(ranking.candidates[row].track()).is_none_or(|at| at > plan.as_of))
        .collect();
    let strict = |row: &usize| {
        let candidate = &ranking.candidates[*row];
        let trending = candidate.parts.iter().all(|part| part.source == Source::Trending);
        new_artist(candidate.facts) && (trending || new_genre(candidate.facts))
    };
    let wide = |row: &usize| new_artist(ranking.candidates[*row].facts);
    let pools: [&dyn Fn(&usize) -> bool; 3] = [&strict, &wide, &|_: &usize| true];
    let mut rows = Vec::new();
    for keep in pools {
        rows = unheard.iter().copied().filter(|row| keep(row)).collect();
        if rows.len() >= 2 * count {
            break;
        }
    }
    let pool = rows.iter().map(|&row| {
        let candidate = &ranking.candidates[row];
        let source = candidate.main_source().unwrap_or(Source::Trending);
        PoolTrack { facts: candidate.facts, arm: Arm { source, genre_cluster: 0 }, value: candidate.score }
    });
    let pool = pool.collect();
    (rows, pool)
}
