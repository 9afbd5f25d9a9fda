//! The user shard: a handle to write through and read from.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};

use super::{
    apply,
    cache::SnapshotCache,
    command::{LoadState, UserCommand, UserReply},
    engine::{Engine, KnownTables},
    error::{Result, UserShardError},
    garbage::Garbage,
    keys,
    options::UserShardOptions,
    rows::{ShardRow, decode_search},
    split::{SplitRole, SplitState},
    trends::{DayKey, DayPlays},
    value::{damaged, open_row},
    vectors, view,
    view::UserView,
    work::load_record,
};
use crate::storage::entry::{AppliedAt, LogEntry};
use crate::storage::pinned::PinnedFiles;
use crate::types::{SLOTS, Timestamp, TrackId, User, UserId};

/// A user shard. Cheap to clone; any number of readers beside one writer, none waits for another but for the
/// writer's brief turns.
///
/// What is gathered from all of its listeners leaves out those of slots from [`UserShard::within`] on.
#[derive(Clone)]
pub struct UserShard {
    held: Arc<Held>,
    /// One past the last slot that is read.
    pub(super) end: u16,
}

/// The state in force; a snapshot of another replica takes its place whole.
struct Held {
    now: ArcSwap<Inner>,
    dir: PathBuf,
    options: UserShardOptions,
}

pub(super) struct Inner {
    pub(super) engine: Engine,
    writer: Mutex<Garbage>,
    /// The state after the newest entry; written under `writer`.
    pub(super) now: RwLock<(ShardRow, Arc<SplitState>)>,
    views: SnapshotCache<UserId, UserView>,
    pub(super) days: SnapshotCache<DayKey, DayPlays>,
    views_read: AtomicU64,
    /// The bytes, and what tells one version of them from another.
    statistics: RwLock<Option<(Arc<[u8]>, u64)>>,
}

impl Inner {
    /// Reads what an opened store holds.
    fn new(engine: Engine, options: &UserShardOptions) -> Result<(Self, AppliedAt)> {
        let stored = engine.get(&keys::SHARD)?;
        let row = stored
            .map_or(Ok(ShardRow::default()), |value| ShardRow::decode(&value))
            .map_err(|what| damaged(&keys::SHARD, what))?;
        engine.recovered(row.index);
        let statistics = super::scan::read_statistics(&engine)?;
        let mut garbage = Garbage::default();
        let generations = vectors::generations(&engine.snapshot())?;
        for (space, generation, row) in &generations {
            if row.dropped {
                garbage.drop_generation(space, *generation);
            }
        }
        let split = SplitState::read(&engine.snapshot())?;
        if split.end < SLOTS && !split.is_importing() {
            let noted = match &split.role {
                SplitRole::Parent(parting) => parting.since,
                SplitRole::Whole | SplitRole::Child(_) => u64::MAX,
            };
            garbage.give_up_slots(split.end, &generations, noted);
        }
        let inner = Self {
            engine,
            writer: Mutex::new(garbage),
            now: RwLock::new((row, Arc::new(split))),
            views: SnapshotCache::new(options.view_cache_bytes),
            days: SnapshotCache::new(options.trend_cache_bytes),
            views_read: AtomicU64::new(0),
            statistics: RwLock::new(statistics.map(with_version)),
        };
        Ok((inner, AppliedAt { index: row.index, term: row.term }))
    }

    fn apply_one(&self, garbage: &mut Garbage, entry: &LogEntry<'_>) -> Result<UserReply> {
        let (before, split) = self.now.read().clone();
        if entry.index <= before.index {
            return Ok(UserReply::Done(0));
        }
        if entry.term < before.term {
            return Err(UserShardError::OutOfOrder { applied: before.index, index: entry.index });
        }
        let command = UserCommand::decode(entry.index, entry.data)?;
        let row = ShardRow { index: entry.index, term: entry.term, ..before };
        let applied = apply::apply(&self.engine, garbage, (row, split), command)?;
        self.engine.commit(applied.writes, entry.index)?;
        *self.now.write() = (applied.row, applied.split);
        for user in &applied.touched.users {
            self.views.invalidate(user);
        }
        if let Some(bytes) = applied.touched.statistics {
            *self.statistics.write() = Some(with_version(bytes));
        }
        for (day, region) in applied.touched.days {
            self.days.invalidate(&(day, Some(region)));
            self.days.invalidate(&(day, None));
        }
        Ok(applied.reply)
    }
}

