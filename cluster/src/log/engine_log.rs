//! The log store on `raft-engine`.
//!
//! Layout in the engine: group 0 is the store's own and holds a copy of the node's identity; every
//! other group has keys beside its entries: `p` own peer id (8 bytes), `t` truncation point
//! (index, term; 16 bytes), `h` hard state and `c` membership (protobuf), `m` the membership's index and
//! stores (absent in directories of before there were other nodes), `i` a snapshot that was about to be
//! installed. Integers are little-endian; the engine checksums every record.
//!
//! Compression is off (payloads are vectors) and so is the reuse of old files: a file holds only what
//! was written to it, which is what lets [`scan`](super::scan) tell a torn write from damage.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use raft::eraftpb::{ConfState, Entry, HardState};
use raft_engine::env::{DefaultFileSystem, FileSystem};
use raft_engine::{Command, Config, Engine, MessageExt, ReadableSize, RecoveryMode};

use super::engine_files::{LogFiles, SyncFailure};
use super::header;
use super::store::{BOOTSTRAP, GroupWrite, Install, LogStore, StoredGroup, Truncated};
use crate::codec::{Malformed, Reader, Writer};
use crate::env::Disk;
use crate::error::LogError;
use crate::ids::{GroupId, PeerId};
use crate::members::Members;

const KEY_PEER: &[u8] = b"p";
const KEY_TRUNCATED: &[u8] = b"t";
const KEY_HARD_STATE: &[u8] = b"h";
const KEY_CONF_STATE: &[u8] = b"c";
const KEY_MEMBERS: &[u8] = b"m";
const KEY_INSTALL: &[u8] = b"i";

/// The store's own group, which keeps the identity of the node.
const OWN_GROUP: u64 = 0;
const KEY_IDENTITY: &[u8] = b"identity";

/// A durable log of many groups in one directory.
pub(crate) struct EngineLog<F: FileSystem = DefaultFileSystem> {
    engine: Engine<LogFiles<F>>,
    dir: PathBuf,
    failure: Arc<SyncFailure>,
}

struct RaftEntry;

impl MessageExt for RaftEntry {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.index
    }
}

impl EngineLog {
    /// Opens the log in `dir`, with the operating system's files; see [`EngineLog::open_with`].
    ///
    /// # Errors
    /// As there.
    pub fn open(dir: &Path, file_bytes: u64, disk_bytes: u64, disk: Arc<dyn Disk>) -> Result<Self, LogError> {
        Self::open_with(DefaultFileSystem, dir, (file_bytes, disk_bytes), disk)
    }
}

impl<F: FileSystem> EngineLog<F> {
    /// Opens the log in `dir`, which must have passed [`scan`](super::scan::scan).
    ///
    /// * `files`: where the bytes are, such as the operating system's.
    /// * `file_bytes`: size at which a file is closed and the next begun.
    /// * `disk_bytes`: size of all files at which [`EngineLog::collect`] starts to work.
    ///
    /// # Errors
    /// `Engine` when the engine refuses or panics on the files; `Io` when the directory cannot be synced.
    pub fn open_with(
        files: F,
        dir: &Path,
        (file_bytes, disk_bytes): (u64, u64),
        disk: Arc<dyn Disk>,
    ) -> Result<Self, LogError> {
        let failure = Arc::new(SyncFailure::default());
        let text = dir.to_str().ok_or_else(|| LogError::Engine {
            detail: "the path of the data directory is not valid UTF-8".to_owned(),
        })?;
        let config = Config {
            dir: text.to_owned(),
            recovery_mode: RecoveryMode::TolerateTailCorruption,
            recovery_threads: 2,
            batch_compression_threshold: ReadableSize(0),
            target_file_size: ReadableSize(file_bytes),
            purge_threshold: ReadableSize(disk_bytes),
            enable_log_recycle: false,
            ..Config::default()
        };
        // The engine's own lock says nothing beside that of the data directory, which the caller holds;
        // but a copy of it can live on in a process that is just being started (see `files::DirLock`).
        remove_stale_lock(dir)?;
        header::finish_begun(dir)?;
        let files = Arc::new(LogFiles::new(files, failure.clone(), disk));
        let engine = guarded(|| Engine::open_with_file_system(config, files))??;
        // The engine syncs the directory when it begins a new file, but not for the first.
        sync_dir(dir)?;
        let log = Self { engine, dir: dir.to_owned(), failure };
        log.check_synced()?;
        Ok(log)
    }

