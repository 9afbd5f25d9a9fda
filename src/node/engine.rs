//! The database in one process: its parts, opening and closing, and the operations it offers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use segue_cluster::ClusterNode;
use segue_storage_format::Health;

use super::compare::CheckReport;
use super::current::Ahead;
use super::far::Far;
use super::forward::Guests;
use super::group::Group;
use super::peers::{Membership, Peers};
use super::placing::{Placing, PlacingReport};
use super::report::{ClusterReport, NodeState};
use super::shadow::Shadows;
use super::split_plan::{SplitReport, SplitRequest};
use super::stage::Stage;
use super::statistics::StatisticsTurn;
use super::tally::Tallies;
use super::tend::{Place, Tenders};
use super::tracks::TrackReplicas;
use super::users::UserReplicas;
use super::waiting::ResolveCursor;
use super::warm_up::WarmUp;
use super::worker::Worker;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::maintenance::IndexChoice;
use crate::pipeline::experiment::{Experiment, ExperimentReport};
use crate::pipeline::judge::{EvalRequest, JudgedList};
use crate::pipeline::portrait::Portrait;
use crate::pipeline::reader::Caches;
use crate::pipeline::recipe::Recipe;
use crate::pipeline::request::{
    ExplainRequest, Explanation, RecommendRequest, Recommendation, RequestContext, SearchRequest,
    SimilarRequest, SimilarUser, SimilarUsersRequest, WriteToken,
};
use crate::pipeline::retrieve::Searchers;
use crate::pipeline::statistics::outcomes::Outcome;
use crate::storage::meta::{GenerationInfo, GramData, MetaStore};
use crate::types::{
    FeedbackEvent, GenerationId, Part, Play, SpaceName, Surface, Timestamp, Track, TrackId, User, UserId,
    VectorRow,
};

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

/// A shard and the group it applies the log of.
pub(super) struct Replica<S> {
    pub group: Group,
    pub shard: S,
}

/// Everything a node holds.
pub(super) struct Inner {
    pub dir: PathBuf,
    pub settings: Settings,
    /// The stop before this start was orderly.
    pub was_closed: bool,
    /// Taken out on shutdown.
    pub cluster: Mutex<Option<ClusterNode>>,
    /// The other nodes; `None` for a database that is alone.
    pub peers: Option<Arc<Peers>>,
    pub meta: Replica<MetaStore>,
    pub tracks: TrackReplicas,
    pub users: UserReplicas,
    /// What is to be done with each user shard; empty for a database that is alone.
    pub places: Mutex<Vec<Place>>,
    /// How user shards on other nodes are asked; `None` for a database that is alone.
    pub far: Option<Arc<Far>>,
    /// Requests of other nodes under way.
    pub guests: Guests,
    /// Whether lists are begun before the leaders have said how new they must be.
    pub ahead: Ahead,
    pub tenders: Mutex<Option<Tenders>>,
    /// Where the look through what waits for tracks goes on.
    pub resolve_cursor: Mutex<ResolveCursor>,
    pub caches: Caches,
    pub index_choice: IndexChoice,
    pub searchers: Searchers,
    /// Staged vectors of loads under way, by load id.
    pub stages: Mutex<HashMap<String, Stage>>,
    /// Held by whoever seals, merges or builds: one at a time.
    pub maintenance: Mutex<()>,
    pub worker: Mutex<Option<Worker>>,
    /// Events may be waiting for tracks that are there: the worker looks through all of them.
    pub resolve_due: AtomicBool,
    /// When statistics were and have to be derived.
    pub statistics_turn: StatisticsTurn,
    /// What waits for the shadow of an experiment.
    pub shadows: Shadows,
    /// What was served of experiments.
    pub tallies: Tallies,
    /// What was found damaged since the start.
    pub health: Arc<Health>,
    /// What the start has left to be read and checked.
    pub warm_up: WarmUp,
    pub closing: AtomicBool,
}

