//! Bulk loads.

use super::{LoadKind, LoadProgress, Segue};
use crate::error::Result;
use crate::pipeline::request::WriteToken;
use crate::types::{GenerationId, Play, SpaceName, Track, User, VectorRow};

impl Segue {
    /// Where a named load stands; a load never heard of stands at 0. `load_id` is made from the file's content, kind,
    /// space and generation by the caller.
    ///
    /// # Errors
    /// Damaged files.
    pub fn load_progress(&self, load_id: &str) -> Result<LoadProgress> {
        self.answer_current(|inner| inner.load_progress(load_id))
    }

    /// Rows `first_row..` of a tracks load; durable on return. Rows before the load's progress are skipped.
    ///
    /// # Errors
    /// `InvalidRow`; `Conflict` when rows before these are missing.
    pub fn load_tracks(&self, load_id: &str, first_row: u64, rows: Vec<Track>) -> Result<LoadProgress> {
        self.answer_current(|inner| inner.load_tracks(load_id, first_row, rows))
    }

    /// Rows of a users load.
    ///
    /// # Errors
    /// As [`Segue::load_tracks`].
    pub fn load_users(&self, load_id: &str, first_row: u64, rows: Vec<User>) -> Result<LoadProgress> {
        self.answer_current(|inner| inner.load_users(load_id, first_row, rows))
    }

    /// Rows of a plays load. Events of unknown users create the user; events of unknown tracks wait for the track.
    ///
    /// # Errors
    /// As [`Segue::load_tracks`].
    pub fn load_plays(&self, load_id: &str, first_row: u64, rows: Vec<Play>) -> Result<LoadProgress> {
        self.answer_current(|inner| inner.load_plays(load_id, first_row, rows))
    }

    /// Rows of a vectors load. Searchable after [`Segue::finish_load`].
    ///
    /// # Errors
    /// As [`Segue::load_tracks`].
    pub fn load_vectors(
        &self,
        load_id: &str,
        first_row: u64,
        space: &SpaceName,
        generation: GenerationId,
        rows: Vec<VectorRow>,
    ) -> Result<LoadProgress> {
        self.answer_current(|inner| inner.load_vectors(load_id, first_row, space, generation, rows))
    }

    /// Ends a load: returns when its rows are sealed, indexed and searchable. `progress` gets a share in 0..=1.
    ///
    /// # Errors
    /// Disk errors; the call can be repeated. `Conflict` when a call of the load failed half-way in some of several user
    /// shards and was not made again.
    pub fn finish_load(
        &self,
        load_id: &str,
        kind: LoadKind,
        progress: &(dyn Fn(f64) + Sync),
    ) -> Result<(LoadProgress, WriteToken)> {
        self.answer_current(|inner| inner.finish_load(load_id, kind, progress))
    }
}
