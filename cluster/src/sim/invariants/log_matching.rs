//! Log matching (Raft paper, 5.3): entries with the same index and term are the same, in every log.

use std::collections::BTreeMap;

use crate::ids::GroupId;
use crate::sim::machine::Event;

/// What was ever written, by group, index and term.
#[derive(Default)]
pub struct LogMatching {
    written: BTreeMap<(GroupId, u64, u64), u64>,
}

impl LogMatching {
    pub fn check(&mut self, event: &Event) {
        if let Event::Written { group, index, term, digest } = *event {
            let first = *self.written.entry((group, index, term)).or_insert(digest);
            assert_eq!(first, digest, "logs of group {group} differ at index {index} of term {term}");
        }
    }
}
