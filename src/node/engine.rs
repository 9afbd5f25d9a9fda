//! The database in one process.

use std::path::Path;

use crate::config::Settings;
use crate::error::{Error, Result};
use crate::pipeline::recipe::Recipe;
use crate::pipeline::request::{
    ExplainRequest, Explanation, RecommendRequest, Recommendation, SearchRequest, SimilarRequest,
    SimilarUser, SimilarUsersRequest, WriteToken,
};
use crate::storage::meta::{GenerationInfo, GramData};
use crate::types::{FeedbackEvent, GenerationId, Play, SpaceName, Track, TrackId, User, UserId};

/// One vector to store: the id of its track or user, and its components.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorRow {
    /// Track id or user id, by the space's entity.
    pub id: String,
    /// Components; the dimension of the space in its generation.
    pub vector: Vec<f32>,
}

/// What a bulk load brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadKind {
    /// Catalogue rows.
    Tracks,
    /// Listener rows.
    Users,
    /// Listening events.
    Plays,
    /// Vectors of one space and generation.
    Vectors,
}

/// How far a named load has come, durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoadProgress {
    /// Rows of the file that need not be sent again: the next row to send.
    pub rows_done: u64,
    /// Whether `finish_load` has completed.
    pub finished: bool,
}

/// What opening a directory found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenReport {
    /// Sentences about anything that was dropped or repaired; empty after a clean stop.
    pub repairs: Vec<String>,
}

/// The database in one process: open a directory, write, ask. Cheap to clone; safe to share between threads.
/// Calls block; an async caller runs them on a blocking thread.
#[derive(Clone)]
pub struct Segue {}

fn unbuilt<T>() -> Result<T> {
    Err(Error::Unavailable("this operation is being built".to_owned()))
}

