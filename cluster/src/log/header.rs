//! What a log file begins with, and the one thing that must be written before the engine opens its files.
//!
//! The layout is `raft-engine`'s: magic, version and, from version 2 on, alignment; both numbers are big-endian
//! `u64`. Version 2 signs the checksum of a record's footer with the file's number; version 1 does not.
//!
//! # Why a newest file without a header goes here
//!
//! The engine creates a file, writes its header and syncs both. A process killed in between leaves a file without
//! one. The engine takes such a file up again in its *default* version, 1, whatever it is configured for. What is
//! acknowledged goes into it, and nothing but this module's [`Header::of`] would know it at the next start.
//!
//! A full disk leaves such a file, too, and there the engine goes on with the file before it once there is room. After a
//! kill that one ends as a newest file may, in a torn write or in space that was allocated ahead; behind a file
//! with a header the engine would call it damaged. So the file without one is removed, and where it is the only one it gets one.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use super::scan::{SUFFIXES, io_error, numbered_files};
use crate::error::LogError;

const MAGIC: &[u8] = b"RAFT-LOG-FILE-HEADER-9986AB3E47F320B394C8E84916EB0ED5";

/// What an intact header says of the records behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Where the first record starts.
    pub bytes: usize,
    /// Whether the file's number is in the checksum of each footer.
    pub signs: bool,
}

impl Header {
    /// The header of every file that is begun.
    pub const NEWEST: Self = Self { bytes: MAGIC.len() + 16, signs: true };
    /// That of files which programs before this module began after a kill in the wrong moment.
    const UNSIGNED: Self = Self { bytes: MAGIC.len() + 8, signs: false };

    /// Reads the header at the start of a file; `None` when it is not intact or not known.
    pub fn of(file: &[u8]) -> Option<Self> {
        let rest = file.strip_prefix(MAGIC)?;
        match big_endian(rest, 0)? {
            1 => Some(Self::UNSIGNED),
            2 if big_endian(rest, 8)? == 0 => Some(Self::NEWEST),
            _ => None,
        }
    }
}

/// Whether bytes begin as a log file does.
pub(crate) fn is_log_file(start: &[u8]) -> bool {
    start.starts_with(MAGIC)
}

/// Removes the newest file of each queue when it has no header; the only one gets one, durably.
///
/// The files must have passed [`scan`](super::scan::scan): a newest file without a header holds nothing then.
///
/// # Errors
/// `Io` when a file cannot be read, written or removed.
pub(super) fn finish_begun(dir: &Path) -> Result<(), LogError> {
    for suffix in SUFFIXES {
        let mut files = numbered_files(dir, suffix)?;
        let Some((_, newest)) = files.pop_last() else {
            continue;
        };
        let bytes = fs::read(&newest).map_err(|source| io_error("read log file", &newest, source))?;
        if Header::of(&bytes).is_some() {
            continue;
        }
        if files.is_empty() {
            begin(&newest).map_err(|source| io_error("write header of log file", &newest, source))?;
        } else {
            fs::remove_file(&newest).map_err(|source| io_error("remove empty log file", &newest, source))?;
        }
    }
    Ok(())
}

fn begin(path: &Path) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&newest())?;
    file.sync_all()
}

/// The bytes of [`Header::NEWEST`].
pub(crate) fn newest() -> Vec<u8> {
    [MAGIC, &2_u64.to_be_bytes(), &0_u64.to_be_bytes()].concat()
}

/// The header of version 1.
#[cfg(test)]
pub(super) fn of_version_1() -> Vec<u8> {
    [MAGIC, &1_u64.to_be_bytes()].concat()
}

/// Returns the number at `offset`, or `None` when the bytes end before.
pub(super) fn big_endian(bytes: &[u8], offset: usize) -> Option<u64> {
    let field = bytes.get(offset..offset + 8)?;
    Some(u64::from_be_bytes(field.try_into().ok()?))
}