    /// Deletes files that hold nothing live, moving what is live out of the oldest ones. Returns the
    /// groups whose old entries stand in the way and should be compacted.
    ///
    /// # Errors
    /// When files cannot be written or deleted.
    pub fn collect(&self) -> Result<Vec<GroupId>, LogError> {
        let groups = guarded(|| self.engine.purge_expired_files())??;
        self.check_synced()?;
        Ok(groups.into_iter().map(GroupId).collect())
    }

    /// Returns the bytes the files may hold, counting each as full.
    pub fn disk_bytes(&self) -> u64 {
        self.engine.get_used_size() as u64
    }

    /// Returns how many files there are; 0 when the folder cannot be read.
    pub fn segments(&self) -> u64 {
        let Ok(files) = std::fs::read_dir(&self.dir) else { return 0 };
        let names = files.flatten().map(|file| file.path());
        let is_log =
            |path: &PathBuf| path.extension().is_some_and(|kind| kind == "raftlog" || kind == "rewrite");
        names.filter(is_log).count() as u64
    }

    /// Returns whether an fsync failed: nothing must be written any more.
    pub fn failed(&self) -> bool {
        self.failure.get().is_some()
    }

    /// Returns the groups that have anything stored, ascending.
    pub fn groups(&self) -> Vec<GroupId> {
        let mut groups: Vec<_> =
            self.engine.raft_groups().into_iter().filter(|id| *id != OWN_GROUP).collect();
        groups.sort_unstable();
        groups.into_iter().map(GroupId).collect()
    }

    /// Returns the copy of the node's identity.
    pub fn identity(&self) -> Option<Vec<u8>> {
        self.engine.get(OWN_GROUP, KEY_IDENTITY)
    }

    /// Stores the copy of the node's identity, durably.
    ///
    /// # Errors
    /// As [`LogStore::write`].
    pub fn put_identity(&self, identity: &[u8]) -> Result<(), LogError> {
        let mut engine_batch = raft_engine::LogBatch::default();
        engine_batch.put(OWN_GROUP, KEY_IDENTITY.to_vec(), identity.to_vec())?;
        self.write_synced(&mut engine_batch).map(drop)
    }

    fn write_synced(&self, engine_batch: &mut raft_engine::LogBatch) -> Result<usize, LogError> {
        self.check_synced()?;
        let written = guarded(|| self.engine.write(engine_batch, true))??;
        self.check_synced()?;
        Ok(written)
    }

    fn check_synced(&self) -> Result<(), LogError> {
        match self.failure.get() {
            Some(detail) => Err(LogError::SyncFailed { detail: detail.to_owned() }),
            None => Ok(()),
        }
    }

    fn bad_value(&self, group: GroupId, what: &str) -> LogError {
        LogError::Engine {
            detail: format!("{what} cannot be read. group=`{group}`, dir=`{}`", self.dir.display()),
        }
    }
}

impl<F: FileSystem> LogStore for EngineLog<F> {
    fn write(&self, batch: &[GroupWrite]) -> Result<usize, LogError> {
        let mut engine_batch = raft_engine::LogBatch::default();
        for write in batch {
            add_group(&mut engine_batch, write)?;
        }
        self.write_synced(&mut engine_batch)
    }

    fn load(&self, group: GroupId) -> Result<Option<StoredGroup>, LogError> {
        let (Some(peer), Some(truncated)) =
            (self.engine.get(group.0, KEY_PEER), self.engine.get(group.0, KEY_TRUNCATED))
        else {
            let anything = self.engine.raft_groups().contains(&group.0);
            return if anything { Err(self.bad_value(group, "the replica's own record")) } else { Ok(None) };
        };
        let peer = <[u8; 8]>::try_from(peer.as_slice()).map_err(|_| self.bad_value(group, "the peer id"))?;
        let truncated =
            decode_truncated(&truncated).ok_or_else(|| self.bad_value(group, "the truncation point"))?;
        let hard_state: HardState = self
            .engine
            .get_message(group.0, KEY_HARD_STATE)?
            .ok_or_else(|| self.bad_value(group, "the hard state"))?;
        let conf_state: ConfState = self
            .engine
            .get_message(group.0, KEY_CONF_STATE)?
            .ok_or_else(|| self.bad_value(group, "the membership"))?;
        let members = match self.engine.get(group.0, KEY_MEMBERS) {
            Some(bytes) => Members::decode_stores(conf_state, &bytes)
                .map_err(|_| self.bad_value(group, "the members' stores"))?,
            None => Members { index: BOOTSTRAP.index, conf_state, ..Members::default() },
        };
        let install = self.engine.get(group.0, KEY_INSTALL).map(|bytes| decode_install(&bytes)).transpose();
        let install = install.map_err(|_| self.bad_value(group, "the snapshot under way"))?;
        let entries = self.engine.first_index(group.0).zip(self.engine.last_index(group.0));
        let peer = PeerId(u64::from_le_bytes(peer));
        Ok(Some(StoredGroup { peer, truncated, hard_state, members, install, entries }))
    }

