//! A track shard: the state machine behind one log, and what maintenance and readers share with it.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use segue_storage_format::manifest::segment_folder;
use segue_storage_format::{Health, Residence, SegmentEntry, Verify};

use super::apply::OpenedSegment;
use super::command::{NewSegment, TrackCommand, TrackReply};
use super::segment::SealedTracks;
use super::vectors::SealedVectors;
use super::view::TrackView;
use crate::error::{Error, Result};
use crate::storage::pinned::hash_file;
use crate::types::ShardId;

/// The envelope version of [`TrackCommand`]; a newer one stops the replica instead of being guessed at.
const COMMAND_VERSION: u16 = 2;
/// Entries that earlier programs know are written as these wrote them.
const FIRST_VERSION: u16 = 1;

/// How long a segment waits for its log entry: longer than any proposal, and than another node may take to fetch its files.
const STAGED_MAX: Duration = Duration::from_secs(3_600);

/// Encodes a command for the log.
pub fn encode(command: &TrackCommand) -> Result<Vec<u8>> {
    let version = if matches!(command, TrackCommand::Split(_)) { COMMAND_VERSION } else { FIRST_VERSION };
    crate::storage::codec::encode(version, command)
}

fn encode_reply(reply: &TrackReply) -> Result<Vec<u8>> {
    let is_new = matches!(reply, TrackReply::Moved | TrackReply::Refused(_));
    crate::storage::codec::encode(if is_new { COMMAND_VERSION } else { FIRST_VERSION }, reply)
}

/// Decodes a reply of the state machine.
pub fn decode_reply(bytes: &[u8]) -> Result<TrackReply> {
    crate::storage::codec::decode(COMMAND_VERSION, bytes)
}

/// How a shard's files are opened.
#[derive(Debug, Clone)]
pub struct Opening {
    /// How much is checked.
    pub verify: Verify,
    /// Where codes and graphs are kept; full-precision vectors are always mapped.
    pub index: Residence,
    /// How many track shards the database was created with.
    pub shards: u16,
    /// Where damage is reported that is found later: graphs, vectors and full records of the segments there are then checked as
    /// they are used. `None`: everything is checked now, as far as `verify` says.
    pub health: Option<Arc<Health>>,
}

/// Gets the files of a segment that another replica has built into the shard's folder; waits as long as there is hope.
///
/// # Errors
/// `NotFound` when there is nobody to ask; others when they cannot be had: the replica must stop then.
pub type FetchSegment = Box<dyn Fn(&TrackShard, &NewSegment) -> Result<()> + Send + Sync>;

/// A segment that was opened ahead of its log entry.
struct Staged {
    entry: SegmentEntry,
    opened: OpenedSegment,
    since: Instant,
}

/// What readers, maintenance and the state machine share.
pub struct TrackShard {
    pub(super) folder: PathBuf,
    /// Which shard.
    pub shard: ShardId,
    /// How many track shards the database was created with.
    pub shards: u16,
    /// Where codes and graphs are kept.
    pub(super) index: Residence,
    health: Option<Arc<Health>>,
    published: ArcSwap<TrackView>,
    /// The version before slots were given away, for requests of other nodes that began with it.
    pub(super) former: Mutex<Option<(Instant, Arc<TrackView>)>>,
    /// Segments built and opened ahead of their log entry, by id.
    staged: Mutex<HashMap<u64, Staged>>,
    /// Segments whose files are being fetched.
    fetching: Mutex<Vec<u64>>,
    /// Gets files that another replica has built; `None` where there is no other.
    fetch: OnceLock<FetchSegment>,
    /// Held by whoever publishes a manifest.
    pub(super) publishing: Mutex<()>,
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

    /// # Errors
    /// `Corrupt` once damage was found in any file of the node.
    pub(super) fn sound(&self) -> Result<()> {
        match self.health.as_ref().and_then(|health| health.damage()) {
            None => Ok(()),
            Some(damage) => Err(Error::Corrupt(damage.to_owned())),
        }
    }

    /// The log up to here is in files and may be dropped.
    pub fn durable_index(&self) -> u64 {
        self.durable_index.load(Ordering::Acquire)
    }

    /// The state at the last `Seal` entry that is not yet a checkpoint.
    pub fn pending_checkpoint(&self) -> Option<Arc<TrackView>> {
        self.pending.lock().clone()
    }

