//! The state on disk: one small checksummed file, published whole; the one before it is kept.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use segue_storage_format::{BlobFile, Damage, FormatErrorKind, Verify, VerifyReport, publish, write_blob};

use super::{
    command::{MetaCommand, MetaReply},
    first::StoredFirst,
    fourth::StoredFourth,
    second::StoredSecond,
    split::ShardKind,
    state::MetaState,
    third::StoredThird,
};
use crate::{
    error::{Error, Result},
    storage::{
        codec,
        entry::{AppliedAt, LogEntry},
        error::{damaged, describe},
    },
    types::SlotRanges,
};

/// The schema of the file's payload.
const SCHEMA: u32 = 1;
/// 1: as in [`super::first`]. 2: with the number of user shards, as in [`super::second`]. 3: with that of track shards and with
/// experiments, where there are several or any, as in [`super::third`]. 4: with ranges, once a user shard was split, as
/// in [`super::fourth`]. 5: with those of track shards, once one was split.
const VERSION: u16 = 5;
const SECOND_VERSION: u16 = 2;
const THIRD_VERSION: u16 = 3;
const FOURTH_VERSION: u16 = 4;
/// Written in turns, so the file before the newest one is there too.
const FILES: [&str; 2] = ["meta-0", "meta-1"];

#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
struct Stored {
    index: u64,
    term: u64,
    state: MetaState,
}

/// The meta group's state machine. Cheap to clone; readers hold an immutable state and wait for nobody.
#[derive(Clone)]
pub struct MetaStore(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    state: ArcSwap<MetaState>,
    user_ranges: Arc<ArcSwap<SlotRanges>>,
    files: Mutex<Files>,
}

/// What the two files hold.
#[derive(Debug, Clone, Copy, Default)]
struct Files {
    applied: AppliedAt,
    /// The index in the older file: what is sure to be there after a crash or damage to one file.
    older: u64,
    /// Which file is written next.
    next: usize,
}

/// An opened store.
pub struct MetaOpened {
    /// The store.
    pub store: MetaStore,
    /// The entry its state ends with: the log continues after it.
    pub applied: AppliedAt,
    /// Sentences about anything that was dropped; empty when all is well.
    pub repairs: Vec<String>,
}

impl MetaStore {
    /// Opens or creates the state in `dir`, whose lock the caller holds. A damaged newest file is replaced by the one
    /// before it (the log still has the rest) and that is said.
    ///
    /// # Errors
    /// `Corrupt` when no file can be read though one exists, `Io`.
    pub fn open(dir: &Path) -> Result<MetaOpened> {
        publish::create_folder(dir).map_err(damaged)?;
        let read = [read(dir, FILES[0]), read(dir, FILES[1])];
        let mut repairs = Vec::new();
        let mut found: Vec<(usize, Stored)> = Vec::new();
        for (number, outcome) in read.into_iter().enumerate() {
            match outcome {
                Ok(Some(stored)) => found.push((number, stored)),
                Ok(None) => {}
                Err(error @ Error::Corrupt(_)) => repairs.push(describe(&error)),
                Err(error) => return Err(error),
            }
        }
        found.sort_by_key(|(_, stored)| stored.index);
        let Some((number, newest)) = found.pop() else { return Self::create(dir, repairs) };
        let older = found.first().map_or(0, |(_, stored)| stored.index);
        let applied = AppliedAt { index: newest.index, term: newest.term };
        if !repairs.is_empty() {
            repairs.push(format!("meta state continues from the other file. index=`{}`", newest.index));
        }
        let files = Files { applied, older, next: 1 - number };
        Ok(MetaOpened { store: Self::new(dir, newest.state, files), applied, repairs })
    }

    fn create(dir: &Path, damage: Vec<String>) -> Result<MetaOpened> {
        if !damage.is_empty() {
            return Err(Error::Corrupt(format!(
                "no file of the meta state can be read: {}. path=`{}`",
                damage.join("; "),
                dir.display()
            )));
        }
        let store = Self::new(dir, MetaState::default(), Files::default());
        Ok(MetaOpened { store, applied: AppliedAt::default(), repairs: Vec::new() })
    }

