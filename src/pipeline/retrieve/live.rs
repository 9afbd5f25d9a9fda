//! Live recall: now and then what a search found is compared with an exact search of the same version, in the background.
//!
//! One search in 64 is handed over, and only while none waits; that costs its request a copy of the query.
//! The node's worker answers it exactly and counts, per space and by how many tracks the filter allows. Nothing here
//! changes an answer. Absent on purpose: threads, and a clock beyond resting after a check.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use metrics::counter;
use parking_lot::Mutex;

use super::allowed::AllowedTracks;
use super::nearest::{Effort, Found, Search};
use crate::error::Result;
use crate::pipeline::reader::Caches;
use crate::storage::track_shard::TrackView;
use crate::storage::track_shard::vectors::VectorSet;
use crate::types::{Deadline, Metric};

/// One search in so many is handed over.
const SAMPLED: u64 = 64;
/// The longest rest is this many times what the check took: it has at most so small a part of one processor.
const REST: u32 = 50;
/// Sets with more bytes of vectors than this are not checked: reading them all would push what searches need out of memory.
const BYTES_MAX: u64 = 8 << 30;

/// A search to be checked.
struct Sample {
    view: TrackView,
    set: VectorSet,
    metric: Metric,
    allowed: AllowedTracks,
    query: Vec<f32>,
    k: usize,
    selectivity: f32,
    /// Scores of what was found, best first.
    scores: Vec<f32>,
}

/// Searches waiting to be checked: at most one.
#[derive(Default)]
pub struct LiveRecall {
    searches: AtomicU64,
    waiting: Mutex<Option<Box<Sample>>>,
    rests_until: Mutex<Option<Instant>>,
}

/// What a check found: how many of the best tracks the search had found, of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Of the best tracks, those that were found; equal scores count as equal.
    pub found: usize,
    /// The best tracks.
    pub wanted: usize,
}

impl LiveRecall {
    /// Takes one of the queries of a search as a sample, once in a while. The others cost one addition.
    pub fn offer(&self, search: &Search<'_>, queries: &[&[f32]], effort: Effort, found: &[Found]) {
        let count = self.searches.fetch_add(1, Ordering::Relaxed);
        if !count.is_multiple_of(SAMPLED) || effort.exact || effort.k == 0 {
            return;
        }
        let spec = &search.set.spec;
        let bytes = 4 * u64::from(spec.dim) * search.set.live;
        let at = (count / SAMPLED) as usize % queries.len().max(1);
        let (Some(query), Some(found)) = (queries.get(at), found.get(at)) else { return };
        let Some(mut waiting) = self.waiting.try_lock().filter(|waiting| waiting.is_none()) else { return };
        if bytes > BYTES_MAX || self.rests_until.lock().is_some_and(|until| Instant::now() < until) {
            return;
        }
        *waiting = Some(Box::new(Sample {
            view: search.view.clone(),
            set: search.set.clone(),
            metric: search.metric,
            allowed: search.allowed.clone(),
            query: query.to_vec(),
            k: effort.k,
            selectivity: found.selectivity,
            scores: found.hits.iter().map(|hit| hit.1).collect(),
        }));
    }

    /// Checks the search that waits, if there is one, and exports the outcome.
    ///
    /// # Errors
    /// Damaged files.
    pub fn check(&self, caches: &Caches) -> Result<Option<Checked>> {
        let Some(sample) = self.waiting.lock().take() else { return Ok(None) };
        let start = Instant::now();
        let checked = sample.check(caches);
        let took = start.elapsed().max(Duration::from_millis(1));
        *self.rests_until.lock() = start.checked_add(took * REST);
        let checked = checked?;
        let labels = [
            ("space", sample.set.spec.space.to_string()),
            ("filter", filter_class(sample.selectivity).to_owned()),
        ];
        counter!("segue_search_checks_total", &labels).increment(1);
        counter!("segue_search_checked_results_total", &labels).increment(checked.wanted as u64);
        counter!("segue_search_checked_found_total", &labels).increment(checked.found as u64);
        Ok(Some(checked))
    }
}

impl Sample {
    fn check(&self, caches: &Caches) -> Result<Checked> {
        let search = Search {
            heads: &caches.heads,
            deadline: Deadline::NEVER,
            view: &self.view,
            set: &self.set,
            metric: self.metric,
            allowed: &self.allowed,
        };
        let exact = search.nearest(&[&self.query], Effort::new(self.k, true))?;
        let scores: Vec<f32> = exact.iter().flat_map(|found| &found.hits).map(|hit| hit.1).collect();
        Ok(compare(&self.scores, &scores))
    }
}

/// Counts how many of the exact scores were reached by what was found; scores have the same bits either way.
fn compare(found: &[f32], exact: &[f32]) -> Checked {
    let last = exact.last().copied().unwrap_or(f32::INFINITY);
    let good = found.iter().filter(|&&score| score >= last).count();
    Checked { found: good.min(exact.len()), wanted: exact.len() }
}

/// The class of a filter by the share of tracks it allows.
fn filter_class(selectivity: f32) -> &'static str {
    match selectivity {
        share if share >= 0.99 => "all",
        share if share >= 0.5 => "most",
        share if share >= 0.05 => "some",
        _ => "few",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_counts_and_equal_scores_do_not() {
        let exact = [0.9, 0.8, 0.7, 0.7];
        assert_eq!(compare(&[0.9, 0.8, 0.7, 0.7], &exact), Checked { found: 4, wanted: 4 });
        assert_eq!(compare(&[0.9, 0.7, 0.6, 0.5], &exact), Checked { found: 2, wanted: 4 });
        assert_eq!(compare(&[], &exact), Checked { found: 0, wanted: 4 });
        assert_eq!(compare(&[], &[]), Checked { found: 0, wanted: 0 });
        assert_eq!([1.0, 0.6, 0.1, 0.0].map(filter_class), ["all", "most", "some", "few"]);
    }
}