    /// Opens the files of a segment that this process has just written, or fetched and checked, and keeps them for the
    /// log entry that makes them live.
    pub fn stage(&self, new: &NewSegment) -> Result<()> {
        let opened = self.open_segment(new, Verify::Structure)?;
        let staged = Staged { entry: new.entry.clone(), opened, since: Instant::now() };
        self.staged.lock().insert(new.entry.id, staged);
        Ok(())
    }

    /// Says how files of other replicas are got; once.
    pub fn set_fetch(&self, fetch: FetchSegment) {
        self.fetch.get_or_init(|| fetch);
    }

    /// Whether all files of a segment are in the shard's folder, whole, and are the ones it names: another build of the same
    /// segment (by another version, or with other settings) may lie there under the same names.
    #[must_use]
    pub fn holds(&self, new: &NewSegment) -> bool {
        self.has_content(new).is_ok()
    }

    /// # Errors
    /// The operating system's, for a file that is absent; `Corrupt` for one whose bytes are not those the entry names.
    fn has_content(&self, new: &NewSegment) -> Result<()> {
        let folder = segment_folder(&self.folder, new.entry.id);
        for file in new.entry.all_files() {
            let path = folder.join(&file.name);
            let (hash, bytes) = hash_file(&path)
                .map_err(|source| Error::io("read a segment's file", path.clone(), source))?;
            if (hash, bytes) != (*file.content_id.as_bytes(), file.len) {
                return Err(Error::Corrupt(format!(
                    "the file is not the one that the log entry of its segment names. path=`{}`",
                    path.display()
                )));
            }
        }
        Ok(())
    }

    /// Whether a segment of this number is live with its files.
    #[must_use]
    pub fn is_live(&self, segment: u64) -> bool {
        let view = self.view();
        let tracks = view.segments.iter().filter_map(|known| known.files());
        let vectors = view.sets.values().flat_map(|set| &set.segments).filter_map(|known| known.files());
        tracks.chain(vectors).any(|entry| entry.id == segment)
    }

    /// Runs `work`, during which the files of a segment are not taken for garbage.
    pub fn while_fetching<T>(&self, segment: u64, work: impl FnOnce() -> T) -> T {
        self.fetching.lock().push(segment);
        let outcome = work();
        let mut fetching = self.fetching.lock();
        if let Some(at) = fetching.iter().position(|known| *known == segment) {
            fetching.swap_remove(at);
        }
        outcome
    }

