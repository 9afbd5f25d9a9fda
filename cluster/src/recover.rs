//! After a majority is lost for good: the directory of one survivor becomes a cluster of one. Offline and explicit.
//!
//! What the survivor's log holds stays, entries that were never committed included: of those nobody knows the outcome,
//! and to keep one that was acknowledged matters more than to drop one that was not. What others acknowledged without this
//! replica is lost; the plan says from where on.
//!
//! The directory gets a cluster id of its own. So a node that comes back after all is refused by every message it sends, and
//! can never win an election here; the two clusters never become one. Order, so that a crash in the middle leaves
//! something that `apply` finishes and that nobody can serve from meanwhile: the new identity, with which no majority of before has
//! anything to do; then the members of all groups in one write; then the map.

use std::fs;
use std::path::{Path, PathBuf};

use raft::eraftpb::ConfState;

use crate::closed;
use crate::config::NodeConfig;
use crate::env::Env;
use crate::error::{LogError, OpenError};
use crate::files;
use crate::identity::{Identity, IdentityFile};
use crate::ids::{ClusterId, GroupId, PeerId, StoreId};
use crate::log::engine_log::EngineLog;
use crate::log::store::{GroupWrite, Install, LogStore, NOTHING, StoredGroup};
use crate::map::{MAP_GROUP, MapMachine, MapState, NodeIntent};
use crate::members::Members;
use crate::open::{CLOSED, IDENTITY, RAFT, open_files};

/// What a recovery of a directory does, or has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The cluster the directory is of.
    pub cluster: ClusterId,
    /// The cluster it is the only node of afterwards; `None` in a plan.
    pub new_cluster: Option<ClusterId>,
    /// The directory.
    pub store: StoreId,
    /// The nodes that are given up, with their addresses.
    pub lost: Vec<(StoreId, String)>,
    /// Every group the directory holds, ascending.
    pub groups: Vec<GroupRecovery>,
}

/// One group of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRecovery {
    /// The group.
    pub group: GroupId,
    /// How many replicas voted.
    pub voters: usize,
    /// Whether this one did.
    pub voted: bool,
    /// The term of the last entry here: of two survivors the one with the larger term is newer, whatever the number of its
    /// entries, and of equal terms the one with more (Raft paper, 5.4.1).
    pub last_term: u64,
    /// Everything up to here was committed: a majority had it.
    pub commit: u64,
    /// The last entry here: the group continues behind it.
    pub last: u64,
    /// Why the group cannot go on from this directory.
    pub problem: Option<String>,
}

/// Why a directory is not recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// It is in use, damaged, or cannot be written.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// There is nothing to recover here, or not from here.
    #[error("the directory cannot become a cluster of one: {reason}. path=`{path}`")]
    Refused {
        /// Why.
        reason: String,
        /// The directory.
        path: PathBuf,
    },
}

/// Says what [`apply_recovery`] would do. Changes nothing but what every start of the directory does.
///
/// # Errors
/// See [`RecoverError`].
pub fn plan_recovery(dir: &Path) -> Result<Recovery, RecoverError> {
    with_files(dir, |log, identity| Ok(look(dir, log, &identity.identity)?.0))
}

/// Makes the directory a cluster of one, if it is of the cluster that the plan named: a second run after the first has
/// succeeded would give up the nodes that have joined the new cluster since.
///
/// # Errors
/// See [`RecoverError`]; nothing was changed after `Refused`. After any other error make a new plan, and apply that: a
/// run that was cut short may have drawn the new cluster's id already.
pub fn apply_recovery(dir: &Path, planned: ClusterId) -> Result<Recovery, RecoverError> {
    with_files(dir, |log, file| {
        let identity = file.identity.clone();
        let (mut recovery, stored) = look(dir, log, &identity)?;
        if identity.cluster != planned {
            let reason = format!(
                "it is of cluster {}, and the plan was for {planned}: it was recovered since, or a recovery was cut short. \
                 Make a new plan and see which nodes that one gives up",
                identity.cluster
            );
            return Err(refused(dir, reason));
        }
        if let Some(group) = recovery.groups.iter().find(|group| group.problem.is_some()) {
            let problem = group.problem.clone().unwrap_or_default();
            return Err(refused(dir, format!("group {}: {problem}", group.group)));
        }
        let path = dir.join(IDENTITY);
        let new = Identity { store: identity.store, ..Identity::draw(None, &Env::real(), &path)? };
        // Without the file a start makes it anew from the log's copy, whichever that is then.
        files::remove(&path)?;
        log.put_identity(files::with_checksum(new.to_text()).as_bytes())?;
        recovery.new_cluster = Some(new.cluster);
        *file = IdentityFile::create(&path, new, log.groups())?;
        let writes: Vec<GroupWrite> =
            stored.into_iter().map(|(group, stored)| alone(group, stored, identity.store)).collect();
        log.write(&writes)?;
        MapMachine::open(dir)?.leave_others(identity.store)?;
        Ok(recovery)
    })
}