    fn read(&self, group: GroupId, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, LogError> {
        let mut entries = Vec::new();
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        guarded(|| {
            self.engine.fetch_entries_to::<RaftEntry>(group.0, low, high, Some(bytes_max), &mut entries)
        })??;
        Ok(entries)
    }
}

fn add_group(engine_batch: &mut raft_engine::LogBatch, write: &GroupWrite) -> Result<(), LogError> {
    let group = write.group.0;
    if write.destroy {
        engine_batch.add_command(group, Command::Clean);
        return Ok(());
    }
    if write.reset {
        engine_batch.add_command(group, Command::Clean);
    }
    if let Some(peer) = write.peer {
        engine_batch.put(group, KEY_PEER.to_vec(), peer.0.to_le_bytes().to_vec())?;
    }
    if let Some(members) = &write.members {
        engine_batch.put_message(group, KEY_CONF_STATE.to_vec(), &members.conf_state)?;
        engine_batch.put(group, KEY_MEMBERS.to_vec(), members.encode_stores())?;
    }
    if let Some(install) = &write.install {
        engine_batch.put(group, KEY_INSTALL.to_vec(), encode_install(install))?;
    }
    if let Some(hard_state) = &write.hard_state {
        engine_batch.put_message(group, KEY_HARD_STATE.to_vec(), hard_state)?;
    }
    if let Some(truncated) = write.truncate {
        engine_batch.put(group, KEY_TRUNCATED.to_vec(), encode_truncated(truncated))?;
        engine_batch.add_command(group, Command::Compact { index: truncated.index + 1 });
    }
    engine_batch.add_entries::<RaftEntry>(group, &write.entries)?;
    Ok(())
}

fn encode_truncated(truncated: Truncated) -> Vec<u8> {
    [truncated.index.to_le_bytes(), truncated.term.to_le_bytes()].concat()
}

fn decode_truncated(bytes: &[u8]) -> Option<Truncated> {
    let (index, term) = bytes.split_at_checked(8)?;
    Some(Truncated {
        index: u64::from_le_bytes(index.try_into().ok()?),
        term: u64::from_le_bytes(term.try_into().ok()?),
    })
}

fn encode_install(install: &Install) -> Vec<u8> {
    let mut out = Writer(encode_truncated(install.at));
    install.members.encode(&mut out);
    out.0
}

fn decode_install(bytes: &[u8]) -> Result<Install, Malformed> {
    let mut reader = Reader(bytes);
    let at = Truncated { index: reader.u64()?, term: reader.u64()? };
    let members = Members::decode(&mut reader)?;
    reader.end()?;
    Ok(Install { at, members })
}

/// Runs a call into the engine; a panic of the engine becomes an error.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, LogError> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| LogError::Engine {
        detail: format!("the engine panicked: {}", crate::panic::message(panic.as_ref())),
    })
}

impl From<raft_engine::Error> for LogError {
    fn from(error: raft_engine::Error) -> Self {
        let detail = error.to_string();
        // The engine marks a full disk by this word in its own error text, and by `TryAgain` once it
        // has tried a second file.
        let no_space = matches!(error, raft_engine::Error::TryAgain(_))
            || detail.contains("nospace")
            || detail.contains("StorageFull");
        if no_space { Self::NoSpace { detail } } else { Self::Engine { detail } }
    }
}

fn remove_stale_lock(dir: &Path) -> Result<(), LogError> {
    let path = dir.join("LOCK");
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(LogError::Io { action: "remove the engine's old lock", path, source })
        }
        _ => Ok(()),
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), LogError> {
    File::open(dir).and_then(|file| file.sync_all()).map_err(|source| LogError::Io {
        action: "sync directory",
        path: dir.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::env::Env;
    use crate::ids::StoreId;

    #[test]
    fn a_group_of_before_there_were_other_nodes_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let log = EngineLog::open(dir.path(), 4 << 10, 16 << 10, Env::real().disk).unwrap();
        let (group, peer) = (GroupId(3), PeerId(7));
        log.write(&[GroupWrite::bootstrap(group, peer, &[(peer, StoreId(9))])]).unwrap();
        let mut engine_batch = raft_engine::LogBatch::default();
        engine_batch.delete(group.0, KEY_MEMBERS.to_vec());
        log.write_synced(&mut engine_batch).unwrap();
        let members = log.load(group).unwrap().unwrap().members;
        assert_eq!((members.index, members.peers(), members.stores.len()), (BOOTSTRAP.index, vec![7], 0));
    }
}
