//! Reads the log files before the engine does and tells a torn last write from damage.
//!
//! The layout is `raft-engine`'s. A file is a header ([`super::header`]) and records. A record is
//!
//! ```text
//! u64 BE   length of the record << 8 | compression (always 0 here: none)
//! u64 BE   offset of the footer in the record, at least 16
//! bytes    entries, then their crc32 as u32 LE   (absent when the footer starts at 16)
//! bytes    footer: what the record changes, then its crc32 XOR the file's number, as u32 LE
//! ```
//!
//! Cost: every byte once. Nothing is written here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::header::{Header, big_endian};
use crate::error::LogError;

const RECORD_HEADER_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 4;

/// A write cut short at the end of a file. It was never acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The log file.
    pub file: PathBuf,
    /// Where the cut record starts; everything from here on is dropped.
    pub offset: u64,
    /// Bytes of it that had reached the disk.
    pub bytes: u64,
}

/// The two queues of the engine, each a run of numbered files.
pub(super) const SUFFIXES: [&str; 2] = [".raftlog", ".rewrite"];

/// Checks every record of every log file in `dir`. A missing directory is an empty log.
///
/// # Errors
/// `Damaged` and `MissingFile` for what no crash leaves behind; `Io` when a file cannot be read.
pub(crate) fn scan(dir: &Path) -> Result<Vec<TornTail>, LogError> {
    let mut torn = Vec::new();
    for suffix in SUFFIXES {
        let files = numbered_files(dir, suffix)?;
        let mut newest = true;
        for (number, file) in files.iter().rev() {
            let (tail, has_header) = scan_file(file, *number, newest)?;
            torn.extend(tail);
            newest = newest && !has_header;
        }
        if let Some(number) = missing(&files).next() {
            return Err(LogError::MissingFile { file: dir.join(format!("{number:016}{suffix}")) });
        }
    }
    Ok(torn)
}

/// Numbers that no file has between those that some have.
fn missing(files: &BTreeMap<u64, PathBuf>) -> impl Iterator<Item = u64> + '_ {
    let pairs = files.keys().zip(files.keys().skip(1));
    pairs.flat_map(|(number, next)| number + 1..*next)
}

/// Checks every record of every log file in `dir`, going on after damage: all damage, and torn last writes.
///
/// # Errors
/// `Io` when a file cannot be read.
pub(crate) fn survey(dir: &Path) -> Result<(Vec<LogError>, Vec<TornTail>), LogError> {
    let (mut damage, mut torn) = (Vec::new(), Vec::new());
    for suffix in SUFFIXES {
        let files = numbered_files(dir, suffix)?;
        let file_of = |number| dir.join(format!("{number:016}{suffix}"));
        damage.extend(missing(&files).map(|number| LogError::MissingFile { file: file_of(number) }));
        let mut newest = true;
        for (number, file) in files.iter().rev() {
            match scan_file(file, *number, newest) {
                Ok((tail, has_header)) => {
                    torn.extend(tail);
                    newest = newest && !has_header;
                    continue;
                }
                Err(error @ LogError::Damaged { .. }) => damage.push(error),
                Err(error) => return Err(error),
            }
            newest = false;
        }
    }
    Ok((damage, torn))
}

/// Returns the offset, length and soundness of every record of a log file, up to the first one that is not intact.
///
/// # Errors
/// `Io` when the file cannot be read; `Damaged` at 0 when its header is none.
pub(crate) fn records(path: &Path) -> Result<(Vec<(u64, u64)>, u64), LogError> {
    let number = path.file_stem().and_then(|name| name.to_str()).and_then(|digits| digits.parse().ok());
    let bytes = fs::read(path).map_err(|source| io_error("read log file", path, source))?;
    let Some((number, header)) = number.zip(Header::of(&bytes)) else {
        return Err(LogError::Damaged { file: path.to_owned(), offset: 0 });
    };
    let signature = signature(header, number);
    let (mut found, mut offset) = (Vec::new(), header.bytes);
    while let Some(length) = bytes.get(offset..).and_then(|rest| record_bytes(rest, signature)) {
        found.push((offset as u64, length as u64));
        offset += length;
    }
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    Ok((found, used.saturating_sub(offset) as u64))
}

/// Returns the log files of `dir` with their lengths, by name.
///
/// # Errors
/// `Io` when the directory cannot be read.
pub(crate) fn file_lengths(dir: &Path) -> Result<BTreeMap<String, u64>, LogError> {
    let mut lengths = BTreeMap::new();
    for suffix in SUFFIXES {
        for file in numbered_files(dir, suffix)?.into_values() {
            let length =
                fs::metadata(&file).map_err(|source| io_error("examine log file", &file, source))?.len();
            if let Some(name) = file.file_name().and_then(|name| name.to_str()) {
                lengths.insert(name.to_owned(), length);
            }
        }
    }
    Ok(lengths)
}

