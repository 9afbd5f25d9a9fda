//! Snapshots without files: all there is to a state fits into the manifest's words.

use std::io;

use super::{SnapshotFile, SnapshotFiles, SnapshotManifest, Staging};

/// A snapshot that is all words.
pub struct Words(pub SnapshotManifest);

impl SnapshotFiles for Words {
    fn manifest(&self) -> &SnapshotManifest {
        &self.0
    }

    fn read(&self, _: usize, _: u64, _: u64) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Gathers nothing: for whoever is given such snapshots.
pub struct NoFiles;

impl Staging for NoFiles {
    fn holds(&self, _: &SnapshotFile) -> bool {
        false
    }

    fn staged_bytes(&self, _: &SnapshotFile) -> u64 {
        0
    }

    fn append(&self, _: &SnapshotFile, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn finish(&self, _: &SnapshotFile) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn keep_only(&self, _: &[SnapshotFile]) -> io::Result<()> {
        Ok(())
    }
}
