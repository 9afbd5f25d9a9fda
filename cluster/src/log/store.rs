//! What a log store does: one atomic, durable write for many groups; reads by group.

use raft::eraftpb::{ConfState, Entry, HardState};

use crate::error::LogError;
use crate::ids::{GroupId, PeerId};

/// The point before the first entry that is still in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Truncated {
    pub index: u64,
    pub term: u64,
}

/// Index and term of the synthetic snapshot every group starts from.
///
/// A group never starts from an empty log: a learner that replays from index 1 meets a membership
/// without voters and panics. TiKV's `RAFT_INIT_LOG_INDEX`.
pub(crate) const BOOTSTRAP: Truncated = Truncated { index: 5, term: 5 };

/// Changes to one group in one write.
#[derive(Debug, PartialEq)]
pub(crate) struct GroupWrite {
    pub group: GroupId,
    /// The replica's own id, written once, when it is created.
    pub peer: Option<PeerId>,
    pub conf_state: Option<ConfState>,
    pub hard_state: Option<HardState>,
    /// Drops the entries up to and with this one.
    pub truncate: Option<Truncated>,
    /// Consecutive entries. An entry already stored at or after the first of them is replaced.
    pub entries: Vec<Entry>,
    /// Removes everything about the group; nothing else is set then.
    pub destroy: bool,
}

impl GroupWrite {
    pub fn new(group: GroupId) -> Self {
        Self {
            group,
            peer: None,
            conf_state: None,
            hard_state: None,
            truncate: None,
            entries: Vec::new(),
            destroy: false,
        }
    }

    /// Returns whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Self::new(self.group)
    }

    /// Returns the write that creates a group's replica from the synthetic first snapshot.
    pub fn bootstrap(group: GroupId, peer: PeerId, voters: &[PeerId]) -> Self {
        let mut conf_state = ConfState::default();
        conf_state.set_voters(voters.iter().map(|voter| voter.0).collect());
        let hard_state = HardState { term: BOOTSTRAP.term, commit: BOOTSTRAP.index, ..HardState::default() };
        Self {
            peer: Some(peer),
            conf_state: Some(conf_state),
            hard_state: Some(hard_state),
            truncate: Some(BOOTSTRAP),
            ..Self::new(group)
        }
    }
}

/// What a store holds of a group, without its entries.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredGroup {
    pub peer: PeerId,
    pub truncated: Truncated,
    pub hard_state: HardState,
    pub conf_state: ConfState,
    /// First and last index of the entries; `None` when there are none.
    pub entries: Option<(u64, u64)>,
}

/// A durable log of many groups.
pub(crate) trait LogStore: Send + Sync {
    /// Makes all changes durable, all or none, and returns the bytes written.
    ///
    /// # Errors
    /// `NoSpace` when nothing was written and the same write may be repeated; anything else means
    /// that the store must not be used again.
    fn write(&self, batch: &[GroupWrite]) -> Result<usize, LogError>;

    /// Returns what is stored of a group, `None` when it was never written or was destroyed.
    ///
    /// # Errors
    /// When the stored values cannot be decoded.
    fn load(&self, group: GroupId) -> Result<Option<StoredGroup>, LogError>;

    /// Returns entries `low..high`, at least one of them, cut before `bytes_max` is exceeded.
    ///
    /// # Errors
    /// When an entry is missing or damaged.
    fn read(&self, group: GroupId, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, LogError>;
}
