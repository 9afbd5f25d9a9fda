//! Everything that can be wrong with a file, by cause.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{codec::CodecError, container::FileKind};

/// Why bytes could not be read or written. Every variant names the file it is about.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The operating system refused; [`FormatError::is_disk_full`] tells a full disk apart.
    #[error("cannot {action}. file=`{}`", file.display())]
    Io {
        /// The file or folder the call was about.
        file: PathBuf,
        /// What was being done, as in "cannot *create*".
        action: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file does not start as a Segue file: it is something else, or its first bytes are damaged.
    #[error("not a segue file: the first 8 bytes are not SEGUEFMT. file=`{}`, found=`{}`", file.display(), found.escape_ascii())]
    Magic {
        /// The file.
        file: PathBuf,
        /// Its first eight bytes.
        found: [u8; 8],
    },
    /// The file was written by a newer program.
    #[error("{what} is newer than this program reads; use a newer segue. file=`{}`, version=`{found}`, reads up to=`{known}`", file.display())]
    NewerVersion {
        /// The file.
        file: PathBuf,
        /// What carries the version: the container, a kind of file, the payload of a blob.
        what: &'static str,
        /// The version in the file.
        found: u32,
        /// The newest version this program reads.
        known: u32,
    },
    /// The file is of another kind than the caller asked for.
    #[error("wrong kind of file. file=`{}`, expected=`{expected}`, found=`{found}`", file.display())]
    WrongKind {
        /// The file.
        file: PathBuf,
        /// What the caller wanted.
        expected: FileKind,
        /// The kind number in the header.
        found: u16,
    },
    /// The file is shorter than it must be, or was never finished.
    #[error("file is truncated or was never finished. file=`{}`, needed bytes=`{needed}`, found bytes=`{found}`", file.display())]
    Truncated {
        /// The file.
        file: PathBuf,
        /// The least length it must have.
        needed: u64,
        /// The length it has.
        found: u64,
    },
    /// Bytes do not match their checksum: the file is damaged at this place.
    #[error("checksum mismatch in {what}; restore this file from a replica or a backup. file=`{}`, offset=`{offset}`", file.display())]
    Checksum {
        /// The file.
        file: PathBuf,
        /// What part: header, table, trailer, block.
        what: &'static str,
        /// File offset of the damaged piece: at most 64 KiB from here for blocks.
        offset: u64,
    },
    /// The whole file is readable but is not the file the manifest names.
    #[error("file is not the one the manifest names: its content id differs. file=`{}`", file.display())]
    WrongContent {
        /// The file.
        file: PathBuf,
    },
    /// Checksums hold but the structure does not: a program wrote nonsense, or bytes were forged.
    #[error("{what}. file=`{}`, offset=`{offset}`", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: &'static str,
        /// Where, as a file offset.
        offset: u64,
    },
    /// A small encoded block (meta, column list) ends early or holds an impossible value.
    #[error("cannot decode block. file=`{}`, block=`{block}`", file.display())]
    Decode {
        /// The file.
        file: PathBuf,
        /// The tag of the block.
        block: String,
        /// The cause.
        #[source]
        source: CodecError,
    },
    /// A block, column or field that the caller named is not in the file.
    #[error("file has no such part. file=`{}`, part=`{name}`", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
        /// The tag or name.
        name: String,
    },
    /// A block, column or field holds values of another type than the caller asked for.
    #[error("part holds another type. file=`{}`, part=`{name}`, expected=`{expected}`, found=`{found}`", file.display())]
    WrongType {
        /// The file.
        file: PathBuf,
        /// The tag or name.
        name: String,
        /// What the caller asked for.
        expected: String,
        /// What the file holds.
        found: String,
    },
    /// A number is outside the range it must lie in: a row, a link, an offset.
    #[error("{what} is out of range. file=`{}`, value=`{value}`, limit=`{limit}`", file.display())]
    OutOfRange {
        /// The file.
        file: PathBuf,
        /// Which number.
        what: &'static str,
        /// The number.
        value: u64,
        /// It must be below this.
        limit: u64,
    },
    /// The caller asked for something that cannot be written; the bug is in the caller.
    #[error("cannot write this: {what}. file=`{}`", file.display())]
    Usage {
        /// The file.
        file: PathBuf,
        /// What is wrong with the request.
        what: &'static str,
    },
}

/// What a caller should do about a [`FormatError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormatErrorKind {
    /// Free space, then try again. Nothing was published.
    DiskFull,
    /// The file is not there.
    NotFound,
    /// The operating system failed; see the source.
    Io,
    /// Restore the file from a replica or a backup; trying again does not help.
    Damaged,
    /// Run a newer program.
    Newer,
    /// The caller asked for the wrong file, part or type, or handed in what cannot be written.
    Usage,
}

impl FormatError {
    /// Wraps an I/O error with the file and what was being done.
    pub fn io(file: impl AsRef<Path>, action: &'static str, source: io::Error) -> Self {
        Self::Io { file: file.as_ref().to_path_buf(), action, source }
    }

    /// True when the disk (or the quota) is full. Nothing was published; the temporary file is gone.
    pub fn is_disk_full(&self) -> bool {
        self.kind() == FormatErrorKind::DiskFull
    }

    /// True when the bytes of the file are wrong, as opposed to missing, unreadable or too new.
    pub fn is_damage(&self) -> bool {
        self.kind() == FormatErrorKind::Damaged
    }

    /// What the caller should do.
    pub fn kind(&self) -> FormatErrorKind {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FormatErrorKind::DiskFull,
                io::ErrorKind::NotFound => FormatErrorKind::NotFound,
                _ => FormatErrorKind::Io,
            },
            Self::Magic { .. }
            | Self::Truncated { .. }
            | Self::Checksum { .. }
            | Self::WrongContent { .. }
            | Self::Malformed { .. }
            | Self::Decode { .. }
            | Self::OutOfRange { .. } => FormatErrorKind::Damaged,
            Self::NewerVersion { .. } => FormatErrorKind::Newer,
            Self::WrongKind { .. } | Self::Missing { .. } | Self::WrongType { .. } | Self::Usage { .. } => {
                FormatErrorKind::Usage
            }
        }
    }

    /// The file the error is about.
    pub fn file(&self) -> &Path {
        match self {
            Self::Io { file, .. }
            | Self::Magic { file, .. }
            | Self::NewerVersion { file, .. }
            | Self::WrongKind { file, .. }
            | Self::Truncated { file, .. }
            | Self::Checksum { file, .. }
            | Self::WrongContent { file }
            | Self::Malformed { file, .. }
            | Self::Decode { file, .. }
            | Self::Missing { file, .. }
            | Self::WrongType { file, .. }
            | Self::OutOfRange { file, .. }
            | Self::Usage { file, .. } => file,
        }
    }

    /// The file offset of the damage, where one is known.
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Checksum { offset, .. } | Self::Malformed { offset, .. } => Some(*offset),
            Self::Magic { .. } => Some(0),
            Self::Truncated { found, .. } => Some(*found),
            Self::Io { .. }
            | Self::NewerVersion { .. }
            | Self::WrongKind { .. }
            | Self::WrongContent { .. }
            | Self::Decode { .. }
            | Self::Missing { .. }
            | Self::WrongType { .. }
            | Self::OutOfRange { .. }
            | Self::Usage { .. } => None,
        }
    }
}
