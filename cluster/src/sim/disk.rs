//! The log of a simulated node: that of real nodes on files of a simulated disk ([`super::power`]), or, where a run is about something
//! else, one in memory, of which a write is there whole or not at all.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use raft::eraftpb::Entry;

use super::machine::{Event, Journal, mix};
use super::power::{Files, Losses, Power};
use super::random::Random;
use crate::env::Env;
use crate::error::LogError;
use crate::ids::GroupId;
use crate::log::engine_log::EngineLog;
use crate::log::header;
use crate::log::memory_log::MemoryLog;
use crate::log::scan::scan;
use crate::log::store::{GroupWrite, LogStore, StoredGroup};

/// Bytes of a file, and of all files: small, so that files are begun and given up all the time.
const FILE_BYTES: u64 = 4 << 10;
const DISK_BYTES: u64 = 24 << 10;
/// Files that a log has over its life, at most. The engine keeps blocks that were read by thread, file number and place: logs of
/// one thread must not have files of one number.
const FILES_MAX: u64 = 1 << 20;

static LOGS: AtomicU64 = AtomicU64::new(0);

/// A log that may be full and tells what is written to it.
pub struct SimLog {
    kind: Kind,
    journal: Journal,
}

enum Kind {
    Memory { log: MemoryLog, is_full: AtomicBool },
    Files(Box<OnFiles>),
}

/// A real log.
struct OnFiles {
    dir: tempfile::TempDir,
    power: Arc<Power>,
    /// None while the node is down.
    log: RwLock<Option<EngineLog<Files>>>,
    /// Entries of the write in which the power went: some of them may be there.
    in_doubt: Mutex<Vec<Event>>,
}

impl SimLog {
    /// A log in memory.
    pub fn in_memory(journal: Journal) -> Self {
        let kind = Kind::Memory { log: MemoryLog::default(), is_full: AtomicBool::new(false) };
        Self { kind, journal }
    }

    /// A real log on files; `seed` decides what a power cut loses.
    pub fn on_files(journal: Journal, seed: u64) -> Self {
        // In memory where that can be had: syncs of the directory are the engine's own, and lose nothing here.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let dir = dir.expect("a folder can be made");
        let first = LOGS.fetch_add(1, Ordering::Relaxed) * FILES_MAX + 1;
        let names = ["raftlog", "rewrite"].map(|queue| dir.path().join(format!("{first:016}.{queue}")));
        names.iter().for_each(|name| std::fs::write(name, header::newest()).expect("a file can be written"));
        let (power, in_doubt) = (Power::new(seed), Mutex::default());
        let files = OnFiles { dir, power, log: RwLock::default(), in_doubt };
        files.open();
        Self { kind: Kind::Files(Box::new(files)), journal }
    }

    /// From now on there is no space, or there is again.
    pub fn set_full(&self, full: bool) {
        match &self.kind {
            Kind::Memory { is_full, .. } => is_full.store(full, Ordering::Relaxed),
            Kind::Files(files) => files.power.set_full(full),
        }
    }

    /// A write for which there is space, of a node that may be down.
    pub fn write_in_any_case(&self, write: GroupWrite) {
        self.set_full(false);
        let is_closed = matches!(&self.kind, Kind::Files(files) if files.log.read().is_none());
        if is_closed {
            self.restart();
        }
        self.write(&[write]).expect("there is space");
        if is_closed {
            self.crash();
        }
    }

    /// A write in the middle of which the power goes, or of the work behind it. In memory nothing of it is there.
    pub fn write_and_lose(&self, batch: &[GroupWrite]) {
        let Kind::Files(files) = &self.kind else { return };
        files.power.fail_soon();
        // What it says is heard by nobody.
        if !batch.is_empty() && self.write(batch).is_err() {
            return;
        }
        let log = files.log.read();
        let _ = log.as_ref().map(EngineLog::collect);
    }

    /// Loses what was not synced.
    pub fn crash(&self) {
        if let Kind::Files(files) = &self.kind {
            files.power.cut();
            *files.log.write() = None;
        }
    }

