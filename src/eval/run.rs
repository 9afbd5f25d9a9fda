//! Offline evaluation of recipes on held-out listening (EVAL.md's protocol): accuracy, what lies beyond it, and one
//! recipe against another.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde::Serialize;

use super::bootstrap::{Interval, Term, difference_intervals, intervals, ratios};
use super::metrics::{ListScores, RankingEval};
use super::quality::{ListFacts, ListQuality, Quality, QualitySums};
use crate::error::{Error, Result};
use crate::ingest::read_pairs;
use crate::node::Segue;
use crate::pipeline::experiment::shared;
use crate::pipeline::judge::{EvalRequest, JudgedList};
use crate::types::{TrackId, UserId};

/// Decides the resamples of intervals.
const SEED: u64 = 0x5E60_EEAA;
/// Listeners with at most so many plays are new.
const NEW_PLAYS: u64 = 5;

/// The measures that are means over users, as [`EvalReport`] names them. Coverage and Gini are none: a resample of the users shows
/// fewer tracks than all of them do, whatever the recipe.
pub const MEANS: [&str; 8] = [
    "ndcg",
    "precision",
    "recall",
    "intra_list_distance",
    "novelty",
    "artist_repeats",
    "explored",
    "energy_error",
];

/// Means over users with held-out items.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvalReport {
    /// The recipe.
    pub recipe: String,
    /// Users with at least one held-out item.
    pub users: u64,
    /// Normalised discounted cumulative gain at k.
    pub ndcg: f64,
    /// NDCG of users with at most five plays, and how many there are.
    pub ndcg_new: Option<(f64, u64)>,
    /// Hits divided by k.
    pub precision: f64,
    /// Hits divided by held-out items.
    pub recall: f64,
    /// Share of the catalogue in anybody's list.
    pub coverage: f64,
    /// Listed tracks that break a hard rule of their listener.
    pub violations: u64,
    /// Lists shorter than k.
    pub short_lists: u64,
    /// Lists that relaxed something.
    pub relaxed_lists: u64,
    /// Beyond accuracy.
    #[serde(flatten)]
    pub quality: Quality,
    /// The 95 % intervals over users of those [`MEANS`] there was something to judge by.
    pub intervals: BTreeMap<&'static str, Interval>,
}

/// How much higher a measure is, on the same users.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// Other minus base.
    pub mean: f64,
    /// Its 95 % interval over users; one that holds 0 shows no difference.
    pub interval: Option<Interval>,
}

/// One recipe against another, on the same users.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The recipe that is there.
    pub base: EvalReport,
    /// The recipe that is looked at.
    pub other: EvalReport,
    /// How [`MEANS`] differ.
    pub differences: BTreeMap<&'static str, Difference>,
    /// Mean share of tracks that both lists of a user have.
    pub overlap: f64,
}

/// The pairs of a test file.
type HeldOut = BTreeMap<UserId, Vec<TrackId>>;

/// A recipe's lists, user by user.
struct Judged {
    report: EvalReport,
    users: BTreeMap<UserId, ([Term; MEANS.len()], Vec<TrackId>)>,
}

/// Judges `request.recipe` on the `(user_id, track_id)` pairs of a Parquet file.
///
/// # Errors
/// A file that cannot be read; those of the requests. Users and tracks that the database does not know are left out.
pub fn evaluate(engine: &Segue, test: &Path, request: &EvalRequest) -> Result<EvalReport> {
    let known = engine.listeners_of_tracks()?;
    Ok(judge_all(engine, &held_out(test)?, &known, request)?.report)
}

