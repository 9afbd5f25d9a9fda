//! Proposals that wait for their entry to be applied.

use std::collections::VecDeque;

use raft::eraftpb::Entry;

use crate::error::ClusterError;
use crate::group::entry::{EntryKind, is_change};
use crate::group::handle::Applied;
use crate::ids::GroupId;
use crate::wait::Ticket;

/// Waiting proposals of one group, by the index and term their entry got.
#[derive(Default)]
pub(crate) struct Proposals {
    /// Ascending by index: the leader appends in order, and a later leader's entries that take the
    /// same places push the older ones out.
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    index: u64,
    term: u64,
    kind: EntryKind,
    ticket: Ticket<Applied>,
}

impl Proposals {
    /// Registers a proposal whose entry was appended at `place` (index and term).
    pub fn push(&mut self, group: GroupId, kind: EntryKind, place: (u64, u64), ticket: Ticket<Applied>) {
        let (index, term) = place;
        while let Some(overtaken) = self.waiting.pop_back_if(|last| last.index >= index) {
            overtaken.ticket.resolve(Err(ClusterError::Dropped { group }));
        }
        self.waiting.push_back(Waiting { index, term, kind, ticket });
    }

    /// Takes out who waits for a committed entry. Who waited for another entry at or before its place
    /// is told that it was dropped; so is a membership change that Raft turned into an empty entry.
    pub fn take(&mut self, group: GroupId, entry: &Entry) -> Option<Ticket<Applied>> {
        while let Some(waiting) = self.waiting.pop_front_if(|first| first.index <= entry.index) {
            if (waiting.index, waiting.term) != (entry.index, entry.term) {
                waiting.ticket.resolve(Err(ClusterError::Dropped { group }));
            } else if waiting.kind == EntryKind::Change && !is_change(entry) {
                let what = "another membership change was under way";
                waiting.ticket.resolve(Err(ClusterError::Busy { group, what }));
            } else {
                return Some(waiting.ticket);
            }
        }
        None
    }

    /// Tells those of terms before `term` whose entries the log of this term's leader has not: what it lacks is never committed.
    /// They are the last ones. `term_of`: that of an entry of the log.
    pub fn drop_gone(&mut self, group: GroupId, term: u64, term_of: impl Fn(u64) -> Option<u64>) {
        let is_gone = |last: &Waiting| last.term < term && term_of(last.index) != Some(last.term);
        while let Some(gone) = self.waiting.pop_back_if(|last| is_gone(last)) {
            gone.ticket.resolve(Err(ClusterError::Dropped { group }));
        }
    }

    /// Gives up on everything up to `index`, with an unknown outcome.
    pub fn forget(&mut self, group: GroupId, index: u64) {
        while let Some(waiting) = self.waiting.pop_front_if(|first| first.index <= index) {
            waiting.ticket.resolve(Err(ClusterError::Timeout { group }));
        }
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}
