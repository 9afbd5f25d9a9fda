//! Opening a data directory: what must fit together before anything runs.
//!
//! Order: the identity file, the mark of an orderly shutdown and the log files are read and checked
//! first; only then is the mark removed and the log opened, which may change it. A refused directory is
//! left as it was.

use std::path::Path;

use crate::closed;
use crate::config::NodeConfig;
use crate::env::Env;
use crate::error::{LogError, OpenError};
use crate::files;
use crate::identity::{GroupMark, Identity, IdentityFile};
use crate::ids::GroupId;
use crate::log::engine_log::EngineLog;
use crate::log::scan::{self, TornTail};
use crate::log::store::{GroupWrite, LogStore};

/// Names in a data directory.
pub(crate) const IDENTITY: &str = "identity";
pub(crate) const RAFT: &str = "raft";
pub(crate) const CLOSED: &str = "closed";

/// What was found when a directory was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// The directory was new.
    pub created: bool,
    /// The last shutdown was orderly: nothing can have been cut off.
    pub closed_orderly: bool,
    /// The identity file was missing and rebuilt from the log.
    pub identity_rebuilt: bool,
    /// Last writes that a crash cut short. They were never acknowledged, and are dropped.
    pub torn_tails: Vec<TornTail>,
}

impl OpenReport {
    /// Returns the bytes that were dropped.
    pub fn dropped_bytes(&self) -> u64 {
        self.torn_tails.iter().map(|tail| tail.bytes).sum()
    }
}

/// Checks and opens the files of a data directory.
pub(crate) fn open_files(
    dir: &Path,
    config: &NodeConfig,
    env: &Env,
) -> Result<(EngineLog, IdentityFile, OpenReport), OpenError> {
    let (raft, mark) = (dir.join(RAFT), dir.join(CLOSED));
    let known = IdentityFile::read(&dir.join(IDENTITY))?;
    check_cluster(config, known.as_ref().map(|file| &file.identity))?;
    let (closed_orderly, torn_tails) = check_log(dir)?;
    for tail in &torn_tails {
        tracing::warn!(file = %tail.file.display(), offset = tail.offset, bytes = tail.bytes, "dropping a write that a crash cut short");
    }
    let had_log = !scan::file_lengths(&raft)?.is_empty();
    // From here on the log may change.
    files::remove(&mark)?;
    let log = EngineLog::open(&raft, config.log_file_bytes, config.log_disk_bytes, env.disk.clone())?;
    let (mut identity, origin) = identify(dir, config, env, &log, known, had_log)?;
    finish_removals(&log, &mut identity)?;
    let report = OpenReport {
        created: origin == Origin::Drawn,
        closed_orderly,
        identity_rebuilt: origin == Origin::Rebuilt,
        torn_tails,
    };
    Ok((log, identity, report))
}

/// Checks every record of the log of a directory against itself and the mark of an orderly shutdown: whether there was such a
/// mark, and what a crash cut short. Changes nothing.
///
/// # Errors
/// Damage; `Io`.
pub(crate) fn check_log(dir: &Path) -> Result<(bool, Vec<TornTail>), OpenError> {
    let raft = dir.join(RAFT);
    let closed_orderly = closed::check(&dir.join(CLOSED), &raft)?;
    let torn_tails = scan::scan(&raft)?;
    if closed_orderly && let Some(tail) = torn_tails.first() {
        let detail = format!("its last record is damaged at offset {}", tail.offset);
        return Err(LogError::ChangedSinceClose { file: tail.file.clone(), detail }.into());
    }
    Ok((closed_orderly, torn_tails))
}

/// Where a node's identity came from.
#[derive(PartialEq)]
enum Origin {
    File,
    /// From the copy in the log.
    Rebuilt,
    /// The directory is new.
    Drawn,
}

/// Brings the identity file and its copy in the log together.
fn identify(
    dir: &Path,
    config: &NodeConfig,
    env: &Env,
    log: &EngineLog,
    known: Option<IdentityFile>,
    had_log: bool,
) -> Result<(IdentityFile, Origin), OpenError> {
    let path = dir.join(IDENTITY);
    let copy = log.identity().map(|bytes| Identity::from_copy(&bytes, &path)).transpose()?;
    let copy_bytes = |identity: &Identity| files::with_checksum(identity.to_text()).into_bytes();
    match (known, copy) {
        (Some(file), Some(copy)) if file.identity == copy => Ok((file, Origin::File)),
        (Some(file), Some(copy)) => {
            Err(OpenError::ForeignLog { identity: file.identity.store, log: copy.store })
        }
        (Some(file), None) if file.groups.is_empty() => {
            // The first start was cut short before the copy was written.
            log.put_identity(&copy_bytes(&file.identity))?;
            Ok((file, Origin::File))
        }
        (Some(file), None) => {
            Err(OpenError::LogLost { store: file.identity.store, groups: file.groups.len() })
        }
        (None, Some(copy)) => {
            check_cluster(config, Some(&copy))?;
            Ok((IdentityFile::create(&path, copy, log.groups())?, Origin::Rebuilt))
        }
        (None, None) if had_log && !log.groups().is_empty() => Err(OpenError::IdentityMissing { path }),
        (None, None) => {
            let identity = Identity::draw(config.cluster_id, env, &path)?;
            let file = IdentityFile::create(&path, identity, [])?;
            log.put_identity(&copy_bytes(&file.identity))?;
            Ok((file, Origin::Drawn))
        }
    }
}

fn check_cluster(config: &NodeConfig, identity: Option<&Identity>) -> Result<(), OpenError> {
    match (config.cluster_id, identity) {
        (Some(expected), Some(Identity { cluster: found, .. })) if expected != *found => {
            Err(OpenError::OtherCluster { expected, found: *found })
        }
        _ => Ok(()),
    }
}

/// Finishes removals that a crash interrupted, before any other thread writes to the log.
fn finish_removals(log: &EngineLog, identity: &mut IdentityFile) -> Result<(), OpenError> {
    let leaving = |(group, mark): (&GroupId, &GroupMark)| (*mark == GroupMark::Leaving).then_some(*group);
    let groups: Vec<_> = identity.groups.iter().filter_map(leaving).collect();
    for group in groups {
        log.write(&[GroupWrite { destroy: true, ..GroupWrite::new(group) }])?;
        identity.mark(group, None)?;
    }
    Ok(())
}
