//! Shards behind Raft groups: the adapters between the `cluster` crate's state machine and the storage layer's.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use segue_cluster::{
    AppliedState, ApplyError, CommittedEntry, DirStaging, NoFiles, SnapshotFile, SnapshotFiles,
    SnapshotManifest, Staging, StateMachine, Words,
};

use super::stop_points::{META_APPLY, hold_point};
use crate::error::{Error, Result};
use crate::storage::entry::{AppliedAt, LogEntry};
use crate::storage::error::describe;
use crate::storage::meta::MetaStore;
use crate::storage::pinned::PinnedFiles;
use crate::storage::track_shard::{TrackShard, TrackStateMachine};
use crate::storage::user_shard::{KnownTables, UserShard, table_number};

type Outcome<T> = std::result::Result<T, ApplyError>;

/// Where a replica pins the files it gives to others, and gathers those it is given; `None` for a replica that has no
/// others.
#[derive(Clone)]
pub struct SnapshotFolder(PathBuf);

impl SnapshotFolder {
    /// The folder of one shard in a data directory; what a crash left pinned there is removed.
    ///
    /// # Errors
    /// I/O.
    pub fn open(dir: &Path, shard: &str) -> Result<Self> {
        let folder = dir.join("snapshots").join(shard);
        PinnedFiles::clear(&folder)?;
        Ok(Self(folder))
    }

    fn incoming(&self) -> Result<DirStaging> {
        let folder = self.0.join("incoming");
        DirStaging::open(&folder).map_err(|source| Error::io("make a folder for snapshots", folder, source))
    }

    /// Drops what was gathered.
    fn clear_incoming(&self) {
        let cleared = self.incoming().map(|staging| staging.keep_only(&[]));
        if let Ok(Err(error)) = cleared {
            tracing::warn!(%error, "files of an installed snapshot were not removed");
        }
    }
}

/// A track shard as a group's state machine.
pub struct TrackReplica {
    machine: TrackStateMachine,
    folder: Option<SnapshotFolder>,
    /// Set when a snapshot was asked for and there is no checkpoint yet.
    wanted: Arc<AtomicBool>,
}

impl TrackReplica {
    /// Wraps a shard; `wanted` is set when a checkpoint is needed for others.
    pub fn new(machine: TrackStateMachine, folder: Option<SnapshotFolder>, wanted: Arc<AtomicBool>) -> Self {
        Self { machine, folder, wanted }
    }

    /// The shard.
    pub fn shard(&self) -> Arc<TrackShard> {
        self.machine.shard()
    }
}

impl StateMachine for TrackReplica {
    fn recovered(&self) -> AppliedState {
        let (index, term) = self.machine.recovered();
        AppliedState { index, term }
    }

    fn apply(&mut self, batch: &[CommittedEntry]) -> Outcome<Vec<Bytes>> {
        let entries: Vec<(u64, u64, &[u8])> =
            batch.iter().map(|entry| (entry.index, entry.term, &entry.data[..])).collect();
        replies(self.machine.apply(&entries))
    }

    fn durable_index(&self) -> u64 {
        self.machine.shard().durable_index()
    }

    fn snapshot(&mut self) -> Outcome<Option<Arc<dyn SnapshotFiles>>> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let pinned = self.machine.shard().snapshot(&folder.0).map_err(stopped)?;
        if pinned.is_none() {
            self.wanted.store(true, Ordering::Release);
        }
        Ok(pinned.map(offered))
    }

    fn staging(&self) -> Option<Arc<dyn Staging>> {
        let staged = self.folder.as_ref()?.incoming().ok()?;
        Some(Arc::new(TrackStaging { staged, shard: self.machine.shard() }))
    }

    fn install(&mut self, snapshot: &SnapshotManifest) -> Outcome<()> {
        let folder = self.folder.clone().ok_or_else(alone)?;
        let staging = folder.incoming().map_err(stopped)?;
        let shard = self.machine.shard();
        let find = |hash: &[u8; 32]| {
            let file = snapshot.files.iter().find(|file| file.hash == *hash)?;
            let staged = staging.holds(file).then(|| staging.path(file));
            staged.or_else(|| shard.find_file(hash))
        };
        self.machine.install(&snapshot.data, &find).map_err(stopped)?;
        folder.clear_incoming();
        Ok(())
    }
}

/// Files of a track shard's snapshot: those of the checkpoint in force need not be fetched.
struct TrackStaging {
    staged: DirStaging,
    shard: Arc<TrackShard>,
}

impl Staging for TrackStaging {
    fn holds(&self, file: &SnapshotFile) -> bool {
        self.staged.holds(file) || self.shard.find_file(&file.hash).is_some()
    }

    fn staged_bytes(&self, file: &SnapshotFile) -> u64 {
        self.staged.staged_bytes(file)
    }

    fn append(&self, file: &SnapshotFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.staged.append(file, offset, bytes)
    }

    fn finish(&self, file: &SnapshotFile) -> io::Result<bool> {
        self.staged.finish(file)
    }

    fn keep_only(&self, files: &[SnapshotFile]) -> io::Result<()> {
        self.staged.keep_only(files)
    }
}

/// A user shard as a group's state machine.
pub struct UserReplica {
    shard: UserShard,
    recovered: AppliedAt,
    folder: Option<SnapshotFolder>,
    known: KnownTables,
}

