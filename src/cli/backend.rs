//! A database behind the commands: a server, or a directory opened in-process. One method an operation.

use std::path::Path;

use super::args::BackendArgs;
use super::output::note;
use crate::Segue;
use crate::api::{Batch, Client, Loader, push_batch, stamp_events, stamp_recommend, stamp_similar};
use crate::config;
use crate::error::{Error, Result};
use crate::node::{LoadKind, LoadProgress};
use crate::pipeline::experiment::{Experiment, ExperimentReport};
use crate::pipeline::logged::LoggedList;
use crate::pipeline::portrait::Portrait;
use crate::pipeline::recipe::Recipe;
use crate::pipeline::request::{
    ExplainRequest, Explanation, RecommendRequest, Recommendation, RequestContext, SearchRequest,
    SimilarRequest, WriteToken,
};
use crate::storage::meta::{GenerationInfo, GramData};
use crate::types::{
    FeedbackEvent, GenerationId, Part, SpaceName, Surface, Timestamp, Track, User, UserId, VectorRow,
};

/// The variable that names the server when no flag names a database.
const ENDPOINT: &str = "SEGUE_ENDPOINT";

/// A database. Cheap to clone; safe to share between threads.
#[derive(Clone)]
pub enum Backend {
    /// In this process.
    Local(Segue),
    /// On a server.
    Remote(Client),
}

impl Backend {
    /// Opens what the flags name: `--data`, else `--endpoint`, else `SEGUE_ENDPOINT`.
    ///
    /// # Errors
    /// `InvalidField` when nothing is named; else those of connecting or opening.
    pub fn open(args: &BackendArgs) -> Result<Self> {
        let endpoint = args.endpoint.clone().or_else(|| std::env::var(ENDPOINT).ok());
        match (&args.data, endpoint) {
            (Some(dir), _) => Self::local(dir),
            (None, Some(endpoint)) => Client::connect(&endpoint).map(Self::Remote),
            (None, None) => Err(Error::invalid(
                "database",
                "give --endpoint http://HOST:PORT for a running server, or --data DIR to open a directory",
            )),
        }
    }

    /// Opens a directory with the settings of the environment.
    ///
    /// # Errors
    /// Wrong settings; those of opening.
    pub fn local(dir: &Path) -> Result<Self> {
        let flags = vec![("data".to_owned(), dir.display().to_string())];
        let settings = config::load(None, std::env::vars(), &flags)?.settings;
        let (engine, report) = Segue::open(dir, settings)?;
        for repair in report.repairs {
            note(&format!("repaired: {repair}"));
        }
        Ok(Self::Local(engine))
    }

    /// Ends the work: an in-process database is closed in order.
    ///
    /// # Errors
    /// Those of closing.
    pub fn close(self) -> Result<()> {
        match self {
            Self::Local(engine) => engine.shutdown(),
            Self::Remote(_) => Ok(()),
        }
    }

    /// See [`Segue::recommend`].
    ///
    /// # Errors
    /// Those of the database; the same holds for all operations.
    pub fn recommend(&self, request: RecommendRequest) -> Result<Recommendation> {
        match self {
            Self::Local(engine) => engine.recommend(stamp_recommend(request)),
            Self::Remote(client) => client.recommend(request),
        }
    }

    /// See [`Segue::portrait`].
    ///
    /// # Errors
    /// As above.
    pub fn portrait(&self, user: &UserId, as_of: Timestamp, context: &RequestContext) -> Result<Portrait> {
        match self {
            Self::Local(engine) => engine.portrait(user, as_of, context),
            Self::Remote(client) => client.portrait(user, as_of, context),
        }
    }

    /// See [`Segue::logged_lists`].
    ///
    /// # Errors
    /// As above.
    pub fn logged_lists(&self, user: &UserId, until: Timestamp, limit: usize) -> Result<Vec<LoggedList>> {
        match self {
            Self::Local(engine) => engine.logged_lists(user, until, limit),
            Self::Remote(client) => client.logged_lists(user, until, limit),
        }
    }

    /// See [`Segue::similar`].
    ///
    /// # Errors
    /// As above.
    pub fn similar(&self, request: SimilarRequest) -> Result<Recommendation> {
        match self {
            Self::Local(engine) => engine.similar(stamp_similar(request)),
            Self::Remote(client) => client.similar(request),
        }
    }

