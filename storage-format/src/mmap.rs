//! The only unsafe code of the crate: mapping a sealed file, and giving mapped pages back.
#![expect(unsafe_code, reason = "a memory map is unsafe to create: its bytes could change from outside")]

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use memmap2::{Advice, Mmap, UncheckedAdvice};

use crate::error::FormatError;

/// A sealed file, mapped read-only, with its handle kept for reads that must not fault.
#[derive(Debug)]
pub(crate) struct MappedFile {
    map: Mmap,
    file: File,
}

impl MappedFile {
    /// Opens and maps `path`. An empty file maps to an empty slice.
    pub(crate) fn open(path: &Path) -> Result<Self, FormatError> {
        let file = File::open(path).map_err(|e| FormatError::io(path, "open", e))?;
        // SAFETY: the file is sealed: written under a temporary name, fsynced, renamed into place, and opened
        // read-only here. Nothing in this program rewrites or truncates a sealed file (a newer one replaces it
        // by rename, gc unlinks it, and the mapping keeps the inode); the folder's lock keeps a second process
        // out. All bit patterns are valid for the types the bytes are viewed as. Truncation or a read error of
        // the device raises SIGBUS, which no Rust program can turn into an error.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| FormatError::io(path, "map", e))?;
        Ok(Self { map, file })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Reads through the handle, not the map: an error of the device comes back as an error.
    pub(crate) fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    pub(crate) fn advise(&self, access: Access) -> io::Result<()> {
        self.map.advise(match access {
            Access::Random => Advice::Random,
            Access::Sequential => Advice::Sequential,
            Access::WillNeed => Advice::WillNeed,
        })
    }

    /// Gives the memory of the mapped pages back; the kernel may keep the file in its own. What is read later is mapped again.
    pub(crate) fn give_back(&self) -> io::Result<()> {
        // SAFETY: the map is read-only and of a file, so that a page that is touched afterwards, or meanwhile by somebody who
        // holds its bytes, has the bytes it had before.
        unsafe { self.map.unchecked_advise(UncheckedAdvice::DontNeed) }
    }

    pub(crate) fn pin(&self) -> io::Result<()> {
        self.map.lock()
    }
}

/// How a mapped file is going to be read: a hint to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Single rows in no order: no read-ahead. For full-precision vectors.
    Random,
    /// From front to back, once. For merges and verification.
    Sequential,
    /// All of it, soon: read ahead now, in the background. For codes and graphs.
    WillNeed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_were_given_back_hold_what_they_held() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("file");
        let written: Vec<u8> = (0..3 * 4_096 + 17).map(|at| (at % 251) as u8).collect();
        std::fs::write(&path, &written).expect("written");
        let file = MappedFile::open(&path).expect("mapped");
        let bytes = file.bytes();
        assert_eq!(bytes, written);
        file.give_back().expect("the system takes them");
        assert_eq!(bytes, written, "also for whoever held them");
    }
}
