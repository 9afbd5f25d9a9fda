//! Files of a snapshot, kept as they are by hard links in a folder of their own until nobody needs them any more.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use segue_storage_format::ContentHasher;

use crate::error::{Error, Result};

/// What the names of pinning folders start with.
const PREFIX: &str = "outgoing-";

/// One pinned file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedFile {
    /// Its name: letters, digits, `-`, `_` and `.`; unique in the snapshot.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of its content.
    pub hash: [u8; 32],
}

/// The files of one snapshot. Dropping it gives them up.
#[derive(Debug)]
pub struct PinnedFiles {
    folder: PathBuf,
    /// Index of the last entry in it.
    pub index: u64,
    /// Term of that entry.
    pub term: u64,
    /// What the state machine needs beside the files.
    pub data: Vec<u8>,
    /// The files, in the order the state machine gave them.
    pub files: Vec<PinnedFile>,
}

impl PinnedFiles {
    /// Makes an empty folder below `root`, which must be on the file system of the files.
    ///
    /// # Errors
    /// I/O.
    pub fn create(root: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = root.join(format!("{PREFIX}{}-{number}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, index: 0, term: 0, data: Vec::new(), files: Vec::new() })
    }

    /// Pins one file under a name.
    ///
    /// # Errors
    /// `NotFound` when it is gone already; I/O.
    pub fn link(&mut self, path: &Path, file: PinnedFile) -> io::Result<()> {
        fs::hard_link(path, self.folder.join(&file.name))?;
        self.files.push(file);
        Ok(())
    }

    /// Where a pinned file lies.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Reads up to `bytes` bytes of the file at place `file`; fewer only at its end.
    ///
    /// # Errors
    /// I/O; `NotFound` when there is no such place.
    pub fn read(&self, file: usize, offset: u64, bytes: u64) -> io::Result<Vec<u8>> {
        let pinned = self.files.get(file).ok_or(io::ErrorKind::NotFound)?;
        let left = pinned.bytes.saturating_sub(offset);
        let mut piece = vec![0; usize::try_from(left.min(bytes)).unwrap_or(usize::MAX)];
        File::open(self.path(&pinned.name))?.read_exact_at(&mut piece, offset)?;
        Ok(piece)
    }

    /// Removes what a crash left pinned below `root`.
    ///
    /// # Errors
    /// I/O.
    pub fn clear(root: &Path) -> Result<()> {
        let error = |source| Error::io("remove pinned files", root, source);
        let entries = match fs::read_dir(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(error)?,
        };
        for entry in entries {
            let entry = entry.map_err(error)?;
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                fs::remove_dir_all(entry.path()).map_err(error)?;
            }
        }
        Ok(())
    }
}

/// BLAKE3 of a file, and its length. Reads all of it.
///
/// # Errors
/// I/O.
pub fn hash_file(path: &Path) -> io::Result<([u8; 32], u64)> {
    let (mut file, mut hasher, mut bytes) = (File::open(path)?, ContentHasher::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((*hasher.finish().as_bytes(), bytes));
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
}

impl Drop for PinnedFiles {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "pinned files were not given up; the next start does");
        }
    }
}
