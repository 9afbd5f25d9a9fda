//! Taking from other directories: files are copied to a folder that nobody else looks at, moved to their place, and then
//! the log is written that makes a replica of them.
//!
//! Files before the log, group by group: files without a log are what an earlier replica has left, and are removed by whoever
//! comes next; a log without its files could not be started from. While a log is being written its group is marked as leaving, so
//! that half of one is removed at the next opening, and taken again by the next run. Nothing is linked: files of a live shard may
//! be written to, and the other directory stays as it is.
//!
//! Not copied: `snapshots`. What is pinned there is for other nodes, and each start gives it up.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use raft::eraftpb::HardState;

use super::choose::Folder;
use super::survivor::{Replica, Survivor, apart};
use super::{Found, RecoverError, Source, last, only};
use crate::env::Env;
use crate::error::{LogError, OpenError};
use crate::files;
use crate::identity::{GroupMark, IdentityFile};
use crate::ids::{ClusterId, GroupId, PeerId, StoreId};
use crate::log::engine_log::EngineLog;
use crate::log::store::{GroupWrite, Install, LogStore as _};

/// Folder in a data directory for copies and for links to other logs, while a recovery works.
const WORK: &str = "recovering";
/// File in a data directory: the cluster it was of, until everything is taken.
const EARLIER: &str = "recovering-from";
/// Bytes of entries written at once.
const WRITE_BYTES: u64 = 4 << 20;

/// A folder for what is only needed while a recovery works; removed when dropped.
pub(super) struct Work(PathBuf);

impl Work {
    /// Takes the folder of a data directory; what an interrupted run has left there is removed.
    ///
    /// # Errors
    /// The operating system's.
    pub fn make(dir: &Path) -> Result<Self, OpenError> {
        let folder = dir.join(WORK);
        remove_folder(&folder)?;
        Ok(Self(folder))
    }

    /// Makes a folder in it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn folder(&self, name: &str) -> Result<PathBuf, OpenError> {
        let folder = self.0.join(name);
        fs::create_dir_all(&folder).map_err(io_error("create folder", &folder))?;
        Ok(folder)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(error) = remove_folder(&self.0) {
            tracing::warn!(%error, "what a recovery has copied was not removed; the next one does");
        }
    }
}

/// Says which cluster a directory was of, for a run that goes on after this one was cut short: the others are still of it.
///
/// # Errors
/// The operating system's.
pub(super) fn remember_cluster(dir: &Path, cluster: ClusterId) -> Result<(), OpenError> {
    let path = dir.join(EARLIER);
    // That of the first of several runs is the one the others are of.
    if files::read(&path)?.is_some() {
        return Ok(());
    }
    files::publish(&path, files::with_checksum(format!("cluster={cluster}\n")).as_bytes())
}

/// What [`remember_cluster`] has left.
///
/// # Errors
/// `IdentityDamaged` when it cannot be read.
pub(super) fn earlier_cluster(dir: &Path) -> Result<Option<ClusterId>, OpenError> {
    let path = dir.join(EARLIER);
    let Some(bytes) = files::read(&path)? else { return Ok(None) };
    let line = files::checked(&bytes).and_then(|text| text.trim_end().strip_prefix("cluster="));
    let cluster = line.and_then(|id| id.parse().ok());
    cluster.map(Some).ok_or_else(|| OpenError::Io {
        action: "read which cluster this was (delete the file, and name no other directories)",
        path,
        source: io::ErrorKind::InvalidData.into(),
    })
}

/// Removes it.
///
/// # Errors
/// The operating system's.
pub(super) fn forget_cluster(dir: &Path) -> Result<(), OpenError> {
    files::remove(&dir.join(EARLIER))
}

/// Copies the files of all groups that are taken whole, durably.
///
/// # Errors
/// The operating system's; nothing but the copies was made then.
pub(super) fn stage(found: &Found, folder: Folder) -> Result<(), RecoverError> {
    for (_, name, other) in taken(found, folder) {
        copy_folder(&other.dir.join(&name), &found.work.folder(&name)?)?;
    }
    Ok(())
}

/// Puts what was copied in its place, and writes the logs of what is taken.
///
/// # Errors
/// Those of reading and writing; a run after this one takes again what is not whole.
pub(super) fn bring(
    dir: &Path,
    log: &EngineLog,
    file: &mut IdentityFile,
    found: &Found,
    folder: Folder,
) -> Result<(), RecoverError> {
    let store = file.identity.store;
    for (group, name, other) in taken(found, folder) {
        let Some(replica) = other.replicas.get(&group) else { continue };
        file.mark(group, Some(GroupMark::Leaving))?;
        let (from, to) = (found.work.0.join(&name), dir.join(&name));
        remove_folder(&to)?;
        fs::rename(&from, &to).map_err(io_error("move folder", &to))?;
        sync_folder(dir)?;
        take_log(log, other, replica, store)?;
        file.mark(group, Some(GroupMark::Present))?;
    }
    for plan in &found.recovery.groups {
        if let Source::Entries { from, behind } = &plan.source
            && let Some(other) = found.others.iter().find(|other| other.dir == *from)
        {
            take_entries(log, other, plan.group, *behind)?;
        }
    }
    Ok(())
}