    fn new(dir: &Path, state: MetaState, files: Files) -> Self {
        let user_ranges = Arc::new(ArcSwap::from_pointee(state.user_ranges()));
        let state = ArcSwap::from_pointee(state);
        Self(Arc::new(Inner { dir: dir.to_path_buf(), state, user_ranges, files: Mutex::new(files) }))
    }

    /// Makes a state visible. Ranges first: whoever sees what a split has done sees where rows are.
    fn publish(&self, state: MetaState) {
        let ranges = state.user_ranges();
        if **self.0.user_ranges.load() != ranges {
            self.0.user_ranges.store(Arc::new(ranges));
        }
        self.0.state.store(Arc::new(state));
    }

    /// Which user shard owns which slots, now and later: what is loaded from here is as new as the newest applied entry.
    #[must_use]
    pub fn user_ranges(&self) -> Arc<ArcSwap<SlotRanges>> {
        Arc::clone(&self.0.user_ranges)
    }

    /// The state now.
    #[must_use]
    pub fn state(&self) -> Arc<MetaState> {
        self.0.state.load_full()
    }

    /// The newest applied entry.
    #[must_use]
    pub fn applied(&self) -> AppliedAt {
        self.0.files.lock().applied
    }

    /// The index up to which the log may be compacted: that of the older file, so that losing the newest costs
    /// nothing.
    #[must_use]
    pub fn durable_index(&self) -> u64 {
        self.0.files.lock().older
    }

    /// Applies committed entries in log order; one encoded [`MetaReply`] for each. Entries at or below the applied
    /// index are skipped (and answered `Done`). The state after the last one is durable, then visible, when this
    /// returns: one file a call.
    ///
    /// # Errors
    /// Entries that cannot be read; I/O. Nothing of the call is applied then, and the replica must stop.
    pub fn apply(&self, entries: &[LogEntry<'_>]) -> Result<Vec<Vec<u8>>> {
        let mut files = self.0.files.lock();
        let mut state = MetaState::clone(&self.0.state.load());
        let mut applied = files.applied;
        let mut replies = Vec::with_capacity(entries.len());
        for entry in entries {
            let reply = if entry.index <= applied.index {
                MetaReply::Done
            } else {
                applied = AppliedAt { index: entry.index, term: entry.term };
                state.apply(MetaCommand::decode(entry.data)?)
            };
            replies.push(reply.encode()?);
        }
        if applied.index > files.applied.index {
            let stored = Stored { index: applied.index, term: applied.term, state };
            let payload = encode(&stored)?;
            write_blob(&self.0.dir, FILES[files.next], SCHEMA, &payload).map_err(damaged)?;
            *files = Files { applied, older: files.applied.index, next: 1 - files.next };
            self.publish(stored.state);
        }
        Ok(replies)
    }
}

impl MetaStore {
    /// The whole state as words, with the entry it ends with.
    ///
    /// # Errors
    /// `Internal` when it cannot be written down.
    pub fn snapshot(&self) -> Result<(AppliedAt, Vec<u8>)> {
        let files = self.0.files.lock();
        let state = MetaState::clone(&self.0.state.load());
        let AppliedAt { index, term } = files.applied;
        Ok((files.applied, encode(&Stored { index, term, state })?))
    }

