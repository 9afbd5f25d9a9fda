//! The store: open, write, flush, merge.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lsm_tree::{
    AbstractTree, AnyTree, Cache, CompressionType, Config, DescriptorTable, SeqNo, SequenceNumberCounter,
    compaction::Leveled,
    config::{BlockSizePolicy, CompressionPolicy},
};
use parking_lot::{Condvar, Mutex};

use super::{
    files,
    read::Snapshot,
    trees::{self, TreeFolder},
    worker::{Waker, Workers, worker_on},
};
use crate::storage::user_shard::error::{Result, UserShardError};

/// Sealed memory waiting for the disk before writes wait too.
const SEALED_MAX: usize = 3;
/// Unmerged files before writes wait for the merge.
const UNMERGED_MAX: usize = 24;
const OPEN_FILES_MAX: usize = 256;

/// Sizes of a store.
#[derive(Debug, Clone)]
pub(in crate::storage::user_shard) struct EngineOptions {
    /// Cache of file blocks.
    pub block_cache_bytes: u64,
    /// Memory that becomes a file when full; up to four times as much can be in use.
    pub memtable_bytes: u64,
}

/// The writes of one log entry; the last word on a key holds.
#[derive(Debug, Default)]
pub(in crate::storage::user_shard) struct WriteSet {
    rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl WriteSet {
    pub(in crate::storage::user_shard) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.rows.insert(key, Some(value));
    }

    pub(in crate::storage::user_shard) fn delete(&mut self, key: Vec<u8>) {
        self.rows.insert(key, None);
    }

    /// The keys that are written or removed, ascending.
    pub(in crate::storage::user_shard) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.rows.keys().map(Vec::as_slice)
    }
}

/// What the writer, readers and background threads share.
pub(super) struct Shared {
    dir: PathBuf,
    tree: AnyTree,
    seqno: SequenceNumberCounter,
    visible: SequenceNumberCounter,
    snapshots: Mutex<BTreeMap<SeqNo, usize>>,
    /// Index of the newest entry in sealed memory or files.
    sealed_index: AtomicU64,
    /// Index of the newest entry that is in files, durably.
    durable_index: AtomicU64,
    /// What the last background run said, if it failed.
    failure: Mutex<Option<(String, bool)>>,
    progress: Condvar,
    merge: Mutex<Option<Waker>>,
}

/// The store of one shard. One writer at a time ([`Engine::commit`] is called under the shard's write lock).
pub(in crate::storage::user_shard) struct Engine {
    shared: Arc<Shared>,
    memtable_bytes: u64,
    flush: Waker,
    _workers: Workers,
    // After the threads that write to it.
    folder: TreeFolder,
    lock: Arc<files::DirLock>,
}

impl Engine {
    /// Opens or creates the store in `dir`. [`Engine::recovered`] must follow.
    pub(in crate::storage::user_shard) fn open(dir: &Path, options: &EngineOptions) -> Result<Self> {
        let lock = Arc::new(files::lock(dir)?);
        let tree = trees::tree_of(dir)?;
        trees::remove_others(dir, &tree)?;
        Self::open_tree(dir, tree, lock, options)
    }

    /// Opens or creates a tree.
    pub(super) fn open_tree(
        dir: &Path,
        path: PathBuf,
        lock: Arc<files::DirLock>,
        options: &EngineOptions,
    ) -> Result<Self> {
        files::check_version_file(&path)?;
        let seqno = SequenceNumberCounter::default();
        let visible = SequenceNumberCounter::default();
        let config = Config::new(&path, seqno.clone(), visible.clone())
            .use_cache(Arc::new(Cache::with_capacity_bytes(options.block_cache_bytes)))
            .use_descriptor_table(Some(Arc::new(DescriptorTable::new(OPEN_FILES_MAX))))
            .data_block_size_policy(BlockSizePolicy::all(8 * 1024))
            .data_block_compression_policy(CompressionPolicy::new([
                CompressionType::None,
                CompressionType::None,
                CompressionType::Lz4,
            ]));
        let tree = caught(dir, || config.open())?;
        let next = caught(dir, || Ok(tree.get_highest_seqno().map_or(1, |highest| highest + 1)))?;
        seqno.fetch_max(next);
        visible.fetch_max(next);
        let shared = Arc::new(Shared {
            dir: dir.to_path_buf(),
            tree,
            seqno,
            visible,
            snapshots: Mutex::default(),
            sealed_index: AtomicU64::new(0),
            durable_index: AtomicU64::new(0),
            failure: Mutex::new(None),
            progress: Condvar::new(),
            merge: Mutex::new(None),
        });
        let start =
            |name, job| worker_on(name, &shared, job).map_err(|e| UserShardError::io("start thread", dir, e));
        let workers = Workers {
            flush: start("user-flush", Shared::flush)?,
            merge: start("user-merge", Shared::merge)?,
        };
        *shared.merge.lock() = Some(workers.merge.waker());
        let flush = workers.flush.waker();
        let (memtable_bytes, folder) = (options.memtable_bytes, TreeFolder::new(path));
        Ok(Self { shared, memtable_bytes, flush, _workers: workers, folder, lock })
    }

