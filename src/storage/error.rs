//! What file errors mean to callers.

use segue_storage_format::FormatError;

use crate::error::Error;

/// Turns an error of the bytes layer into the library's: full disk, refused by the system, or damage.
pub fn damaged(error: FormatError) -> Error {
    if error.is_disk_full() {
        return Error::Exhausted(format!("disk full: free space and retry. {error}"));
    }
    Error::Corrupt(describe(&error))
}

/// An error with its causes, in one line.
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
