//! One Raft group as the node uses it: propose a command, wait until it is durable and applied.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use segue_cluster::{
    Applied, Cluster, ClusterError, GroupHandle, GroupId, GroupStatus, Pending, ReadPoint, Role,
};

use crate::error::{Error, Result};

/// How long a write may take before its outcome is declared unknown.
const PROPOSAL_TIMEOUT: Duration = Duration::from_secs(30);

/// A group and the name its log index goes by in write tokens. Clones are the same group.
#[derive(Clone)]
pub struct Group {
    /// `meta`, `tracks-0`, `users-0`, …
    pub name: String,
    id: GroupId,
    /// The replica of this node, while there is one that serves.
    replica: Arc<ArcSwapOption<GroupHandle>>,
    /// Where it is proposed to when the leader is elsewhere.
    cluster: Option<Arc<Cluster>>,
}

impl Group {
    /// Names a group.
    pub fn new(name: impl Into<String>, handle: GroupHandle, cluster: Option<Arc<Cluster>>) -> Self {
        let id = handle.id();
        Self { name: name.into(), id, replica: Arc::new(ArcSwapOption::from_pointee(handle)), cluster }
    }

    /// Names a group of which no replica serves here.
    pub fn elsewhere(name: impl Into<String>, id: GroupId, cluster: Option<Arc<Cluster>>) -> Self {
        Self { name: name.into(), id, replica: Arc::default(), cluster }
    }

    /// From now on this replica serves here, or none does.
    pub fn put(&self, replica: Option<GroupHandle>) {
        self.replica.store(replica.map(Arc::new));
    }

    /// Whether a replica serves here.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.replica.load().is_some()
    }

    /// The group's number.
    #[must_use]
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// The replica that serves here.
    ///
    /// # Errors
    /// `Unavailable` when none does.
    pub(super) fn replica(&self) -> Result<Arc<GroupHandle>> {
        let none =
            || Error::Unavailable(format!("no replica of the group serves here. group=`{}`", self.name));
        self.replica.load_full().ok_or_else(none)
    }

    /// Whether this node leads it.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.replica.load().as_ref().is_some_and(|replica| replica.status().role == Role::Leader)
    }

    /// Where the replica stands.
    ///
    /// # Errors
    /// `Unavailable` when none serves here.
    pub fn status(&self) -> Result<GroupStatus> {
        Ok(self.replica()?.status())
    }

    /// Proposes a command and waits until it is fsynced (on a majority, where there are others) and applied: here, if a
    /// replica serves here, else by whoever leads.
    ///
    /// # Errors
    /// Retryable refusals (busy, full disk) before anything was done; `Timeout` when the outcome is unknown.
    pub fn propose(&self, command: Vec<u8>) -> Result<Applied> {
        let command = Bytes::from(command);
        let applied = match &self.cluster {
            Some(cluster) if self.is_here() => cluster.propose(self.id, command, PROPOSAL_TIMEOUT),
            Some(cluster) => cluster.propose_elsewhere(self.id, &command, PROPOSAL_TIMEOUT),
            None => self.replica()?.propose(command).and_then(|answer| answer.wait_timeout(PROPOSAL_TIMEOUT)),
        };
        applied.map_err(refused)
    }

    /// Proposes a command if this node leads, and waits as [`Group::propose`] does. What was decided as the leader must not
    /// be proposed by way of a later one.
    ///
    /// # Errors
    /// `Unavailable` when another node leads; as [`Group::propose`].
    pub fn propose_as_leader(&self, command: Vec<u8>) -> Result<Applied> {
        let answer = self.replica()?.propose(Bytes::from(command)).map_err(refused)?;
        answer.wait_timeout(PROPOSAL_TIMEOUT).map_err(refused)
    }

    /// The last entry that is applied here; 0 when no replica serves here.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.replica.load().as_ref().map_or(0, |replica| replica.applied())
    }

    /// Asks for a point from which reads see everything acknowledged before this call, anywhere.
    ///
    /// # Errors
    /// Retryable refusals.
    pub fn read_point(&self) -> Result<Pending<ReadPoint>> {
        self.replica()?.read_index().map_err(refused)
    }

    /// Waits until everything acknowledged before this call is applied here.
    ///
    /// # Errors
    /// `Timeout`, `Unavailable`.
    pub fn read_barrier(&self) -> Result<u64> {
        let pending = self.replica()?.read_index().map_err(refused)?;
        pending.wait_timeout(PROPOSAL_TIMEOUT).map(|point| point.index).map_err(refused)
    }

    /// Whether the group serves.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<()> {
        let replica = self.replica()?;
        if self.cluster.is_some() && replica.status().leader.is_none() {
            return Err(Error::Unavailable(format!("no leader is known. group=`{}`", self.name)));
        }
        replica.read_index().map(drop).map_err(refused)
    }
}

