//! Events, and what is asked about listeners and tracks.

use std::collections::HashMap;

use super::Segue;
use crate::error::Result;
use crate::pipeline::judge::{EvalRequest, JudgedList};
use crate::pipeline::logged::LoggedList;
use crate::pipeline::portrait::Portrait;
use crate::pipeline::request::{
    ExplainRequest, Explanation, RecommendRequest, Recommendation, RequestContext, SearchRequest,
    SimilarRequest, SimilarUser, SimilarUsersRequest, WriteToken,
};
use crate::pipeline::statistics::outcomes::Outcome;
use crate::types::{FeedbackEvent, Surface, Timestamp, TrackId, UserId};

impl Segue {
    /// Records events; visible to the next request of those users. One outcome an event: `true` = new, `false` = seen
    /// before. A batch with a mistake records nothing. Each user shard records its events of the batch whole or not at all.
    ///
    /// # Errors
    /// `InvalidRow` naming row and field, unknown users included; nothing is recorded then. Retryable refusals, after which
    /// some of several user shards may have recorded theirs: the same call again is safe and records the rest.
    pub fn feedback(&self, events: Vec<FeedbackEvent>) -> Result<(Vec<bool>, WriteToken)> {
        self.answer_current(|inner| inner.feedback(events))
    }

    /// A finished list.
    ///
    /// # Errors
    /// `NotFound` user or recipe, `InvalidField`.
    pub fn recommend(&self, request: RecommendRequest) -> Result<Recommendation> {
        let inner = self.serving()?;
        if inner.is_elsewhere(&request.user_id) {
            return inner.recommend_elsewhere(request);
        }
        self.answer(|inner| inner.recommend_current(request))
    }

    /// What is known of a listener at a moment.
    ///
    /// # Errors
    /// `NotFound` for an unknown user; `InvalidField`.
    pub fn portrait(&self, user: &UserId, as_of: Timestamp, context: &RequestContext) -> Result<Portrait> {
        let inner = self.serving()?;
        if inner.is_elsewhere(user) {
            return inner.portrait_elsewhere(user, as_of, context);
        }
        self.answer_current(|inner| inner.portrait(user, as_of, context))
    }

    /// The newest lists that were reported as served to a listener until a moment, at most `limit` (1 or more), newest first:
    /// what each was made by, and how its slots were chosen. Lists of the last 84 days are kept.
    ///
    /// # Errors
    /// `NotFound` for an unknown user; damaged files.
    pub fn logged_lists(&self, user: &UserId, until: Timestamp, limit: usize) -> Result<Vec<LoggedList>> {
        let inner = self.serving()?;
        if inner.is_elsewhere(user) {
            return inner.logged_lists_elsewhere(user, until, limit);
        }
        self.answer_current(|inner| inner.logged_lists(user, until, limit))
    }

    /// Tracks like some seeds.
    ///
    /// # Errors
    /// `NotFound` when no seed is known, `InvalidField`.
    pub fn similar(&self, request: SimilarRequest) -> Result<Recommendation> {
        let inner = self.serving()?;
        if let Some(user) = request.user_id.clone().filter(|user| inner.is_elsewhere(user)) {
            return inner.similar_elsewhere(&user, request);
        }
        self.answer_current(|inner| inner.similar(request))
    }

    /// Listeners like one listener, by the cosine of their vectors. Exact: O(users · dim).
    ///
    /// # Errors
    /// `NotFound` when the user has no vector.
    pub fn similar_users(&self, request: SimilarUsersRequest) -> Result<Vec<SimilarUser>> {
        self.answer_current(|inner| inner.similar_users(request))
    }

    /// Nearest or most popular tracks under a filter.
    ///
    /// # Errors
    /// `InvalidField`, `NotFound` space.
    pub fn search(&self, request: SearchRequest) -> Result<Recommendation> {
        self.answer_current(|inner| inner.search(request))
    }

    /// Why a track is, or is not, in a list.
    ///
    /// # Errors
    /// `NotFound` user or track.
    pub fn explain(&self, request: ExplainRequest) -> Result<Explanation> {
        let inner = self.serving()?;
        if inner.is_elsewhere(&request.request.user_id) {
            return inner.explain_elsewhere(request);
        }
        self.answer_current(|inner| inner.explain(request))
    }

    /// One listener's list for evaluation, with what it is judged by.
    ///
    /// # Errors
    /// As [`Segue::recommend`].
    pub(crate) fn judge(&self, user: &UserId, items: &[TrackId], asked: &EvalRequest) -> Result<JudgedList> {
        self.answer_current(|inner| inner.judge(user, items, asked))
    }

    /// How many listeners ever heard each track that anybody heard.
    ///
    /// # Errors
    /// Damaged files.
    pub(crate) fn listeners_of_tracks(&self) -> Result<HashMap<TrackId, u64>> {
        self.answer_current(|inner| inner.listeners_of_tracks())
    }

    /// What became of every explored slot that was shown; true for one half of the listeners.
    ///
    /// # Errors
    /// Damaged files.
    pub(crate) fn exploration_log(&self) -> Result<Vec<(bool, Outcome)>> {
        self.answer_current(|inner| inner.exploration_log())
    }

    /// Every listener with the mean reward of what was shown to them, if an outcome is known.
    ///
    /// # Errors
    /// Damaged files.
    pub(crate) fn rewards_by_listener(
        &self,
        surface: Option<&Surface>,
    ) -> Result<Vec<(UserId, Option<f64>)>> {
        self.answer_current(|inner| inner.rewards_by_listener(surface))
    }

    /// Learns from all listeners what recipes use (artists and genres that go together, rewards of exploration), now
    /// instead of when enough has happened.
    ///
    /// # Errors
    /// Damaged files; retryable refusals.
    pub fn refresh_statistics(&self) -> Result<()> {
        self.answer_current(|inner| inner.refresh_statistics())
    }
}
