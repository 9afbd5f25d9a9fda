//! Proposals on their way to Raft: those of one turn go together, so that they are one append, one write and one message to
//! each member.

use bytes::Bytes;
use raft::StateRole;
use raft::eraftpb::{Entry, Message, MessageType};

use super::core::{GroupCore, entry_bytes};
use super::entry::EntryKind;
use super::handle::Applied;
use super::settings::{APPLY_BACKLOG_BYTES_MAX, APPLY_BACKLOG_ENTRIES_MAX, MESSAGE_BYTES};
use crate::error::ClusterError;
use crate::wait::Ticket;

/// A proposal that Raft has not been given yet.
pub(crate) struct Proposed {
    kind: EntryKind,
    entry: Entry,
    ticket: Ticket<Applied>,
}

impl GroupCore {
    /// Proposes an entry; `ticket` is answered once it is applied, or cannot be any more.
    pub fn propose(&mut self, kind: EntryKind, data: Bytes, ticket: Ticket<Applied>) {
        let entry = Entry { data, context: kind.context(), ..Entry::default() };
        self.propose_entry(kind, entry, ticket);
    }

    pub(super) fn propose_entry(&mut self, kind: EntryKind, entry: Entry, ticket: Ticket<Applied>) {
        self.proposed.push(Proposed { kind, entry, ticket });
        if kind == EntryKind::Change {
            // The next change must find that one is under way.
            self.append_proposed();
        }
    }

    /// Gives Raft what was proposed in this turn, in the order it came.
    pub(super) fn append_proposed(&mut self) {
        let mut waiting = std::mem::take(&mut self.proposed).into_iter().peekable();
        while let Some(first) = waiting.next() {
            // As much as fits into a message: Raft sends the rest of a longer append only after an answer.
            let mut bytes = entry_bytes(&first.entry);
            let mut together = vec![first];
            let goes_alone = |proposed: &Proposed| proposed.kind == EntryKind::Change;
            while !goes_alone(&together[0])
                && let Some(next) = waiting
                    .next_if(|next| !goes_alone(next) && bytes + entry_bytes(&next.entry) <= MESSAGE_BYTES)
            {
                bytes += entry_bytes(&next.entry);
                together.push(next);
            }
            self.append_together(together);
        }
    }

    fn append_together(&mut self, together: Vec<Proposed>) {
        let entries: Vec<Entry> = together.iter().map(|proposed| proposed.entry.clone()).collect();
        let refusal = match self.append(entries) {
            Ok(()) => {
                let (last, term) = (self.raw.raft.raft_log.last_index(), self.raw.raft.term);
                let first = last + 1 - together.len() as u64;
                for (index, Proposed { kind, ticket, .. }) in (first..).zip(together) {
                    self.proposals.push(self.shared.id, kind, (index, term), ticket);
                }
                return;
            }
            Err(refusal) => refusal,
        };
        if together.len() == 1 || !matches!(refusal, ClusterError::Busy { .. }) {
            together.into_iter().for_each(|proposed| proposed.ticket.resolve(Err(refusal.clone())));
        } else {
            // There may be room for some.
            together.into_iter().for_each(|proposed| self.append_together(vec![proposed]));
        }
    }

    /// Appends all or none.
    fn append(&mut self, entries: Vec<Entry>) -> Result<(), ClusterError> {
        if self.raw.raft.state != StateRole::Leader {
            return Err(self.not_leader());
        }
        let backlog = self.committed.len();
        if backlog >= APPLY_BACKLOG_ENTRIES_MAX || self.committed_bytes >= APPLY_BACKLOG_BYTES_MAX {
            return Err(self.shared.busy("the state machine is far behind"));
        }
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.peer.0;
        message.set_entries(entries.into());
        self.raw.raft.step(message).map_err(|error| match error {
            raft::Error::ProposalDropped => self.shared.busy("too much is proposed and not yet committed"),
            _ => self.not_leader(),
        })
    }

    pub(super) fn not_leader(&self) -> ClusterError {
        ClusterError::NotLeader { group: self.shared.id, hint: self.leader() }
    }
}
