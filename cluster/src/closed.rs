//! The mark of an orderly shutdown: the file `closed`, with the length of every log file.
//!
//! After a crash the end of the log is wherever the last write got to. After an orderly shutdown it is
//! known, so that a missing or shortened file, or a damaged last record, is damage and not a torn write.
//! The mark is removed before anything is written again.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{LogError, OpenError};
use crate::files;
use crate::log::scan;

/// Writes the mark at `path` for the log files in `log_dir`, which must be closed.
///
/// # Errors
/// When a file cannot be examined or written.
pub(crate) fn write(path: &Path, log_dir: &Path) -> Result<(), OpenError> {
    let mut text = String::new();
    for (name, length) in scan::file_lengths(log_dir)? {
        text.push_str(&format!("{name}={length}\n"));
    }
    files::publish(path, files::with_checksum(text).as_bytes())
}

/// Compares the log files with the mark. Returns whether there was one.
///
/// # Errors
/// `ChangedSinceClose` naming the first file that differs. A damaged mark counts as one that differs.
pub(crate) fn check(path: &Path, log_dir: &Path) -> Result<bool, OpenError> {
    let Some(bytes) = files::read(path)? else {
        return Ok(false);
    };
    let changed = |file: &Path, detail: String| LogError::ChangedSinceClose { file: file.to_owned(), detail };
    let marked = parse(&bytes).ok_or_else(|| changed(path, "the mark itself is damaged".to_owned()))?;
    let found = scan::file_lengths(log_dir)?;
    for (name, length) in &marked {
        let file = log_dir.join(name);
        match found.get(name) {
            Some(actual) if actual == length => {}
            Some(actual) => {
                return Err(changed(&file, format!("{actual} bytes long, not {length}")).into());
            }
            None => return Err(changed(&file, "missing".to_owned()).into()),
        }
    }
    match found.keys().find(|name| !marked.contains_key(*name)) {
        Some(name) => Err(changed(&log_dir.join(name), "not there then".to_owned()).into()),
        None => Ok(true),
    }
}

fn parse(bytes: &[u8]) -> Option<BTreeMap<String, u64>> {
    let lines = files::checked(bytes)?.lines();
    lines
        .map(|line| {
            line.split_once('=').and_then(|(name, length)| Some((name.to_owned(), length.parse().ok()?)))
        })
        .collect()
}