/// The database in one process: open a directory, write, ask. Cheap to clone; safe to share between threads.
/// Calls block; an async caller runs them on a blocking thread. Dropping the last clone stops it; nothing acknowledged
/// is lost.
#[derive(Clone)]
pub struct Segue(Arc<Handle>);

/// What the clones share. The worker holds the node while it works: it must have ended when the last clone is gone, or
/// the directory would stay in use.
struct Handle(Arc<Inner>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.stop_worker();
    }
}

impl Segue {
    /// Opens (creating if empty) the database in `dir`; refuses a directory another process has open.
    ///
    /// # Errors
    /// Who holds it; damaged files by name.
    pub fn open(dir: &Path, settings: Settings) -> Result<(Self, OpenReport)> {
        Self::open_as(dir, settings, Membership::Alone)
    }

    /// Opens the database in `dir` as a server does: alone, or as a node of a cluster.
    ///
    /// # Errors
    /// As [`Segue::open`]; the cluster port, a cluster that refuses the node. Waits for a majority of the cluster.
    pub fn open_as(dir: &Path, settings: Settings, membership: Membership) -> Result<(Self, OpenReport)> {
        let (inner, report) = super::open::open(dir, settings, membership)?;
        let inner = Arc::new(inner);
        if let Some(peers) = &inner.peers {
            peers.serve_calls(Arc::downgrade(&inner));
        }
        let in_cluster = inner.peers.is_some();
        *inner.tenders.lock() = Some(Tenders::start(&Arc::downgrade(&inner), in_cluster)?);
        inner.shadows.start(Arc::downgrade(&inner))?;
        inner.warm_up.start(&inner)?;
        *inner.worker.lock() = Some(Worker::start(Arc::downgrade(&inner))?);
        Ok((Self(Arc::new(Handle(inner))), report))
    }

    #[cfg(test)]
    pub(super) fn inner(&self) -> &Inner {
        &self.0.0
    }

    pub(super) fn serving(&self) -> Result<&Inner> {
        let inner = &*self.0.0;
        if inner.closing.load(Ordering::Acquire) {
            return Err(Error::Unavailable("the database is shutting down".to_owned()));
        }
        inner.sound()?;
        Ok(inner)
    }

    /// The answer to a call, unless damage was found by the time it is there: a file may have been read for it that is
    /// damaged.
    fn answer<T>(&self, answer: impl FnOnce(&Inner) -> Result<T>) -> Result<T> {
        let answer = answer(self.serving()?);
        self.0.0.sound()?;
        answer
    }

    /// Damage that was found in a file since the start: nothing is served any more.
    #[must_use]
    pub fn damage(&self) -> Option<Error> {
        self.0.0.sound().err()
    }

    /// Bytes of files that are still to be read and checked in the background after the start.
    #[must_use]
    pub fn warm_up_left(&self) -> u64 {
        self.0.0.warm_up.left()
    }

