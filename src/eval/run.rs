//! Offline evaluation of recipes on held-out listening (EVAL.md's protocol): accuracy, what lies beyond it, and one
//! recipe against another.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde::Serialize;

use super::bootstrap::{difference_interval, mean_interval};
use super::metrics::RankingEval;
use super::quality::{ListFacts, Quality, QualitySums};
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

/// Means over users with held-out items.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvalReport {
    /// The recipe.
    pub recipe: String,
    /// Users with at least one held-out item.
    pub users: u64,
    /// Normalised discounted cumulative gain at k.
    pub ndcg: f64,
    /// Its 95 % interval over users.
    pub ndcg_interval: Option<(f64, f64)>,
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
}

/// One recipe against another, on the same users.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The recipe that is there.
    pub base: EvalReport,
    /// The recipe that is looked at.
    pub other: EvalReport,
    /// Mean difference of NDCG, other minus base.
    pub ndcg_difference: f64,
    /// Its 95 % interval over users; one that holds 0 shows no difference.
    pub ndcg_difference_interval: Option<(f64, f64)>,
    /// Mean difference of intra-list distance.
    pub distance_difference: f64,
    /// Its 95 % interval.
    pub distance_difference_interval: Option<(f64, f64)>,
    /// Mean share of tracks that both lists of a user have.
    pub overlap: f64,
}

/// The pairs of a test file.
type HeldOut = BTreeMap<UserId, Vec<TrackId>>;

/// A recipe's lists, user by user.
struct Judged {
    report: EvalReport,
    users: BTreeMap<UserId, (f64, f64, Vec<TrackId>)>,
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
    let column = |pick: fn(&(f64, f64, Vec<TrackId>)) -> f64| -> (Vec<f64>, Vec<f64>) {
        both.iter().map(|(a, b)| (pick(a), pick(b))).unzip()
    };
    let mean = |(a, b): &(Vec<f64>, Vec<f64>)| {
        a.iter().zip(b).map(|(a, b)| b - a).sum::<f64>() / a.len().max(1) as f64
    };
    let (ndcg, distance) = (column(|user| user.0), column(|user| user.1));
    let overlap: f64 = both.iter().map(|(a, b)| shared(&a.2, &b.2)).sum();
    Ok(Comparison {
        ndcg_difference: mean(&ndcg),
        ndcg_difference_interval: difference_interval(&ndcg.0, &ndcg.1, SEED),
        distance_difference: mean(&distance),
        distance_difference_interval: difference_interval(&distance.0, &distance.1, SEED),
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
        let Some(ndcg) = ranking.add(&judged.listed, &items) else { continue };
        if judged.plays <= NEW_PLAYS {
            new.push(ndcg);
        }
        quality.add(&facts(&judged, known));
        users.insert(user.clone(), (ndcg, judged.numbers.distance.unwrap_or(0.0), judged.listed));
    }
    let catalogue = engine.live_tracks()?;
    let report = ranking.report(catalogue);
    let each: Vec<f64> = users.values().map(|(ndcg, ..)| *ndcg).collect();
    let report = EvalReport {
        recipe: request.recipe.clone(),
        users: report.users,
        ndcg: report.ndcg,
        ndcg_interval: mean_interval(&each, SEED),
        ndcg_new: (!new.is_empty()).then(|| (new.iter().sum::<f64>() / new.len() as f64, new.len() as u64)),
        precision: report.precision,
        recall: report.recall,
        coverage: report.coverage,
        violations,
        short_lists: report.short_lists,
        relaxed_lists,
        quality: quality.report(catalogue),
    };
    Ok(Judged { report, users })
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
