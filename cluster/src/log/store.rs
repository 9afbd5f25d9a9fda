//! What a log store does: one atomic, durable write for many groups; reads by group.

use raft::eraftpb::{Entry, HardState};

use crate::error::LogError;
use crate::ids::{GroupId, PeerId, StoreId};
use crate::members::Members;

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

/// The log of a replica that waits for its first snapshot.
pub(crate) const NOTHING: Truncated = Truncated { index: 0, term: 0 };

/// The place and membership of a snapshot that is being installed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Install {
    pub at: Truncated,
    pub members: Members,
}

/// Changes to one group in one write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GroupWrite {
    pub group: GroupId,
    /// The replica's own id, written once, when it is created.
    pub peer: Option<PeerId>,
    pub members: Option<Members>,
    pub hard_state: Option<HardState>,
    /// Remembers that the state machine is about to be replaced by a snapshot of this place and
    /// membership. After a crash a machine that stands exactly there is believed over the log.
    pub install: Option<Install>,
    /// Drops everything stored before this write, all entries included; only the own peer id stays.
    /// `members`, `hard_state` and `truncate` are set then.
    pub reset: bool,
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
            members: None,
            hard_state: None,
            install: None,
            reset: false,
            truncate: None,
            entries: Vec::new(),
            destroy: false,
        }
    }

    /// Returns whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Self::new(self.group)
    }

    /// Returns the write that creates one replica of a new group from the synthetic first snapshot. Every
    /// first member does the same with the same voters.
    pub fn bootstrap(group: GroupId, peer: PeerId, voters: &[(PeerId, StoreId)]) -> Self {
        let hard_state = HardState { term: BOOTSTRAP.term, commit: BOOTSTRAP.index, ..HardState::default() };
        Self {
            peer: Some(peer),
            members: Some(Members::bootstrap(BOOTSTRAP.index, voters)),
            hard_state: Some(hard_state),
            truncate: Some(BOOTSTRAP),
            ..Self::new(group)
        }
    }

    /// Returns the write that creates an empty replica of a group that exists elsewhere. It knows no
    /// members, cannot lead, and waits for a snapshot. Its term is not 0: `raft` stops when it must refuse a
    /// vote in that term.
    pub fn join(group: GroupId, peer: PeerId) -> Self {
        let hard_state = HardState { term: BOOTSTRAP.term, ..HardState::default() };
        Self {
            peer: Some(peer),
            members: Some(Members::default()),
            hard_state: Some(hard_state),
            truncate: Some(NOTHING),
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
    pub members: Members,
    pub install: Option<Install>,
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