    /// See [`Segue::search`].
    ///
    /// # Errors
    /// As above.
    pub fn search(&self, request: SearchRequest) -> Result<Recommendation> {
        match self {
            Self::Local(engine) => engine.search(request),
            Self::Remote(client) => client.search(request),
        }
    }

    /// See [`Segue::explain`].
    ///
    /// # Errors
    /// As above.
    pub fn explain(&self, mut request: ExplainRequest) -> Result<Explanation> {
        request.request = stamp_recommend(request.request);
        match self {
            Self::Local(engine) => engine.explain(request),
            Self::Remote(client) => client.explain(request),
        }
    }

    /// See [`Segue::feedback`].
    ///
    /// # Errors
    /// As above.
    pub fn feedback(&self, events: Vec<FeedbackEvent>) -> Result<(Vec<bool>, WriteToken)> {
        match self {
            Self::Local(engine) => engine.feedback(stamp_events(events)),
            Self::Remote(client) => client.feedback(events),
        }
    }

    /// See [`Segue::list_users`].
    ///
    /// # Errors
    /// As above.
    pub fn list_users(&self, cursor: Option<UserId>, limit: u32) -> Result<(Vec<User>, Option<UserId>)> {
        match self {
            Self::Local(engine) => engine.list_users(cursor, limit as usize),
            Self::Remote(client) => client.list_users(cursor, limit),
        }
    }

    /// See [`Segue::list_users_in`].
    ///
    /// # Errors
    /// As above.
    pub fn list_users_in(
        &self,
        part: Part,
        cursor: Option<UserId>,
        limit: u32,
    ) -> Result<(Vec<User>, Option<UserId>)> {
        match self {
            Self::Local(engine) => engine.list_users_in(part, cursor, limit as usize),
            Self::Remote(client) => client.list_users_in(part, cursor, limit),
        }
    }

    /// See [`Segue::list_tracks`].
    ///
    /// # Errors
    /// As above.
    pub fn list_tracks(&self, cursor: Option<u64>, limit: u32) -> Result<(Vec<Track>, Option<u64>)> {
        match self {
            Self::Local(engine) => engine.list_tracks(cursor, limit as usize),
            Self::Remote(client) => client.list_tracks(cursor, limit),
        }
    }

    /// See [`Segue::list_vectors`].
    ///
    /// # Errors
    /// As above.
    pub fn list_vectors(
        &self,
        space: &SpaceName,
        generation: Option<GenerationId>,
        page: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<VectorRow>, Option<String>)> {
        match self {
            Self::Local(engine) => engine.list_vectors(space, generation, page, limit as usize),
            Self::Remote(client) => client.list_vectors(space, generation, page, limit),
        }
    }

    /// See [`Segue::load_progress`].
    ///
    /// # Errors
    /// As above.
    pub fn load_progress(&self, load_id: &str) -> Result<LoadProgress> {
        match self {
            Self::Local(engine) => engine.load_progress(load_id),
            Self::Remote(client) => client.load_progress(load_id),
        }
    }

    /// Begins, or goes on with, a load that stands at `done`.
    #[must_use]
    pub fn loading(&self, load_id: &str, done: LoadProgress) -> Loading {
        match self {
            Self::Local(engine) => Loading::Local(engine.clone(), load_id.to_owned(), done),
            Self::Remote(client) => Loading::Remote(Box::new(client.loader(load_id, done))),
        }
    }

    /// See [`Segue::finish_load`].
    ///
    /// # Errors
    /// As above.
    pub fn finish_load(
        &self,
        load_id: &str,
        kind: LoadKind,
        progress: &(dyn Fn(f64) + Sync),
    ) -> Result<(LoadProgress, WriteToken)> {
        match self {
            Self::Local(engine) => engine.finish_load(load_id, kind, progress),
            Self::Remote(client) => client.finish_load(load_id, kind, progress),
        }
    }

    /// See [`Segue::create_generation`].
    ///
    /// # Errors
    /// As above.
    pub fn create_generation(&self, dim: u32, gram: Option<GramData>) -> Result<GenerationInfo> {
        match self {
            Self::Local(engine) => engine.create_generation(dim, gram),
            Self::Remote(client) => client.create_generation(dim, gram),
        }
    }