impl UserReplica {
    /// Wraps a shard that was just opened; `recovered` is where its files end.
    pub fn new(shard: UserShard, recovered: AppliedAt, folder: Option<SnapshotFolder>) -> Self {
        Self { shard, recovered, folder, known: KnownTables::default() }
    }
}

impl StateMachine for UserReplica {
    fn recovered(&self) -> AppliedState {
        AppliedState { index: self.recovered.index, term: self.recovered.term }
    }

    fn apply(&mut self, batch: &[CommittedEntry]) -> Outcome<Vec<Bytes>> {
        replies(self.shard.apply(&log_entries(batch)).map_err(Error::from))
    }

    fn durable_index(&self) -> u64 {
        self.shard.durable_index()
    }

    fn snapshot(&mut self) -> Outcome<Option<Arc<dyn SnapshotFiles>>> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let pinned = self.shard.snapshot(&folder.0, &mut self.known);
        pinned.map(|pinned| Some(offered(pinned))).map_err(|error| stopped(error.into()))
    }

    fn staging(&self) -> Option<Arc<dyn Staging>> {
        let staged = self.folder.as_ref()?.incoming().ok()?;
        Some(Arc::new(staged))
    }

    fn install(&mut self, snapshot: &SnapshotManifest) -> Outcome<()> {
        let folder = self.folder.clone().ok_or_else(alone)?;
        let staging = folder.incoming().map_err(stopped)?;
        let mut tables = Vec::with_capacity(snapshot.files.len());
        for file in &snapshot.files {
            let number = table_number(&file.name).ok_or_else(|| {
                ApplyError::new(format!("a snapshot has a file of an unknown kind. file=`{}`", file.name))
            })?;
            tables.push((number, staging.path(file)));
        }
        let at = AppliedAt { index: snapshot.index, term: snapshot.term };
        self.shard.install(&snapshot.data, &tables, at).map_err(|error| stopped(error.into()))?;
        self.recovered = at;
        folder.clear_incoming();
        Ok(())
    }
}

/// The meta state as a group's state machine.
pub struct MetaReplica {
    store: MetaStore,
    recovered: AppliedAt,
}

impl MetaReplica {
    /// Wraps a store that was just opened; `recovered` is where its file ends.
    pub fn new(store: MetaStore, recovered: AppliedAt) -> Self {
        Self { store, recovered }
    }
}

impl StateMachine for MetaReplica {
    fn recovered(&self) -> AppliedState {
        AppliedState { index: self.recovered.index, term: self.recovered.term }
    }

    fn apply(&mut self, batch: &[CommittedEntry]) -> Outcome<Vec<Bytes>> {
        hold_point(META_APPLY);
        replies(self.store.apply(&log_entries(batch)))
    }

    fn durable_index(&self) -> u64 {
        self.store.durable_index()
    }

    fn snapshot(&mut self) -> Outcome<Option<Arc<dyn SnapshotFiles>>> {
        let (AppliedAt { index, term }, data) = self.store.snapshot().map_err(stopped)?;
        let manifest = SnapshotManifest { index, term, data: data.into(), files: Vec::new() };
        Ok(Some(Arc::new(Words(manifest))))
    }

    fn staging(&self) -> Option<Arc<dyn Staging>> {
        Some(Arc::new(NoFiles))
    }

    fn install(&mut self, snapshot: &SnapshotManifest) -> Outcome<()> {
        let at = AppliedAt { index: snapshot.index, term: snapshot.term };
        self.store.install(&snapshot.data, at).map_err(stopped)?;
        self.recovered = at;
        Ok(())
    }
}

/// A snapshot of a shard with files.
struct Offered {
    manifest: SnapshotManifest,
    pinned: PinnedFiles,
}

fn offered(pinned: PinnedFiles) -> Arc<dyn SnapshotFiles> {
    let file = |file: &crate::storage::pinned::PinnedFile| SnapshotFile {
        name: file.name.clone(),
        bytes: file.bytes,
        hash: file.hash,
    };
    let manifest = SnapshotManifest {
        index: pinned.index,
        term: pinned.term,
        data: pinned.data.clone().into(),
        files: pinned.files.iter().map(file).collect(),
    };
    Arc::new(Offered { manifest, pinned })
}

impl SnapshotFiles for Offered {
    fn manifest(&self) -> &SnapshotManifest {
        &self.manifest
    }

    fn read(&self, file: usize, offset: u64, bytes: u64) -> io::Result<Vec<u8>> {
        self.pinned.read(file, offset, bytes)
    }
}

/// Replies as bytes; an error stops the replica.
fn replies(result: Result<Vec<Vec<u8>>>) -> Outcome<Vec<Bytes>> {
    let replies = result.map_err(stopped)?;
    Ok(replies.into_iter().map(Bytes::from).collect())
}

fn stopped(error: Error) -> ApplyError {
    ApplyError::with_source(describe(&error), error)
}

fn alone() -> ApplyError {
    ApplyError::new("a replica without others has no use for a snapshot")
}

fn log_entries(batch: &[CommittedEntry]) -> Vec<LogEntry<'_>> {
    batch.iter().map(|entry| LogEntry { index: entry.index, term: entry.term, data: &entry.data }).collect()
}
