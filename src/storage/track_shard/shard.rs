//! A track shard: the state machine behind one log, and what maintenance and readers share with it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use segue_storage_format::{Residence, Verify};

use super::apply::OpenedSegment;
use super::command::{NewSegment, TrackCommand, TrackReply};
use super::segment::SealedTracks;
use super::vectors::SealedVectors;
use super::view::TrackView;
use crate::error::{Error, Result};
use crate::types::ShardId;

/// The envelope version of [`TrackCommand`]; a newer one stops the replica instead of being guessed at.
const COMMAND_VERSION: u16 = 1;

/// Encodes a command for the log.
pub fn encode(command: &TrackCommand) -> Result<Vec<u8>> {
    crate::storage::codec::encode(COMMAND_VERSION, command)
}

/// Decodes a reply of the state machine.
pub fn decode_reply(bytes: &[u8]) -> Result<TrackReply> {
    crate::storage::codec::decode(COMMAND_VERSION, bytes)
}

/// How a shard's files are opened.
#[derive(Debug, Clone, Copy)]
pub struct Opening {
    /// How much is checked.
    pub verify: Verify,
    /// Where codes and graphs are kept; full-precision vectors are always mapped.
    pub index: Residence,
}

/// What readers, maintenance and the state machine share.
pub struct TrackShard {
    pub(super) folder: PathBuf,
    /// Which shard.
    pub shard: ShardId,
    /// Where codes and graphs are kept.
    index: Residence,
    published: ArcSwap<TrackView>,
    /// Segments built and opened ahead of their log entry, by id.
    staged: Mutex<HashMap<u64, OpenedSegment>>,
    /// The state at the last `Seal` entry, until it is a published checkpoint.
    pending: Mutex<Option<Arc<TrackView>>>,
    /// Segments that entries after the last checkpoint made live, with those entries' indexes. A replay needs their files
    /// even when a later entry has merged them away.
    recent: Mutex<BTreeMap<u64, u64>>,
    durable_index: AtomicU64,
}

impl TrackShard {
    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The newest version.
    pub fn view(&self) -> Arc<TrackView> {
        self.published.load_full()
    }

    /// The log up to here is in files and may be dropped.
    pub fn durable_index(&self) -> u64 {
        self.durable_index.load(Ordering::Acquire)
    }

    /// The state at the last `Seal` entry that is not yet a checkpoint.
    pub fn pending_checkpoint(&self) -> Option<Arc<TrackView>> {
        self.pending.lock().clone()
    }

    /// Opens the files of a segment that this process has just written, and keeps them for the log entry that makes
    /// them live.
    pub fn stage(&self, new: &NewSegment) -> Result<()> {
        let opened = self.open_segment(new, Verify::Structure)?;
        self.staged.lock().insert(new.entry.id, opened);
        Ok(())
    }

    /// Forgets staged segments once their log entry was answered. After a time-out the entry may still come, and must
    /// find its files: they stay staged then.
    pub fn unstage<T>(&self, ids: impl IntoIterator<Item = u64>, reply: &Result<T>) {
        if matches!(reply, Err(Error::Timeout { .. })) {
            return;
        }
        let mut staged = self.staged.lock();
        ids.into_iter().for_each(|id| drop(staged.remove(&id)));
    }

    /// Segment numbers that are staged now.
    pub fn staged_ids(&self) -> Vec<u64> {
        self.staged.lock().keys().copied().collect()
    }

    /// Segments that a replay of the log after the last checkpoint asks for.
    pub(super) fn recent_ids(&self) -> Vec<u64> {
        self.recent.lock().keys().copied().collect()
    }

    fn open_segment(&self, new: &NewSegment, verify: Verify) -> Result<OpenedSegment> {
        let opening = Opening { verify, index: self.index };
        Ok(match &new.set {
            None => OpenedSegment::Tracks(Arc::new(SealedTracks::open(&self.folder, &new.entry, verify)?)),
            Some(set) => {
                let sealed = SealedVectors::open(&self.folder, &new.entry, set, opening)?;
                OpenedSegment::Vectors(Arc::new(sealed))
            }
        })
    }

    pub(super) fn checkpointed(&self, capture: &Arc<TrackView>) {
        self.durable_index.store(capture.applied_index, Ordering::Release);
        self.recent.lock().retain(|_, index| *index > capture.applied_index);
        let mut pending = self.pending.lock();
        if pending.as_ref().is_some_and(|pending| Arc::ptr_eq(pending, capture)) {
            *pending = None;
        }
    }
}

/// The writing side: applies log entries to the working copy and publishes versions.
pub struct TrackStateMachine {
    shard: Arc<TrackShard>,
    state: TrackView,
}

impl TrackStateMachine {
    /// Opens (or starts) the shard in `folder`.
    ///
    /// # Errors
    /// Damaged or unreadable files, named.
    pub fn open(folder: &Path, shard: ShardId, opening: Opening) -> Result<(Self, Vec<String>)> {
        segue_storage_format::publish::create_folder(folder).map_err(crate::storage::error::damaged)?;
        let (state, repairs) = super::recover::load(folder, shard, opening)?;
        let shared = Arc::new(TrackShard {
            folder: folder.to_owned(),
            shard,
            index: opening.index,
            published: ArcSwap::from_pointee(state.clone()),
            staged: Mutex::default(),
            pending: Mutex::default(),
            recent: Mutex::default(),
            durable_index: AtomicU64::new(state.applied_index),
        });
        Ok((Self { shard: shared, state }, repairs))
    }

    /// What readers and maintenance hold.
    pub fn shard(&self) -> Arc<TrackShard> {
        Arc::clone(&self.shard)
    }

    /// Index and term of the last entry that is in files.
    pub fn recovered(&self) -> (u64, u64) {
        (self.state.applied_index, self.state.applied_term)
    }

    /// Applies entries `(index, term, command bytes)` in order and publishes the new version once.
    ///
    /// # Errors
    /// What is not a function of the log: an unreadable file, an entry this program cannot read. The replica must stop.
    pub fn apply(&mut self, entries: &[(u64, u64, &[u8])]) -> Result<Vec<Vec<u8>>> {
        let mut replies = Vec::with_capacity(entries.len());
        for &(index, term, bytes) in entries {
            self.state.applied_index = index;
            self.state.applied_term = term;
            let reply = if bytes.is_empty() { TrackReply::Done(0) } else { self.apply_one(bytes)? };
            replies.push(crate::storage::codec::encode(COMMAND_VERSION, &reply)?);
        }
        self.shard.published.store(Arc::new(self.state.clone()));
        Ok(replies)
    }

    fn apply_one(&mut self, bytes: &[u8]) -> Result<TrackReply> {
        let command: TrackCommand = crate::storage::codec::decode(COMMAND_VERSION, bytes)?;
        let seals = matches!(command, TrackCommand::Seal);
        if let TrackCommand::AddSegments { segments, .. } = &command {
            let index = self.state.applied_index;
            self.shard.recent.lock().extend(segments.iter().map(|new| (new.entry.id, index)));
        }
        let shard = Arc::clone(&self.shard);
        let open = |new: &NewSegment| {
            let staged = shard.staged.lock().remove(&new.entry.id);
            staged.map_or_else(|| shard.open_segment(new, Verify::Full), Ok)
        };
        let reply = self.state.apply(command, &open)?;
        if seals {
            // A capture that was never published is in this one, too. Whether there was one must not change what a seal
            // does to the state: a replica, or a replay, may have published more or less than whoever proposed it.
            *self.shard.pending.lock() = Some(Arc::new(self.state.clone()));
        }
        Ok(reply)
    }
}