/// [`Group::read_point`] of several groups, all at the same time: they share messages.
pub(super) fn read_points(groups: Vec<&Group>) -> Vec<(&Group, Result<Pending<ReadPoint>>)> {
    let replicas: Vec<_> = groups.iter().map(|group| group.replica()).collect();
    let here: Vec<&GroupHandle> = replicas.iter().flatten().map(AsRef::as_ref).collect();
    let mut points = GroupHandle::read_indexes(&here).into_iter();
    let asked = groups.into_iter().zip(&replicas).filter_map(|(group, replica)| {
        let point = match replica {
            Ok(_) => points.next()?.map_err(refused),
            Err(reason) => Err(Error::Unavailable(reason.to_string())),
        };
        Some((group, point))
    });
    asked.collect()
}

/// Proposes a command to each of several groups, all at the same time, so that those led here share an fsync; the outcomes in
/// the same order. Cost: in a cluster, a thread for each command but one.
pub(super) fn propose_all(proposals: Vec<(&Group, Vec<u8>)>) -> Vec<Result<Applied>> {
    if proposals.iter().any(|(group, _)| group.cluster.is_some()) {
        return propose_from_threads(proposals);
    }
    let proposed = proposals
        .into_iter()
        .map(|(group, command)| group.replica()?.propose(Bytes::from(command)).map_err(refused));
    let answers: Vec<_> = proposed.collect();
    let outcomes = answers.into_iter().map(|answer| answer?.wait_timeout(PROPOSAL_TIMEOUT).map_err(refused));
    outcomes.collect()
}

/// [`propose_all`] where a proposal waits for a leader elsewhere.
fn propose_from_threads(mut proposals: Vec<(&Group, Vec<u8>)>) -> Vec<Result<Applied>> {
    let Some((last, command)) = proposals.pop() else { return Vec::new() };
    std::thread::scope(|scope| {
        let threads: Vec<_> = proposals
            .into_iter()
            .map(|(group, command)| scope.spawn(move || group.propose(command)))
            .collect();
        let last = last.propose(command);
        let gone = |_| Err(Error::Internal("a thread that proposed has panicked".to_owned()));
        let mut outcomes: Vec<_> =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(gone)).collect();
        outcomes.push(last);
        outcomes
    })
}

pub(super) fn refused(error: ClusterError) -> Error {
    match error {
        ClusterError::Busy { .. } => Error::Exhausted(error.to_string()),
        ClusterError::DiskFull { .. } => Error::Exhausted(error.to_string()),
        ClusterError::NotLeader { .. } | ClusterError::Dropped { .. } | ClusterError::Stopped { .. } => {
            Error::Unavailable(error.to_string())
        }
        ClusterError::TooLarge { bytes, max } => Error::invalid(
            "batch",
            format!(
                "one log entry of it is too large: send fewer rows at once. bytes=`{bytes}`, bytes_max=`{max}`"
            ),
        ),
        ClusterError::Timeout { .. } => {
            Error::Timeout { ms: u64::try_from(PROPOSAL_TIMEOUT.as_millis()).unwrap_or(u64::MAX) }
        }
        ClusterError::Quarantined { .. } | ClusterError::NodeFailed { .. } => {
            Error::Corrupt(error.to_string())
        }
    }
}
