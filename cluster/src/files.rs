//! Small files that appear whole or not at all, and the lock on a data directory.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use crate::error::OpenError;

/// Writes `bytes` to a temporary file beside `path`, syncs it, renames it into place and syncs the
/// directory. After a crash the file is the old one or the new one.
///
/// # Errors
/// The operating system's, naming the file.
pub(crate) fn publish(path: &Path, bytes: &[u8]) -> Result<(), OpenError> {
    let error = |source| OpenError::Io { action: "write file", path: path.to_owned(), source };
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary).map_err(error)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(error)?;
    fs::rename(&temporary, path).map_err(error)?;
    sync_parent(path)
}

/// Removes a file durably. A missing one is no error.
///
/// # Errors
/// The operating system's, naming the file.
pub(crate) fn remove(path: &Path) -> Result<(), OpenError> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(OpenError::Io { action: "remove file", path: path.to_owned(), source }),
    }
}

/// Reads a whole file, `None` when there is none.
///
/// # Errors
/// The operating system's, naming the file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, OpenError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OpenError::Io { action: "read file", path: path.to_owned(), source }),
    }
}

/// Name of the lock's file in a data directory.
const LOCK: &str = "lock";

/// The lock on a data directory; given up when this is dropped, and with the process.
///
/// Given up by name, not by closing the file: a process that this one starts holds a copy of every open
/// file between `fork` and `exec`, and the lock would live on in it.
pub(crate) struct DirLock(File);

impl Drop for DirLock {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the lock of a data directory was not given up by name");
        }
    }
}

/// Locks a data directory for this process.
///
/// # Errors
/// `InUse` when it is locked already, also by this process.
pub(crate) fn lock_dir(dir: &Path) -> Result<DirLock, OpenError> {
    let path = dir.join(LOCK);
    let error = |source| OpenError::Io { action: "lock data directory", path: path.clone(), source };
    let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(error)?;
    lock_file(file, dir)
}

/// Locks a data directory without making a file in it; `None` when it has none to lock.
///
/// # Errors
/// As [`lock_dir`].
pub(crate) fn lock_existing(dir: &Path) -> Result<Option<DirLock>, OpenError> {
    let path = dir.join(LOCK);
    match File::open(&path) {
        Ok(file) => lock_file(file, dir).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OpenError::Io { action: "lock data directory", path, source }),
    }
}

fn lock_file(file: File, dir: &Path) -> Result<DirLock, OpenError> {
    let path = dir.join(LOCK);
    let error = |source| OpenError::Io { action: "lock data directory", path, source };
    match file.try_lock() {
        Ok(()) => Ok(DirLock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(error(source)),
    }
}

/// Makes the name of a file durable.
fn sync_parent(path: &Path) -> Result<(), OpenError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|file| file.sync_all()).map_err(|source| OpenError::Io {
        action: "sync directory",
        path: dir.to_owned(),
        source,
    })
}

/// Appends the checksum line that [`checked`] takes off again.
pub(crate) fn with_checksum(mut text: String) -> String {
    let checksum = blake3::hash(text.as_bytes());
    text.push_str(&format!("checksum={checksum}\n"));
    text
}

/// Returns the text before its checksum line, `None` when the line is missing or does not fit.
pub(crate) fn checked(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let start = text.rfind("checksum=")?;
    let (body, line) = text.split_at(start);
    let expected = format!("checksum={}\n", blake3::hash(body.as_bytes()));
    (line == expected).then_some(body)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_lock_that_a_copy_of_its_file_outlives_is_given_up_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let lock = lock_dir(dir.path()).unwrap();
        assert!(matches!(lock_dir(dir.path()), Err(OpenError::InUse { .. })));
        // What a child holds between fork and exec: the same open file, under another number.
        let inherited = lock.0.try_clone().unwrap();
        drop(lock);
        let second = lock_dir(dir.path()).unwrap();
        drop(inherited);
        assert!(matches!(lock_dir(dir.path()), Err(OpenError::InUse { .. })));
        drop(second);
    }
}