impl UserShard {
    /// Opens or creates the shard in `dir` and says which entry its files end with: the log continues after it.
    ///
    /// # Errors
    /// [`UserShardError::Locked`] when it is open already, damage, I/O.
    pub fn open(dir: &Path, options: &UserShardOptions) -> Result<(Self, AppliedAt)> {
        let (inner, at) = Inner::new(Engine::open(dir, &options.engine())?, options)?;
        let held =
            Held { now: ArcSwap::from_pointee(inner), dir: dir.to_path_buf(), options: options.clone() };
        Ok((Self { held: Arc::new(held), end: SLOTS }, at))
    }

    /// The same shard, of which only listeners in slots before `end` are gathered: those behind it are another shard's, and
    /// may be here still.
    #[must_use]
    pub fn within(&self, end: u16) -> Self {
        Self { held: Arc::clone(&self.held), end }
    }

    /// What the shard knows of splits.
    #[must_use]
    pub fn split_state(&self) -> Arc<SplitState> {
        Arc::clone(&self.inner().now.read().1)
    }

    /// Whether rows mean nothing any more that have still to be removed: some go with each entry.
    #[must_use]
    pub fn has_garbage(&self) -> bool {
        !self.inner().writer.lock().is_empty()
    }

    /// The state in force. Taken once by everything that must belong together.
    pub(super) fn inner(&self) -> Arc<Inner> {
        self.held.now.load_full()
    }

    /// Pins the shard's files, with everything applied in them, below `root`; `known` are content ids of tables that were
    /// pinned before. Must not run beside [`UserShard::apply`].
    ///
    /// # Errors
    /// I/O, damage.
    pub fn snapshot(&self, root: &Path, known: &mut KnownTables) -> Result<PinnedFiles> {
        let inner = self.inner();
        let _writer = inner.writer.lock();
        let row = inner.now.read().0;
        if inner.engine.durable_index() < row.index {
            inner.engine.persist(row.index)?;
        }
        let mut pinned = inner.engine.pin(root, known)?;
        (pinned.index, pinned.term) = (row.index, row.term);
        Ok(pinned)
    }

    /// Replaces the whole state by that of a snapshot: its words, and where each of its tables is. Must not run beside
    /// [`UserShard::apply`]. After a crash the state is the old one or the new one.
    ///
    /// # Errors
    /// I/O; `CorruptFiles` when the files do not hold the state after `at`.
    pub fn install(&self, data: &[u8], tables: &[(u64, PathBuf)], at: AppliedAt) -> Result<()> {
        let old = self.inner();
        let tree = Engine::stage_tree(&self.held.dir, data, tables)?;
        let engine = old.engine.open_beside(&self.held.dir, &tree, &self.held.options.engine())?;
        let (inner, found) = Inner::new(engine, &self.held.options)?;
        if found != at {
            let reason =
                format!("a snapshot ends with another entry. index=`{}`, found=`{}`", at.index, found.index);
            return Err(UserShardError::CorruptFiles { path: self.held.dir.clone(), reason });
        }
        Engine::publish_tree(&self.held.dir, &tree)?;
        self.held.now.store(Arc::new(inner));
        old.engine.give_up();
        Ok(())
    }

    /// Applies committed entries in log order; one encoded [`UserReply`] for each. Entries at or below the applied
    /// index are skipped (and answered `Done(0)`). What is applied is visible when this returns.
    ///
    /// # Errors
    /// Anything that is not a function of the entries, and entries that cannot be read: the replica must stop.
    /// Entries before the failing one are applied.
    pub fn apply(&self, entries: &[LogEntry<'_>]) -> Result<Vec<Vec<u8>>> {
        let inner = self.inner();
        let mut garbage = inner.writer.lock();
        entries.iter().map(|entry| Ok(inner.apply_one(&mut garbage, entry)?.encode())).collect()
    }

    /// The newest applied entry.
    #[must_use]
    pub fn applied(&self) -> AppliedAt {
        let row = self.row();
        AppliedAt { index: row.index, term: row.term }
    }

    /// The index up to which the files hold everything, durably: the log may be compacted up to here.
    #[must_use]
    pub fn durable_index(&self) -> u64 {
        self.inner().engine.durable_index()
    }

    /// Writes everything applied to files, fsynced, and waits for it; returns [`Self::durable_index`]. Not needed
    /// for safety (the log has it all), but bounds the log and the replay: call it now and then and before a stop.
    ///
    /// # Errors
    /// I/O.
    pub fn persist(&self) -> Result<u64> {
        let inner = self.inner();
        let _writer = inner.writer.lock();
        let index = inner.now.read().0.index;
        if inner.engine.durable_index() < index {
            inner.engine.persist(index)?;
        }
        Ok(inner.engine.durable_index())
    }

    /// The listener's record in force, blocks and follows by feedback included.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn user(&self, id: &UserId) -> Result<Option<User>> {
        Ok(load_record(&self.inner().engine, &keys::user(id))?.map(|record| record.user))
    }

