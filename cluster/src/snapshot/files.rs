//! The files of a snapshot: pinned at the sender, gathered at the receiver.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use super::manifest::{SnapshotFile, SnapshotManifest};

/// A snapshot whose files stay as they are until this is dropped.
pub trait SnapshotFiles: Send + Sync {
    /// Returns what the snapshot consists of.
    fn manifest(&self) -> &SnapshotManifest;

    /// Reads up to `bytes` bytes of the file at place `file` of the manifest; fewer only at its end.
    ///
    /// # Errors
    /// When the file cannot be read, or there is no such place.
    fn read(&self, file: usize, offset: u64, bytes: u64) -> io::Result<Vec<u8>>;
}

/// Where a state machine gathers the files of a snapshot it is about to install.
///
/// Files are named by content: what an interrupted transfer left behind is used by the next one.
pub trait Staging: Send + Sync {
    /// Returns whether the file need not be fetched: it is staged whole, or already one of the machine's.
    fn holds(&self, file: &SnapshotFile) -> bool;

    /// Returns how many bytes of the file are here already.
    fn staged_bytes(&self, file: &SnapshotFile) -> u64;

    /// Appends the bytes at `offset`, which is where the staged part ends.
    ///
    /// # Errors
    /// The operating system's, for instance a full disk.
    fn append(&self, file: &SnapshotFile, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Compares the staged file with its hash and makes it durable. `false`: it differed, and is gone.
    ///
    /// # Errors
    /// The operating system's.
    fn finish(&self, file: &SnapshotFile) -> io::Result<bool>;

    /// Drops whatever is staged and not among `files`.
    ///
    /// # Errors
    /// The operating system's.
    fn keep_only(&self, files: &[SnapshotFile]) -> io::Result<()>;
}

/// A directory that gathers files: `HASH.part` while a file grows, `HASH` once it is whole and durable.
#[derive(Debug)]
pub struct DirStaging {
    dir: PathBuf,
}

impl DirStaging {
    /// Uses `dir`, which is created if need be and must not be used for anything else.
    ///
    /// # Errors
    /// The operating system's.
    pub fn open(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    /// Returns where a whole file is.
    pub fn path(&self, file: &SnapshotFile) -> PathBuf {
        self.dir.join(hex(&file.hash))
    }

    fn part(&self, file: &SnapshotFile) -> PathBuf {
        self.path(file).with_extension("part")
    }
}

fn hex(hash: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}

impl Staging for DirStaging {
    fn holds(&self, file: &SnapshotFile) -> bool {
        fs::metadata(self.path(file)).is_ok_and(|found| found.len() == file.bytes)
    }

    fn staged_bytes(&self, file: &SnapshotFile) -> u64 {
        fs::metadata(self.part(file)).map_or(0, |found| found.len())
    }

    fn append(&self, file: &SnapshotFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let path = self.part(file);
        let mut part = File::options().create(true).truncate(false).write(true).open(path)?;
        part.set_len(offset)?;
        part.seek(SeekFrom::Start(offset))?;
        part.write_all(bytes)
    }

    fn finish(&self, file: &SnapshotFile) -> io::Result<bool> {
        let path = self.part(file);
        let mut part = File::options().create(true).truncate(false).read(true).write(true).open(&path)?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 1 << 20];
        let mut length = 0_u64;
        loop {
            match part.read(&mut buffer)? {
                0 => break,
                read => {
                    hasher.update(&buffer[..read]);
                    length += read as u64;
                }
            }
        }
        if length != file.bytes || hasher.finalize() != blake3::Hash::from_bytes(file.hash) {
            fs::remove_file(&path)?;
            return Ok(false);
        }
        part.sync_all()?;
        fs::rename(&path, self.path(file))?;
        File::open(&self.dir)?.sync_all()?;
        Ok(true)
    }

    fn keep_only(&self, files: &[SnapshotFile]) -> io::Result<()> {
        let wanted: Vec<String> = files.iter().map(|file| hex(&file.hash)).collect();
        for item in fs::read_dir(&self.dir)? {
            let path = item?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if !wanted.iter().any(|hash| hash == stem) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}