    /// Waits until [`Segue::warm_up_left`] is 0: for measurements.
    ///
    /// # Errors
    /// Damage that was found.
    pub fn wait_until_warm(&self) -> Result<()> {
        while self.warm_up_left() > 0 {
            self.serving()?;
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        self.serving().map(drop)
    }

    /// The same, when this node has seen everything any node has acknowledged.
    fn answer_current<T>(&self, answer: impl FnOnce(&Inner) -> Result<T>) -> Result<T> {
        self.answer(|inner| {
            inner.catch_up()?;
            answer(inner)
        })
    }

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

    /// Opens a new generation, with what fold-in needs when the trainer gave it.
    ///
    /// # Errors
    /// `InvalidField`.
    pub fn create_generation(&self, dim: u32, gram: Option<GramData>) -> Result<GenerationInfo> {
        self.answer_current(|inner| inner.create_generation(dim, gram))
    }

    /// Makes a complete generation the one requests use.
    ///
    /// # Errors
    /// `Conflict` when it is not complete.
    pub fn activate_generation(&self, id: GenerationId) -> Result<GenerationInfo> {
        self.answer_current(|inner| inner.activate_generation(id))
    }

    /// Back to the generation that was active before.
    ///
    /// # Errors
    /// `Conflict` when there is none.
    pub fn rollback_generation(&self) -> Result<GenerationInfo> {
        self.answer_current(|inner| inner.rollback_generation())
    }

    /// All generations, oldest first.
    ///
    /// # Errors
    /// Damaged files.
    pub fn generations(&self) -> Result<Vec<GenerationInfo>> {
        self.answer_current(|inner| inner.generations())
    }

    /// Validates and stores a recipe as the next version of its name; not yet active.
    ///
    /// # Errors
    /// `InvalidField`.
    pub fn put_recipe(&self, recipe: Recipe) -> Result<Recipe> {
        self.answer_current(|inner| inner.put_recipe(recipe))
    }

    /// All stored versions and whether each is active, built-in ones included.
    ///
    /// # Errors
    /// `Corrupt` when a stored recipe cannot be read.
    pub fn recipes(&self) -> Result<Vec<(Recipe, bool)>> {
        self.answer_current(|inner| inner.recipes())
    }

    /// Makes a version of a recipe the active one.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn activate_recipe(&self, name: &str, version: u32) -> Result<Recipe> {
        self.answer_current(|inner| inner.activate_recipe(name, version))
    }

    /// Stores an experiment as the next version of its surface's, and begins it in place of the one that runs there. The
    /// newest version once more is begun and stays that version, so the call may be made again.
    ///
    /// # Errors
    /// `InvalidField`; `NotFound` for a recipe.
    pub fn put_experiment(&self, experiment: Experiment) -> Result<Experiment> {
        self.answer_current(|inner| inner.put_experiment(experiment))
    }

    /// All stored versions of all surfaces' experiments, and whether each runs.
    ///
    /// # Errors
    /// `Corrupt` when one cannot be read.
    pub fn experiments(&self) -> Result<Vec<(Experiment, bool)>> {
        self.answer_current(|inner| inner.experiments())
    }

    /// The experiment of a surface with what all nodes have counted of it since each began to serve it.
    ///
    /// # Errors
    /// `NotFound` when the surface never had one.
    pub fn experiment_report(&self, surface: &Surface) -> Result<ExperimentReport> {
        self.answer_current(|inner| inner.experiment_report(surface))
    }

    /// Ends the experiment of a surface: requests get the surface's recipe again. Fine when none runs.
    ///
    /// # Errors
    /// `NotFound` when the surface never had one.
    pub fn stop_experiment(&self, surface: &Surface) -> Result<Experiment> {
        self.answer_current(|inner| inner.stop_experiment(surface))
    }

    /// One listener's list for evaluation, with what it is judged by.
    ///
    /// # Errors
    /// As [`Segue::recommend`].
    pub(crate) fn judge(&self, user: &UserId, items: &[TrackId], asked: &EvalRequest) -> Result<JudgedList> {
        self.answer_current(|inner| inner.judge(user, items, asked))
    }

    /// How every node and replica of the cluster is.
    ///
    /// # Errors
    /// `Conflict` when the database is alone.
    pub fn cluster_status(&self) -> Result<ClusterReport> {
        self.serving()?.cluster_status()
    }

    /// Brings the metrics of groups and log up to date in the process's recorder.
    pub fn record_metrics(&self) {
        self.0.0.record_metrics();
    }

    /// Compares the replicas of every group on all nodes.
    ///
    /// Cost: every node reads all it has, once.
    ///
    /// # Errors
    /// `Conflict` when the database is alone.
    pub fn compare_replicas(&self) -> Result<CheckReport> {
        self.answer(|inner| inner.compare_replicas())
    }

    /// Changes what is wanted of a node of the cluster.
    ///
    /// # Errors
    /// `Conflict` when the database is alone or the change would lose the last node; retryable refusals.
    pub fn set_node_state(&self, node: &str, state: NodeState) -> Result<()> {
        self.serving()?.set_node_state(node, state)
    }