#[expect(unused_variables, reason = "signatures agreed first")]
impl Segue {
    /// Opens (creating if empty) the database in `dir`; refuses a directory another process has open.
    pub fn open(dir: &Path, settings: Settings) -> Result<(Self, OpenReport)> {
        unbuilt()
    }
    /// Adds or replaces tracks; all rows of the batch or none.
    pub fn upsert_tracks(&self, tracks: Vec<Track>) -> Result<WriteToken> {
        unbuilt()
    }
    /// Takes tracks down: from the moment of the reply nobody is shown them. Unknown ids are ignored; counts the known.
    pub fn delete_tracks(&self, ids: &[TrackId]) -> Result<(u64, WriteToken)> {
        unbuilt()
    }
    /// One track.
    pub fn track(&self, id: &TrackId) -> Result<Track> {
        unbuilt()
    }
    /// Tracks in ordinal order after a cursor (exclusive); at most `limit`; the next cursor if there are more.
    pub fn list_tracks(&self, cursor: Option<u64>, limit: usize) -> Result<(Vec<Track>, Option<u64>)> {
        unbuilt()
    }
    /// Adds or replaces users; all rows of the batch or none.
    pub fn upsert_users(&self, users: Vec<User>) -> Result<WriteToken> {
        unbuilt()
    }
    /// Removes users and every trace of them.
    pub fn delete_users(&self, ids: &[UserId]) -> Result<(u64, WriteToken)> {
        unbuilt()
    }
    /// One user.
    pub fn user(&self, id: &UserId) -> Result<User> {
        unbuilt()
    }
    /// Users in key order after a cursor (exclusive); at most `limit`.
    pub fn list_users(&self, cursor: Option<UserId>, limit: usize) -> Result<(Vec<User>, Option<UserId>)> {
        unbuilt()
    }
    /// Adds or replaces vectors of a space in a generation (`STATIC` for spaces without generations).
    pub fn upsert_vectors(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        rows: Vec<VectorRow>,
    ) -> Result<WriteToken> {
        unbuilt()
    }
    /// Removes vectors by id.
    pub fn delete_vectors(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        ids: &[String],
    ) -> Result<(u64, WriteToken)> {
        unbuilt()
    }
    /// One vector.
    pub fn vector(&self, space: &SpaceName, generation: Option<GenerationId>, id: &str) -> Result<Vec<f32>> {
        unbuilt()
    }
    /// Records events; visible to the next request of those users. One outcome an event: `true` = new, `false` = seen before.
    pub fn feedback(&self, events: Vec<FeedbackEvent>) -> Result<(Vec<bool>, WriteToken)> {
        unbuilt()
    }
    /// A finished list.
    pub fn recommend(&self, request: RecommendRequest) -> Result<Recommendation> {
        unbuilt()
    }
    /// Tracks like some seeds.
    pub fn similar(&self, request: SimilarRequest) -> Result<Recommendation> {
        unbuilt()
    }
    /// Listeners like one listener.
    pub fn similar_users(&self, request: SimilarUsersRequest) -> Result<Vec<SimilarUser>> {
        unbuilt()
    }
    /// Nearest or most popular tracks under a filter.
    pub fn search(&self, request: SearchRequest) -> Result<Recommendation> {
        unbuilt()
    }
    /// Why a track is, or is not, in a list.
    pub fn explain(&self, request: ExplainRequest) -> Result<Explanation> {
        unbuilt()
    }
    /// Where a named load stands; a load never heard of stands at 0. `load_id` is made from the file's content, kind,
    /// space and generation by the caller.
    pub fn load_progress(&self, load_id: &str) -> Result<LoadProgress> {
        unbuilt()
    }
    /// Rows `first_row..` of a tracks load; durable on return. Rows before the load's progress are skipped.
    pub fn load_tracks(&self, load_id: &str, first_row: u64, rows: Vec<Track>) -> Result<LoadProgress> {
        unbuilt()
    }
    /// Rows of a users load.
    pub fn load_users(&self, load_id: &str, first_row: u64, rows: Vec<User>) -> Result<LoadProgress> {
        unbuilt()
    }
    /// Rows of a plays load. Events of unknown users create the user; events of unknown tracks wait for the track.
    pub fn load_plays(&self, load_id: &str, first_row: u64, rows: Vec<Play>) -> Result<LoadProgress> {
        unbuilt()
    }
    /// Rows of a vectors load.
    pub fn load_vectors(
        &self,
        load_id: &str,
        first_row: u64,
        space: &SpaceName,
        generation: GenerationId,
        rows: Vec<VectorRow>,
    ) -> Result<LoadProgress> {
        unbuilt()
    }
    /// Ends a load: returns when its rows are sealed, indexed and searchable. `progress` gets a share in 0..=1.
    pub fn finish_load(
        &self,
        load_id: &str,
        kind: LoadKind,
        progress: &dyn Fn(f64),
    ) -> Result<(LoadProgress, WriteToken)> {
        unbuilt()
    }
    /// Opens a new generation, with what fold-in needs when the trainer gave it.
    pub fn create_generation(&self, dim: u32, gram: Option<GramData>) -> Result<GenerationInfo> {
        unbuilt()
    }
    /// Makes a complete generation the one requests use.
    pub fn activate_generation(&self, id: GenerationId) -> Result<GenerationInfo> {
        unbuilt()
    }
    /// Back to the generation that was active before.
    pub fn rollback_generation(&self) -> Result<GenerationInfo> {
        unbuilt()
    }
    /// All generations, oldest first.
    pub fn generations(&self) -> Result<Vec<GenerationInfo>> {
        unbuilt()
    }
    /// Validates and stores a recipe as the next version of its name; not yet active.
    pub fn put_recipe(&self, recipe: Recipe) -> Result<Recipe> {
        unbuilt()
    }
    /// All stored versions and whether each is active, built-in ones included.
    pub fn recipes(&self) -> Result<Vec<(Recipe, bool)>> {
        unbuilt()
    }
    /// Makes a version of a recipe the active one.
    pub fn activate_recipe(&self, name: &str, version: u32) -> Result<Recipe> {
        unbuilt()
    }
    /// Whether writes and reads are served.
    pub fn ready(&self) -> Result<()> {
        unbuilt()
    }
    /// Flushes what is cheap to flush and stops background work; further calls fail with `Unavailable`.
    pub fn shutdown(&self) -> Result<()> {
        unbuilt()
    }
}
