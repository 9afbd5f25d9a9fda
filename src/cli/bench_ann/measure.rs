//! Recall and times of one set of queries under one filter.

use std::collections::BTreeMap;
use std::time::Instant;

use rayon::prelude::*;
use segue_index::{Allowed, IndexError, IndexView, Rows, Scratch, SearchParams, exact};

use super::report::round;
use super::segment::BenchSegment;
use super::{BenchAnnArgs, unusable};
use crate::error::{Error, Result};
use crate::ingest::npy::{NpyArray, read_floats, read_integers};

/// A hit may be this much worse than the k-th best score.
const TIE: f32 = 1e-5;

/// Queries, and the places of their exact results where these are known.
pub(super) struct Queries {
    vectors: NpyArray<f32>,
    truth: Option<NpyArray<i64>>,
}

impl Queries {
    /// Reads `--query` and `--truth`.
    pub(super) fn read(segment: &BenchSegment, args: &BenchAnnArgs) -> Result<Self> {
        Self::of_files(segment, &args.query, args.truth.as_deref())
    }

    /// Reads and checks two files.
    pub(super) fn of_files(
        segment: &BenchSegment,
        query: &std::path::Path,
        truth: Option<&std::path::Path>,
    ) -> Result<Self> {
        let vectors = read_floats(query)?;
        if vectors.columns != segment.dim() || vectors.rows == 0 {
            let reason = format!("expected at least one query of {} numbers", segment.dim());
            return Err(unusable("query", query, &reason));
        }
        let Some(path) = truth else { return Ok(Self { vectors, truth: None }) };
        let truth = read_integers(path)?;
        if truth.rows != vectors.rows {
            return Err(unusable("truth", path, &format!("expected {} rows", vectors.rows)));
        }
        if truth.data.iter().any(|&row| usize::try_from(row).is_ok_and(|row| row >= segment.len())) {
            return Err(unusable("truth", path, "it names rows that do not exist"));
        }
        Ok(Self { vectors, truth: Some(truth) })
    }

    fn each(&self) -> impl Iterator<Item = &[f32]> {
        self.vectors.data.chunks_exact(self.vectors.columns)
    }
}

/// What is measured: an index, queries, a filter.
pub(super) struct Measured<'a> {
    view: IndexView<'a>,
    rows: Rows<'a>,
    metric: segue_index::Metric,
    queries: &'a Queries,
    allowed: Allowed<'a>,
    /// Score of the k-th best allowed row of each query.
    kth: Vec<f32>,
    /// Results a query can have.
    wanted: usize,
}

impl<'a> Measured<'a> {
    /// Finds the scores that hits are judged by, from the known results or by exact search.
    pub(super) fn new(
        segment: &'a BenchSegment,
        queries: &'a Queries,
        allowed: Allowed<'a>,
        k: usize,
    ) -> Result<Self> {
        let (rows, metric) = (segment.rows()?, segment.metric());
        let wanted = k.min(allowed.estimated_count(rows.len()));
        let each = queries.vectors.data.par_chunks_exact(queries.vectors.columns);
        let kth = match &queries.truth {
            None => each
                .map_init(Scratch::new, |scratch, query| {
                    let hits = exact::search(&rows, metric, query, k, &allowed, scratch)?;
                    Ok(hits.last().map_or(f32::INFINITY, |hit| hit.1))
                })
                .collect::<std::result::Result<Vec<f32>, IndexError>>()
                .map_err(index_error)?,
            Some(truth) if truth.columns < wanted => {
                let reason = format!("expected the {wanted} best of each query, there are {}", truth.columns);
                return Err(Error::invalid("truth", reason));
            }
            Some(truth) => each
                .zip(truth.data.par_chunks_exact(truth.columns))
                .map(|(query, truth)| {
                    let known = truth.iter().take(k).filter_map(|&row| usize::try_from(row).ok());
                    known
                        .map(|row| exact::score(metric, query, rows.row(segment.place(row))))
                        .fold(f32::INFINITY, f32::min)
                })
                .collect(),
        };
        Ok(Self { view: segment.view()?, rows, metric, queries, allowed, kth, wanted })
    }

    /// Returns the recall over all queries and the way most of them went.
    pub(super) fn recall(&self, params: &SearchParams) -> Result<(f64, &'static str)> {
        let mut scratch = Scratch::new();
        let mut found = 0;
        let mut paths = BTreeMap::<&'static str, usize>::new();
        for (query, kth) in self.queries.each().zip(&self.kth) {
            let outcome =
                self.view.search(query, params, &self.allowed, &mut scratch).map_err(index_error)?;
            let good = |row: u32| {
                self.allowed.contains(row)
                    && exact::score(self.metric, query, self.rows.row(row as usize)) >= kth - TIE
            };
            found += outcome.hits.iter().filter(|hit| good(hit.0.0)).count();
            *paths.entry(outcome.path.as_str()).or_default() += 1;
        }
        let path = paths.iter().max_by_key(|entry| entry.1).map_or("plain", |entry| entry.0);
        Ok((found as f64 / (self.queries.vectors.rows * self.wanted).max(1) as f64, path))
    }

    /// Runs all queries again and again for `seconds`: queries per second, and the time of each in microseconds.
    pub(super) fn pass(
        &self,
        params: &SearchParams,
        threads: usize,
        seconds: f64,
    ) -> Result<(f64, Vec<f64>)> {
        let start = Instant::now();
        let one = || {
            self.timed(seconds, |query, scratch| {
                self.view.search(query, params, &self.allowed, scratch).map(drop)
            })
        };
        let times = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(one)).collect();
            let joined = handles.into_iter().map(|handle| handle.join());
            joined.collect::<std::thread::Result<Vec<_>>>()
        });
        let times = times.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let times = times.into_iter().collect::<Result<Vec<_>>>()?.concat();
        Ok((times.len() as f64 / start.elapsed().as_secs_f64(), times))
    }

    /// The same by an exact scan of the vectors of all allowed rows.
    pub(super) fn exact_pass(&self, k: usize, seconds: f64) -> Result<Vec<f64>> {
        self.timed(seconds, |query, scratch| {
            exact::search(&self.rows, self.metric, query, k, &self.allowed, scratch).map(drop)
        })
    }

    /// Whole passes over the queries until `seconds` are over: the time of each query in microseconds.
    fn timed(
        &self,
        seconds: f64,
        search: impl Fn(&[f32], &mut Scratch) -> std::result::Result<(), IndexError>,
    ) -> Result<Vec<f64>> {
        let (mut scratch, mut times, start) = (Scratch::new(), Vec::new(), Instant::now());
        while times.is_empty() || start.elapsed().as_secs_f64() < seconds {
            for query in self.queries.each() {
                let begin = Instant::now();
                search(query, &mut scratch).map_err(index_error)?;
                times.push(begin.elapsed().as_secs_f64() * 1e6);
            }
        }
        Ok(times)
    }
}

fn index_error(error: IndexError) -> Error {
    Error::invalid("query", error.to_string())
}

/// The value below which a share `p` of all lies; sorts them. 0 of none.
pub(super) fn percentile(values: &mut [f64], p: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len().saturating_sub(1) as f64 * p) as usize;
    values.get(at).map_or(0.0, |&value| round(value, 2))
}

/// A line of this process's memory in MiB (`VmRSS:`, `RssAnon:`), 0 where the system does not say.
pub(super) fn rss_mb(line: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    found.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
