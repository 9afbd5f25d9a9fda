//! The one error type of the library and what a caller should do about it.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::types::{InvalidId, InvalidTime};

/// What went wrong, coarse enough to decide what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong: fix the named field; a retry cannot help.
    Invalid,
    /// A named user, track, recipe or generation does not exist.
    NotFound,
    /// It exists already, or the state forbids it (wrong order of steps).
    Conflict,
    /// Too much at once, or the disk is full: retry later, more slowly.
    Exhausted,
    /// Not ready, not the leader, shutting down: retry soon or elsewhere.
    Unavailable,
    /// The deadline passed; the result of a write is unknown, retry with the same id.
    Timeout,
    /// Stored data is damaged: do not retry; repair or restore.
    Corrupt,
    /// The operating system refused (disk, network).
    Io,
    /// A program bug.
    Internal,
}

/// Any error of Segue.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of the request has a value that cannot be.
    #[error("{field}: {reason}")]
    InvalidField {
        /// The field, as the caller names it; parts of lists by index (`seeds[3].track_id`).
        field: Cow<'static, str>,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A row of a batch is wrong.
    #[error("row {row}: {source}")]
    InvalidRow {
        /// 0-based row of the batch.
        row: usize,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// Something named does not exist.
    #[error("{what} not found. id=`{id}`")]
    NotFound {
        /// `user`, `track`, `recipe`, `generation`, `space`.
        what: Cow<'static, str>,
        /// The id asked for.
        id: String,
    },
    /// The state forbids it.
    #[error("{0}")]
    Conflict(String),
    /// Groups of the cluster would stop.
    #[error(
        "{dangers}; nothing was done: start the nodes that do not answer, or add one that takes the votes, and try again (force_unsafe, `--force-unsafe`, does it all the same). node=`{node}`"
    )]
    Endangers {
        /// The node whose state was to be changed.
        node: String,
        /// The groups and what they would lack, a sentence each.
        dangers: String,
    },
    /// Back-pressure: slow down and retry.
    #[error("busy, retry later: {0}")]
    Exhausted(String),
    /// The disk is (nearly) full: writes are refused, reads go on.
    #[error("disk full: writes are refused until space is freed. path=`{path}`")]
    DiskFull {
        /// The data directory.
        path: PathBuf,
    },
    /// Not ready or shutting down.
    #[error("unavailable, retry soon: {0}")]
    Unavailable(String),
    /// A deadline passed; a write's outcome is unknown.
    #[error("timed out after {ms} ms; the outcome of a write is unknown, retry with the same id")]
    Timeout {
        /// How long was waited.
        ms: u64,
    },
    /// Stored data is damaged.
    #[error("damaged data: {0}")]
    Corrupt(String),
    /// The operating system refused.
    #[error("{action} failed. path=`{path}`")]
    Io {
        /// What was tried.
        action: Cow<'static, str>,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server's own failure, with its message (a bug, or a remote one).
    #[error("internal error: {0}")]
    Internal(String),
}

/// `Result` with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Shorthand for [`Error::InvalidField`].
    pub fn invalid(field: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Self {
        Self::InvalidField { field: field.into(), reason: reason.into() }
    }

    /// Shorthand for [`Error::NotFound`].
    pub fn not_found(what: impl Into<Cow<'static, str>>, id: impl std::fmt::Display) -> Self {
        Self::NotFound { what: what.into(), id: id.to_string() }
    }

    /// Shorthand for [`Error::Io`].
    pub fn io(
        action: impl Into<Cow<'static, str>>,
        path: impl Into<PathBuf>,
        source: std::io::Error,
    ) -> Self {
        Self::Io { action: action.into(), path: path.into(), source }
    }

    /// The same error about row `row` (0-based) of a batch.
    #[must_use]
    pub fn at_row(self, row: usize) -> Self {
        Self::InvalidRow { row, source: Box::new(self) }
    }

    /// What the caller should do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidField { .. } => ErrorKind::Invalid,
            Self::InvalidRow { source, .. } => source.kind(),
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Conflict(_) | Self::Endangers { .. } => ErrorKind::Conflict,
            Self::Exhausted(_) | Self::DiskFull { .. } => ErrorKind::Exhausted,
            Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::Corrupt(_) => ErrorKind::Corrupt,
            Self::Io { .. } => ErrorKind::Io,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }
}

impl From<InvalidId> for Error {
    fn from(error: InvalidId) -> Self {
        Self::invalid(error.field(), error.to_string())
    }
}

impl From<InvalidTime> for Error {
    fn from(error: InvalidTime) -> Self {
        Self::invalid("time", error.to_string())
    }
}
