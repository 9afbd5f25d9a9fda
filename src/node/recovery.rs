//! A survivor of a lost majority goes on alone: offline, explicit.

use std::path::{Path, PathBuf};

use segue_cluster::{
    ClusterId, GroupId, GroupRecovery, MAP_GROUP, Others, RecoverError, Recovery, Source, apply_recovery,
    plan_recovery,
};
use serde::{Deserialize, Serialize};

use super::open::open_error;
use super::report::group_name;
use crate::error::{Error, Result};
use crate::storage::error::describe;

/// What a recovery of a directory would do, or has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryReport {
    /// It is done; otherwise nothing was changed.
    pub applied: bool,
    /// The cluster the directory was of.
    pub cluster_id: String,
    /// The cluster it is the only node of now; absent in a plan.
    pub new_cluster_id: Option<String>,
    /// The node of the directory.
    pub node: String,
    /// The nodes that are given up, each with its address.
    pub lost_nodes: Vec<(String, String)>,
    /// The other directories that were looked at, each with its node.
    #[serde(default)]
    pub others: Vec<(String, PathBuf)>,
    /// Every group.
    pub groups: Vec<GroupOutlook>,
}

/// What becomes of one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupOutlook {
    /// Its name.
    pub group: String,
    /// How many replicas voted.
    pub voters: u32,
    /// Whether the one that goes on did: otherwise it may be further behind than a voter could be.
    pub voted: bool,
    /// The term of the last entry: the survivor with the largest is the newest, of equal ones that with the most entries.
    pub last_term: u64,
    /// Everything up to here was committed, and stays.
    pub committed: u64,
    /// The last entry: the group goes on behind it.
    pub continues_from: u64,
    /// The other directory that it, or the end of its log, is taken from; absent when all of it is here.
    #[serde(default)]
    pub taken_from: Option<PathBuf>,
    /// Only the entries behind this one are taken: the rest is here. Absent when the group is taken whole.
    #[serde(default)]
    pub taken_behind: Option<u64>,
    /// A directory that has more of the group, but no longer all entries that follow on what is here: nothing is taken from it.
    #[serde(default)]
    pub newer_in: Option<PathBuf>,
    /// Why it cannot; empty when it can.
    pub problem: String,
}

impl GroupOutlook {
    /// What may be lost or kept that nobody is sure of, as a sentence.
    #[must_use]
    pub fn risk(&self) -> String {
        let unsure = match self.continues_from.saturating_sub(self.committed) {
            0 => String::new(),
            count => format!("{count} entries that may never have been acknowledged are kept; "),
        };
        let from = if self.voters == 1 && self.voted {
            "nothing is lost: this replica was the only one that voted".to_owned()
        } else {
            format!("what only others acknowledged behind entry {} is lost", self.committed)
        };
        format!("{unsure}{from}")
    }

    /// What of it comes from elsewhere, or would be better from there, as the beginning of a sentence.
    #[must_use]
    pub fn origin(&self) -> String {
        let at = |dir: &Path| format!("`{}`", dir.display());
        match (&self.taken_from, self.taken_behind, &self.newer_in) {
            (Some(from), Some(behind), _) => {
                format!("entries behind {behind} are taken from {}; ", at(from))
            }
            (Some(from), None, _) => format!("taken from {}; ", at(from)),
            (None, _, Some(newer)) => format!(
                "{} HAS MORE OF IT, which cannot be put behind what is here: recover that directory, with --from this one; ",
                at(newer)
            ),
            (None, _, None) => String::new(),
        }
    }
}

/// Plans the recovery of a member's directory, or carries it out with the cluster id that the plan named. What it lacks comes
/// from the directories `from` of other survivors.
///
/// # Errors
/// `InvalidArgument` for what is no cluster id; `Unavailable` while a directory is in use; `Conflict` when it cannot be
/// recovered, or is of another cluster than the plan was for, and when another directory is none that it can be taken from;
/// damage.
pub fn recover(dir: &Path, from: &[PathBuf], apply: Option<&str>) -> Result<RecoveryReport> {
    let others = Others { dirs: from, folder };
    let outcome = match apply {
        Some(planned) => {
            let cluster: ClusterId = planned.parse().map_err(|_| {
                Error::invalid(
                    "apply",
                    format!("is no cluster id: take the one that --plan prints. value=`{planned}`"),
                )
            })?;
            apply_recovery(dir, cluster, others)
        }
        None => plan_recovery(dir, others),
    };
    outcome.map(|recovery| report(&recovery)).map_err(|error| match error {
        RecoverError::Open(error) | RecoverError::Other(error) => open_error(error),
        RecoverError::Log(error) => Error::Corrupt(describe(&error)),
        refused @ (RecoverError::Refused { .. } | RecoverError::Unfit { .. }) => {
            Error::Conflict(refused.to_string())
        }
    })
}

/// The folder with a group's files; the map's are not this crate's.
fn folder(group: GroupId) -> Option<String> {
    (group != MAP_GROUP).then(|| group_name(group))
}

fn report(recovery: &Recovery) -> RecoveryReport {
    RecoveryReport {
        applied: recovery.new_cluster.is_some(),
        cluster_id: recovery.cluster.to_string(),
        new_cluster_id: recovery.new_cluster.map(|id| id.to_string()),
        node: recovery.store.to_string(),
        lost_nodes: recovery.lost.iter().map(|(store, at)| (store.to_string(), at.clone())).collect(),
        others: recovery.others.iter().map(|(store, dir)| (store.to_string(), dir.clone())).collect(),
        groups: recovery.groups.iter().map(outlook).collect(),
    }
}

fn outlook(group: &GroupRecovery) -> GroupOutlook {
    let (taken_from, taken_behind) = match &group.source {
        Source::Here => (None, None),
        Source::Entries { from, behind } => (Some(from.clone()), Some(*behind)),
        Source::Whole { from } => (Some(from.clone()), None),
    };
    GroupOutlook {
        group: group_name(group.group),
        voters: u32::try_from(group.voters).unwrap_or(u32::MAX),
        voted: group.voted,
        last_term: group.last_term,
        committed: group.commit,
        continues_from: group.last,
        taken_from,
        taken_behind,
        newer_in: group.newer.clone(),
        problem: group.problem.clone().unwrap_or_default(),
    }
}