    pub(super) fn folder(&self) -> &TreeFolder {
        &self.folder
    }

    pub(super) fn lock(&self) -> Arc<files::DirLock> {
        Arc::clone(&self.lock)
    }

    /// Says what the recovered files hold; called once, after open.
    pub(in crate::storage::user_shard) fn recovered(&self, applied_index: u64) {
        self.shared.sealed_index.store(applied_index, Ordering::Release);
        self.shared.durable_index.store(applied_index, Ordering::Release);
    }

    /// The newest value of a key.
    pub(in crate::storage::user_shard) fn get(&self, key: &[u8]) -> Result<Option<lsm_tree::UserValue>> {
        self.shared.guard(|tree| tree.get(key, SeqNo::MAX))
    }

    /// A view for reads that belong together.
    pub(in crate::storage::user_shard) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot::new(&self.shared)
    }

    /// Makes the writes of the entry `index` visible, all at once. Cannot fail half way: the rows go to memory.
    ///
    /// # Errors
    /// [`UserShardError::Stalled`] before anything is written, when the background cannot write.
    pub(in crate::storage::user_shard) fn commit(&self, writes: WriteSet, index: u64) -> Result<()> {
        self.shared.wait_for_background().inspect_err(|_| self.flush.wake())?;
        let seqno = self.shared.seqno.next();
        let mut memtable_bytes = 0;
        for (key, value) in writes.rows {
            (_, memtable_bytes) = match value {
                Some(value) => self.shared.tree.insert(key, value, seqno),
                None => self.shared.tree.remove(key, seqno),
            };
        }
        self.shared.visible.fetch_max(seqno + 1);
        if memtable_bytes >= self.memtable_bytes {
            self.seal(index);
        }
        Ok(())
    }

    fn seal(&self, applied_index: u64) {
        self.shared.tree.rotate_memtable();
        self.shared.sealed_index.store(applied_index, Ordering::Release);
        self.flush.wake();
    }

    /// Writes everything up to `applied_index`, the newest entry, to files and waits for it.
    pub(in crate::storage::user_shard) fn persist(&self, applied_index: u64) -> Result<()> {
        self.shared.guard(|tree| {
            tree.rotate_memtable();
            Ok(())
        })?;
        self.shared.sealed_index.store(applied_index, Ordering::Release);
        self.shared.try_flush()
    }

    /// Index up to which the files hold everything, durably.
    pub(in crate::storage::user_shard) fn durable_index(&self) -> u64 {
        self.shared.durable_index.load(Ordering::Acquire)
    }

    /// Bytes of the live files plus memory not yet in files.
    pub(in crate::storage::user_shard) fn disk_bytes(&self) -> u64 {
        self.shared.tree.disk_space() + self.shared.tree.active_memtable().size()
    }

    /// Reads every block of every table, so that damage anywhere is found; returns the rows read.
    pub(in crate::storage::user_shard) fn verify(
        &self,
        mut check: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<u64> {
        let mut rows = 0;
        self.snapshot().scan_prefix(&[], |key, value| {
            rows += 1;
            check(key, value).map(std::ops::ControlFlow::Continue)
        })?;
        Ok(rows)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // The merge thread's waker lives in `shared`, which the threads share: take it, or they never end.
        *self.shared.merge.lock() = None;
        self.flush = Waker::none();
    }
}

