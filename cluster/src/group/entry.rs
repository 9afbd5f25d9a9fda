//! What is inside a log entry: its kind, in one byte of the entry's context, and the proposed bytes.
//!
//! Raft's own entries (a new leader's first, membership changes) have an empty context.

use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType};

/// What an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// Raft's own, empty.
    Internal,
    /// Bytes for the state machine.
    Command,
    /// Empty; proposed to learn when everything before it is applied.
    Barrier,
    /// A membership change.
    Change,
}

const COMMAND: &[u8] = &[1];
const BARRIER: &[u8] = &[2];

impl EntryKind {
    /// Returns the context to propose an entry of this kind with.
    pub fn context(self) -> Bytes {
        match self {
            // A change's context says more, and is made with it.
            Self::Internal | Self::Change => Bytes::new(),
            Self::Command => Bytes::from_static(COMMAND),
            Self::Barrier => Bytes::from_static(BARRIER),
        }
    }

    /// Tells what a committed entry is for.
    ///
    /// # Errors
    /// A sentence about the kind, when this version does not know it. The replica must stop: to skip an
    /// entry is to diverge.
    pub fn of(entry: &Entry) -> Result<Self, String> {
        match entry.get_entry_type() {
            EntryType::EntryConfChangeV2 => return Ok(Self::Change),
            EntryType::EntryConfChange => return Err("a membership change of an older kind".to_owned()),
            EntryType::EntryNormal => {}
        }
        match entry.context.as_ref() {
            [] if entry.data.is_empty() => Ok(Self::Internal),
            COMMAND => Ok(Self::Command),
            BARRIER => Ok(Self::Barrier),
            other => Err(format!("an entry of an unknown kind `{other:?}`, written by a newer version")),
        }
    }
}

/// Returns whether the entry changes the membership.
pub(crate) fn is_change(entry: &Entry) -> bool {
    entry.get_entry_type() == EntryType::EntryConfChangeV2
}
