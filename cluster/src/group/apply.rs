//! One batch of committed entries, or a snapshot, on its way through a group's state machine.
//!
//! The machine travels with the batch, to an apply thread and back: that a group never applies two
//! batches at a time needs no lock.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use raft::eraftpb::Entry;

use super::entry::EntryKind;
use super::handle::Applied;
use super::shared::GroupShared;
use crate::snapshot::{SnapshotFiles, SnapshotManifest};
use crate::state_machine::{CommittedEntry, StateMachine};
use crate::wait::Ticket;

/// Something for a machine to do.
pub(crate) struct ApplyJob {
    pub shared: Arc<GroupShared>,
    pub machine: Box<dyn StateMachine>,
    pub work: Work,
}

/// What it is.
pub(crate) enum Work {
    /// Consecutive committed entries, each with who waits for it.
    Entries(Batch),
    /// To pin a snapshot.
    Snapshot,
    /// To become a snapshot whose files are all there.
    Install(SnapshotManifest),
}

type Batch = Vec<(Entry, Option<Ticket<Applied>>)>;

/// What became of it.
pub(crate) struct ApplyDone {
    pub shared: Arc<GroupShared>,
    /// What was reached, or why the machine must not be used any more.
    pub outcome: Result<Reached, ApplyFailure>,
}

/// A machine on its way back.
pub(crate) struct Reached {
    pub machine: Box<dyn StateMachine>,
    /// The last entry of the batch.
    pub applied: Option<u64>,
    pub snapshot: SnapshotOutcome,
}

/// What became of work on a snapshot.
pub(crate) enum SnapshotOutcome {
    /// There was none.
    None,
    Pinned(Arc<dyn SnapshotFiles>),
    /// None could be made.
    Unavailable,
    Installed,
}

/// A batch that took its machine down.
pub(crate) struct ApplyFailure {
    pub reason: String,
    /// Answered when this is dropped, after the group was taken out of service.
    _callers: Batch,
}

impl ApplyJob {
    /// Does the work and answers the callers of what was applied.
    pub fn run(self) -> ApplyDone {
        let Self { shared, machine, work } = self;
        let outcome = match work {
            Work::Entries(entries) => run_batch(&shared, machine, entries),
            Work::Snapshot => guarded(&shared, machine, Vec::new(), |machine, _| Ok(pin(&shared, machine)))
                .map(|(machine, snapshot, _)| Reached { machine, applied: None, snapshot }),
            Work::Install(manifest) => guarded(&shared, machine, Vec::new(), |machine, _| {
                machine.install(&manifest).map_err(|error| with_causes(&error))
            })
            .map(|(machine, (), _)| Reached {
                machine,
                applied: None,
                snapshot: SnapshotOutcome::Installed,
            }),
        };
        ApplyDone { shared, outcome }
    }
}

fn run_batch(
    shared: &GroupShared,
    machine: Box<dyn StateMachine>,
    entries: Batch,
) -> Result<Reached, ApplyFailure> {
    let last = entries.last().map(|(entry, _)| entry.index);
    let (machine, replies, entries) = guarded(shared, machine, entries, apply)?;
    if let Some(last) = last {
        shared.set_applied(last);
    }
    answer(entries, replies);
    Ok(Reached { machine, applied: last, snapshot: SnapshotOutcome::None })
}

fn pin(shared: &GroupShared, machine: &mut dyn StateMachine) -> SnapshotOutcome {
    match machine.snapshot() {
        Ok(Some(files)) => SnapshotOutcome::Pinned(files),
        Ok(None) => SnapshotOutcome::Unavailable,
        Err(error) => {
            tracing::warn!(group = %shared.id, error = with_causes(&error), "no snapshot could be made");
            SnapshotOutcome::Unavailable
        }
    }
}

/// Runs a call into the machine. An error or a panic takes the machine down, and the callers of
/// `entries` with it.
fn guarded<T>(
    shared: &GroupShared,
    mut machine: Box<dyn StateMachine>,
    entries: Batch,
    call: impl FnOnce(&mut dyn StateMachine, &Batch) -> Result<T, String>,
) -> Result<(Box<dyn StateMachine>, T, Batch), ApplyFailure> {
    let result =
        catch_unwind(AssertUnwindSafe(|| call(machine.as_mut(), &entries))).unwrap_or_else(|panic| {
            Err(format!("the state machine panicked: {}", crate::panic::message(panic.as_ref())))
        });
    match result {
        Ok(value) => Ok((machine, value, entries)),
        Err(reason) => {
            // A broken machine may even panic when it is dropped.
            if catch_unwind(AssertUnwindSafe(|| drop(machine))).is_err() {
                tracing::error!(group = %shared.id, "state machine panicked while it was dropped");
            }
            Err(ApplyFailure { reason, _callers: entries })
        }
    }
}

fn apply(machine: &mut dyn StateMachine, entries: &Batch) -> Result<Vec<Bytes>, String> {
    let mut batch = Vec::with_capacity(entries.len());
    for (entry, _) in entries {
        let kind = EntryKind::of(entry).map_err(|what| format!("met {what}. index=`{}`", entry.index))?;
        if kind == EntryKind::Command {
            batch.push(CommittedEntry { index: entry.index, term: entry.term, data: entry.data.clone() });
        }
    }
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let replies = machine.apply(&batch).map_err(|error| with_causes(&error))?;
    if replies.len() == batch.len() {
        return Ok(replies);
    }
    Err(format!("the state machine gave {} replies to {} entries", replies.len(), batch.len()))
}

fn answer(entries: Batch, replies: Vec<Bytes>) {
    let mut replies = replies.into_iter();
    for (entry, ticket) in entries {
        let is_command = EntryKind::of(&entry) == Ok(EntryKind::Command);
        let reply = if is_command { replies.next().unwrap_or_default() } else { Bytes::new() };
        if let Some(ticket) = ticket {
            ticket.resolve(Ok(Applied { index: entry.index, term: entry.term, reply }));
        }
    }
}

/// Writes an error and its causes in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
