//! Offline evaluation of a recipe on held-out listening (EVAL.md's protocol).

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde::Serialize;

use super::metrics::RankingEval;
use crate::error::{Error, Result};
use crate::ingest::read_pairs;
use crate::node::Segue;
use crate::pipeline::judge::EvalRequest;
use crate::types::{TrackId, UserId};

/// Means over users with held-out items.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvalReport {
    /// Users with at least one held-out item.
    pub users: u64,
    /// Normalised discounted cumulative gain at k.
    pub ndcg: f64,
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
}

/// Judges `request.recipe` on the `(user_id, track_id)` pairs of a Parquet file.
///
/// # Errors
/// A file that cannot be read; those of the requests. Users and tracks that the database does not know are left out.
pub fn evaluate(engine: &Segue, test: &Path, request: &EvalRequest) -> Result<EvalReport> {
    let mut held_out: BTreeMap<UserId, Vec<TrackId>> = BTreeMap::new();
    read_pairs(test, |user, track| {
        held_out.entry(UserId::new(user)?).or_default().push(TrackId::new(track)?);
        Ok(())
    })?;
    let mut ranking = RankingEval::new(request.k as usize);
    let mut violations = 0;
    for (user, items) in held_out {
        let judged = match engine.judge(&user, &items, request) {
            Ok(judged) => judged,
            Err(Error::NotFound { .. }) => continue,
            Err(error) => return Err(error),
        };
        violations += judged.violations;
        let items: HashSet<TrackId> = judged.allowed_items.into_iter().collect();
        ranking.add(&judged.listed, &items);
    }
    let report = ranking.report(engine.live_tracks()?);
    Ok(EvalReport {
        users: report.users,
        ndcg: report.ndcg,
        precision: report.precision,
        recall: report.recall,
        coverage: report.coverage,
        violations,
        short_lists: report.short_lists,
    })
}
