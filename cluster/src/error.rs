//! Errors, by cause, and what a caller should do about each ([`ErrorKind`]).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::InvalidConfig;
use crate::ids::{ClusterId, GroupId, PeerId, StoreId};

/// Why a request to a group was not answered with a result.
///
/// Cheap to clone: one failed batch answers many callers.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClusterError {
    /// This replica does not lead its group; ask `hint`.
    #[error("replica is not the leader. group=`{group}`, leader=`{hint:?}`")]
    NotLeader {
        /// The group asked.
        group: GroupId,
        /// The leader this replica last heard of.
        hint: Option<PeerId>,
    },
    /// Too much is waiting; nothing was done, try again shortly.
    #[error("group is busy: {what}. group=`{group}`")]
    Busy {
        /// The group asked.
        group: GroupId,
        /// The limit that was reached.
        what: &'static str,
    },
    /// The proposal was overtaken by a new leader and will never be applied; try again.
    #[error("proposal dropped by a change of leader. group=`{group}`")]
    Dropped {
        /// The group asked.
        group: GroupId,
    },
    /// The proposal is larger than the node accepts.
    #[error("proposal too large, at most {max} bytes. bytes=`{bytes}`")]
    TooLarge {
        /// Size of the proposal.
        bytes: usize,
        /// Largest accepted size.
        max: usize,
    },
    /// The disk is nearly full; nothing was written. Reads go on; writes go on once space is freed.
    #[error(
        "disk nearly full, writes are refused until space is freed. free=`{free_bytes}`, reserve=`{reserve_bytes}`"
    )]
    DiskFull {
        /// Bytes left.
        free_bytes: u64,
        /// Bytes the node keeps free.
        reserve_bytes: u64,
    },
    /// No answer came in time. A proposal may still be applied: retry only what is idempotent.
    #[error("no answer in time, the outcome is unknown. group=`{group}`")]
    Timeout {
        /// The group asked.
        group: GroupId,
    },
    /// The node or the group was shut down. A proposal may still be applied after the next start.
    #[error("group was stopped. group=`{group}`")]
    Stopped {
        /// The group asked.
        group: GroupId,
    },
    /// The replica failed and is out of service; other groups go on.
    #[error("replica is quarantined: {reason}. group=`{group}`")]
    Quarantined {
        /// The group asked.
        group: GroupId,
        /// What happened.
        reason: Arc<str>,
    },
    /// The node's log failed (an fsync or a write): nothing is acknowledged until a restart.
    #[error("node failed and must be restarted after its disk was checked: {reason}")]
    NodeFailed {
        /// What happened.
        reason: Arc<str>,
    },
}

/// What the caller of a group should do about a [`ClusterError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Nothing was done: the same request may be sent again, here, after a pause.
    Retry,
    /// Nothing was done: send it to the leader.
    FindLeader,
    /// The request can never succeed as it is.
    Invalid,
    /// It is not known whether it was done: repeat only if it is idempotent.
    Unknown,
    /// Space must be freed first.
    DiskFull,
    /// An operator must act; another replica may serve meanwhile.
    Failed,
}

impl ClusterError {
    /// Returns what to do about this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotLeader { .. } => ErrorKind::FindLeader,
            Self::Busy { .. } | Self::Dropped { .. } => ErrorKind::Retry,
            Self::TooLarge { .. } => ErrorKind::Invalid,
            Self::DiskFull { .. } => ErrorKind::DiskFull,
            Self::Timeout { .. } | Self::Stopped { .. } => ErrorKind::Unknown,
            Self::Quarantined { .. } | Self::NodeFailed { .. } => ErrorKind::Failed,
        }
    }
}

