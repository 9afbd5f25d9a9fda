//! Bytes in memory of the process's own, on huge pages where the system has them.
//!
//! A walk through a graph jumps through its rows at random. On ordinary pages most jumps also miss the processor's cache
//! of page addresses, which costs more than reading the row does.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use memmap2::{MmapMut, MmapOptions};

use crate::error::FormatError;

/// Bytes read in one call: a device that fails says where, and a stop is not held up by one long read.
const READ_BYTES: usize = 16 << 20;

/// Bytes in memory, aligned to a page.
#[derive(Debug)]
pub struct ResidentBytes(MmapMut);

impl ResidentBytes {
    /// Copies `bytes`. Memory: their number, rounded up to pages.
    ///
    /// # Errors
    /// When the system refuses the memory.
    pub fn copy(bytes: &[u8]) -> io::Result<Self> {
        let mut map = reserve(bytes.len())?;
        map.copy_from_slice(bytes);
        Ok(Self(map))
    }

    /// Reads a whole file. An error of the device is an error here, where a mapped file would raise a signal.
    pub(crate) fn read(path: &Path) -> Result<Self, FormatError> {
        let file = File::open(path).map_err(|e| FormatError::io(path, "open", e))?;
        let length = file.metadata().map_err(|e| FormatError::io(path, "read", e))?.len();
        let length =
            usize::try_from(length).map_err(|e| FormatError::io(path, "read", io::Error::other(e)))?;
        let mut map = reserve(length).map_err(|e| FormatError::io(path, "reserve memory for", e))?;
        let mut offset = 0;
        for piece in map.chunks_mut(READ_BYTES) {
            file.read_exact_at(piece, offset).map_err(|e| FormatError::io(path, "read", e))?;
            offset += piece.len() as u64;
        }
        Ok(Self(map))
    }

    /// As many zeroes as a file has bytes, to be filled with them.
    pub(crate) fn zeroed(path: &Path, length: u64) -> Result<Self, FormatError> {
        let refused = |e| FormatError::io(path, "reserve memory for", e);
        let length = usize::try_from(length).map_err(|e| refused(io::Error::other(e)))?;
        reserve(length).map(Self).map_err(refused)
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Zeroed memory, for huge pages if the kernel has them.
fn reserve(length: usize) -> io::Result<MmapMut> {
    let map = MmapOptions::new().len(length).map_anon()?;
    // Only speed is lost when it is refused: kernels may be built without huge pages.
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_and_an_absent_one_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x");
        for length in [0, 1, 4_096, READ_BYTES + 5] {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            std::fs::write(&path, &bytes).expect("written");
            assert!(ResidentBytes::read(&path).expect("read").bytes() == bytes);
            assert!(ResidentBytes::copy(&bytes).expect("copied").bytes() == bytes);
        }
        let absent = ResidentBytes::read(&folder.path().join("absent")).expect_err("there is no such file");
        assert!(absent.to_string().contains("absent"), "{absent}");
    }
}
