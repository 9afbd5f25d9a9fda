//! The background worker of a node: seals when enough has grown, merges when segments pile up.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use tracing::{info, warn};

use super::engine::Inner;
use super::open_tracks::group_id;
use super::tracks::TrackPart;
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
        self.sound()?;
        // Their tracks may be in a shard elsewhere that does not answer now.
        if let Err(error) = self.resolve_if_due().and_then(|()| self.resolve_new_tracks()) {
            warn!(%error, "events still wait for tracks that are there; it is tried again");
        }
        self.persist_users()?;
        self.caches.recall.check(&self.caches)?;
        // One shard that fails does not keep the others from their turn.
        let mut outcome = Ok(());
        for part in self.tracks.parts().iter() {
            outcome = outcome.and(self.maintain_tracks(part));
        }
        outcome?;
        let first = self.tracks.of_group(group_id(0));
        let is_ours = first.is_some_and(|first| self.leads(&first));
        if is_ours { self.refresh_statistics_if_due() } else { Ok(()) }
    }

    /// Whether a track shard is looked after here.
    pub(super) fn leads(&self, part: &TrackPart) -> bool {
        self.peers.is_none() || part.group.leads()
    }

    fn maintain_tracks(&self, part: &TrackPart) -> Result<()> {
        if !self.leads(part) {
            return self.follow_checkpoint(part);
        }
        if self.peers.is_some() && part.checkpoint_wanted.swap(false, Ordering::AcqRel) {
            self.checkpoint_for_others(part)?;
        }
        let view = part.shard.view();
        let grown = growing_rows(&view);
        let behind = view.applied_index.saturating_sub(part.shard.durable_index());
        // Until a new shard has a checkpoint, whoever replays its log needs the very files it began with.
        let has_begun = view.began_after(part.shard.durable_index());
        if grown >= self.settings.storage.seal_rows as usize || behind >= LOG_ENTRIES_MAX || has_begun {
            self.seal_part(part, &|_| {})?;
        }
        self.merge_part(part)
    }

    /// Publishes the checkpoint whose files the leader has built, once they are all here.
    fn follow_checkpoint(&self, part: &TrackPart) -> Result<()> {
        let _turn = self.maintenance.lock();
        if !part.group.is_here() {
            // It has left: its files are about to go.
            return Ok(());
        }
        let shard = &part.shard;
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
    fn take_over(&self, part: &TrackPart) -> Result<()> {
        if self.peers.is_some() { part.group.read_barrier().map(drop) } else { Ok(()) }
    }

    /// Proposes a step of a seal or a merge.
    fn propose_maintenance(&self, part: &TrackPart, command: &TrackCommand) -> Result<TrackReply> {
        self.spread_files(part, command)?;
        let applied = part.group.propose_as_leader(encode(command)?)?;
        decode_reply(&applied.reply)
    }

    /// Makes a first checkpoint, so that another node has something to begin with.
    fn checkpoint_for_others(&self, part: &TrackPart) -> Result<()> {
        let again = || part.checkpoint_wanted.store(true, Ordering::Release);
        self.propose_maintenance(part, &TrackCommand::Seal)
            .and_then(|_| self.seal_part(part, &|_| {}))
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

    /// Seals what has grown and publishes a checkpoint, in one track shard after the other.
    pub(super) fn seal_now(&self, progress: &(dyn Fn(f64) + Sync)) -> Result<()> {
        let parts = self.tracks.parts();
        let shards = parts.len() as f64;
        for (place, part) in parts.iter().enumerate() {
            self.seal_part(part, &|fraction| progress((place as f64 + fraction) / shards))?;
        }
        Ok(())
    }

    pub(super) fn seal_part(&self, part: &TrackPart, progress: &(dyn Fn(f64) + Sync)) -> Result<()> {
        if !self.leads(part) {
            return Ok(()); // The leader does, when it is due.
        }
        let _turn = self.maintenance.lock();
        // It may have left, or another node lead, since the turn was waited for.
        if self.leads(part) { self.seal_in_turn(part, progress) } else { Ok(()) }
    }

    /// The same of a shard this node leads, by whoever has the turn.
    pub(super) fn seal_in_turn(&self, part: &TrackPart, progress: &(dyn Fn(f64) + Sync)) -> Result<()> {
        self.take_over(part)?;
        let rows = growing_rows(&part.shard.view());
        let propose = |command: &TrackCommand| self.propose_maintenance(part, command);
        seal(&part.shard, &propose, &self.index_choice, progress)?;
        if rows > 0 {
            info!(rows, shard = %part.group.name, "sealed growing rows");
        }
        self.open_indexes()
    }

    /// Opens the indexes of new segments, so that no request has to.
    pub(super) fn open_indexes(&self) -> Result<()> {
        self.tracks.all_views().iter().try_for_each(|view| self.caches.heads.open_all(view))
    }

    /// Merges until nothing is worth merging, in one track shard after the other.
    pub(super) fn merge_all(&self) -> Result<()> {
        self.tracks.parts().iter().try_for_each(|part| self.merge_part(part))
    }

    fn merge_part(&self, part: &TrackPart) -> Result<()> {
        if !self.leads(part) {
            return Ok(());
        }
        let _turn = self.maintenance.lock();
        if !self.leads(part) {
            return Ok(());
        }
        self.take_over(part)?;
        let shard = &part.shard;
        let propose = |command: &TrackCommand| self.propose_maintenance(part, command);
        // A seal that was cut short comes first: a merge would take segments away that its checkpoint names.
        if shard.pending_checkpoint().is_some() {
            seal(shard, &propose, &self.index_choice, &|_| {})?;
        }
        let mut merged = false;
        while let Some(plan) = plan_merges(&shard.view()).into_iter().next() {
            if self.closing.load(Ordering::Acquire) {
                return Ok(());
            }
            let (segments, vectors) = (plan.inputs.len(), plan.set.is_some());
            info!(segments, vectors, shard = %part.group.name, "merging segments");
            if !merge(shard, &plan, &propose, &self.index_choice, &|_| {})? {
                break;
            }
            merged = true;
        }
        if merged {
            seal(shard, &propose, &self.index_choice, &|_| {})?;
            self.open_indexes()?;
        }
        Ok(())
    }
}

/// Log entries after which a checkpoint is due even if few rows have grown.
const LOG_ENTRIES_MAX: u64 = 20_000;
