//! The background worker of a node: seals when enough has grown, merges when segments pile up.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use tracing::{info, warn};

use super::engine::Inner;
use crate::error::{Error, Result};
use crate::maintenance::{growing_rows, merge, plan_merges, seal};
use crate::storage::track_shard::command::{TrackCommand, TrackReply};
use crate::storage::track_shard::{decode_reply, encode};

/// How often the worker looks by itself.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long it rests after a failure.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// The running worker.
pub(super) struct Worker {
    wake: Sender<()>,
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts it; it ends by itself when the node is gone.
    pub(super) fn start(node: Weak<Inner>) -> Result<Self> {
        let (wake, woken) = bounded(1);
        let (stop, stopped) = bounded(1);
        let thread = std::thread::Builder::new().name("segue-maintenance".to_owned());
        let thread = thread.spawn(move || run(&node, &woken, &stopped)).map_err(|source| Error::Io {
            action: "starting a thread".into(),
            path: "segue-maintenance".into(),
            source,
        })?;
        Ok(Self { wake, stop, thread: Some(thread) })
    }

    /// Has it look soon.
    pub(super) fn wake(&self) {
        // A full channel means that it is awake already.
        let _ = self.wake.try_send(());
    }

    /// Waits until it has finished what it is at.
    pub(super) fn stop(mut self) {
        let _ = self.stop.try_send(());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the maintenance thread had panicked");
        }
    }
}

fn run(node: &Weak<Inner>, woken: &Receiver<()>, stopped: &Receiver<()>) {
    let mut rest = LOOK_EVERY;
    loop {
        crossbeam_channel::select! {
            recv(stopped) -> _ => return,
            recv(woken) -> _ => {}
            default(rest) => {}
        }
        let Some(node) = node.upgrade() else { return };
        if node.closing.load(Ordering::Acquire) {
            return;
        }
        rest = match node.maintain() {
            Ok(()) => LOOK_EVERY,
            Err(error) => {
                warn!(%error, "background maintenance failed; it is tried again");
                REST_AFTER_FAILURE
            }
        };
    }
}

impl Inner {
    /// Has the worker look soon.
    pub(super) fn wake_worker(&self) {
        if let Some(worker) = &*self.worker.lock() {
            worker.wake();
        }
    }

    fn maintain(&self) -> Result<()> {
        self.resolve_if_due()?;
        if let Err(error) = self.resolve_new_tracks() {
            warn!(%error, "events still wait for tracks that are there; it is tried again");
        }
        self.persist_users()?;
        self.caches.recall.check(&self.caches)?;
        if self.peers.is_some() {
            if !self.tracks.group.leads() {
                return self.follow_checkpoint();
            }
            if self.checkpoint_wanted.swap(false, Ordering::AcqRel) {
                self.checkpoint_for_others()?;
            }
        }
        let view = self.tracks.shard.view();
        let grown = growing_rows(&view);
        let behind = view.applied_index.saturating_sub(self.tracks.shard.durable_index());
        if grown >= self.settings.storage.seal_rows as usize || behind >= LOG_ENTRIES_MAX {
            self.seal_now(&|_| {})?;
        }
        self.merge_all()?;
        self.refresh_statistics_if_due()
    }

    /// Publishes the checkpoint whose files the leader has built, once they are all here.
    fn follow_checkpoint(&self) -> Result<()> {
        let _turn = self.maintenance.lock();
        let shard = &self.tracks.shard;
        let Some(capture) = shard.pending_checkpoint() else { return Ok(()) };
        match shard.publish_checkpoint(&capture) {
            Ok(()) => {
                shard.remove_garbage()?;
                self.open_indexes()
            }
            // The leader is still building, or its entry is still to come.
            Err(Error::Unavailable(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Waits until what earlier leaders have made live is live here: it must not be built again.
    fn take_over(&self) -> Result<()> {
        if self.peers.is_some() { self.tracks.group.read_barrier().map(drop) } else { Ok(()) }
    }

    /// Proposes a step of a seal or a merge.
    fn propose_maintenance(&self, command: &TrackCommand) -> Result<TrackReply> {
        self.spread_files(command)?;
        let applied = self.tracks.group.propose_as_leader(encode(command)?)?;
        decode_reply(&applied.reply)
    }

    /// Makes a first checkpoint, so that another node has something to begin with.
    fn checkpoint_for_others(&self) -> Result<()> {
        let again = || self.checkpoint_wanted.store(true, Ordering::Release);
        self.propose_maintenance(&TrackCommand::Seal)
            .and_then(|_| self.seal_now(&|_| {}))
            .inspect_err(|_| again())
    }

    /// Looks through everything that waits for a track, after a failure to do so when the track came.
    fn resolve_if_due(&self) -> Result<()> {
        if !self.resolve_due.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        self.resolve_all_waiting().inspect_err(|_| self.resolve_due.store(true, Ordering::Release))
    }

    /// Bounds the log that a start replays into the user shards.
    fn persist_users(&self) -> Result<()> {
        for (_, users) in self.users.shards.here() {
            if users.applied().index.saturating_sub(users.durable_index()) >= LOG_ENTRIES_MAX {
                users.persist()?;
            }
        }
        Ok(())
    }

    /// Seals what has grown and publishes a checkpoint.
    pub(super) fn seal_now(&self, progress: &(dyn Fn(f64) + Sync)) -> Result<()> {
        if self.peers.is_some() && !self.tracks.group.leads() {
            return Ok(()); // The leader does, when it is due.
        }
        let _turn = self.maintenance.lock();
        self.take_over()?;
        let rows = growing_rows(&self.tracks.shard.view());
        let propose = |command: &TrackCommand| self.propose_maintenance(command);
        seal(&self.tracks.shard, &propose, &self.index_choice, progress)?;
        if rows > 0 {
            info!(rows, "sealed growing rows");
        }
        self.open_indexes()
    }

    /// Opens the indexes of new segments, so that no request has to.
    pub(super) fn open_indexes(&self) -> Result<()> {
        self.caches.heads.open_all(&self.tracks.shard.view())
    }

    /// Merges until nothing is worth merging.
    pub(super) fn merge_all(&self) -> Result<()> {
        if self.peers.is_some() && !self.tracks.group.leads() {
            return Ok(());
        }
        let _turn = self.maintenance.lock();
        self.take_over()?;
        let propose = |command: &TrackCommand| self.propose_maintenance(command);
        // A seal that was cut short comes first: a merge would take segments away that its checkpoint names.
        if self.tracks.shard.pending_checkpoint().is_some() {
            seal(&self.tracks.shard, &propose, &self.index_choice, &|_| {})?;
        }
        let mut merged = false;
        while let Some(plan) = plan_merges(&self.tracks.shard.view()).into_iter().next() {
            if self.closing.load(Ordering::Acquire) {
                return Ok(());
            }
            info!(segments = plan.inputs.len(), vectors = plan.set.is_some(), "merging segments");
            if !merge(&self.tracks.shard, &plan, &propose, &self.index_choice, &|_| {})? {
                break;
            }
            merged = true;
        }
        if merged {
            seal(&self.tracks.shard, &propose, &self.index_choice, &|_| {})?;
            self.open_indexes()?;
        }
        Ok(())
    }
}

/// Log entries after which a checkpoint is due even if few rows have grown.
const LOG_ENTRIES_MAX: u64 = 20_000;
