//! Tracks, listeners and vectors: writing them, and reading them back.

use super::Segue;
use crate::error::{Error, Result};
use crate::pipeline::request::WriteToken;
use crate::types::{GenerationId, Part, SpaceName, Track, TrackId, User, UserId, VectorRow};

impl Segue {
    /// Adds or replaces tracks. A batch with a mistake changes nothing. Each track shard takes its rows of the batch whole or
    /// not at all; with several, readers may see one shard's rows before another's.
    ///
    /// # Errors
    /// `InvalidRow` naming row and field; retryable refusals, after which some of several shards may have their rows: the same
    /// call again is safe and brings the rest.
    pub fn upsert_tracks(&self, tracks: Vec<Track>) -> Result<WriteToken> {
        self.answer_current(|inner| inner.upsert_tracks(tracks))
    }

    /// Takes tracks down: from the moment of the reply nobody is shown them. Unknown ids are ignored; counts the known.
    ///
    /// # Errors
    /// Retryable refusals.
    pub fn delete_tracks(&self, ids: &[TrackId]) -> Result<(u64, WriteToken)> {
        self.answer_current(|inner| inner.delete_tracks(ids))
    }

    /// One track.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn track(&self, id: &TrackId) -> Result<Track> {
        self.answer_current(|inner| inner.track(id))
    }

    /// Tracks shard by shard, in each in ordinal order, after a cursor (exclusive); at most `limit`; the next cursor if there are
    /// more.
    ///
    /// # Errors
    /// Damaged files.
    pub fn list_tracks(&self, cursor: Option<u64>, limit: usize) -> Result<(Vec<Track>, Option<u64>)> {
        self.answer_current(|inner| inner.list_tracks(cursor, limit))
    }

    /// Adds or replaces users. A batch with a mistake changes nothing. Each user shard takes its rows of the batch whole or
    /// not at all; with several, readers may see one shard's rows before another's.
    ///
    /// # Errors
    /// `InvalidRow` naming row and field; retryable refusals, after which some shards may have their rows: the same call
    /// again is safe and brings the rest.
    pub fn upsert_users(&self, users: Vec<User>) -> Result<WriteToken> {
        self.answer_current(|inner| inner.upsert_users(users))
    }

    /// Removes users and every trace of them; counts the known.
    ///
    /// # Errors
    /// Retryable refusals, after which some of several user shards may have removed theirs.
    pub fn delete_users(&self, ids: &[UserId]) -> Result<(u64, WriteToken)> {
        self.answer_current(|inner| inner.delete_users(ids))
    }

    /// One user.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn user(&self, id: &UserId) -> Result<User> {
        self.answer_current(|inner| inner.user(id))
    }

    /// Users in key order (slot, then id; the same for any number of user shards) after a cursor (exclusive); at most
    /// `limit`.
    ///
    /// # Errors
    /// Damaged files.
    pub fn list_users(&self, cursor: Option<UserId>, limit: usize) -> Result<(Vec<User>, Option<UserId>)> {
        self.answer_current(|inner| inner.list_users(cursor, limit))
    }

    /// [`Segue::list_users`] of one part of all listeners: together the parts have everyone once.
    ///
    /// # Errors
    /// `InvalidField` for a cursor that is not in the part; damaged files.
    pub fn list_users_in(
        &self,
        part: Part,
        cursor: Option<UserId>,
        limit: usize,
    ) -> Result<(Vec<User>, Option<UserId>)> {
        self.answer_current(|inner| inner.list_users_in(part, cursor, limit))
    }

    /// How many listeners there are.
    ///
    /// # Errors
    /// `Unavailable` while shutting down.
    pub fn user_count(&self) -> Result<u64> {
        self.answer_current(|inner| {
            let figures = inner.users.shards.figures().map_err(Error::from)?;
            Ok(figures.into_iter().map(|shard| shard.users).sum())
        })
    }

    /// Tracks that exist and are not taken down.
    ///
    /// # Errors
    /// `Unavailable` while shutting down.
    pub fn live_tracks(&self) -> Result<usize> {
        self.answer_current(|inner| {
            let live = inner.reader(None)?.live_tracks()?;
            Ok(usize::try_from(live).unwrap_or(usize::MAX))
        })
    }

    /// Adds or replaces vectors of a space in a generation (`STATIC` for spaces without generations). A batch with a mistake
    /// changes nothing; where there are several shards, as in [`Segue::upsert_tracks`] and [`Segue::upsert_users`].
    ///
    /// # Errors
    /// `InvalidRow` (unknown track, wrong dimension, not finite), `NotFound` space or generation.
    pub fn upsert_vectors(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        rows: Vec<VectorRow>,
    ) -> Result<WriteToken> {
        self.answer(|inner| {
            if !inner.is_settled(space) {
                inner.catch_up()?;
            }
            inner.upsert_vectors(space, generation, rows)
        })
    }

    /// Removes vectors by id; counts those there were.
    ///
    /// # Errors
    /// `NotFound` space; retryable refusals.
    pub fn delete_vectors(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        ids: &[String],
    ) -> Result<(u64, WriteToken)> {
        self.answer_current(|inner| inner.delete_vectors(space, generation, ids))
    }

    /// One vector.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn vector(&self, space: &SpaceName, generation: Option<GenerationId>, id: &str) -> Result<Vec<f32>> {
        self.answer_current(|inner| inner.vector(space, generation, id))
    }

    /// Vectors of a space in the order of its tracks or listeners, at most `limit` ids a call, those without a vector left
    /// out; and the page to go on with, if there is more.
    ///
    /// # Errors
    /// `NotFound` space or generation; `InvalidField` for a page of another list; damaged files.
    pub fn list_vectors(
        &self,
        space: &SpaceName,
        generation: Option<GenerationId>,
        page: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<VectorRow>, Option<String>)> {
        self.answer_current(|inner| inner.list_vectors(space, generation, page, limit))
    }
}