impl Shared {
    /// Runs a call of the tree; a panic in it is damage it did not expect.
    pub(super) fn guard<T>(&self, call: impl FnOnce(&AnyTree) -> lsm_tree::Result<T>) -> Result<T> {
        caught(&self.dir, || call(&self.tree))
    }

    pub(super) fn open_snapshot(&self) -> SeqNo {
        let mut open = self.snapshots.lock();
        let seqno = self.visible.get();
        *open.entry(seqno).or_default() += 1;
        seqno
    }

    pub(super) fn close_snapshot(&self, seqno: SeqNo) {
        let mut open = self.snapshots.lock();
        if let Some(count) = open.get_mut(&seqno) {
            *count -= 1;
            if *count == 0 {
                open.remove(&seqno);
            }
        }
    }

    /// Versions of a row older than another one below this sequence number are garbage.
    fn garbage_below(&self) -> SeqNo {
        let open = self.snapshots.lock();
        let oldest = open.first_key_value().map_or_else(|| self.visible.get(), |(seqno, _)| *seqno);
        oldest.saturating_sub(1)
    }

    fn try_flush(&self) -> Result<()> {
        let flushed = self.guard(|tree| {
            let lock = tree.get_flush_lock();
            // Read under the lock and before the flush: all memory sealed for this index goes with it.
            let index = self.sealed_index.load(Ordering::Acquire);
            tree.flush(&lock, self.garbage_below())?;
            Ok(index)
        });
        let outcome = flushed.map(|index| {
            self.durable_index.fetch_max(index, Ordering::AcqRel);
        });
        self.report(&outcome);
        if let Some(merge) = self.merge.lock().as_ref() {
            merge.wake();
        }
        outcome
    }

    fn flush(&self) {
        // The outcome is kept in `failure`, where the next write finds it.
        let _ = self.try_flush();
    }

    fn merge(&self) {
        let outcome = self.guard(|tree| {
            let mut before = shape(tree);
            loop {
                tree.compact(Arc::new(Leveled::default()), self.garbage_below())?;
                let after = shape(tree);
                if after == before || self.merge.lock().is_none() {
                    return Ok(());
                }
                before = after;
                self.progress.notify_all();
            }
        });
        self.report(&outcome);
    }

    fn report(&self, outcome: &Result<()>) {
        *self.failure.lock() = match outcome {
            Ok(()) => None,
            Err(error) => {
                tracing::error!(%error, "background write of a user store failed");
                Some((describe(error), error.is_disk_full()))
            }
        };
        self.progress.notify_all();
    }

    fn wait_for_background(&self) -> Result<()> {
        while self.tree.sealed_memtable_count() > SEALED_MAX || self.tree.l0_run_count() > UNMERGED_MAX {
            let mut failure = self.failure.lock();
            if let Some((reason, disk_full)) = failure.as_ref() {
                return Err(UserShardError::Stalled {
                    path: self.dir.clone(),
                    reason: reason.clone(),
                    disk_full: *disk_full,
                });
            }
            self.progress.wait_for(&mut failure, Duration::from_millis(50));
        }
        Ok(())
    }
}

/// What a merge changes: equal shapes mean there was nothing to do.
fn shape(tree: &AnyTree) -> Vec<u64> {
    let levels = (0..7).map(|level| tree.level_table_count(level).unwrap_or(0) as u64);
    [tree.next_table_id(), tree.l0_run_count() as u64].into_iter().chain(levels).collect()
}

fn describe(error: &UserShardError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn caught<T>(dir: &Path, call: impl FnOnce() -> lsm_tree::Result<T>) -> Result<T> {
    let damaged = |reason: String| UserShardError::CorruptFiles { path: dir.to_path_buf(), reason };
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(lsm_tree::Error::Io(e))) if is_damage(&e) => Err(damaged(e.to_string())),
        Ok(Err(lsm_tree::Error::Io(e))) => Err(UserShardError::io("use user store", dir, e)),
        Ok(Err(error)) => Err(damaged(format!("{error:?}"))),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(damaged(format!("the store panicked: {text}")))
        }
    }
}

/// Whether an I/O error says that bytes are wrong rather than that the system refused.
fn is_damage(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData | std::io::ErrorKind::NotFound
    )
}