    /// Places user shards on other nodes, or says what would be placed where.
    ///
    /// # Errors
    /// `Conflict` when the database is alone, the groups concerned have no majority, or the move would leave a replica fewer;
    /// `NotFound`.
    pub fn place_shards(&self, what: &Placing, dry_run: bool) -> Result<PlacingReport> {
        self.serving()?.place_shards(what, dry_run)
    }

    /// Splits a user shard in two, or says what would be; it goes on in the background, and after a restart. Asked again while it
    /// runs, says how far it is; asked again for a split that is done, and named by its slot, says that.
    ///
    /// # Errors
    /// `NotFound` for a shard that there is not; `Conflict` for a range of one slot, a slot outside the range, while another
    /// split runs, when there are as many shards as there may be, or the groups concerned have no majority.
    pub fn split_shard(&self, request: &SplitRequest) -> Result<SplitReport> {
        self.answer_current(|inner| inner.split_shard(request))
    }

    /// Has a group's leader hand over to its replica on a node.
    ///
    /// # Errors
    /// `Conflict` when the replica there is none that may lead.
    pub fn transfer_leader(&self, group: &str, node: &str) -> Result<()> {
        self.serving()?.transfer_leader(group, node)
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

    /// Learns from all listeners what recipes use (artists and genres that go together, rewards of exploration), now
    /// instead of when enough has happened.
    ///
    /// # Errors
    /// Damaged files; retryable refusals.
    pub fn refresh_statistics(&self) -> Result<()> {
        self.answer_current(|inner| inner.refresh_statistics())
    }

    /// Tracks that exist and are not taken down.
    ///
    /// # Errors
    /// `Unavailable` while shutting down.
    pub fn live_tracks(&self) -> Result<usize> {
        self.answer_current(|inner| {
            let live: u64 = inner.tracks.views().iter().map(|view| view.live_tracks()).sum();
            Ok(usize::try_from(live).unwrap_or(usize::MAX))
        })
    }

    /// Whether writes and reads are served.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<()> {
        let inner = self.serving()?;
        inner.meta.group.ready()?;
        inner.tracks.groups().try_for_each(Group::ready)?;
        inner.users.owners().into_iter().filter(|group| group.is_here()).try_for_each(Group::ready)
    }

    /// Seals what is in memory and merges what should be merged, now: afterwards a restart replays next to nothing.
    ///
    /// # Errors
    /// Disk errors.
    pub fn checkpoint(&self) -> Result<()> {
        let inner = self.serving()?;
        inner.seal_now(&|_| {})?;
        for (_, users) in inner.users.shards.here() {
            users.persist()?;
        }
        inner.merge_all()
    }

    /// Stops background work and the log, waiting for what is under way; further calls fail with `Unavailable`. The
    /// directory can be opened again when all clones are dropped.
    ///
    /// # Errors
    /// Disk errors while closing; nothing acknowledged is lost.
    pub fn shutdown(&self) -> Result<()> {
        self.0.0.shutdown()
    }
}

impl Inner {
    fn shutdown(&self) -> Result<()> {
        if let Some(peers) = &self.peers {
            peers.stop();
        }
        self.stop_worker();
        let cluster = self.cluster.lock().take();
        match cluster {
            Some(cluster) => cluster.shutdown().map_err(|error| Error::Unavailable(error.to_string())),
            None => Ok(()),
        }
    }

    /// # Errors
    /// `Corrupt` once damage was found in any file that was read since the start.
    pub(super) fn sound(&self) -> Result<()> {
        match self.health.damage() {
            None => Ok(()),
            Some(damage) => Err(Error::Corrupt(damage.to_owned())),
        }
    }

    /// Waits until the worker has finished what it is at; no call is served from here on.
    fn stop_worker(&self) {
        self.closing.store(true, Ordering::Release);
        let worker = self.worker.lock().take();
        if let Some(worker) = worker {
            worker.stop();
        }
        self.warm_up.stop();
        self.shadows.stop();
        let tenders = self.tenders.lock().take();
        if let Some(tenders) = tenders {
            tenders.stop();
        }
    }
}
