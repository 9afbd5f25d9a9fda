//! One search: check, plan, walk or scan, re-score.

use super::allowed::{Allowed, STRETCH};
use super::error::IndexError;
use super::params::{K_MAX, Profile, SearchParams, WIDTH_MAX};
use super::plan::{self, Asking, Plan};
use super::query::{self, Query};
use super::reach::{self, Reach};
use super::scan;
use super::scratch::{Counts, Scratch};
use super::sieve;
use super::top::Scored;
use super::view::IndexView;
use super::walk;
use crate::SegmentOffset;

/// Allowed rows, and bytes of their vectors, up to which all are scored exactly: making a query ready for codes, and scanning these, costs as much.
const SCORED_ROWS: usize = 640;
const SCORED_BYTES: usize = 256 * 1024;

/// Allowed rows up to which they are listed once instead of counted and then looked for again.
const LISTED_ROWS: usize = 4_096;

/// Vectors that are asked for before they are scored.
pub(super) const AHEAD: usize = 8;

/// How many rows a filter allows.
#[derive(Clone, Copy)]
struct Count {
    /// Their number, perhaps estimated.
    rows: usize,
    /// Whether they are in `scratch.few`.
    listed: bool,
}

/// Which way a search went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SearchPath {
    /// A walk without filter.
    Plain,
    /// A walk through all rows that keeps allowed ones.
    Filtered,
    /// A scan of all allowed rows.
    Exact,
    /// A scan of the allowed rows of blocks that may hold the best, by one-bit codes first.
    Sifted,
    /// A walk that found too few or took too long, then one of those scans.
    Escalated,
}

impl SearchPath {
    /// The name used in replies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Filtered => "filtered",
            Self::Exact => "exact",
            Self::Sifted => "sifted",
            Self::Escalated => "escalated",
        }
    }
}

/// The answer to one search.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchOutcome {
    /// Up to `k` rows with their exact scores, best first, ties by offset; fewer only when fewer are allowed.
    pub hits: Vec<(SegmentOffset, f32)>,
    /// Which way the search went.
    pub path: SearchPath,
    /// Share of the rows the filter was estimated to allow, 0 to 1.
    pub selectivity: f32,
    /// What the search did.
    pub counts: Counts,
}

