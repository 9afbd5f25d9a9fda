//! The files of a simulated disk: real ones, of which a power cut loses what was not synced.
//!
//! The power goes behind a number of operations, wherever the engine is then: between a write and its sync, in the middle of
//! beginning a file, while old files are deleted. Of bytes that no sync covers, any sectors are there afterwards; names of files that
//! were just created may be gone, and deleted files may be back, the last ones first, as a journal gives them back.
//! From then on nothing reaches the disk, and the engine, which will be dropped, does not notice.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use raft_engine::env::{DefaultFileSystem, FileSystem, Handle, Permission, WriteExt};

use super::random::Random;

type Inner = <DefaultFileSystem as FileSystem>::Handle;
type InnerReader = <DefaultFileSystem as FileSystem>::Reader;
type InnerWriter = <DefaultFileSystem as FileSystem>::Writer;

/// What a disk loses or keeps as a whole.
const SECTOR: u64 = 512;
/// Takes what is written after the power is gone.
const NOWHERE: &str = "/dev/null";

/// What happened, for the sums of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Losses {
    /// Writes of which a part was lost.
    pub torn: u64,
    /// Files that were created and are gone.
    pub vanished: u64,
    /// Files that were deleted and are back.
    pub returned: u64,
    /// Syncs that failed.
    pub failed_syncs: u64,
}

impl Losses {
    pub fn add(&mut self, other: Self) {
        self.torn += other.torn;
        self.vanished += other.vanished;
        self.returned += other.returned;
        self.failed_syncs += other.failed_syncs;
    }
}

/// A disk and its power.
pub struct Power {
    state: Mutex<State>,
}

struct State {
    random: Random,
    /// Operations that still reach the disk; `None`: all.
    left: Option<u64>,
    is_off: bool,
    is_full: bool,
    /// The operation in which the power goes is a sync that says so.
    sync_fails: bool,
    unsynced: Vec<Unsynced>,
    created: Vec<PathBuf>,
    deleted: Vec<(PathBuf, Vec<u8>)>,
    losses: Losses,
}

/// Bytes that no sync covers.
struct Unsynced {
    file: PathBuf,
    from: u64,
    to: u64,
}