/// The groups that are taken whole, each with the name of its folder and whom it is taken from.
fn taken(found: &Found, folder: Folder) -> impl Iterator<Item = (GroupId, String, &Survivor)> {
    found.recovery.groups.iter().filter_map(move |plan| {
        let Source::Whole { from } = &plan.source else { return None };
        let other = found.others.iter().find(|other| other.dir == *from)?;
        Some((plan.group, folder(plan.group)?, other))
    })
}

/// Writes the log of a replica of another directory as that of a new replica, the only one of its group.
fn take_log(
    log: &EngineLog,
    other: &Survivor,
    replica: &Replica,
    store: StoreId,
) -> Result<(), RecoverError> {
    let (group, stored) = (replica.plan.group, &replica.stored);
    let draw = |source| OpenError::Io { action: "draw a random peer id", path: other.dir.clone(), source };
    let peer = PeerId(Env::real().entropy.next_u64().map_err(draw)?.max(1));
    let members = only(stored.members.index.max(last(stored)), peer, store);
    let install = stored.install.clone().map(|install| Install { members: members.clone(), ..install });
    let write = GroupWrite {
        peer: Some(peer),
        members: Some(members),
        // Votes were given to and by replicas that are gone.
        hard_state: Some(HardState { vote: 0, ..stored.hard_state.clone() }),
        install,
        reset: true,
        truncate: Some(stored.truncated),
        ..GroupWrite::new(group)
    };
    log.write(&[write])?;
    copy_entries(log, other, group, stored.truncated.index)
}

/// Puts the entries of another directory behind one that both have.
fn take_entries(log: &EngineLog, other: &Survivor, group: GroupId, behind: u64) -> Result<(), RecoverError> {
    let (Some(own), Some(theirs)) = (log.load(group)?, other.replicas.get(&group)) else { return Ok(()) };
    let (term, theirs) = (own.hard_state.term, theirs.stored.hard_state.term);
    if theirs > term {
        // The term of the log may not be behind that of its entries; nobody has got a vote in it here.
        let hard_state = HardState { term: theirs, vote: 0, ..own.hard_state };
        log.write(&[GroupWrite { hard_state: Some(hard_state), ..GroupWrite::new(group) }])?;
    }
    copy_entries(log, other, group, behind)
}

fn copy_entries(log: &EngineLog, other: &Survivor, group: GroupId, behind: u64) -> Result<(), RecoverError> {
    let Some(replica) = other.replicas.get(&group) else { return Ok(()) };
    let (mut next, last) = (behind + 1, last(&replica.stored));
    apart(|| {
        while next <= last {
            let entries = other.log.read(group, next, last + 1, WRITE_BYTES)?;
            let is_run = entries.iter().zip(next..).all(|(entry, index)| entry.index == index);
            let Some(newest) = entries.last().filter(|_| is_run).map(|entry| entry.index) else {
                let detail = format!(
                    "an entry is missing. group=`{group}`, index=`{next}`, dir=`{}`",
                    other.dir.display()
                );
                return Err(LogError::Engine { detail }.into());
            };
            log.write(&[GroupWrite { entries, ..GroupWrite::new(group) }])?;
            next = newest + 1;
        }
        Ok(())
    })
}

/// Copies a folder into an empty one, durably.
pub(super) fn copy_folder(from: &Path, to: &Path) -> Result<(), OpenError> {
    for item in fs::read_dir(from).map_err(io_error("list folder", from))? {
        let item = item.map_err(io_error("list folder", from))?;
        let (source, target) = (item.path(), to.join(item.file_name()));
        let kind = item.file_type().map_err(io_error("examine file", &source))?;
        if kind.is_dir() {
            fs::create_dir(&target).map_err(io_error("create folder", &target))?;
            copy_folder(&source, &target)?;
        } else if kind.is_file() {
            copy_file(&source, &target)?;
        } else {
            let wrong = io::Error::other("it is neither a file nor a folder");
            return Err(io_error("copy file", &source)(wrong));
        }
    }
    sync_folder(to)
}

fn copy_file(from: &Path, to: &Path) -> Result<(), OpenError> {
    fs::copy(from, to).map_err(io_error("copy file", from))?;
    File::open(to).and_then(|copy| copy.sync_all()).map_err(io_error("sync file", to))
}

fn remove_folder(folder: &Path) -> Result<(), OpenError> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove folder", folder)(source))
        }
        _ => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> Result<(), OpenError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(io_error("sync folder", folder))
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { action, path, source }
}
