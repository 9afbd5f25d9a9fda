//! State machine safety (Raft paper, 5.4.3): no two replicas apply different entries at the same index, and none
//! leaves an entry out.

use std::collections::BTreeMap;

use crate::ids::{GroupId, PeerId};
use crate::sim::machine::Event;

/// What was applied, by group and index; and how far each replica is.
#[derive(Default)]
pub struct AppliedPrefix {
    /// Term and proposal.
    pub applied: BTreeMap<GroupId, BTreeMap<u64, (u64, u64)>>,
    reached: BTreeMap<(GroupId, PeerId), u64>,
    pub installs: u64,
}

impl AppliedPrefix {
    pub fn check(&mut self, event: &Event) {
        match *event {
            Event::Applied { group, peer, index, term, proposal, .. } => {
                let of_group = self.applied.entry(group).or_default();
                let first = *of_group.entry(index).or_insert((term, proposal));
                assert_eq!(
                    first,
                    (term, proposal),
                    "replicas of group {group} applied different entries {index}"
                );
                let reached = self.reached.entry((group, peer)).or_default();
                let skipped = of_group.range(*reached + 1..index).next();
                assert_eq!(skipped, None, "replica {peer} of group {group} left an entry out before {index}");
                *reached = index;
            }
            // Memory is gone, or replaced.
            Event::Started { group, peer, index, .. } | Event::Installed { group, peer, index, .. } => {
                self.installs += u64::from(matches!(event, Event::Installed { .. }));
                self.reached.insert((group, peer), index);
            }
            Event::Written { .. } => {}
        }
    }
}