impl Power {
    pub fn new(seed: u64) -> Arc<Self> {
        let state = State {
            random: Random(seed),
            left: None,
            is_off: false,
            is_full: false,
            sync_fails: false,
            unsynced: Vec::new(),
            created: Vec::new(),
            deleted: Vec::new(),
            losses: Losses::default(),
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// The power goes in one of the next operations.
    pub fn fail_soon(&self) {
        let mut state = self.state.lock();
        // A write is two; beginning and giving up files takes more.
        let end = if state.random.one_in(2) { 2 } else { 12 };
        state.left = Some(state.random.below(end));
        state.sync_fails = state.random.one_in(4);
    }

    /// The power goes now, if it has not.
    pub fn cut(&self) {
        self.state.lock().cut();
    }

    /// The power is back.
    pub fn restore(&self) {
        let mut state = self.state.lock();
        (state.left, state.is_off, state.is_full, state.sync_fails) = (None, false, false, false);
    }

    pub fn is_off(&self) -> bool {
        self.state.lock().is_off
    }

    pub fn set_full(&self, is_full: bool) {
        self.state.lock().is_full = is_full;
    }

    pub fn losses(&self) -> Losses {
        self.state.lock().losses
    }
}

impl State {
    /// Counts an operation. Whether the power goes behind it.
    fn goes_after(&mut self) -> bool {
        match &mut self.left {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    fn cut(&mut self) {
        if std::mem::replace(&mut self.is_off, true) {
            return;
        }
        for lost in std::mem::take(&mut self.unsynced) {
            self.tear(&lost).expect("the file can be written");
        }
        for file in std::mem::take(&mut self.created) {
            if self.random.one_in(2) {
                fs::remove_file(file).expect("it was created");
                self.losses.vanished += 1;
            }
        }
        let deleted = std::mem::take(&mut self.deleted);
        let kept = self.random.below(deleted.len() as u64 + 1) as usize;
        for (file, content) in deleted.into_iter().skip(kept) {
            fs::write(file, content).expect("it was there");
            self.losses.returned += 1;
        }
    }

    /// Of bytes that no sync covers any sectors are lost, some of the last ones with the length of the file.
    fn tear(&mut self, lost: &Unsynced) -> io::Result<()> {
        let file = File::options().write(true).open(&lost.file)?;
        let mut is_torn = false;
        match self.random.below(4) {
            0 => {}
            1 => {
                file.set_len(lost.from + self.random.below(lost.to - lost.from))?;
                is_torn = true;
            }
            kind => {
                let end =
                    if kind == 2 { lost.from + self.random.below(lost.to - lost.from) } else { lost.from };
                let mut from = lost.from;
                while from < lost.to {
                    let to = (from / SECTOR * SECTOR + SECTOR).min(lost.to);
                    // A part from the front, or here and there.
                    if if kind == 2 { from >= end } else { self.random.one_in(2) } {
                        file.write_all_at(&vec![0; (to - from) as usize], from)?;
                        is_torn = true;
                    }
                    from = to;
                }
            }
        }
        self.losses.torn += u64::from(is_torn);
        Ok(())
    }
}

/// The files of a disk, as the engine has them.
pub struct Files(pub Arc<Power>);

impl FileSystem for Files {
    type Handle = FileOnDisk;
    type Reader = InnerReader;
    type Writer = Writer;

    fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<FileOnDisk> {
        let mut state = self.0.state.lock();
        if state.is_off {
            return self.open_inner(Path::new(NOWHERE), Permission::ReadWrite);
        }
        // Its directory is synced before anything is written that counts: what was deleted before stays deleted.
        state.deleted.clear();
        let inner = DefaultFileSystem.create(path.as_ref())?;
        state.created.retain(|file| file != path.as_ref());
        state.created.push(path.as_ref().to_owned());
        if state.goes_after() {
            state.cut();
        }
        Ok(FileOnDisk { inner: Arc::new(inner), path: path.as_ref().to_owned(), power: self.0.clone() })
    }

    fn open<P: AsRef<Path>>(&self, path: P, permission: Permission) -> io::Result<FileOnDisk> {
        self.open_inner(path.as_ref(), permission)
    }

    fn delete<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let mut state = self.0.state.lock();
        if state.is_off {
            return Ok(());
        }
        let path = path.as_ref();
        state.deleted.push((path.to_owned(), fs::read(path)?));
        state.created.retain(|file| file != path);
        state.unsynced.retain(|bytes| bytes.file != path);
        DefaultFileSystem.delete(path)?;
        if state.goes_after() {
            state.cut();
        }
        Ok(())
    }

    fn rename<P: AsRef<Path>>(&self, _: P, _: P) -> io::Result<()> {
        unreachable!("files are not used again")
    }

    fn new_reader(&self, handle: Arc<FileOnDisk>) -> io::Result<InnerReader> {
        DefaultFileSystem.new_reader(handle.inner.clone())
    }

    fn new_writer(&self, handle: Arc<FileOnDisk>) -> io::Result<Writer> {
        let inner = DefaultFileSystem.new_writer(handle.inner.clone())?;
        Ok(Writer { inner, file: handle })
    }
}

impl Files {
    fn open_inner(&self, path: &Path, permission: Permission) -> io::Result<FileOnDisk> {
        let inner = Arc::new(DefaultFileSystem.open(path, permission)?);
        Ok(FileOnDisk { inner, path: path.to_owned(), power: self.0.clone() })
    }
}

/// An open file.
pub struct FileOnDisk {
    inner: Arc<Inner>,
    path: PathBuf,
    power: Arc<Power>,
}

impl Handle for FileOnDisk {
    fn truncate(&self, offset: usize) -> io::Result<()> {
        let mut state = self.power.state.lock();
        if state.is_off {
            return Ok(());
        }
        Handle::truncate(self.inner.as_ref(), offset)?;
        for bytes in state.unsynced.iter_mut().filter(|bytes| bytes.file == self.path) {
            bytes.to = bytes.to.min(offset as u64);
        }
        state.unsynced.retain(|bytes| bytes.from < bytes.to);
        if state.goes_after() {
            state.cut();
        }
        Ok(())
    }

    fn file_size(&self) -> io::Result<usize> {
        self.inner.file_size()
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.power.state.lock();
        if state.is_off {
            return Ok(());
        }
        // In which it goes, a sync has done nothing yet: it may have failed, or nobody lives to hear of it.
        if state.goes_after() {
            state.cut();
            if state.sync_fails {
                state.losses.failed_syncs += 1;
                return Err(io::Error::other("simulated"));
            }
            return Ok(());
        }
        state.unsynced.retain(|bytes| bytes.file != self.path);
        state.created.retain(|file| *file != self.path);
        Ok(())
    }
}

/// A writer of a file.
pub struct Writer {
    inner: InnerWriter,
    file: Arc<FileOnDisk>,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let power = self.file.power.clone();
        let mut state = power.state.lock();
        if state.is_off {
            return Ok(bytes.len());
        }
        let from = self.inner.stream_position()?;
        let fits = if state.is_full { state.random.below(bytes.len() as u64) as usize } else { bytes.len() };
        self.inner.write_all(&bytes[..fits])?;
        if fits > 0 {
            let file = self.file.path.clone();
            state.unsynced.push(Unsynced { file, from, to: from + fits as u64 });
        }
        if state.goes_after() {
            state.cut();
        }
        // By its words, as the engine tells it from other errors.
        if state.is_full { Err(io::Error::new(ErrorKind::StorageFull, "nospace")) } else { Ok(fits) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Seek for Writer {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.inner.seek(position)
    }
}

impl WriteExt for Writer {
    fn truncate(&mut self, offset: usize) -> io::Result<()> {
        Handle::truncate(self.file.as_ref(), offset)?;
        self.inner.seek(SeekFrom::Start(offset as u64)).map(drop)
    }

    fn allocate(&mut self, offset: usize, size: usize) -> io::Result<()> {
        let mut state = self.file.power.state.lock();
        if state.is_off {
            return Ok(());
        }
        if state.is_full {
            return Err(io::Error::new(ErrorKind::StorageFull, "nospace"));
        }
        self.inner.allocate(offset, size)?;
        if state.goes_after() {
            state.cut();
        }
        Ok(())
    }
}
