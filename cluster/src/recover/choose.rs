//! Which replica of each group goes on: this directory's own, or another's.
//!
//! Of two replicas the one with the larger last term, and of equal terms the one with more entries, has every entry that was
//! committed and is in either of them, whether it voted or not (Raft paper, 5.4.1 and 5.4.3). So where this directory has
//! fewer, what it lacks of the other's log is put behind its own; its files stay. A group that it lacks is taken whole: one
//! it never held, one that waits for its first snapshot, and one that has gone on without it.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::survivor::{Replica, Survivor, apart};
use super::{GroupRecovery, RecoverError, Source, Stored, group_plan, last};
use crate::error::LogError;
use crate::ids::{GroupId, StoreId};
use crate::log::engine_log::EngineLog;
use crate::log::store::{LogStore as _, NOTHING, StoredGroup};
use crate::map::MapState;

/// What the directory itself has.
pub(super) struct Own<'a> {
    pub log: &'a EngineLog,
    pub stored: &'a Stored,
    pub map: &'a MapState,
}

/// The name of the folder with a group's files.
pub(super) type Folder = fn(GroupId) -> Option<String>;

/// Says of every group that the directory holds or should hold what becomes of it.
///
/// # Errors
/// Those of reading logs.
pub(super) fn choose(
    own: &Own<'_>,
    others: &[Survivor],
    folder: Folder,
) -> Result<Vec<GroupRecovery>, RecoverError> {
    let stored = own.stored.iter().map(|(group, _)| *group);
    // Who is behind may not have heard of all places.
    let maps = others.iter().map(|other| &other.map).chain([own.map]);
    let placed = maps.flat_map(|map| map.placements.keys().copied());
    let groups: BTreeSet<GroupId> = stored.chain(placed).collect();
    groups.into_iter().map(|group| choose_one(own, others, folder, group)).collect()
}

fn choose_one(
    own: &Own<'_>,
    others: &[Survivor],
    folder: Folder,
    group: GroupId,
) -> Result<GroupRecovery, RecoverError> {
    let mine = own.stored.iter().find(|(known, _)| *known == group).map(|(_, stored)| stored);
    let plan = mine.map(|stored| group_plan(own.log, group, stored)).transpose()?;
    let best = best(others, folder, group);
    let (Some(stored), Some(plan)) = (mine, plan) else {
        let best = best.filter(|_| folder(group).is_some());
        return Ok(best.map_or_else(|| nowhere(own, others, folder, group), whole));
    };
    let Some((other, replica)) = best else { return Ok(plan) };
    if is_lacking(stored) {
        // Its files may be those of a snapshot that its log does not know yet.
        let here = stored.install.as_ref().map_or((0, 0), |install| (install.at.term, install.at.index));
        let is_better = rank(&replica.plan) > rank(&plan) && rank(&replica.plan) >= here;
        let has_folder = folder(group).is_some();
        return Ok(if is_better && has_folder { whole((other, replica)) } else { plan });
    }
    if plan.problem.is_some() || rank(&replica.plan) <= rank(&plan) {
        return Ok(plan);
    }
    longer(own, (stored, plan), (other, replica))
}

/// Whether a replica here is none that its group could go on from while there is another: it waits for its first snapshot, or
/// the group has gone on without it.
fn is_lacking(stored: &StoredGroup) -> bool {
    let has_left = !stored.members.peers().is_empty() && !stored.members.contains(stored.peer);
    stored.truncated == NOTHING || has_left
}

fn rank(plan: &GroupRecovery) -> (u64, u64) {
    (plan.last_term, plan.last)
}

/// The best replica of a group among the others; of equal ones one that voted, then that of the directory that was given first.
fn best(others: &[Survivor], folder: Folder, group: GroupId) -> Option<(&Survivor, &Replica)> {
    let found = others.iter().enumerate().filter_map(|(at, other)| {
        let replica = other.replicas.get(&group)?;
        let has_files = folder(group).is_none_or(|name| other.dir.join(name).is_dir());
        (replica.plan.problem.is_none() && has_files).then_some((at, other, replica))
    });
    let best = found.max_by_key(|(at, _, replica)| (rank(&replica.plan), replica.plan.voted, Reverse(*at)));
    best.map(|(_, other, replica)| (other, replica))
}

fn whole((other, replica): (&Survivor, &Replica)) -> GroupRecovery {
    GroupRecovery { source: Source::Whole { from: other.dir.clone() }, ..replica.plan.clone() }
}

/// A group that this directory holds, and of which another has more: its entries are taken if its log still has all that come
/// behind those here.
fn longer(
    own: &Own<'_>,
    (stored, plan): (&StoredGroup, GroupRecovery),
    (other, replica): (&Survivor, &Replica),
) -> Result<GroupRecovery, RecoverError> {
    let (group, theirs) = (plan.group, &replica.stored);
    let is_same = |index: u64| -> Result<bool, RecoverError> {
        let here = term_at(own.log, group, stored, index)?;
        let there = apart(|| Ok(term_at(&other.log, group, theirs, index)?))?;
        Ok(here.is_some() && here == there)
    };
    // Up to here the two are the same, if both have it: it was committed.
    let mut behind = plan.commit.max(theirs.truncated.index);
    if !is_same(behind)? {
        return Ok(GroupRecovery { newer: Some(other.dir.clone()), ..plan });
    }
    // Logs that agree on an entry agree on all before it. Only what differs is replaced: some of the rest may be applied here.
    let mut differs = plan.last.min(replica.plan.last) + 1;
    while behind + 1 < differs {
        let middle = behind + (differs - behind) / 2;
        let bound = if is_same(middle)? { &mut behind } else { &mut differs };
        *bound = middle;
    }
    Ok(GroupRecovery {
        last_term: replica.plan.last_term,
        last: replica.plan.last,
        commit: plan.commit.max(replica.plan.commit),
        source: Source::Entries { from: other.dir.clone(), behind },
        ..plan
    })
}

/// The term of an entry that a log has, or whose place it begins behind.
fn term_at(
    log: &EngineLog,
    group: GroupId,
    stored: &StoredGroup,
    index: u64,
) -> Result<Option<u64>, LogError> {
    if index == stored.truncated.index {
        return Ok(Some(stored.truncated.term));
    }
    if index < stored.truncated.index || index > last(stored) {
        return Ok(None);
    }
    Ok(log.read(group, index, index + 1, u64::MAX)?.pop().map(|entry| entry.term))
}

/// A group that has its places, none of which is a directory that was given: a cluster that went on without it could never
/// serve it again.
fn nowhere(own: &Own<'_>, others: &[Survivor], folder: Folder, group: GroupId) -> GroupRecovery {
    let maps = [own.map].into_iter().chain(others.iter().map(|other| &other.map));
    let places: BTreeSet<StoreId> =
        maps.clone().filter_map(|map| map.placements.get(&group)).flatten().copied().collect();
    let address = |store: &StoreId| {
        let known = maps.clone().find_map(|map| map.nodes.get(store));
        known.map_or_else(|| store.to_string(), |node| format!("{store} at {}", node.address))
    };
    let nodes: Vec<String> = places.iter().map(address).collect();
    let problem = format!(
        "only other nodes hold {}, and what is in it would be lost: name the directory of one of them that is left with \
         --from ({})",
        folder(group).unwrap_or_else(|| format!("group {group}")),
        nodes.join(", ")
    );
    GroupRecovery {
        group,
        voters: places.len(),
        voted: false,
        last_term: 0,
        commit: 0,
        last: 0,
        source: Source::Here,
        newer: None,
        problem: Some(problem),
    }
}