    /// Becomes a snapshot. Both files are written, so that neither is older than the log.
    ///
    /// # Errors
    /// Words that cannot be read, or of another entry than `at`; I/O.
    pub fn install(&self, data: &[u8], at: AppliedAt) -> Result<()> {
        let stored = decode(data)?;
        if (stored.index, stored.term) != (at.index, at.term) {
            return Err(Error::Corrupt(format!("a snapshot of another entry. index=`{}`", stored.index)));
        }
        let mut files = self.0.files.lock();
        for _ in 0..FILES.len() {
            write_blob(&self.0.dir, FILES[files.next], SCHEMA, data).map_err(damaged)?;
            files.next = 1 - files.next;
        }
        (files.applied, files.older) = (at, at.index);
        self.publish(stored.state);
        Ok(())
    }
}

/// Checks the files in `dir` without changing them.
pub fn check_files(dir: &Path, report: &mut VerifyReport) {
    for path in FILES.map(|name| dir.join(name)) {
        let Ok(metadata) = path.metadata() else { continue };
        report.files += 1;
        report.bytes += metadata.len();
        let mut add = |offset, what| report.damage.push(Damage { file: path.clone(), offset, what });
        let opened = BlobFile::open(&path, Verify::Full)
            .and_then(|file| file.payload_up_to(SCHEMA).map(<[u8]>::to_vec));
        match opened.map(|payload| decode(&payload)) {
            Err(error) => add(error.offset(), describe(&error)),
            Ok(Err(error)) => add(None, error.to_string()),
            Ok(Ok(_)) => {}
        }
    }
}

/// Reads one of the files; `None` when it is not there.
fn read(dir: &Path, name: &str) -> Result<Option<Stored>> {
    let file = match BlobFile::open(&dir.join(name), Verify::Full) {
        Ok(file) => file,
        Err(error) if error.kind() == FormatErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(error)),
    };
    let payload = file.payload_up_to(SCHEMA).map_err(refused)?;
    decode(payload).map(Some)
}

/// Writes a state in the oldest version that holds all of it, of those that know user shards.
fn encode(stored: &Stored) -> Result<Vec<u8>> {
    if !stored.state.is_of_fourth_version() {
        return codec::encode(VERSION, stored);
    }
    let (is_of_third, is_of_second) =
        (stored.state.is_of_third_version(), stored.state.is_of_second_version());
    let Stored { index, term, state } = stored.clone();
    if !is_of_third {
        return codec::encode(FOURTH_VERSION, &StoredFourth { index, term, state: state.into() });
    }
    if !is_of_second {
        return codec::encode(THIRD_VERSION, &StoredThird { index, term, state: state.into() });
    }
    codec::encode(SECOND_VERSION, &StoredSecond { index, term, state: state.into() })
}

/// Reads what any version up to this one has written.
fn decode(bytes: &[u8]) -> Result<Stored> {
    match codec::version(bytes)? {
        0 | 1 => {
            let StoredFirst { index, term, state } = codec::decode(1, bytes)?;
            Ok(Stored { index, term, state: state.into() })
        }
        SECOND_VERSION => {
            let StoredSecond { index, term, state } = codec::decode(SECOND_VERSION, bytes)?;
            Ok(Stored { index, term, state: state.into() })
        }
        THIRD_VERSION => {
            let StoredThird { index, term, state } = codec::decode(THIRD_VERSION, bytes)?;
            Ok(Stored { index, term, state: state.into() })
        }
        FOURTH_VERSION => {
            let StoredFourth { index, term, state } = codec::decode(FOURTH_VERSION, bytes)?;
            sound(Stored { index, term, state: state.into() })
        }
        _ => sound(codec::decode(VERSION, bytes)?),
    }
}

/// Ranges that are data must have every slot once.
fn sound(stored: Stored) -> Result<Stored> {
    let is_sound = |kind: &ShardKind| stored.state.ranges(*kind).is_sound(kind.most());
    match [ShardKind::Users, ShardKind::Tracks].into_iter().find(|kind| !is_sound(kind)) {
        None => Ok(stored),
        Some(kind) => {
            Err(Error::Corrupt(format!("the ranges of {}s do not have every slot once", kind.noun())))
        }
    }
}

/// Damage is `Corrupt`; a newer format is not damage and must not be repaired away.
fn refused(error: segue_storage_format::FormatError) -> Error {
    match error.kind() {
        FormatErrorKind::Newer => Error::Unavailable(describe(&error)),
        FormatErrorKind::Damaged => damaged(error),
        FormatErrorKind::DiskFull
        | FormatErrorKind::NotFound
        | FormatErrorKind::Io
        | FormatErrorKind::Usage => Error::Internal(describe(&error)),
    }
}
