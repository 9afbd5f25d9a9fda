//! A survivor of a lost majority goes on alone: offline, explicit.

use std::path::Path;

use segue_cluster::{ClusterId, RecoverError, Recovery, apply_recovery, plan_recovery};
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
    /// Whether this one did: otherwise it may be further behind than a voter could be.
    pub voted: bool,
    /// The term of the last entry: the survivor with the largest is the newest, of equal ones that with the most entries.
    pub last_term: u64,
    /// Everything up to here was committed, and stays.
    pub committed: u64,
    /// The last entry here: the group goes on behind it.
    pub continues_from: u64,
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
}

/// Plans the recovery of a member's directory, or carries it out with the cluster id that the plan named.
///
/// # Errors
/// `InvalidArgument` for what is no cluster id; `Unavailable` while the directory is in use; `Conflict` when it cannot be
/// recovered, or is of another cluster than the plan was for; damage.
pub fn recover(dir: &Path, apply: Option<&str>) -> Result<RecoveryReport> {
    let outcome = match apply {
        Some(planned) => {
            let cluster: ClusterId = planned.parse().map_err(|_| {
                Error::invalid(
                    "apply",
                    format!("is no cluster id: take the one that --plan prints. value=`{planned}`"),
                )
            })?;
            apply_recovery(dir, cluster)
        }
        None => plan_recovery(dir),
    };
    outcome.map(|recovery| report(&recovery)).map_err(|error| match error {
        RecoverError::Open(error) => open_error(error),
        RecoverError::Log(error) => Error::Corrupt(describe(&error)),
        refused @ RecoverError::Refused { .. } => Error::Conflict(refused.to_string()),
    })
}

fn report(recovery: &Recovery) -> RecoveryReport {
    let group = |group: &segue_cluster::GroupRecovery| GroupOutlook {
        group: group_name(group.group),
        voters: u32::try_from(group.voters).unwrap_or(u32::MAX),
        voted: group.voted,
        last_term: group.last_term,
        committed: group.commit,
        continues_from: group.last,
        problem: group.problem.clone().unwrap_or_default(),
    };
    RecoveryReport {
        applied: recovery.new_cluster.is_some(),
        cluster_id: recovery.cluster.to_string(),
        new_cluster_id: recovery.new_cluster.map(|id| id.to_string()),
        node: recovery.store.to_string(),
        lost_nodes: recovery.lost.iter().map(|(store, at)| (store.to_string(), at.clone())).collect(),
        groups: recovery.groups.iter().map(group).collect(),
    }
}