/// Why a node could not be opened. Nothing was changed unless the text says so.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting is out of range.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// Another process, or another node of this process, has the directory open.
    #[error("data directory is in use by another node; stop it first. dir=`{dir}`")]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// The operating system refused something.
    #[error("cannot {action}. path=`{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The identity file is damaged.
    #[error(
        "identity file is damaged ({detail}); delete it to rebuild it from the log at the next start. path=`{path}`"
    )]
    IdentityDamaged {
        /// The identity file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The identity file was written by a newer version.
    #[error(
        "identity file has an unknown format; start the version that wrote it. path=`{path}`, format=`{format}`"
    )]
    IdentityFormat {
        /// The identity file.
        path: PathBuf,
        /// The format it names.
        format: String,
    },
    /// There is a log, but nothing says whose it is.
    #[error(
        "log holds no identity and the identity file is missing; restore the file from a backup of this directory. path=`{path}`"
    )]
    IdentityMissing {
        /// Where the identity file should be.
        path: PathBuf,
    },
    /// The identity file names groups, but the log is empty.
    #[error(
        "log is missing although this store runs groups; restore the log directory from a copy, or remove the whole data directory to start anew. store=`{store}`, groups=`{groups}`"
    )]
    LogLost {
        /// The store.
        store: StoreId,
        /// How many groups it runs.
        groups: usize,
    },
    /// The log belongs to another store than the identity file names.
    #[error(
        "log belongs to another store; put back the directory that was exchanged. identity=`{identity}`, log=`{log}`"
    )]
    ForeignLog {
        /// The store named by the identity file.
        identity: StoreId,
        /// The store named by the log.
        log: StoreId,
    },
    /// The directory belongs to another cluster than the settings ask for.
    #[error(
        "data directory belongs to another cluster; check the directory or the configured cluster id. expected=`{expected}`, found=`{found}`"
    )]
    OtherCluster {
        /// The cluster asked for.
        expected: ClusterId,
        /// The cluster the directory belongs to.
        found: ClusterId,
    },
    /// The file with the cluster's map is damaged.
    #[error(
        "the cluster's map is damaged; start with an empty directory and join again, or restore the file from a copy of this directory. path=`{path}`"
    )]
    MapDamaged {
        /// The file.
        path: PathBuf,
    },
    /// The file with the cluster's map was written by a newer version, or needs one.
    #[error(
        "the cluster's map needs a newer program; start the version that the other nodes run. path=`{path}`"
    )]
    MapNewer {
        /// The file.
        path: PathBuf,
    },
    /// The log is damaged.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Damage to the log, or a failure to read or write it.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A record in the middle of the log is damaged: valid records follow it.
    #[error(
        "log is damaged, intact records follow; restore this replica from a copy or its peers. file=`{file}`, offset=`{offset}`"
    )]
    Damaged {
        /// The log file.
        file: PathBuf,
        /// First byte of the damaged record.
        offset: u64,
    },
    /// A log file is missing between others.
    #[error("log file is missing; restore this replica from a copy or its peers. file=`{file}`")]
    MissingFile {
        /// The file that should be there.
        file: PathBuf,
    },
    /// The log differs from what the last orderly shutdown left behind.
    #[error(
        "log changed since the last orderly shutdown ({detail}); restore it, or delete the `closed` file to accept what is left. file=`{file}`"
    )]
    ChangedSinceClose {
        /// The log file.
        file: PathBuf,
        /// How it differs.
        detail: String,
    },
    /// A file operation failed.
    #[error("cannot {action}. path=`{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The engine failed.
    #[error("log engine failed: {detail}")]
    Engine {
        /// The engine's words.
        detail: String,
    },
    /// An fsync failed: what was written since the last good one may or may not be on disk.
    #[error("fsync of the log failed: {detail}")]
    SyncFailed {
        /// The system's answer.
        detail: String,
    },
    /// The disk is full.
    #[error("disk is full: {detail}")]
    NoSpace {
        /// The system's answer.
        detail: String,
    },
}

/// Why a group could not be added to a node. The other groups are not affected.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The node already runs this group.
    #[error("group is already running. group=`{group}`")]
    Exists {
        /// The group.
        group: GroupId,
    },
    /// A failed replica of this group still has a batch at its state machine; try again shortly.
    #[error("group is still stopping. group=`{group}`")]
    Stopping {
        /// The group.
        group: GroupId,
    },
    /// The node does not run this group.
    #[error("no such group on this node. group=`{group}`")]
    Unknown {
        /// The group.
        group: GroupId,
    },
    /// Group 0 is the log's own.
    #[error("group id is reserved. group=`{group}`")]
    Reserved {
        /// The group.
        group: GroupId,
    },
    /// The node once ran this group but its log is gone, or the state machine has entries of a log
    /// that is not there.
    #[error(
        "log of the group is missing; restore the log directory or remove the group and its state. group=`{group}`, state_index=`{state_index}`"
    )]
    LogMissing {
        /// The group.
        group: GroupId,
        /// Last entry the state machine holds.
        state_index: u64,
    },
    /// The log of this replica contradicts itself or its state machine.
    #[error("replica refused: {broken}; restore it from a copy or its peers. group=`{group}`")]
    Inconsistent {
        /// The group.
        group: GroupId,
        /// The rule that does not hold, with its numbers.
        broken: String,
    },
    /// The log could not be read or written.
    #[error("cannot use the log of the group. group=`{group}`")]
    Log {
        /// The group.
        group: GroupId,
        /// Why.
        #[source]
        source: LogError,
    },
    /// The node's identity file could not be updated.
    #[error("cannot record the group on this node. group=`{group}`")]
    Record {
        /// The group.
        group: GroupId,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// The group failed while it was started.
    #[error("replica failed while starting: {reason}. group=`{group}`")]
    Failed {
        /// The group.
        group: GroupId,
        /// What happened.
        reason: Arc<str>,
    },
    /// The node is shut down or has failed.
    #[error("node is not running: {reason}")]
    NotRunning {
        /// Why.
        reason: Arc<str>,
    },
}
