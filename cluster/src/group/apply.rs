//! One batch of committed entries on its way through a group's state machine.
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
use crate::state_machine::{CommittedEntry, StateMachine};
use crate::wait::Ticket;

/// A batch to apply.
pub(crate) struct ApplyJob {
    pub shared: Arc<GroupShared>,
    pub machine: Box<dyn StateMachine>,
    /// Consecutive committed entries, each with who waits for it.
    pub entries: Vec<(Entry, Option<Ticket<Applied>>)>,
}

/// What became of a batch.
pub(crate) struct ApplyDone {
    pub shared: Arc<GroupShared>,
    /// The machine and the index it has reached, or why it must not be used any more.
    pub outcome: Result<(Box<dyn StateMachine>, u64), ApplyFailure>,
}

/// A batch that took its machine down.
pub(crate) struct ApplyFailure {
    pub reason: String,
    /// Answered when this is dropped, after the group was taken out of service.
    _callers: Vec<(Entry, Option<Ticket<Applied>>)>,
}

impl ApplyJob {
    /// Applies the batch and answers its callers.
    pub fn run(self) -> ApplyDone {
        let Self { shared, mut machine, entries } = self;
        let last = entries.last().map_or(0, |(entry, _)| entry.index);
        let applied =
            catch_unwind(AssertUnwindSafe(|| apply(machine.as_mut(), &entries))).unwrap_or_else(|panic| {
                Err(format!("the state machine panicked: {}", crate::panic::message(panic.as_ref())))
            });
        let outcome = match applied {
            Ok(replies) => {
                shared.set_applied(last);
                answer(entries, replies);
                Ok((machine, last))
            }
            Err(reason) => {
                // A broken machine may even panic when it is dropped.
                let dropped = catch_unwind(AssertUnwindSafe(|| drop(machine)));
                if dropped.is_err() {
                    tracing::error!(group = %shared.id, "state machine panicked while it was dropped");
                }
                Err(ApplyFailure { reason, _callers: entries })
            }
        };
        ApplyDone { shared, outcome }
    }
}

fn apply(
    machine: &mut dyn StateMachine,
    entries: &[(Entry, Option<Ticket<Applied>>)],
) -> Result<Vec<Bytes>, String> {
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

fn answer(entries: Vec<(Entry, Option<Ticket<Applied>>)>, replies: Vec<Bytes>) {
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