pub(super) fn numbered_files(dir: &Path, suffix: &str) -> Result<BTreeMap<u64, PathBuf>, LogError> {
    let mut files = BTreeMap::new();
    if !dir.exists() {
        return Ok(files);
    }
    let listing = fs::read_dir(dir).map_err(|source| io_error("list log directory", dir, source))?;
    for item in listing {
        let item = item.map_err(|source| io_error("list log directory", dir, source))?;
        let name = item.file_name();
        let number =
            name.to_str().and_then(|name| name.strip_suffix(suffix)).and_then(|digits| digits.parse().ok());
        if let Some(number) = number {
            files.insert(number, item.path());
        }
    }
    Ok(files)
}

/// Checks a file. Besides, whether it has a header: without one it was only begun, and the file before it may be the one that is
/// written to (see [`header`](super::header)).
fn scan_file(path: &Path, number: u64, is_last: bool) -> Result<(Option<TornTail>, bool), LogError> {
    let bytes = fs::read(path).map_err(|source| io_error("read log file", path, source))?;
    Ok((check_bytes(path, &bytes, number, is_last)?, Header::of(&bytes).is_some()))
}

/// Checks the bytes of the file with this number, the newest of its queue or not.
///
/// # Errors
/// `Damaged` with the offset of the first bad record.
pub(super) fn check_bytes(
    path: &Path,
    bytes: &[u8],
    number: u64,
    is_last: bool,
) -> Result<Option<TornTail>, LogError> {
    let header = Header::of(bytes);
    let first_record = header.unwrap_or(Header::NEWEST).bytes;
    let signature = signature(header.unwrap_or(Header::NEWEST), number);
    let intact = header.map_or(0, |header| intact_records(bytes, header, signature));
    if intact == bytes.len() && intact >= first_record {
        return Ok(None);
    }
    let damaged = LogError::Damaged { file: path.to_owned(), offset: intact as u64 };
    if !is_last {
        return Err(damaged);
    }
    let Some(last_used) = bytes.iter().rposition(|byte| *byte != 0).filter(|last| *last >= intact) else {
        return Ok(None);
    };
    let behind = intact.max(first_record)..bytes.len();
    if behind.into_iter().any(|offset| record_bytes(&bytes[offset..], signature).is_some()) {
        return Err(damaged);
    }
    Ok(Some(TornTail {
        file: path.to_owned(),
        offset: intact as u64,
        bytes: (last_used + 1 - intact) as u64,
    }))
}

/// Returns the offset behind the last record of the unbroken run of intact ones.
fn intact_records(bytes: &[u8], header: Header, signature: u32) -> usize {
    let mut offset = header.bytes;
    while let Some(length) = bytes.get(offset..).and_then(|rest| record_bytes(rest, signature)) {
        offset += length;
    }
    offset
}

/// What the engine adds to the checksum of each footer: the low 32 bits of the file's number, from version 2 on.
fn signature(header: Header, number: u64) -> u32 {
    if header.signs { (number & u64::from(u32::MAX)) as u32 } else { 0 }
}

/// Returns the length of the record at the start of `bytes`, or `None` when it is not intact.
fn record_bytes(bytes: &[u8], signature: u32) -> Option<usize> {
    let packed = big_endian(bytes, 0)?;
    // This store never compresses, and no checksum covers this byte.
    if packed & 0xff != 0 {
        return None;
    }
    let length = usize::try_from(packed >> 8).ok()?;
    let footer = usize::try_from(big_endian(bytes, 8)?).ok()?;
    if footer < RECORD_HEADER_BYTES || footer > length {
        return None;
    }
    let entries = bytes.get(RECORD_HEADER_BYTES..footer)?;
    let changes = bytes.get(footer..length)?;
    let intact = checksum_holds(changes, signature) && (entries.is_empty() || checksum_holds(entries, 0));
    intact.then_some(length)
}

fn checksum_holds(block: &[u8], signature: u32) -> bool {
    let Some((data, checksum)) = block.split_last_chunk::<CHECKSUM_BYTES>() else {
        return false;
    };
    !data.is_empty() && crc32fast::hash(data) == u32::from_le_bytes(*checksum) ^ signature
}

pub(super) fn io_error(action: &'static str, path: &Path, source: std::io::Error) -> LogError {
    LogError::Io { action, path: path.to_owned(), source }
}