    /// Opens it again after a crash.
    pub fn restart(&self) {
        if let Kind::Files(files) = &self.kind {
            files.power.restore();
            files.open();
            let in_doubt = std::mem::take(&mut *files.in_doubt.lock());
            self.journal.lock().extend(in_doubt.into_iter().filter(|event| self.holds(event)));
        }
    }

    /// Gives up files in which nothing lives, as a thread of a real node does.
    pub fn collect(&self) {
        let Kind::Files(files) = &self.kind else { return };
        match files.log.read().as_ref().map(EngineLog::collect) {
            None | Some(Ok(_) | Err(LogError::NoSpace { .. })) => {}
            Some(Err(error)) => panic!("{error}"),
        }
    }

    /// What power cuts did so far.
    pub fn losses(&self) -> Losses {
        match &self.kind {
            Kind::Memory { .. } => Losses::default(),
            Kind::Files(files) => files.power.losses(),
        }
    }

    /// Whether an entry that was written is there.
    fn holds(&self, event: &Event) -> bool {
        let Event::Written { group, index, term, digest } = *event else { return false };
        let entries = self.load(group).expect("the log is whole").and_then(|stored| stored.entries);
        if entries.is_none_or(|(first, last)| index < first || index > last) {
            return false;
        }
        let found = self.read(group, index, index + 1, u64::MAX).expect("it is there");
        found[0].term == term && self::digest(&found[0]) == digest
    }

    fn with<T>(&self, act: impl FnOnce(&dyn LogStore) -> T) -> T {
        match &self.kind {
            Kind::Memory { log, .. } => act(log),
            Kind::Files(files) => act(files.log.read().as_ref().expect("the node is up")),
        }
    }
}

impl OnFiles {
    fn open(&self) {
        let dir = self.dir.path();
        // A torn tail is what a crash leaves; anything else is damage, and there is none.
        scan(dir).unwrap_or_else(|error| panic!("a crash left a log that is refused: {error}"));
        let log =
            EngineLog::open_with(Files(self.power.clone()), dir, (FILE_BYTES, DISK_BYTES), Env::real().disk);
        *self.log.write() = Some(log.unwrap_or_else(|error| panic!("a log cannot be opened: {error}")));
    }
}

/// A number that stands for an entry's content.
pub fn digest(entry: &Entry) -> u64 {
    let start = mix(entry.term, entry.get_entry_type() as u64);
    entry.data.iter().chain(&entry.context[..]).fold(start, |hash, byte| mix(hash, u64::from(*byte)))
}

impl LogStore for SimLog {
    fn write(&self, batch: &[GroupWrite]) -> Result<usize, LogError> {
        if let Kind::Memory { is_full, .. } = &self.kind
            && is_full.load(Ordering::Relaxed)
        {
            return Err(LogError::NoSpace { detail: "simulated".to_owned() });
        }
        let written = self.with(|log| log.write(batch))?;
        let event = |group, entry: &Entry| Event::Written {
            group,
            index: entry.index,
            term: entry.term,
            digest: digest(entry),
        };
        let events =
            batch.iter().flat_map(|write| write.entries.iter().map(|entry| event(write.group, entry)));
        match &self.kind {
            Kind::Files(files) if files.power.is_off() => files.in_doubt.lock().extend(events),
            _ => self.journal.lock().extend(events),
        }
        Ok(written)
    }

    fn load(&self, group: GroupId) -> Result<Option<StoredGroup>, LogError> {
        self.with(|log| log.load(group))
    }

    fn read(&self, group: GroupId, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, LogError> {
        self.with(|log| log.read(group, low, high, bytes_max))
    }
}

/// How logs of a simulated cluster are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logs {
    Memory,
    Files,
}

impl Logs {
    /// A new log of this kind.
    pub fn make(self, journal: Journal, random: &mut Random) -> SimLog {
        match self {
            Self::Memory => SimLog::in_memory(journal),
            Self::Files => SimLog::on_files(journal, random.next()),
        }
    }
}