    /// Everything about a listener, from the cache when it is there; `None` when there is no such user.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn view(&self, id: &UserId) -> Result<Option<Arc<UserView>>> {
        let inner = self.inner();
        inner.views.get_or_build(id, || {
            inner.views_read.fetch_add(1, Ordering::Relaxed);
            let view = view::read(&inner.engine.snapshot(), id)?;
            Ok(view.map(|view| {
                let bytes = view.size_bytes();
                (view, bytes)
            }))
        })
    }

    /// As [`UserShard::view`], of a listener who will not be asked for again soon: what is read is not kept.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn view_once(&self, id: &UserId) -> Result<Option<Arc<UserView>>> {
        let inner = self.inner();
        if let Some(view) = inner.views.get(id) {
            return Ok(Some(view));
        }
        inner.views_read.fetch_add(1, Ordering::Relaxed);
        Ok(view::read(&inner.engine.snapshot(), id)?.map(Arc::new))
    }

    /// Views that were read from the store because the cache did not have them.
    #[must_use]
    pub fn views_read(&self) -> u64 {
        self.inner().views_read.load(Ordering::Relaxed)
    }

    /// The listener's searches, oldest first, for export.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn searches(&self, id: &UserId) -> Result<Vec<(Timestamp, String)>> {
        let mut searches = Vec::new();
        let prefix = keys::of_user(&keys::user(id), keys::SEARCH);
        self.inner().engine.snapshot().scan_prefix(&prefix, |key, value| {
            let query = decode_search(value).map_err(|what| damaged(key, what))?;
            let (at, _) = keys::timed_suffix(key).ok_or_else(|| damaged(key, "key is malformed"))?;
            searches.push((at, query));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(searches)
    }

    /// Whether events wait for a track of this id to be added.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn is_waited_for(&self, track: &TrackId) -> Result<bool> {
        let mut waiting = false;
        self.inner().engine.snapshot().scan_prefix(
            &keys::waiting_of_track(track.as_str().as_bytes()),
            |_, _| {
                waiting = true;
                Ok(ControlFlow::Break(()))
            },
        )?;
        Ok(waiting)
    }

    /// Unknown tracks that events wait for, in order of id after `cursor`, at most `limit`. Cost: a seek for each.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn waited_for(&self, cursor: Option<&TrackId>, limit: usize) -> Result<Vec<TrackId>> {
        let inner = self.inner();
        let snapshot = inner.engine.snapshot();
        let mut from = keys::waiting_after(cursor);
        let mut tracks = Vec::new();
        while tracks.len() < limit {
            let mut found = None;
            snapshot.scan(&from, &keys::WAITING_END, |key, _| {
                found = Some(keys::waiting_track(key).ok_or_else(|| damaged(key, "key is malformed"))?);
                Ok(ControlFlow::Break(()))
            })?;
            let Some(track) = found else { break };
            from = keys::waiting_after(Some(&track));
            tracks.push(track);
        }
        Ok(tracks)
    }

    /// Where a load stands; never heard of = at 0.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn load_state(&self, load_id: &str) -> Result<LoadState> {
        Ok(apply::load_state(&self.inner().engine, load_id)?.unwrap_or_default())
    }

    /// Bytes of the live files, plus memory not yet in files. An estimate: files being replaced are not in it.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.inner().engine.disk_bytes()
    }

    /// Reads every row and checks every checksum; how many rows there are.
    ///
    /// # Errors
    /// The first damage found.
    pub fn verify(&self) -> Result<u64> {
        self.inner().engine.verify(|key, value| {
            // The list of who waits for a track has nothing but keys.
            if value.is_empty() { Ok(()) } else { open_row(key, value).map(|_| ()) }
        })
    }

    /// What [`super::UserOp::PutStatistics`] wrote last; the same allocation until the next.
    #[must_use]
    pub fn statistics(&self) -> Option<Arc<[u8]>> {
        self.inner().statistics.read().as_ref().map(|(bytes, _)| Arc::clone(bytes))
    }

    /// What tells one version of the statistics from another; 0 when there are none.
    pub(super) fn statistics_version(&self) -> u64 {
        self.inner().statistics.read().as_ref().map_or(0, |(_, version)| *version)
    }

    pub(super) fn row(&self) -> ShardRow {
        self.inner().now.read().0
    }
}

fn with_version(bytes: Arc<[u8]>) -> (Arc<[u8]>, u64) {
    let hash = blake3::hash(&bytes);
    let first = hash.as_bytes().first_chunk::<8>().map_or(1, |first| u64::from_le_bytes(*first));
    (bytes, first.max(1))
}