    /// Opens a segment's files for its log entry: those staged here if they are the ones it names, those in the folder, or
    /// those another replica has.
    fn open_new(&self, new: &NewSegment) -> std::result::Result<OpenedSegment, Unopened> {
        let staged = self.staged.lock().remove(&new.entry.id);
        if let Some(Staged { entry, opened, .. }) = staged
            && entry == new.entry
        {
            return Ok(opened);
        }
        // Their content was just read: only the structure is left.
        let opened = self.has_content(new).and_then(|()| self.open_segment(new, Verify::Structure));
        let opened = opened.map_err(Unopened::Gone);
        match (opened, self.fetch.get()) {
            (Err(_), Some(fetch)) => self.while_fetching(new.entry.id, || {
                fetch(self, new).and_then(|()| self.open_segment(new, Verify::Full)).map_err(|error| {
                    match error {
                        Error::NotFound { .. } => Unopened::Gone(error),
                        error => Unopened::Stop(error),
                    }
                })
            }),
            (opened, _) => opened,
        }
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

    /// Forgets segments that have been staged for longer than any entry takes: whoever was to propose theirs is gone. Should it come all
    /// the same, its files are fetched once more.
    pub(crate) fn forget_staged(&self, now: Instant) {
        self.staged.lock().retain(|_, staged| now.saturating_duration_since(staged.since) < STAGED_MAX);
    }

    /// Segment numbers that are staged, or being fetched.
    pub fn staged_ids(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.staged.lock().keys().copied().collect();
        ids.extend(self.fetching.lock().iter());
        ids
    }

    /// Everything before is gone: the state is that of a snapshot.
    pub(super) fn replaced(&self, view: TrackView) {
        let index = view.applied_index;
        // First: whoever places files looks at `recent` and at the view, and must find the new segments in one of them.
        self.published.store(Arc::new(view));
        self.staged.lock().clear();
        self.recent.lock().clear();
        *self.pending.lock() = None;
        *self.former.lock() = None;
        self.durable_index.store(index, Ordering::Release);
    }

    /// Segments that entries after the last checkpoint made live. An entry enters its own here before it opens their files.
    pub(super) fn recent(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.recent.lock()
    }

    /// Segments that a replay of the log after the last checkpoint asks for.
    pub(super) fn recent_ids(&self) -> Vec<u64> {
        self.recent.lock().keys().copied().collect()
    }

    fn open_segment(&self, new: &NewSegment, verify: Verify) -> Result<OpenedSegment> {
        let opening = Opening { verify, index: self.index, shards: self.shards, health: None };
        Ok(match &new.set {
            None => OpenedSegment::Tracks(Arc::new(SealedTracks::open(&self.folder, &new.entry, &opening)?)),
            Some(set) => {
                let sealed = SealedVectors::open(&self.folder, &new.entry, set, &opening)?;
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

/// Why a segment could not be opened.
enum Unopened {
    /// Its files are not here; a replay long after goes on without them.
    Gone(Error),
    /// Another replica has them, and they could not be got: to go on would be to differ.
    Stop(Error),
}

/// The writing side: applies log entries to the working copy and publishes versions.
pub struct TrackStateMachine {
    pub(super) shard: Arc<TrackShard>,
    pub(super) state: TrackView,
}

impl TrackStateMachine {
    /// Opens (or starts) the shard in `folder`.
    ///
    /// # Errors
    /// Damaged or unreadable files, named.
    pub fn open(folder: &Path, shard: ShardId, opening: Opening) -> Result<(Self, Vec<String>)> {
        segue_storage_format::publish::create_folder(folder).map_err(crate::storage::error::damaged)?;
        super::workshop::clear(folder)?;
        let (state, repairs) = super::recover::load(folder, shard, &opening)?;
        let shared = Arc::new(TrackShard {
            folder: folder.to_owned(),
            shard,
            shards: opening.shards,
            index: opening.index,
            health: opening.health,
            published: ArcSwap::from_pointee(state.clone()),
            former: Mutex::default(),
            staged: Mutex::default(),
            fetching: Mutex::default(),
            fetch: OnceLock::new(),
            publishing: Mutex::default(),
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
            // Before it counts: one that cannot be read is not applied.
            let command = match bytes {
                [] => None,
                bytes => Some(crate::storage::codec::decode(COMMAND_VERSION, bytes)?),
            };
            self.state.applied_index = index;
            self.state.applied_term = term;
            let reply = command.map_or(Ok(TrackReply::Done(0)), |command| self.apply_one(command))?;
            replies.push(encode_reply(&reply)?);
        }
        // A row that could not be read may have been taken for one that is not there.
        self.shard.sound()?;
        self.shard.published.store(Arc::new(self.state.clone()));
        Ok(replies)
    }

    fn apply_one(&mut self, command: TrackCommand) -> Result<TrackReply> {
        let seals = matches!(command, TrackCommand::Seal);
        let (segments, index) = (command.new_segments(), self.state.applied_index);
        if !segments.is_empty() {
            self.shard.recent.lock().extend(segments.iter().map(|new| (new.entry.id, index)));
        }
        let shard = Arc::clone(&self.shard);
        let stop = Cell::new(None);
        let open = |new: &NewSegment| {
            shard.open_new(new).map_err(|unopened| match unopened {
                Unopened::Gone(error) => error,
                Unopened::Stop(error) => {
                    let text = error.to_string();
                    stop.set(Some(error));
                    Error::Unavailable(text)
                }
            })
        };
        let former = command.gives_slots_up().then(|| Arc::new(self.state.clone()));
        let reply = self.state.apply(command, &open, shard.folder())?;
        shard.keep_former(former.filter(|former| former.slots() != self.state.slots()));
        if let Some(error) = stop.take() {
            return Err(error);
        }
        if seals {
            // A capture that was never published is in this one, too. Whether there was one must not change what a seal
            // does to the state: a replica, or a replay, may have published more or less than whoever proposed it.
            *self.shard.pending.lock() = Some(Arc::new(self.state.clone()));
        }
        Ok(reply)
    }
}
