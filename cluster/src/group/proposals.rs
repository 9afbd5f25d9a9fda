//! Proposals that wait for their entry to be applied.

use std::collections::VecDeque;

use crate::error::ClusterError;
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
    ticket: Ticket<Applied>,
}

impl Proposals {
    /// Registers a proposal whose entry was appended at `index` in `term`.
    pub fn push(&mut self, group: GroupId, index: u64, term: u64, ticket: Ticket<Applied>) {
        while let Some(overtaken) = self.waiting.pop_back_if(|last| last.index >= index) {
            overtaken.ticket.resolve(Err(ClusterError::Dropped { group }));
        }
        self.waiting.push_back(Waiting { index, term, ticket });
    }

    /// Takes out who waits for the committed entry at `index` and `term`. Who waited for another entry
    /// at or before this place is told that it was dropped.
    pub fn take(&mut self, group: GroupId, index: u64, term: u64) -> Option<Ticket<Applied>> {
        while let Some(waiting) = self.waiting.pop_front_if(|first| first.index <= index) {
            if waiting.index == index && waiting.term == term {
                return Some(waiting.ticket);
            }
            waiting.ticket.resolve(Err(ClusterError::Dropped { group }));
        }
        None
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}
