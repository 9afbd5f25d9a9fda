//! What can go wrong in a user shard.

use std::path::{Path, PathBuf};

use crate::{error::Error, storage::error::describe};

/// `Result` with [`UserShardError`].
pub type Result<T> = std::result::Result<T, UserShardError>;

/// Why a user shard stopped or could not answer. A mistake of the caller is never one of these: it is a
/// [`UserReply::Refused`](super::UserReply::Refused), the same on every replica.
#[derive(Debug, thiserror::Error)]
pub enum UserShardError {
    /// A stored value does not match its checksum or cannot be decoded.
    #[error("stored value is damaged: {what}. row=`{row}`")]
    CorruptValue {
        /// Whose value and which kind, for example `user u1, record`.
        row: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The files of the store are damaged.
    #[error("files of the user store are damaged, restore them from a replica: {reason}. path=`{path}`")]
    CorruptFiles {
        /// The shard's directory.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// A log entry cannot be read: it is newer than this program, or not a command. Nothing may be skipped, so the
    /// replica stops.
    #[error("log entry cannot be applied. index=`{index}`")]
    Command {
        /// The entry.
        index: u64,
        /// [`Error::Unavailable`] when this program must be upgraded, else [`Error::Corrupt`].
        #[source]
        source: Box<Error>,
    },
    /// Entries came out of order.
    #[error("log entries came out of order. applied=`{applied}`, index=`{index}`")]
    OutOfOrder {
        /// The newest applied entry.
        applied: u64,
        /// The entry that came.
        index: u64,
    },
    /// Another process, or another handle of this one, has the shard open.
    #[error("user shard is already open. path=`{path}`")]
    Locked {
        /// The shard's directory.
        path: PathBuf,
    },
    /// The shard is on another node, and that could not answer.
    #[error("user shard on another node")]
    Elsewhere {
        /// What was said, or why nothing was.
        #[source]
        source: Box<Error>,
    },
    /// The caller does not wait any more.
    #[error("the caller's deadline has passed")]
    Late {
        /// [`Error::Timeout`].
        #[source]
        source: Box<Error>,
    },
    /// The operating system refused.
    #[error("{action} failed. path=`{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Writing in the background failed earlier and writes have caught up with it.
    #[error(
        "writing the user store in the background keeps failing, nothing more is applied: {reason}. path=`{path}`"
    )]
    Stalled {
        /// The shard's directory.
        path: PathBuf,
        /// What the last attempt said.
        reason: String,
        /// Whether the disk was full.
        disk_full: bool,
    },
}

impl UserShardError {
    pub(super) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }

    /// Whether the cause is a full disk.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            Self::Stalled { disk_full, .. } => *disk_full,
            _ => false,
        }
    }
}

impl From<UserShardError> for Error {
    fn from(error: UserShardError) -> Self {
        let disk_full = error.is_disk_full();
        let text = describe(&error);
        match error {
            UserShardError::Io { path, .. } | UserShardError::Stalled { path, .. } if disk_full => {
                Self::DiskFull { path }
            }
            UserShardError::Io { action, path, source } => Self::Io { action: action.into(), path, source },
            UserShardError::Command { source, .. }
            | UserShardError::Elsewhere { source }
            | UserShardError::Late { source } => *source,
            UserShardError::CorruptValue { .. } | UserShardError::CorruptFiles { .. } => Self::Corrupt(text),
            UserShardError::Locked { .. } | UserShardError::Stalled { .. } => Self::Unavailable(text),
            UserShardError::OutOfOrder { .. } => Self::Internal(text),
        }
    }
}
