//! The directory of another survivor: what it holds, read without changing anything in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use super::take::Work;
use super::{GroupRecovery, RecoverError, group_plan, is_removed};
use crate::config::NodeConfig;
use crate::env::Env;
use crate::error::{LogError, OpenError};
use crate::files::{self, DirLock};
use crate::identity::{GroupMark, Identity, IdentityFile};
use crate::ids::{ClusterId, GroupId};
use crate::log::engine_log::EngineLog;
use crate::log::store::{LogStore as _, StoredGroup};
use crate::map::{MAP_GROUP, MapState, read_map};
use crate::open::{IDENTITY, RAFT, check_log};
use crate::verify::overlay;

/// Another directory, locked and open for reading.
pub(super) struct Survivor {
    /// As it was given, made absolute.
    pub dir: PathBuf,
    pub identity: Identity,
    pub map: MapState,
    /// On links to its files. Read [`apart`] only.
    pub log: EngineLog,
    /// Its replicas, but for those that were being removed.
    pub replicas: BTreeMap<GroupId, Replica>,
    _lock: Option<DirLock>,
}

/// One replica of it.
pub(super) struct Replica {
    pub stored: StoredGroup,
    pub plan: GroupRecovery,
}

/// Opens all other directories, and checks that they are of the same cluster and none twice.
///
/// * `earlier`: the cluster that `dir` was of before a recovery that was cut short.
///
/// # Errors
/// `Unfit` for a directory that is none of the cluster's, `Other` for one that cannot be read.
pub(super) fn open_all(
    dir: &Path,
    map: &MapState,
    own: &Identity,
    earlier: Option<ClusterId>,
    (dirs, work): (&[PathBuf], &Work),
) -> Result<Vec<Survivor>, RecoverError> {
    let mut opened: Vec<Survivor> = Vec::new();
    for (number, path) in dirs.iter().enumerate() {
        let path = canonical(path).map_err(RecoverError::Other)?;
        if path == canonical(dir)? || opened.iter().any(|other| other.dir == path) {
            return Err(unfit(&path, "it was given twice: name each directory once"));
        }
        let scratch = work.folder(&format!("log-{number}"))?;
        let other = apart(|| Survivor::open(&path, &scratch)).map_err(of_other)?;
        let stores = opened.iter().map(|other| other.identity.store).chain([own.store]);
        other.check(map, own, earlier, &stores.collect::<Vec<_>>())?;
        opened.push(other);
    }
    Ok(opened)
}

impl Survivor {
    fn open(dir: &Path, scratch: &Path) -> Result<Self, RecoverError> {
        if !fs::exists(dir.join(RAFT)).unwrap_or(false) {
            return Err(unfit(dir, "there is no database in it"));
        }
        let lock = files::lock_existing(dir)?;
        let known = IdentityFile::read(&dir.join(IDENTITY))?;
        check_log(dir)?;
        let config = NodeConfig::default();
        let copy = overlay(&dir.join(RAFT), scratch)?;
        let log =
            EngineLog::open(&copy, config.log_file_bytes, config.log_disk_bytes, Env::real().disk.clone())?;
        let (identity, marks) = identify(dir, &log, known)?;
        let mut replicas = BTreeMap::new();
        for group in log.groups() {
            // The next start would remove it.
            if marks.get(&group) == Some(&GroupMark::Leaving) {
                continue;
            }
            if let Some(stored) = log.load(group)? {
                let plan = group_plan(&log, group, &stored)?;
                replicas.insert(group, Replica { stored, plan });
            }
        }
        let map = read_map(dir)?;
        Ok(Self { dir: dir.to_owned(), identity, map, log, replicas, _lock: lock })
    }

    /// Whether something may be taken from it for the directory `own`.
    fn check(
        &self,
        map: &MapState,
        own: &Identity,
        earlier: Option<ClusterId>,
        stores: &[crate::StoreId],
    ) -> Result<(), RecoverError> {
        let Identity { store, cluster, .. } = &self.identity;
        if stores.contains(store) {
            let reason =
                format!("it is a copy of another one that was given, not another node's. node=`{store}`");
            return Err(unfit(&self.dir, &reason));
        }
        if *cluster != own.cluster && Some(*cluster) != earlier {
            let reason = format!(
                "it is of cluster {cluster}, and what is recovered of {}: take directories of one cluster. After a recovery \
                 that was cut short, make a plan without this one",
                own.cluster
            );
            return Err(unfit(&self.dir, &reason));
        }
        if !self.replicas.contains_key(&MAP_GROUP) {
            return Err(unfit(&self.dir, "it is in no cluster"));
        }
        if is_removed(map, *store) || is_removed(&self.map, *store) {
            let reason = format!("its node was removed from the cluster: leave it out. node=`{store}`");
            return Err(unfit(&self.dir, &reason));
        }
        if is_removed(&self.map, own.store) {
            let reason = format!(
                "its map says that node {} was removed from the cluster: recover this directory, or another one of a node \
                 that was not",
                own.store
            );
            return Err(unfit(&self.dir, &reason));
        }
        Ok(())
    }
}

type Marks = BTreeMap<GroupId, GroupMark>;

/// Who the directory is, by its identity file, or without one by the copy in its log.
fn identify(
    dir: &Path,
    log: &EngineLog,
    known: Option<IdentityFile>,
) -> Result<(Identity, Marks), RecoverError> {
    let path = dir.join(IDENTITY);
    let copy = log.identity().map(|bytes| Identity::from_copy(&bytes, &path)).transpose()?;
    match (known, copy) {
        (Some(file), Some(copy)) if file.identity == copy => Ok((copy, file.groups)),
        (Some(file), Some(copy)) => {
            Err(OpenError::ForeignLog { identity: file.identity.store, log: copy.store }.into())
        }
        (Some(file), None) => {
            Err(OpenError::LogLost { store: file.identity.store, groups: file.groups.len() }.into())
        }
        (None, Some(copy)) => Ok((copy, Marks::new())),
        (None, None) => Err(OpenError::IdentityMissing { path }.into()),
    }
}

/// Runs `work` on a thread of its own: the engine caches blocks by thread, so a thread must never read from two engines.
///
/// # Errors
/// Those of `work`.
pub(super) fn apart<T: Send>(
    work: impl FnOnce() -> Result<T, RecoverError> + Send,
) -> Result<T, RecoverError> {
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|panic| {
        let detail = format!("reading a log failed: {}", crate::panic::message(panic.as_ref()));
        Err(LogError::Engine { detail }.into())
    })
}

fn of_other(error: RecoverError) -> RecoverError {
    match error {
        RecoverError::Open(source) => RecoverError::Other(source),
        RecoverError::Log(source) => RecoverError::Other(source.into()),
        unfit => unfit,
    }
}

fn canonical(path: &Path) -> Result<PathBuf, OpenError> {
    let error = |source| OpenError::Io { action: "find directory", path: path.to_owned(), source };
    fs::canonicalize(path).map_err(error)
}

pub(super) fn unfit(dir: &Path, reason: &str) -> RecoverError {
    RecoverError::Unfit { reason: reason.to_owned(), path: dir.to_owned() }
}
