//! The nearest allowed tracks to a query vector.

use std::cell::RefCell;

use rkyv::{Archive, Deserialize, Serialize};
use segue_index::{Allowed, IndexError, K_MAX, Rows, Scratch, SearchParams, SearchPath, SegmentOffset};

use super::allowed::AllowedTracks;
use super::heads::{IndexHeads, UncheckedRows, checked_rows_of, open_guarded};
use crate::error::{Error, Result};
use crate::storage::track_shard::TrackView;
use crate::storage::track_shard::vectors::{
    GrowingVectors, SealedVectors, VectorBody, VectorSegment, VectorSet,
};
use crate::types::{Deadline, Metric};

thread_local! {
    /// Search memory of this thread, grown once.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// How hard to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Results wanted.
    pub k: usize,
    /// Nodes a walk follows on average; chosen from `k` when absent.
    pub ef: Option<usize>,
    /// Look at every allowed row instead of walking the graph.
    pub exact: bool,
}

impl Effort {
    /// The default effort for `k` results, or an exact search.
    #[must_use]
    pub fn new(k: usize, exact: bool) -> Self {
        Self { k, ef: None, exact }
    }
}

/// The answer of one shard to one query.
#[derive(Debug, Clone, PartialEq, Archive, Serialize, Deserialize)]
pub struct Found {
    /// Up to `k` `(ordinal, score)`, best first, ties by the key of the track's id.
    pub hits: Vec<(u32, f32)>,
    /// Ways the segments were searched: `plain`, `filtered`, `exact`, `sifted`, `escalated`; in that order, joined by `+`.
    pub path: String,
    /// Estimated share of the rows that are allowed, over all segments, 0 to 1.
    pub selectivity: f32,
}

/// Searches of one shard's vector set under one filter.
pub struct Search<'a> {
    /// Opened indexes.
    pub heads: &'a IndexHeads,
    /// When to stop.
    pub deadline: Deadline,
    /// The shard's version.
    pub view: &'a TrackView,
    /// The set.
    pub set: &'a VectorSet,
    /// How to compare.
    pub metric: Metric,
    /// What may be returned.
    pub allowed: &'a AllowedTracks,
}

impl Search<'_> {
    /// Returns, for each query, the `k` allowed tracks nearest to it. Deterministic for a version of the shard. What
    /// does not depend on the query (opening a segment, estimating the filter) is done once for all of them.
    ///
    /// # Errors
    /// `InvalidField` for a query of the wrong dimension, not finite, or zero under cosine; `Timeout` before the first
    /// segment that the deadline leaves no time for; `Corrupt`.
    pub fn nearest(&self, queries: &[&[f32]], effort: Effort) -> Result<Vec<Found>> {
        let mut merges: Vec<Merge> = queries.iter().map(|_| Merge::default()).collect();
        SCRATCH.with_borrow_mut(|scratch| {
            for segment in &self.set.segments {
                self.deadline.check()?;
                let search = SegmentSearch { search: self, segment, queries, effort };
                search.run(scratch, &mut merges)?;
            }
            Ok::<(), Error>(())
        })?;
        Ok(merges.into_iter().map(|merge| merge.finish(self.view, effort.k)).collect())
    }
}

#[derive(Default)]
struct Merge {
    hits: Vec<(u32, f32)>,
    paths: Vec<SearchPath>,
    rows: f64,
    allowed_rows: f64,
}

impl Merge {
    fn add(&mut self, path: SearchPath, rows: usize, selectivity: f32) {
        if !self.paths.contains(&path) {
            self.paths.push(path);
        }
        self.rows += rows as f64;
        self.allowed_rows += rows as f64 * f64::from(selectivity);
    }

    /// Drops hits that cannot be among the best `k`, once they pile up.
    fn shrink(&mut self, view: &TrackView, k: usize) {
        if self.hits.len() > 8 * k + 1_024 {
            self.hits.select_nth_unstable_by(k, |a, b| best_first(view, a, b));
            self.hits.truncate(k);
        }
    }

    fn finish(mut self, view: &TrackView, k: usize) -> Found {
        self.hits.sort_unstable_by(|a, b| best_first(view, a, b));
        self.hits.truncate(k);
        let order = [
            SearchPath::Plain,
            SearchPath::Filtered,
            SearchPath::Exact,
            SearchPath::Sifted,
            SearchPath::Escalated,
        ];
        let names: Vec<&str> =
            order.into_iter().filter(|path| self.paths.contains(path)).map(SearchPath::as_str).collect();
        let selectivity = if self.rows > 0.0 { (self.allowed_rows / self.rows) as f32 } else { 0.0 };
        Found { hits: self.hits, path: names.join("+"), selectivity }
    }
}

fn best_first(view: &TrackView, a: &(u32, f32), b: &(u32, f32)) -> std::cmp::Ordering {
    let key = |ordinal: u32| (view.hot(ordinal).key, ordinal);
    b.1.total_cmp(&a.1).then_with(|| key(a.0).cmp(&key(b.0)))
}

