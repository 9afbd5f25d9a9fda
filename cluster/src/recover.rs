//! After a majority is lost for good: the directory of one survivor becomes a cluster of one. Offline and explicit.
//!
//! What the survivor's log holds stays, entries that were never committed included: of those nobody knows the outcome,
//! and to keep one that was acknowledged matters more than to drop one that was not. What others acknowledged without this
//! replica is lost; the plan says from where on.
//!
//! Groups that are on some of the nodes only come from the directories of other survivors where this one lacks them
//! ([`Others`]), and so do last entries that it lacks: of each group the replica that has most goes on. Those directories are
//! read, and never changed.
//!
//! The directory gets a cluster id of its own. So a node that comes back after all is refused by every message it sends, and
//! can never win an election here; the two clusters never become one. Order, so that a crash in the middle leaves
//! something that `apply` finishes and that nobody can serve from meanwhile: copies of what is taken, in a folder nobody else
//! looks at, so that what cannot be read or has no room stops everything before anything was changed; a note of which cluster this
//! was, for the run that finishes an interrupted one; the new identity, with which no majority of before has
//! anything to do; what is taken, of each group its files before its log; then the members of all groups in one write; then
//! the map, without which nobody knows which groups were still to be taken.

use std::fs;
use std::path::{Path, PathBuf};

use raft::eraftpb::ConfState;

use self::choose::{Folder, Own, choose};
use self::survivor::{Survivor, apart, open_all};
use self::take::{Work, bring, earlier_cluster, forget_cluster, remember_cluster, stage};
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
    /// The other directories that were looked at.
    pub others: Vec<(StoreId, PathBuf)>,
    /// Every group the directory holds or should hold, ascending.
    pub groups: Vec<GroupRecovery>,
}

/// Directories of other survivors of the same cluster.
#[derive(Clone, Copy)]
pub struct Others<'a> {
    /// The directories. They are locked while they are read, and never changed.
    pub dirs: &'a [PathBuf],
    /// The folder in a data directory that holds all of a group's files; `None` for a group whose files cannot be taken.
    pub folder: fn(GroupId) -> Option<String>,
}

/// What of a group comes from another directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Nothing.
    #[default]
    Here,
    /// The entries behind one: this directory holds the group, and has fewer.
    Entries {
        /// The other directory.
        from: PathBuf,
        /// The last entry before them.
        behind: u64,
    },
    /// Log and files.
    Whole {
        /// The other directory.
        from: PathBuf,
    },
}

/// One group of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRecovery {
    /// The group.
    pub group: GroupId,
    /// How many replicas voted.
    pub voters: usize,
    /// Whether the one that goes on did.
    pub voted: bool,
    /// The term of its last entry: of two survivors the one with the larger term is newer, whatever the number of its
    /// entries, and of equal terms the one with more (Raft paper, 5.4.1).
    pub last_term: u64,
    /// Everything up to here was committed: a majority had it.
    pub commit: u64,
    /// Its last entry: the group continues behind it.
    pub last: u64,
    /// What of it comes from another directory.
    pub source: Source,
    /// A directory whose replica has more and is not taken: it no longer has the entries in between.
    pub newer: Option<PathBuf>,
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
    /// Another directory is in use, damaged, or cannot be read.
    #[error(transparent)]
    Other(OpenError),
    /// Nothing can be taken from another directory that was given.
    #[error("nothing can be taken from this directory: {reason}. path=`{path}`")]
    Unfit {
        /// Why.
        reason: String,
        /// The other directory.
        path: PathBuf,
    },
}

/// Says what [`apply_recovery`] would do. Changes nothing but what every start of the directory does.
///
/// # Errors
/// See [`RecoverError`].
pub fn plan_recovery(dir: &Path, others: Others<'_>) -> Result<Recovery, RecoverError> {
    with_files(dir, |log, file| Ok(look(dir, log, &file.identity, others)?.recovery))
}

/// Makes the directory a cluster of one, if it is of the cluster that the plan named: a second run after the first has
/// succeeded would give up the nodes that have joined the new cluster since.
///
/// # Errors
/// See [`RecoverError`]; nothing was changed after `Refused`, `Unfit` and `Other`. After any other error make a new plan, and
/// apply that: a run that was cut short may have drawn the new cluster's id already.
pub fn apply_recovery(dir: &Path, planned: ClusterId, others: Others<'_>) -> Result<Recovery, RecoverError> {
    with_files(dir, |log, file| {
        let was = file.identity.clone();
        let mut found = look(dir, log, &was, others)?;
        check(dir, &found.recovery, planned, others.folder)?;
        stage(&found, others.folder)?;
        if !others.dirs.is_empty() {
            remember_cluster(dir, was.cluster)?;
        }
        let cluster = change_cluster(dir, log, file, &was)?;
        bring(dir, log, file, &found, others.folder)?;
        let stored = stored_groups(log)?.into_iter();
        let writes: Vec<GroupWrite> = stored.map(|(group, stored)| alone(group, stored, was.store)).collect();
        log.write(&writes)?;
        // Nothing is left to be taken.
        forget_cluster(dir)?;
        MapMachine::open(dir)?.leave_others(was.store)?;
        found.recovery.new_cluster = Some(cluster);
        Ok(found.recovery)
    })
}