/// Judges two recipes on the same users.
///
/// # Errors
/// As [`evaluate`].
pub fn compare(engine: &Segue, test: &Path, request: &EvalRequest, other: &str) -> Result<Comparison> {
    let (known, pairs) = (engine.listeners_of_tracks()?, held_out(test)?);
    let base = judge_all(engine, &pairs, &known, request)?;
    let asked = EvalRequest { recipe: other.to_owned(), ..request.clone() };
    let other = judge_all(engine, &pairs, &known, &asked)?;
    let both: Vec<_> = base.users.iter().filter_map(|(user, a)| Some((a, other.users.get(user)?))).collect();
    let (of_base, of_other): (Vec<_>, Vec<_>) = both.iter().map(|(a, b)| (a.0, b.0)).unzip();
    let means = ratios(&of_base).into_iter().zip(ratios(&of_other)).map(|(a, b)| b - a);
    let differences = means.zip(difference_intervals(&of_base, &of_other, SEED));
    let differences = differences.map(|(mean, interval)| Difference { mean, interval });
    let overlap: f64 = both.iter().map(|(a, b)| shared(&a.1, &b.1)).sum();
    Ok(Comparison {
        differences: MEANS.into_iter().zip(differences).collect(),
        overlap: overlap / both.len().max(1) as f64,
        base: base.report,
        other: other.report,
    })
}

fn held_out(test: &Path) -> Result<HeldOut> {
    let mut pairs = HeldOut::new();
    read_pairs(test, |user, track| {
        pairs.entry(UserId::new(user)?).or_default().push(TrackId::new(track)?);
        Ok(())
    })?;
    Ok(pairs)
}

fn judge_all(
    engine: &Segue,
    pairs: &HeldOut,
    known: &HashMap<TrackId, u64>,
    request: &EvalRequest,
) -> Result<Judged> {
    let mut ranking = RankingEval::new(request.k as usize);
    let mut quality = QualitySums::new(engine.user_count()?);
    let mut users = BTreeMap::new();
    let (mut violations, mut relaxed_lists) = (0, 0);
    let mut new: Vec<f64> = Vec::new();
    for (user, items) in pairs {
        let judged = match engine.judge(user, items, request) {
            Ok(judged) => judged,
            // A listener of the file whom the database does not know; anything else that is unknown is a mistake.
            Err(Error::NotFound { what, .. }) if what == "user" => continue,
            Err(error) => return Err(error),
        };
        violations += judged.violations;
        relaxed_lists += u64::from(judged.relaxed);
        let items: HashSet<TrackId> = judged.allowed_items.iter().cloned().collect();
        let Some(scores) = ranking.add(&judged.listed, &items) else { continue };
        if judged.plays <= NEW_PLAYS {
            new.push(scores.ndcg);
        }
        let terms = terms(scores, quality.add(&facts(&judged, known)));
        users.insert(user.clone(), (terms, judged.listed));
    }
    let catalogue = engine.live_tracks()?;
    let report = ranking.report(catalogue);
    let each: Vec<_> = users.values().map(|(terms, _)| *terms).collect();
    let known_intervals = MEANS.into_iter().zip(intervals(&each, SEED));
    let report = EvalReport {
        recipe: request.recipe.clone(),
        users: report.users,
        ndcg: report.ndcg,
        ndcg_new: (!new.is_empty()).then(|| (new.iter().sum::<f64>() / new.len() as f64, new.len() as u64)),
        precision: report.precision,
        recall: report.recall,
        coverage: report.coverage,
        violations,
        short_lists: report.short_lists,
        relaxed_lists,
        quality: quality.report(catalogue),
        intervals: known_intervals.filter_map(|(name, interval)| Some((name, interval?))).collect(),
    };
    Ok(Judged { report, users })
}

/// What a user adds to each of [`MEANS`].
fn terms(scores: ListScores, list: ListQuality) -> [Term; MEANS.len()] {
    let ListScores { precision, recall, ndcg } = scores;
    let ListQuality { distance, novelty, artist_repeats, explored, energy_error } = list;
    [(ndcg, 1.0), (precision, 1.0), (recall, 1.0), distance, novelty, artist_repeats, explored, energy_error]
}

fn facts(judged: &JudgedList, known: &HashMap<TrackId, u64>) -> ListFacts<TrackId> {
    ListFacts {
        tracks: judged.listed.clone(),
        artists: judged.numbers.artists.clone(),
        distance: judged.numbers.distance,
        listeners: judged.listed.iter().map(|track| known.get(track).copied().unwrap_or(0)).collect(),
        energies: judged.numbers.energies.clone(),
        explored: judged.explored,
        window_repeats: if judged.relaxed { 0 } else { judged.numbers.window_repeats },
    }
}