/// Opens a member's directory as a start does, and closes it as a stop does.
fn with_files<T>(
    dir: &Path,
    work: impl FnOnce(&EngineLog, &mut IdentityFile) -> Result<T, RecoverError>,
) -> Result<T, RecoverError> {
    if !fs::exists(dir.join(RAFT)).unwrap_or(false) {
        return Err(refused(dir, "there is no database in it".to_owned()));
    }
    let lock = files::lock_dir(dir)?;
    let (log, mut identity, _) = open_files(dir, &NodeConfig::default(), &Env::real())?;
    let outcome = work(&log, &mut identity);
    let is_whole = !log.failed() && matches!(outcome, Ok(_) | Err(RecoverError::Refused { .. }));
    drop(log);
    if is_whole {
        closed::write(&dir.join(CLOSED), &dir.join(RAFT))?;
    }
    drop(lock);
    outcome
}

type Stored = Vec<(GroupId, StoredGroup)>;

fn look(dir: &Path, log: &EngineLog, identity: &Identity) -> Result<(Recovery, Stored), RecoverError> {
    let mut stored = Vec::new();
    for group in log.groups() {
        stored.extend(log.load(group)?.map(|found| (group, found)));
    }
    if !stored.iter().any(|(group, _)| *group == MAP_GROUP) {
        return Err(refused(dir, "it is in no cluster".to_owned()));
    }
    let map = MapMachine::open(dir)?.reader().map();
    if map.nodes.get(&identity.store).is_some_and(|node| node.intent == NodeIntent::Removed) {
        return Err(refused(dir, "the node was removed from its cluster".to_owned()));
    }
    let mut groups: Vec<GroupRecovery> =
        stored.iter().map(|(group, stored)| group_plan(log, *group, stored)).collect::<Result<_, _>>()?;
    groups.extend(elsewhere(&map, &stored));
    let recovery = Recovery {
        cluster: identity.cluster,
        new_cluster: None,
        store: identity.store,
        lost: lost(&map, identity.store),
        groups,
    };
    Ok((recovery, stored))
}

/// Groups that have their places, none of them here: a cluster that went on without them could never serve them again.
fn elsewhere(map: &MapState, stored: &Stored) -> Vec<GroupRecovery> {
    let is_absent = |group: &&GroupId| stored.iter().all(|(known, _)| known != *group);
    let plan = |group: &GroupId| {
        GroupRecovery {
        group: *group,
        voters: map.placements[group].len(),
        voted: false,
        last_term: 0,
        commit: 0,
        last: 0,
        problem: Some(
            "only other nodes hold it, and what is in it would be lost: take a survivor that holds every group"
                .to_owned(),
        ),
    }
    };
    map.placements.keys().filter(is_absent).map(plan).collect()
}

fn lost(map: &MapState, own: StoreId) -> Vec<(StoreId, String)> {
    map.others(own).map(|(store, node)| (store, node.address.clone())).collect()
}

fn group_plan(log: &EngineLog, group: GroupId, stored: &StoredGroup) -> Result<GroupRecovery, LogError> {
    let StoredGroup { peer, truncated, hard_state, members, install, .. } = stored;
    let newest = match stored.entries {
        Some((_, last)) => log.read(group, last, last + 1, u64::MAX)?.pop(),
        None => None,
    };
    let problem = if *truncated == NOTHING {
        Some("it was never caught up here: it waits for its first snapshot".to_owned())
    } else if install.as_ref().is_some_and(|install| install.at.index > last(stored)) {
        Some(
            "a snapshot was being taken over: start the node once as it is, stop it, and try again"
                .to_owned(),
        )
    } else {
        None
    };
    Ok(GroupRecovery {
        group,
        voters: members.conf_state.voters.len(),
        voted: members.is_voter(peer.0),
        last_term: newest.map_or(truncated.term, |entry| entry.term),
        commit: hard_state.commit.max(truncated.index),
        last: last(stored),
        problem,
    })
}

fn last(stored: &StoredGroup) -> u64 {
    stored.entries.map_or(stored.truncated.index, |(_, last)| last)
}

/// The write that leaves a replica as the only member of its group. Changes of members up to the last entry are not
/// applied any more.
fn alone(group: GroupId, stored: StoredGroup, store: StoreId) -> GroupWrite {
    let index = stored.members.index.max(last(&stored));
    let members = only(index, stored.peer, store);
    let install = stored.install.map(|install| Install { members: members.clone(), ..install });
    GroupWrite { members: Some(members), install, ..GroupWrite::new(group) }
}

fn only(index: u64, peer: PeerId, store: StoreId) -> Members {
    let mut conf_state = ConfState::default();
    conf_state.set_voters(vec![peer.0]);
    Members { index, conf_state, stores: [(peer.0, store)].into() }
}

fn refused(dir: &Path, reason: String) -> RecoverError {
    RecoverError::Refused { reason, path: dir.to_owned() }
}

#[cfg(test)]
mod tests;