fn check(dir: &Path, recovery: &Recovery, planned: ClusterId, folder: Folder) -> Result<(), RecoverError> {
    if recovery.cluster != planned {
        let reason = format!(
            "it is of cluster {}, and the plan was for {planned}: it was recovered since, or a recovery was cut short. \
             Make a new plan and see which nodes that one gives up",
            recovery.cluster
        );
        return Err(refused(dir, reason));
    }
    let stuck = recovery.groups.iter().find_map(|group| Some((group.group, group.problem.as_ref()?)));
    stuck.map_or(Ok(()), |(group, problem)| {
        let name = folder(group).unwrap_or_else(|| format!("group {group}"));
        Err(refused(dir, format!("{name}: {problem}")))
    })
}

/// Draws the id of the new cluster.
fn change_cluster(
    dir: &Path,
    log: &EngineLog,
    file: &mut IdentityFile,
    was: &Identity,
) -> Result<ClusterId, RecoverError> {
    let path = dir.join(IDENTITY);
    let new = Identity { store: was.store, ..Identity::draw(None, &Env::real(), &path)? };
    let cluster = new.cluster;
    // Without the file a start makes it anew from the log's copy, whichever that is then.
    files::remove(&path)?;
    log.put_identity(files::with_checksum(new.to_text()).as_bytes())?;
    *file = IdentityFile::create(&path, new, log.groups())?;
    Ok(cluster)
}

/// Opens a member's directory as a start does, and closes it as a stop does.
fn with_files<T: Send>(
    dir: &Path,
    work: impl FnOnce(&EngineLog, &mut IdentityFile) -> Result<T, RecoverError> + Send,
) -> Result<T, RecoverError> {
    if !fs::exists(dir.join(RAFT)).unwrap_or(false) {
        return Err(refused(dir, "there is no database in it".to_owned()));
    }
    let lock = files::lock_dir(dir)?;
    apart(|| {
        let (log, mut identity, _) = open_files(dir, &NodeConfig::default(), &Env::real())?;
        let outcome = work(&log, &mut identity);
        let is_done = match &outcome {
            Ok(_) => true,
            Err(error) => {
                matches!(
                    error,
                    RecoverError::Refused { .. } | RecoverError::Unfit { .. } | RecoverError::Other(_)
                )
            }
        };
        let is_whole = !log.failed() && is_done;
        drop(log);
        if is_whole {
            closed::write(&dir.join(CLOSED), &dir.join(RAFT))?;
        }
        drop(lock);
        outcome
    })
}

type Stored = Vec<(GroupId, StoredGroup)>;

/// What a look at all directories found.
struct Found {
    recovery: Recovery,
    others: Vec<Survivor>,
    /// Given up last: the logs of the others are open in it.
    work: Work,
}

fn look(dir: &Path, log: &EngineLog, identity: &Identity, others: Others<'_>) -> Result<Found, RecoverError> {
    let stored = stored_groups(log)?;
    if !stored.iter().any(|(group, _)| *group == MAP_GROUP) {
        return Err(refused(dir, "it is in no cluster".to_owned()));
    }
    let map = MapMachine::open(dir)?.reader().map();
    if is_removed(&map, identity.store) {
        return Err(refused(dir, "the node was removed from its cluster".to_owned()));
    }
    let work = Work::make(dir)?;
    let survivors = open_all(dir, &map, identity, earlier_cluster(dir)?, (others.dirs, &work))?;
    let own = Own { log, stored: &stored, map: &map };
    let recovery = Recovery {
        cluster: identity.cluster,
        new_cluster: None,
        store: identity.store,
        lost: lost(&map, identity.store),
        others: survivors.iter().map(|other| (other.identity.store, other.dir.clone())).collect(),
        groups: choose(&own, &survivors, others.folder)?,
    };
    Ok(Found { recovery, others: survivors, work })
}

fn stored_groups(log: &EngineLog) -> Result<Stored, LogError> {
    let mut stored = Vec::new();
    for group in log.groups() {
        stored.extend(log.load(group)?.map(|found| (group, found)));
    }
    Ok(stored)
}

fn is_removed(map: &MapState, store: StoreId) -> bool {
    map.nodes.get(&store).is_some_and(|node| node.intent == NodeIntent::Removed)
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
        source: Source::Here,
        newer: None,
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

mod choose;
mod survivor;
mod take;

#[cfg(test)]
mod taking_tests;
#[cfg(test)]
mod tests;
