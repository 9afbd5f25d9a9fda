//! Checks the files of a data directory that is not open, without changing any of them: identity, mark of
//! an orderly shutdown, every record of the log, and what the groups in it say about each other and about
//! the state machines' own files.
//!
//! The engine cannot be opened without writing, so it is given another directory: links to the log files,
//! and a copy of the last of each queue, the only ones it ever changes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use crate::closed;
use crate::config::NodeConfig;
use crate::env::Env;
use crate::error::{LogError, OpenError};
use crate::files::{self, DirLock};
use crate::group::entry::EntryKind;
use crate::identity::{GroupMark, Identity, IdentityFile};
use crate::ids::GroupId;
use crate::log::engine_log::EngineLog;
use crate::log::header;
use crate::log::recover::recover;
use crate::log::scan::{self, TornTail};
use crate::log::store::LogStore;
use crate::open::{CLOSED, IDENTITY, RAFT};
use crate::state_machine::{AppliedState, CommittedEntry};

/// Bytes of entries read at once.
const READ_BYTES: u64 = 4 << 20;

/// Something in a data directory that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDamage {
    /// The file, or the folder of several.
    pub file: PathBuf,
    /// Where in the file; `None` for the file as a whole.
    pub offset: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// What a check read and found.
#[derive(Debug, Default)]
pub struct NodeCheck {
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Everything that is wrong.
    pub damage: Vec<FileDamage>,
    /// Last writes that a crash cut short: no damage, the next start drops them.
    pub torn_tails: Vec<TornTail>,
    /// The last stop was orderly: nothing can have been cut short.
    pub closed_orderly: bool,
}

/// Keeps a data directory from being opened; given up when dropped.
pub struct DirectoryHold {
    _lock: Option<DirLock>,
}

/// Holds the directory `dir` for a check, without making a file in it.
///
/// # Errors
/// `InUse` when it is open; `Io`.
pub fn hold_directory(dir: &Path) -> Result<DirectoryHold, OpenError> {
    files::lock_existing(dir).map(|lock| DirectoryHold { _lock: lock })
}

/// Is given every committed entry that a group's state machine lacks, in order; returns what is wrong with
/// one, and is given no more of that group then.
pub type VisitEntry<'a> = dyn FnMut(GroupId, &CommittedEntry) -> Result<(), String> + Send + 'a;

/// Checks the directory `dir`, which the caller holds ([`hold_directory`]).
///
/// * `scratch`: an empty directory of the caller's, removed by the caller.
/// * `states`: where the groups' state machines stand by their own files; a group without one is checked
///   by itself.
///
/// Cost: reads the log twice.
///
/// # Errors
/// `Io` when something cannot be read or `scratch` cannot be written.
pub fn verify_node(
    dir: &Path,
    scratch: &Path,
    states: &BTreeMap<GroupId, AppliedState>,
    visit: &mut VisitEntry<'_>,
) -> Result<NodeCheck, OpenError> {
    let mut check = NodeCheck::default();
    let identity = check.identity(&dir.join(IDENTITY))?;
    let raft = dir.join(RAFT);
    for bytes in scan::file_lengths(&raft)?.into_values() {
        check.count(bytes);
    }
    check.closed_orderly = check.mark(&dir.join(CLOSED), &raft)?;
    let (damage, torn) = scan::survey(&raft)?;
    for error in damage {
        check.log_error(&raft, &error);
    }
    for tail in torn {
        if check.closed_orderly {
            let what = "last record is damaged: the directory was closed in good order after it";
            check.add(&tail.file, Some(tail.offset), what);
        } else {
            check.torn_tails.push(tail);
        }
    }
    if check.damage.is_empty() {
        // On a thread of its own: the engine caches blocks by thread.
        let groups = || check.groups(dir, scratch, identity.as_ref(), states, visit);
        thread::scope(|scope| scope.spawn(groups).join()).unwrap_or_else(|panic| {
            let detail = format!("the engine panicked: {}", crate::panic::message(panic.as_ref()));
            Err(LogError::Engine { detail }.into())
        })?;
    }
    Ok(check)
}

impl NodeCheck {
    fn add(&mut self, file: &Path, offset: Option<u64>, what: impl Into<String>) {
        self.damage.push(FileDamage { file: file.to_owned(), offset, what: what.into() });
    }

