//! Makes a group's view of its stored log, after checking everything Raft would panic on.
//!
//! `raft` panics on a commit index outside the log, on an applied index beyond the commit index and on
//! a membership without voters; a panic in the middle of a start helps nobody, so a replica whose log
//! breaks a rule is refused with the rule and its numbers.

use std::sync::Arc;

use raft::eraftpb::{Entry, HardState};

use super::group_log::GroupLog;
use super::store::{BOOTSTRAP, GroupWrite, Install, LogStore, NOTHING, StoredGroup, Truncated};
use crate::error::GroupError;
use crate::ids::{GroupId, PeerId};
use crate::state_machine::AppliedState;

/// Bytes of entries read at once while a log is checked.
const READ_BYTES: u64 = 4 << 20;

/// A group's log, ready to be driven.
pub(crate) struct Recovered {
    pub log: GroupLog,
    pub peer: PeerId,
    /// Everything up to here is in the state machine already.
    pub applied: u64,
    /// Must be durable before the log is used: finishes what a crash interrupted, or creates the replica.
    pub first_write: Option<GroupWrite>,
}

/// Reads a stored group and checks it against its state machine. Reads every entry once.
///
/// # Errors
/// `Inconsistent` with the rule that does not hold; `Log` when something cannot be read.
pub(crate) fn recover(
    group: GroupId,
    store: Arc<dyn LogStore>,
    stored: StoredGroup,
    state: &AppliedState,
) -> Result<Recovered, GroupError> {
    let rule = |broken: String| GroupError::Inconsistent { group, broken };
    let StoredGroup { peer, truncated, hard_state, members, install, entries } = stored;
    let waiting = truncated == NOTHING && members.peers().is_empty() && entries.is_none();
    check(waiting || truncated.index >= BOOTSTRAP.index && truncated.term >= BOOTSTRAP.term, || {
        rule(format!("the log starts before the first snapshot. truncated=`{truncated:?}`"))
    })?;
    check(waiting || members.contains(peer), || {
        rule(format!("the replica is not a member of its own group. peer=`{peer}`, members=`{members:?}`"))
    })?;
    check(hard_state.term >= truncated.term, || {
        rule(format!("the term fell. term=`{}`, truncated=`{truncated:?}`", hard_state.term))
    })?;

    let mut log = GroupLog::new(group, store.clone(), truncated, hard_state, members);
    if let Some((_, last)) = entries {
        fill(&mut log, group, store.as_ref(), last)?;
    }
    let (first, last) = (truncated.index + 1, log.last());
    // What was dropped was committed; earlier versions could leave an older commit index beside it.
    let commit = log.hard_state().commit.max(truncated.index);
    check(commit <= last, || {
        rule(format!("commit index outside the log. commit=`{commit}`, first=`{first}`, last=`{last}`"))
    })?;
    if let Some(install) = install.filter(|install| is_finished(install, &log, state)) {
        let write = finish_install(group, peer, install, log.hard_state());
        log.written(write.clone());
        return Ok(Recovered { applied: log.truncated().index, log, peer, first_write: Some(write) });
    }
    let applied = check_state(&log, state).map_err(rule)?;
    // The commit index is written lazily; what was applied was committed.
    log.set_commit(commit.max(applied));
    Ok(Recovered { log, peer, applied, first_write: None })
}

/// Returns whether the state machine was replaced by a snapshot before a crash kept the log from following.
///
/// A log that has the snapshot's last entry needs nothing: the install never began, or is long done.
fn is_finished(install: &Install, log: &GroupLog, state: &AppliedState) -> bool {
    let stands_there = place_of(state) == install.at;
    stands_there && log.term_of(install.at.index) != Some(install.at.term)
}

/// Where the log must go on behind a state machine.
fn place_of(state: &AppliedState) -> Truncated {
    if state.index <= BOOTSTRAP.index {
        return BOOTSTRAP;
    }
    Truncated { index: state.index, term: state.term }
}

/// Returns the write that lets the log follow an installed snapshot.
fn finish_install(group: GroupId, peer: PeerId, install: Install, before: &HardState) -> GroupWrite {
    let hard_state = HardState {
        term: before.term.max(install.at.term),
        commit: install.at.index,
        // A vote belongs to the term it was given in.
        vote: if before.term >= install.at.term { before.vote } else { 0 },
        ..HardState::default()
    };
    GroupWrite {
        peer: Some(peer),
        members: Some(install.members),
        hard_state: Some(hard_state),
        truncate: Some(install.at),
        reset: true,
        ..GroupWrite::new(group)
    }
}

/// Returns the index up to which `state` holds the log, or the rule it breaks.
fn check_state(log: &GroupLog, state: &AppliedState) -> Result<u64, String> {
    let (truncated, last) = (log.truncated(), log.last());
    let fresh = state.index <= BOOTSTRAP.index;
    if fresh && truncated.index > BOOTSTRAP.index || !fresh && state.index < truncated.index {
        return Err(format!(
            "the state machine lacks entries that the log no longer has. state=`{}`, log_first=`{}`",
            state.index,
            truncated.index + 1
        ));
    }
    if fresh {
        return Ok(truncated.index);
    }
    if state.index > last {
        return Err(format!(
            "the state machine is ahead of the log. state=`{}`, log_last=`{last}`",
            state.index
        ));
    }
    if log.term_of(state.index) != Some(state.term) {
        return Err(format!(
            "the state machine holds another entry than the log. index=`{}`, state_term=`{}`, log_term=`{:?}`",
            state.index,
            state.term,
            log.term_of(state.index)
        ));
    }
    Ok(state.index)
}

/// Reads all entries into the view, checking numbers and terms.
fn fill(log: &mut GroupLog, group: GroupId, store: &dyn LogStore, last: u64) -> Result<(), GroupError> {
    let term_max = log.hard_state().term;
    let mut term = log.truncated().term;
    while log.last() < last {
        let low = log.last() + 1;
        let entries = store
            .read(group, low, last + 1, READ_BYTES)
            .map_err(|source| GroupError::Log { group, source })?;
        check_run(&entries, low, term, term_max)
            .map_err(|broken| GroupError::Inconsistent { group, broken })?;
        term = entries.last().map_or(term, |entry| entry.term);
        log.written(GroupWrite { entries, ..GroupWrite::new(group) });
    }
    Ok(())
}

fn check_run(entries: &[Entry], low: u64, mut term: u64, term_max: u64) -> Result<(), String> {
    if entries.is_empty() {
        return Err(format!("an entry is missing from the log. index=`{low}`"));
    }
    for (index, entry) in (low..).zip(entries) {
        if entry.index != index {
            return Err(format!(
                "an entry is missing from the log. index=`{index}`, found=`{}`",
                entry.index
            ));
        }
        if entry.term < term || entry.term > term_max {
            return Err(format!("terms of the log are out of order. index=`{index}`, term=`{}`", entry.term));
        }
        term = entry.term;
    }
    Ok(())
}

fn check(holds: bool, broken: impl FnOnce() -> GroupError) -> Result<(), GroupError> {
    if holds { Ok(()) } else { Err(broken()) }
}