    /// See [`Segue::activate_generation`].
    ///
    /// # Errors
    /// As above.
    pub fn activate_generation(&self, id: GenerationId) -> Result<GenerationInfo> {
        match self {
            Self::Local(engine) => engine.activate_generation(id),
            Self::Remote(client) => client.activate_generation(id),
        }
    }

    /// See [`Segue::rollback_generation`].
    ///
    /// # Errors
    /// As above.
    pub fn rollback_generation(&self) -> Result<GenerationInfo> {
        match self {
            Self::Local(engine) => engine.rollback_generation(),
            Self::Remote(client) => client.rollback_generation(),
        }
    }

    /// See [`Segue::generations`].
    ///
    /// # Errors
    /// As above.
    pub fn generations(&self) -> Result<Vec<GenerationInfo>> {
        match self {
            Self::Local(engine) => engine.generations(),
            Self::Remote(client) => client.generations(),
        }
    }

    /// See [`Segue::put_recipe`].
    ///
    /// # Errors
    /// As above.
    pub fn put_recipe(&self, recipe: Recipe) -> Result<Recipe> {
        match self {
            Self::Local(engine) => engine.put_recipe(recipe),
            Self::Remote(client) => client.put_recipe(recipe),
        }
    }

    /// See [`Segue::recipes`].
    ///
    /// # Errors
    /// As above.
    pub fn recipes(&self) -> Result<Vec<(Recipe, bool)>> {
        match self {
            Self::Local(engine) => engine.recipes(),
            Self::Remote(client) => client.recipes(),
        }
    }

    /// See [`Segue::activate_recipe`].
    ///
    /// # Errors
    /// As above.
    pub fn activate_recipe(&self, name: &str, version: u32) -> Result<Recipe> {
        match self {
            Self::Local(engine) => engine.activate_recipe(name, version),
            Self::Remote(client) => client.activate_recipe(name, version),
        }
    }

    /// See [`Segue::put_experiment`].
    ///
    /// # Errors
    /// As above.
    pub fn put_experiment(&self, experiment: Experiment) -> Result<Experiment> {
        match self {
            Self::Local(engine) => engine.put_experiment(experiment),
            Self::Remote(client) => client.put_experiment(experiment),
        }
    }

    /// See [`Segue::experiments`].
    ///
    /// # Errors
    /// As above.
    pub fn experiments(&self) -> Result<Vec<(Experiment, bool)>> {
        match self {
            Self::Local(engine) => engine.experiments(),
            Self::Remote(client) => client.experiments(),
        }
    }

    /// See [`Segue::experiment_report`].
    ///
    /// # Errors
    /// As above.
    pub fn experiment_report(&self, surface: &Surface) -> Result<ExperimentReport> {
        match self {
            Self::Local(engine) => engine.experiment_report(surface),
            Self::Remote(client) => client.experiment_report(surface),
        }
    }

    /// See [`Segue::stop_experiment`].
    ///
    /// # Errors
    /// As above.
    pub fn stop_experiment(&self, surface: &Surface) -> Result<Experiment> {
        match self {
            Self::Local(engine) => engine.stop_experiment(surface),
            Self::Remote(client) => client.stop_experiment(surface),
        }
    }
}

/// A bulk load in progress.
pub enum Loading {
    /// Into this process.
    Local(Segue, String, LoadProgress),
    /// To a server.
    Remote(Box<Loader>),
}

impl Loading {
    /// Hands over one batch; what is durable by now.
    ///
    /// # Errors
    /// Those of the database.
    pub fn push(&mut self, first_row: u64, batch: Batch) -> Result<LoadProgress> {
        match self {
            Self::Local(engine, load_id, done) => {
                *done = push_batch(engine, load_id, first_row, batch)?;
                Ok(*done)
            }
            Self::Remote(loader) => loader.push(first_row, batch),
        }
    }

    /// Waits until everything handed over is durable.
    ///
    /// # Errors
    /// Those of the database.
    pub fn flush(&mut self) -> Result<LoadProgress> {
        match self {
            Self::Local(_, _, done) => Ok(*done),
            Self::Remote(loader) => loader.flush(),
        }
    }
}