    fn count(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }

    fn identity(&mut self, path: &Path) -> Result<Option<IdentityFile>, OpenError> {
        match IdentityFile::read(path) {
            Ok(None) => {
                self.add(path, None, "file is missing");
                Ok(None)
            }
            Ok(found) => {
                self.count(fs::metadata(path).map_or(0, |metadata| metadata.len()));
                Ok(found)
            }
            Err(error @ (OpenError::IdentityDamaged { .. } | OpenError::IdentityFormat { .. })) => {
                self.add(path, Some(0), error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Compares the mark of an orderly shutdown with the files; whether there is one and it holds.
    fn mark(&mut self, mark: &Path, raft: &Path) -> Result<bool, OpenError> {
        match closed::check(mark, raft) {
            Ok(true) => {
                self.count(fs::metadata(mark).map_or(0, |metadata| metadata.len()));
                Ok(true)
            }
            Ok(false) => Ok(false),
            Err(OpenError::Log(error)) => {
                self.log_error(raft, &error);
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    fn log_error(&mut self, raft: &Path, error: &LogError) {
        let (file, offset) = match error {
            LogError::Damaged { file, offset } => (file.as_path(), Some(*offset)),
            LogError::MissingFile { file } | LogError::ChangedSinceClose { file, .. } => {
                (file.as_path(), None)
            }
            _ => (raft, None),
        };
        self.add(file, offset, error.to_string());
    }

    /// Opens the log elsewhere and checks its groups.
    fn groups(
        &mut self,
        dir: &Path,
        scratch: &Path,
        identity: Option<&IdentityFile>,
        states: &BTreeMap<GroupId, AppliedState>,
        visit: &mut VisitEntry<'_>,
    ) -> Result<(), OpenError> {
        let raft = dir.join(RAFT);
        let overlay = overlay(&raft, &scratch.join(RAFT))?;
        let config = NodeConfig::default();
        let disk = Env::real().disk;
        let log = match EngineLog::open(&overlay, config.log_file_bytes, config.log_disk_bytes, disk) {
            Ok(log) => log,
            Err(error) => {
                self.log_error(&raft, &error);
                return Ok(());
            }
        };
        self.owner(&raft, &log, identity);
        let groups = log.groups();
        let store: Arc<dyn LogStore> = Arc::new(log);
        for group in groups {
            if let Err(what) = check_group(group, &store, states.get(&group), visit) {
                self.add(&raft, None, format!("group {group}: {what}"));
            }
        }
        Ok(())
    }

    /// The log belongs to this directory and has the groups that the identity file lists.
    fn owner(&mut self, raft: &Path, log: &EngineLog, identity: Option<&IdentityFile>) {
        let copy = log.identity().map(|bytes| Identity::from_copy(&bytes, raft));
        match (&copy, identity) {
            (Some(Err(error)), _) => self.add(raft, None, format!("copy of the identity: {error}")),
            (Some(Ok(copy)), Some(file)) if *copy != file.identity => {
                self.add(raft, None, format!("log of another directory. store=`{}`", copy.store));
            }
            (None, Some(file)) if !file.groups.is_empty() => {
                self.add(raft, None, "copy of the identity is missing");
            }
            _ => {}
        }
        let (Some(identity), stored) = (identity, log.groups()) else { return };
        for (group, mark) in &identity.groups {
            if *mark == GroupMark::Present && !stored.contains(group) {
                self.add(raft, None, format!("log of a group is missing. group=`{group}`"));
            }
        }
        // A group that the list lacks is none: it is listed after its first write, and a crash may come between.
    }
}

/// Checks one group's log by itself and against its state machine, and shows what the machine lacks.
fn check_group(
    group: GroupId,
    store: &Arc<dyn LogStore>,
    state: Option<&AppliedState>,
    visit: &mut VisitEntry<'_>,
) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| with_causes(error);
    let stored = store.load(group).map_err(|error| text(&error))?.ok_or("its record is missing")?;
    let start = AppliedState { index: stored.truncated.index, term: stored.truncated.term };
    let alone = stored.members.conf_state.voters.len() == 1;
    let recovered = recover(group, store.clone(), stored, state.unwrap_or(&start));
    let log = recovered.map_err(|error| text(&error))?.log;
    let Some(state) = state else { return Ok(()) };
    // The only voter has committed whatever it holds.
    let last = if alone { log.last() } else { log.hard_state().commit };
    let mut next = state.index.max(log.truncated().index) + 1;
    while next <= last {
        let entries = store.read(group, next, last + 1, READ_BYTES).map_err(|error| text(&error))?;
        for entry in &entries {
            let at = |what: String| format!("{what}. index=`{}`", entry.index);
            if EntryKind::of(entry).map_err(at)? == EntryKind::Command {
                let data = entry.data.clone();
                let entry = CommittedEntry { index: entry.index, term: entry.term, data };
                visit(group, &entry).map_err(at)?;
            }
        }
        next = entries.last().ok_or("an entry is missing")?.index + 1;
    }
    Ok(())
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Makes a directory in which the engine may write without touching `raft`; returns it.
pub(crate) fn overlay(raft: &Path, target: &Path) -> Result<PathBuf, OpenError> {
    let error =
        |source| OpenError::Io { action: "prepare a copy of the log", path: target.to_owned(), source };
    fs::create_dir_all(target).map_err(error)?;
    let raft = fs::canonicalize(raft).map_err(error)?;
    let names: Vec<String> = scan::file_lengths(&raft)?.into_keys().collect();
    for (at, name) in names.iter().enumerate() {
        let queue = |name: &str| Path::new(name).extension().map(ToOwned::to_owned);
        let is_last = !names[at + 1..].iter().any(|later| queue(later) == queue(name));
        let (from, to) = (raft.join(name), target.join(name));
        if is_last { fs::copy(from, to).map(drop) } else { symlink(from, to) }.map_err(error)?;
    }
    Ok(target.to_owned())
}

/// What one of this crate's files holds, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// `identity`, `closed` or `log`.
    pub kind: &'static str,
    /// Name and value, in the order of the file.
    pub fields: Vec<(String, String)>,
    /// What is wrong with it.
    pub damage: Vec<FileDamage>,
}

/// Prints one file of this crate; `None` when it is none of its files, by its first bytes and its name.
///
/// # Errors
/// `Io` when it cannot be read.
pub fn describe_file(path: &Path) -> Result<Option<Description>, OpenError> {
    let bytes = files::read(path)?.unwrap_or_default();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if header::is_log_file(&bytes) || name.ends_with(".raftlog") || name.ends_with(".rewrite") {
        return describe_log(path, bytes.len() as u64).map(Some);
    }
    let kind = match name {
        _ if bytes.starts_with(b"segue-node ") => "identity",
        IDENTITY => "identity",
        CLOSED => "closed",
        _ => return Ok(None),
    };
    let text = String::from_utf8_lossy(&bytes);
    let field = |line: &str| {
        let (name, value) = line.split_once(['=', ' ']).unwrap_or((line, ""));
        (name.to_owned(), value.to_owned())
    };
    let mut damage = Vec::new();
    if files::checked(&bytes).is_none() {
        let what = "its checksum does not fit".to_owned();
        damage.push(FileDamage { file: path.to_owned(), offset: Some(0), what });
    }
    Ok(Some(Description { kind, fields: text.lines().map(field).collect(), damage }))
}

fn describe_log(path: &Path, length: u64) -> Result<Description, OpenError> {
    let mut description = Description {
        kind: "log",
        fields: vec![("length_bytes".to_owned(), length.to_string())],
        damage: Vec::new(),
    };
    match scan::records(path) {
        Ok((records, behind)) => {
            description.fields.push(("records".to_owned(), records.len().to_string()));
            for (offset, bytes) in &records {
                description.fields.push((format!("record at {offset}"), format!("{bytes} bytes")));
            }
            if behind > 0 {
                let end = records.last().map_or(0, |(offset, bytes)| offset + bytes);
                let what = format!("{behind} bytes are no record: a torn last write, or damage");
                description.damage.push(FileDamage { file: path.to_owned(), offset: Some(end), what });
            }
        }
        Err(LogError::Damaged { file, offset }) => {
            let what = "header is damaged".to_owned();
            description.damage.push(FileDamage { file, offset: Some(offset), what });
        }
        Err(error) => return Err(error.into()),
    }
    Ok(description)
}