/// The `k` best of rows, and those that score as the last of them: which of these count is not for their places to decide.
fn scan(
    rows: &Rows<'_>,
    (metric, query): (Metric, &[f32]),
    k: usize,
    allowed: &Allowed<'_>,
    scratch: &mut Scratch,
) -> Result<Vec<(SegmentOffset, f32)>> {
    let mut asked = if k == 0 { 0 } else { (k + 1).min(K_MAX.max(k)) };
    loop {
        let hits = segue_index::exact::search(rows, metric, query, asked, allowed, scratch);
        let mut hits = hits.map_err(query_error)?;
        let Some(&(_, last)) = k.checked_sub(1).and_then(|at| hits.get(at)) else { return Ok(hits) };
        if hits.len() < asked || asked >= K_MAX || hits.last().is_some_and(|(_, score)| *score < last) {
            hits.retain(|(_, score)| *score >= last);
            return Ok(hits);
        }
        asked = (2 * asked).min(K_MAX);
    }
}

/// All queries against one segment.
struct SegmentSearch<'a> {
    search: &'a Search<'a>,
    segment: &'a VectorSegment,
    queries: &'a [&'a [f32]],
    effort: Effort,
}

impl SegmentSearch<'_> {
    fn run(&self, scratch: &mut Scratch, merges: &mut [Merge]) -> Result<()> {
        match &self.segment.body {
            VectorBody::Memory(rows) => self
                .queries
                .iter()
                .zip(merges)
                .try_for_each(|(query, merge)| self.growing(rows, query, scratch, merge)),
            VectorBody::Sealed(sealed) => self.sealed(sealed, scratch, merges),
        }
    }

    fn sealed(&self, sealed: &SealedVectors, scratch: &mut Scratch, merges: &mut [Merge]) -> Result<()> {
        let (search, ordinals) = (self.search, sealed.ordinals()?);
        let live = self.segment.dead.live(ordinals.len());
        let (base, excluded) = search.allowed.parts();
        let mut allowed = Allowed::all().with_base(base).with_excluded(excluded);
        if !sealed.is_in_order() {
            allowed = allowed.with_ordinals(ordinals);
        }
        if let Some(places) = sealed.places() {
            allowed = allowed.with_places(places);
        }
        if let Some(live) = live {
            allowed = allowed.with_live(live);
        }
        let head =
            if self.effort.exact { None } else { search.heads.head(search.view, sealed, search.metric)? };
        let files = sealed.indexes.iter().find(|files| files.metric == search.metric);
        let owner = |offset: SegmentOffset| ordinals[offset.0 as usize];
        if let (Some(head), Some(files)) = (head, files) {
            let params = SearchParams { k: self.effort.k, ef: self.effort.ef };
            let guard = UncheckedRows::of(sealed, files)?;
            let index = open_guarded(&head, sealed, files, guard.as_ref())?;
            let outcomes =
                index.search_many(self.queries, &params, &allowed, scratch).map_err(query_error)?;
            for (merge, outcome) in merges.iter_mut().zip(outcomes) {
                merge.hits.extend(outcome.hits.iter().map(|&(offset, score)| (owner(offset), score)));
                merge.add(outcome.path, ordinals.len(), outcome.selectivity);
            }
            return Ok(());
        }
        let rows = checked_rows_of(sealed)?;
        let share = allowed.estimated_count(ordinals.len()) as f32 / ordinals.len().max(1) as f32;
        for (query, merge) in self.queries.iter().zip(merges) {
            let hits = scan(&rows, (search.metric, query), self.effort.k, &allowed, scratch)?;
            merge.hits.extend(hits.iter().map(|&(offset, score)| (owner(offset), score)));
            merge.add(SearchPath::Exact, ordinals.len(), share);
        }
        Ok(())
    }

    fn growing(
        &self,
        growing: &GrowingVectors,
        query: &[f32],
        scratch: &mut Scratch,
        merge: &mut Merge,
    ) -> Result<()> {
        let mut first = 0_u32;
        let mut allowed_rows = 0_usize;
        let (base, excluded) = self.search.allowed.parts();
        for chunk in growing.chunks() {
            let n = chunk.ordinals.len();
            let dim = chunk.data.len() / n.max(1);
            let rows = Rows::new(&chunk.data, n, dim, dim).map_err(query_error)?;
            let live = [(0..n as u32)
                .filter(|at| !self.segment.dead.contains(first + at))
                .fold(0_u64, |bits, at| bits | 1 << at)];
            let allowed = Allowed::all()
                .with_ordinals(&chunk.ordinals)
                .with_live(&live)
                .with_base(base)
                .with_excluded(excluded);
            let hits = scan(&rows, (self.search.metric, query), self.effort.k, &allowed, scratch)?;
            merge.hits.extend(hits.iter().map(|(at, score)| (chunk.ordinals[at.0 as usize], *score)));
            merge.shrink(self.search.view, self.effort.k);
            allowed_rows += allowed.estimated_count(n);
            first += u32::try_from(n).expect("a chunk has 64 rows");
        }
        let rows = growing.rows();
        merge.add(SearchPath::Exact, rows, allowed_rows as f32 / rows.max(1) as f32);
        Ok(())
    }
}

fn query_error(error: IndexError) -> Error {
    match error {
        IndexError::Damaged { .. } => Error::Corrupt(error.to_string()),
        other => Error::invalid("vector", other.to_string()),
    }
}
