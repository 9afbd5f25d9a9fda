//! Making a file appear whole or not at all: temporary file, fsync, rename, fsync of the folder.
//!
//! A temporary file lies in the same folder as its target and ends in `.tmp`. A crash can leave one behind;
//! no reader looks at it and [`crate::manifest::unreferenced`] lists it.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{checksum::ContentId, error::FormatError, manifest::FileEntry};

/// What every temporary file's name ends in.
pub const TEMPORARY_SUFFIX: &str = ".tmp";

/// Longest allowed file name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

static NEXT_TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// True when `name` may name a published file: 1 to 128 of `A-Z a-z 0-9 . _ -`, not starting with a dot and
/// not ending in [`TEMPORARY_SUFFIX`]. Such a name cannot leave its folder.
pub fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.starts_with('.')
        && !name.ends_with(TEMPORARY_SUFFIX)
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Writes a small file whole: after success it is durable under its name; after failure or a crash the old
/// file, if any, is still there. Replaces an existing file.
///
/// # Errors
/// [`FormatError::Io`] (see [`FormatError::is_disk_full`]); [`FormatError::Usage`] for a name that is not allowed.
pub fn write_file(folder: &Path, name: &str, bytes: &[u8]) -> Result<FileEntry, FormatError> {
    let mut temporary = TemporaryFile::create(folder, name)?;
    temporary.write_all(bytes)?;
    temporary.publish()?;
    Ok(FileEntry { name: name.to_owned(), len: bytes.len() as u64, content_id: ContentId::of(bytes) })
}

/// Makes the entries of a folder durable: names created, renamed or removed in it.
///
/// # Errors
/// [`FormatError::Io`].
pub fn sync_folder(folder: &Path) -> Result<(), FormatError> {
    File::open(folder)
        .and_then(|opened| opened.sync_all())
        .map_err(|e| FormatError::io(folder, "fsync folder", e))
}

/// Creates a folder, and those above it that are missing, and makes their names durable. An existing folder is fine.
///
/// # Errors
/// [`FormatError::Io`].
pub fn create_folder(folder: &Path) -> Result<(), FormatError> {
    let parent = match folder.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    if folder.is_dir() {
        return sync_folder(parent);
    }
    if !parent.is_dir() {
        create_folder(parent)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(FormatError::io(folder, "create folder", error))
        }
        _ => sync_folder(parent),
    }
}

/// A file being written under a temporary name; removed when dropped before [`TemporaryFile::publish`].
#[derive(Debug)]
pub(crate) struct TemporaryFile {
    file: File,
    path: PathBuf,
    target: PathBuf,
    /// A write failed: bytes may be missing or there twice.
    failed: bool,
    published: bool,
}

impl TemporaryFile {
    pub(crate) fn create(folder: &Path, name: &str) -> Result<Self, FormatError> {
        let target = folder.join(name);
        if !is_file_name(name) {
            return Err(FormatError::Usage { file: target, what: "file name is not allowed" });
        }
        // Unique among the writers of this process; another process is kept out by the folder's lock.
        let number = NEXT_TEMPORARY.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{name}.{}-{number}{TEMPORARY_SUFFIX}", std::process::id()));
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(|e| FormatError::io(&path, "create", e))?;
        Ok(Self { file, path, target, failed: false, published: false })
    }

    /// The final path.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        self.file.write_all(bytes).map_err(|e| {
            self.failed = true;
            FormatError::io(&self.path, "write", e)
        })
    }

    /// fsyncs the file, renames it onto its target and fsyncs the folder. Refuses when a write failed before, so
    /// that a caller who went on cannot publish a torn file.
    pub(crate) fn publish(mut self) -> Result<(), FormatError> {
        if self.failed {
            let what = "a write failed before; write the file anew";
            return Err(FormatError::Usage { file: self.target.clone(), what });
        }
        self.file.sync_all().map_err(|e| FormatError::io(&self.path, "fsync", e))?;
        fs::rename(&self.path, &self.target)
            .map_err(|e| FormatError::io(&self.target, "rename into place", e))?;
        self.published = true;
        match self.target.parent() {
            Some(folder) => sync_folder(folder),
            None => Ok(()),
        }
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.published {
            // Best effort: a file that cannot be removed now is listed as unreferenced later.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        write_file(folder.path(), "state", b"old").unwrap();
        let entry = write_file(folder.path(), "state", b"newer").unwrap();
        assert_eq!((entry.len, entry.content_id), (5, ContentId::of(b"newer")));
        assert_eq!(fs::read(folder.path().join("state")).unwrap(), b"newer");
        assert_eq!(names(folder.path()), ["state"]);
    }

    #[test]
    fn a_dropped_temporary_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut temporary = TemporaryFile::create(folder.path(), "state").unwrap();
        temporary.write_all(b"half").unwrap();
        assert_eq!(names(folder.path()).len(), 1);
        drop(temporary);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_full_disk_is_told_apart_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        write_file(folder.path(), "state", b"old").unwrap();
        let mut temporary = TemporaryFile::create(folder.path(), "state").unwrap();
        // Linux: every write to this device fails as a full disk does.
        temporary.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = temporary.write_all(b"new").unwrap_err();
        assert!(error.is_disk_full(), "{error:?}");
        assert!(
            error.to_string().contains(".tmp`") && std::error::Error::source(&error).is_some(),
            "{error:?}"
        );
        // Space comes back, the caller goes on as if nothing had happened: still nothing is published.
        temporary.file = File::create(&temporary.path).unwrap();
        temporary.write_all(b"new").unwrap();
        assert!(matches!(temporary.publish(), Err(FormatError::Usage { .. })));
        assert_eq!(names(folder.path()), ["state"]);
        assert_eq!(fs::read(folder.path().join("state")).unwrap(), b"old");
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["", ".", "..", "../x", "a/b", "x.tmp", ".hidden", "a b", "ü", &"x".repeat(129)] {
            assert!(!is_file_name(name), "{name}");
            assert!(write_file(folder.path(), name, b"").is_err(), "{name}");
        }
        assert!(is_file_name("vectors-track_cf.1"));
    }
}
