//! The database in one process: its parts, opening and closing, and the operations it offers.

mod catalog;
mod choices;
mod cluster;
mod loads;
mod requests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use segue_cluster::ClusterNode;
use segue_storage_format::Health;

use super::current::Ahead;
use super::entries::EntryReaders;
use super::far::Far;
use super::forward::Guests;
use super::group::Group;
use super::peers::{Membership, Peers};
use super::place::Place;
use super::rests::Rests;
use super::shadow::Shadows;
use super::stage::Stage;
use super::statistics::StatisticsTurn;
use super::tally::Tallies;
use super::tend::Tenders;
use super::tracks::{TrackPart, TrackReplicas};
use super::users::UserReplicas;
use super::waiting::ResolveCursor;
use super::warm_up::WarmUp;
use super::worker::Worker;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::maintenance::IndexChoice;
use crate::pipeline::reader::Caches;
use crate::pipeline::retrieve::Searchers;
use crate::storage::meta::MetaStore;
use crate::storage::user_shard::UserShard;

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
    /// What is to be done with each user shard and each track shard; empty for a database that is alone.
    pub places: Mutex<Vec<Place<UserShard>>>,
    pub track_places: Mutex<Vec<Place<Arc<TrackPart>>>>,
    /// How user shards on other nodes are asked; `None` for a database that is alone.
    pub far: Option<Arc<Far>>,
    /// The other nodes that have said that they read what this one may write.
    pub entry_readers: EntryReaders,
    /// Requests of other nodes under way.
    pub guests: Guests,
    pub track_guests: Guests,
    /// Large answers to other nodes under way.
    pub rests: Rests,
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

    /// Whether writes and reads are served.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<()> {
        let inner = self.serving()?;
        inner.meta.group.ready()?;
        inner.tracks.owners()?.groups_here().try_for_each(Group::ready)?;
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
