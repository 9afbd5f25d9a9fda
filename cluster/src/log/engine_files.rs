//! The files under `raft-engine`: the engine's own, except for two things.
//!
//! A failed fsync is remembered instead of returned. The engine panics on one, in the middle of its
//! locks; here it goes on, and [`EngineLog`](super::engine_log::EngineLog) asks [`SyncFailure`] after
//! every write, before anything is acknowledged, and never writes again.
//!
//! Files of the rewrite queue are synced after every write, so that a bad record with an intact one
//! behind it is always damage and never an unlucky power cut (see [`super`]).

use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use raft_engine::env::{FileSystem, Handle, Permission, WriteExt};

use crate::env::Disk;

/// Remembers the first failed fsync of a log.
#[derive(Debug, Default)]
pub(crate) struct SyncFailure(OnceLock<String>);

impl SyncFailure {
    /// Returns what the first failed fsync said.
    pub fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    fn note(&self, result: io::Result<()>) {
        if let Err(error) = result {
            // Only the first failure counts; a second one finds the cell set.
            let _ = self.0.set(error.to_string());
        }
    }
}

/// The file system handed to the engine; `F` has the files.
pub(crate) struct LogFiles<F> {
    files: F,
    failure: Arc<SyncFailure>,
    disk: Arc<dyn Disk>,
}

impl<F: FileSystem> LogFiles<F> {
    pub fn new(files: F, failure: Arc<SyncFailure>, disk: Arc<dyn Disk>) -> Self {
        Self { files, failure, disk }
    }

    fn handle(&self, path: &Path, inner: F::Handle) -> LogHandle<F::Handle> {
        let sync_each_write = path.extension().is_some_and(|extension| extension == "rewrite");
        let (failure, disk) = (self.failure.clone(), self.disk.clone());
        LogHandle { inner: Arc::new(inner), failure, disk, sync_each_write }
    }
}

impl<F: FileSystem> FileSystem for LogFiles<F> {
    type Handle = LogHandle<F::Handle>;
    type Reader = F::Reader;
    type Writer = LogWriter<F>;

    fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<Self::Handle> {
        let inner = self.files.create(path.as_ref())?;
        Ok(self.handle(path.as_ref(), inner))
    }

    fn open<P: AsRef<Path>>(&self, path: P, permission: Permission) -> io::Result<Self::Handle> {
        let inner = self.files.open(path.as_ref(), permission)?;
        Ok(self.handle(path.as_ref(), inner))
    }

    fn delete<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.files.delete(path)
    }

    fn rename<P: AsRef<Path>>(&self, from: P, to: P) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn new_reader(&self, handle: Arc<Self::Handle>) -> io::Result<F::Reader> {
        self.files.new_reader(handle.inner.clone())
    }

    fn new_writer(&self, handle: Arc<Self::Handle>) -> io::Result<LogWriter<F>> {
        Ok(LogWriter { inner: self.files.new_writer(handle.inner.clone())?, handle })
    }
}

/// An open log file.
pub(crate) struct LogHandle<H> {
    inner: Arc<H>,
    failure: Arc<SyncFailure>,
    disk: Arc<dyn Disk>,
    sync_each_write: bool,
}

impl<H: Handle> Handle for LogHandle<H> {
    fn truncate(&self, offset: usize) -> io::Result<()> {
        self.inner.truncate(offset)
    }

    fn file_size(&self) -> io::Result<usize> {
        self.inner.file_size()
    }

    fn sync(&self) -> io::Result<()> {
        self.failure.note(self.disk.synced(self.inner.sync()));
        Ok(())
    }
}

/// A writer of a log file.
pub(crate) struct LogWriter<F: FileSystem> {
    inner: F::Writer,
    handle: Arc<LogHandle<F::Handle>>,
}

impl<F: FileSystem> Write for LogWriter<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        if self.handle.sync_each_write {
            self.handle.sync()?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<F: FileSystem> Seek for LogWriter<F> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.inner.seek(position)
    }
}

impl<F: FileSystem> WriteExt for LogWriter<F> {
    fn truncate(&mut self, offset: usize) -> io::Result<()> {
        self.inner.truncate(offset)
    }

    fn allocate(&mut self, offset: usize, size: usize) -> io::Result<()> {
        self.inner.allocate(offset, size)
    }
}
