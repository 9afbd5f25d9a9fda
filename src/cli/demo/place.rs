//! Where the demo puts its files and its database.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Error, Result};

/// The directories of one demo.
pub struct Place {
    database: PathBuf,
    /// Removed with everything in it at the end.
    temporary: Option<TempDir>,
    is_interrupted: Arc<AtomicBool>,
}

/// Times the directory is removed, while others still write into it, and the pause between two.
const REMOVALS_MAX: u32 = 100;
const REMOVAL_PAUSE: Duration = Duration::from_millis(20);
/// Looks in a row that must not find it again: whoever was about to make a part of it makes all of it anew.
const LOOKS: u32 = 5;

impl Place {
    /// A new directory that is kept, or a temporary one.
    ///
    /// # Errors
    /// `InvalidField` (`keep`) when the directory has something in it; `Io` when it cannot be made.
    pub fn new(keep: Option<&Path>) -> Result<Self> {
        let Some(dir) = keep else {
            return Self::temporary();
        };
        std::fs::create_dir_all(dir).map_err(|source| Error::io("make the directory", dir, source))?;
        let mut entries =
            std::fs::read_dir(dir).map_err(|source| Error::io("read the directory", dir, source))?;
        if entries.next().is_some() {
            let reason = format!("must be a new or an empty directory. path=`{}`", dir.display());
            return Err(Error::invalid("keep", reason));
        }
        Ok(Self { database: dir.to_owned(), temporary: None, is_interrupted: Arc::default() })
    }

    /// A directory that goes at the end, and when the demo is interrupted: destructors do not run then.
    fn temporary() -> Result<Self> {
        let is_interrupted = Arc::<AtomicBool>::default();
        let failed = |source| Error::io("listen for signals", "SIGINT", source);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
        // From here on the signals do not end the process by themselves.
        let entered = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        drop(entered);
        let failed = |source| Error::io("make a temporary directory", std::env::temp_dir(), source);
        let temporary = tempfile::Builder::new().prefix("segue-demo-").tempdir().map_err(failed)?;
        let (database, flag) = (temporary.path().to_owned(), Arc::clone(&is_interrupted));
        let dir = database.clone();
        let wait = move || {
            let number = runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => SignalKind::interrupt(),
                    _ = terminate.recv() => SignalKind::terminate(),
                }
            });
            flag.store(true, Ordering::Release);
            remove(&dir);
            // As a shell says of a process that a signal has ended.
            std::process::exit(128 + number.as_raw_value());
        };
        let thread = std::thread::Builder::new().name("segue-signals".to_owned());
        thread.spawn(wait).map_err(|source| Error::io("start a thread", "segue-signals", source))?;
        Ok(Self { database, temporary: Some(temporary), is_interrupted })
    }

    /// Returns unless the demo was interrupted: then the process is about to end, and what failed meanwhile for want of the
    /// directory is nobody's business.
    pub fn unless_interrupted(&self) {
        while self.is_interrupted.load(Ordering::Acquire) {
            std::thread::park();
        }
    }

    /// The data directory of the database.
    pub fn database(&self) -> &Path {
        &self.database
    }

    /// The files that are loaded.
    pub fn files(&self) -> PathBuf {
        self.database.join("files")
    }

    /// The trained vectors.
    pub fn model(&self) -> PathBuf {
        self.files().join("model")
    }

    /// Whether it is there after the demo.
    pub fn is_kept(&self) -> bool {
        self.temporary.is_none()
    }
}

/// Removes a directory that others may still be writing into.
fn remove(dir: &Path) {
    let mut gone = 0;
    for _ in 0..REMOVALS_MAX {
        // What cannot be removed now is tried again; at the end it is left.
        let _ = std::fs::remove_dir_all(dir);
        gone = if dir.exists() { 0 } else { gone + 1 };
        if gone == LOOKS {
            return;
        }
        std::thread::sleep(REMOVAL_PAUSE);
    }
}