impl IndexView<'_> {
    /// Returns the `k` allowed rows with the largest scores, approximately.
    ///
    /// * `query`: `[dim]`; needs no unit length for cosine.
    /// * cost: about `ef` hops without filter; allocates only the result once `scratch` has grown.
    ///
    /// # Errors
    /// [`IndexError::DimensionMismatch`], [`IndexError::QueryNotFinite`], [`IndexError::ZeroQuery`],
    /// [`IndexError::Parameter`] for `k` out of range.
    pub fn search(
        &self,
        query: &[f32],
        params: &SearchParams,
        allowed: &Allowed<'_>,
        scratch: &mut Scratch,
    ) -> Result<SearchOutcome, IndexError> {
        scratch.gates.clear();
        let count = self.count(allowed, scratch);
        self.search_counted(query, params, allowed, count, scratch)
    }

    /// Counts the allowed rows, about. Where they are few and easily found they are left in `scratch.few`.
    fn count(&self, allowed: &Allowed<'_>, scratch: &mut Scratch) -> Count {
        let most = (self.scored_rows(), LISTED_ROWS);
        if allowed.asking() == Asking::Words && allowed.list_few(self.len(), most, &mut scratch.few) {
            return Count { rows: scratch.few.len(), listed: true };
        }
        Count { rows: allowed.estimated_count(self.len()), listed: false }
    }

    /// Searches for several queries of one request under one filter, whose selectivity is estimated once.
    ///
    /// # Errors
    /// As [`IndexView::search`], for the first query that is wrong.
    pub fn search_many(
        &self,
        queries: &[&[f32]],
        params: &SearchParams,
        allowed: &Allowed<'_>,
        scratch: &mut Scratch,
    ) -> Result<Vec<SearchOutcome>, IndexError> {
        scratch.gates.clear();
        let count = self.count(allowed, scratch);
        queries.iter().map(|query| self.search_counted(query, params, allowed, count, scratch)).collect()
    }

    fn search_counted(
        &self,
        query: &[f32],
        params: &SearchParams,
        allowed: &Allowed<'_>,
        count: Count,
        scratch: &mut Scratch,
    ) -> Result<SearchOutcome, IndexError> {
        if params.k == 0 || params.k > K_MAX {
            return Err(IndexError::parameter("k", params.k, "must be 1 to 10000"));
        }
        query::check(self.meta.metric, self.meta.dim, query)?;
        scratch.counts = Counts::default();
        let may_list = count.rows <= self.scored_rows() && !allowed.is_all();
        let estimated = !(may_list && (count.listed || self.few_allowed(allowed, scratch)));
        let path = if estimated {
            scratch.query.set(self.kernels, self.meta, self.rotation, query);
            self.collect(params, (allowed, count), scratch)
        } else {
            scratch.query.length = self.kernels.dot_f32(query, query).sqrt();
            SearchPath::Exact
        };
        let hits = if estimated {
            self.rescore(query, params.k, scratch)
        } else {
            self.score_few(query, params.k, scratch)
        };
        let selectivity = if self.is_empty() { 0.0 } else { count.rows as f32 / self.len() as f32 };
        Ok(SearchOutcome { hits, path, selectivity, counts: scratch.counts })
    }

    /// Allowed rows up to which all are scored exactly.
    fn scored_rows(&self) -> usize {
        (SCORED_BYTES / (size_of::<f32>() * self.meta.dim)).min(SCORED_ROWS)
    }

    /// Leaves all allowed nodes in `scratch.few`, unless the estimate of their number was far too small.
    fn few_allowed(&self, allowed: &Allowed<'_>, scratch: &mut Scratch) -> bool {
        let (few, most) = (&mut scratch.few, 4 * self.scored_rows());
        few.clear();
        allowed.for_each_stretch(self.len(), |nodes| {
            // More than enough says that there are too many.
            if few.len() <= most {
                few.extend_from_slice(nodes);
            }
        });
        few.len() <= most
    }

    /// Leaves the nodes worth scoring exactly in `scratch.found`, best first.
    fn collect(
        &self,
        params: &SearchParams,
        (allowed, Count { rows: count, listed }): (&Allowed<'_>, Count),
        scratch: &mut Scratch,
    ) -> SearchPath {
        let (effort, keep) = (self.effort(params), self.rescored(params.k));
        let reach = self.meta.margins.reach(params.k, effort, keep);
        let sizes = self.sizes(count, params.k);
        let path = match plan::choose(&sizes, count, (effort, reach.keep), allowed.asking()) {
            Plan::Plain => {
                walk::plain(self, &reach, scratch);
                SearchPath::Plain
            }
            Plan::Filtered(hops) if walk::filtered(self, &reach, allowed, hops, scratch) => {
                SearchPath::Filtered
            }
            Plan::Filtered(_) => SearchPath::Escalated,
            Plan::Scan if sizes.sifts(count) => SearchPath::Sifted,
            Plan::Scan => SearchPath::Exact,
        };
        let walked = matches!(path, SearchPath::Plain | SearchPath::Filtered);
        if walked && scratch.beam.len() >= params.k.min(self.len()) {
            let nodes = scratch.beam.iter().take(keep);
            scratch.found.clear();
            scratch.found.extend(nodes.map(|(score, node)| Scored { score, node }));
            return path;
        }
        match self.sieve.filter(|_| sizes.sifts(count)) {
            Some(sieve) => sieve::scan::scan(self, sieve, (params.k, keep), (allowed, count), scratch),
            None => scan::scan(self, keep, (allowed, listed), scratch),
        }
        if walked { SearchPath::Escalated } else { path }
    }

    /// Walks for a query as wide as margins are measured for: its form and the scores found, best first.
    ///
    /// # Errors
    /// As [`IndexView::search`].
    pub(super) fn wide_walk(
        &self,
        query: &[f32],
        scratch: &mut Scratch,
    ) -> Result<(Query, Vec<f32>), IndexError> {
        query::check(self.meta.metric, self.meta.dim, query)?;
        scratch.query.set(self.kernels, self.meta, self.rotation, query);
        walk::plain(self, &Reach::fixed(reach::WIDEST), scratch);
        Ok((scratch.query.clone(), scratch.beam.iter().map(|(score, _)| score).collect()))
    }

    /// Nodes a walk follows on average.
    fn effort(&self, params: &SearchParams) -> usize {
        params.ef.unwrap_or_else(|| self.meta.efforts.width(params.k)).clamp(1, WIDTH_MAX)
    }

    /// How many of the best estimates may be scored exactly for `k` results.
    fn rescored(&self, k: usize) -> usize {
        match self.meta.profile {
            Profile::Fast => 2 * k + 16,
            Profile::Compact => 2 * k + 100,
        }
    }

    /// Scores the nodes in `scratch.few` exactly and returns the best `k`.
    fn score_few(&self, query: &[f32], k: usize, scratch: &mut Scratch) -> Vec<(SegmentOffset, f32)> {
        let Scratch { query: form, few, found, shortlist, counts, .. } = scratch;
        shortlist.reset(k);
        for nodes in few.chunks(STRETCH) {
            shortlist.score(nodes, |node| self.score(query, form.length, node));
        }
        counts.exact += few.len() as u64;
        shortlist.drain_into(found);
        found.iter().map(|entry| (SegmentOffset(entry.node), entry.score)).collect()
    }

    /// Scores the nodes in `scratch.found` exactly and returns the best `k`.
    ///
    /// They are in the order of their estimates: it stops where what is left is worse than the k-th best by more than estimates err.
    fn rescore(&self, query: &[f32], k: usize, scratch: &mut Scratch) -> Vec<(SegmentOffset, f32)> {
        let Scratch { query: form, found, top, counts, .. } = scratch;
        top.reset(k);
        found.iter().take(AHEAD).for_each(|entry| self.prefetch_vector(entry.node));
        for (i, entry) in found.iter().enumerate() {
            if let Some(worst) = top.worst()
                && entry.score + form.error(self.factor(entry.node)) < form.walk_score(worst)
            {
                break;
            }
            if let Some(next) = found.get(i + AHEAD) {
                self.prefetch_vector(next.node);
            }
            top.push(self.score(query, form.length, entry.node), entry.node);
            counts.exact += 1;
        }
        top.drain_into(found);
        found.iter().map(|entry| (SegmentOffset(entry.node), entry.score)).collect()
    }
}
