//! Nothing acknowledged is lost (Raft paper, 5.4.2 and 8): what a client was told is applied stays applied at
//! that index. With equal applied prefixes, every replica that gets there has it.

use super::applied_prefix::AppliedPrefix;
use crate::sim::clients::Clients;

/// Compares acknowledgements with what was applied.
pub struct Acknowledged;

impl Acknowledged {
    pub fn check(clients: &Clients, applied: &AppliedPrefix) {
        for (group, acknowledged) in &clients.acknowledged {
            // Earlier ones were compared when they came, and what is applied never changes.
            if let Some((index, proposal)) = acknowledged.last_key_value() {
                let found = applied.applied.get(group).and_then(|of_group| of_group.get(index));
                let found = found.map(|(_, proposal)| *proposal);
                assert_eq!(found, Some(*proposal), "an acknowledged write of group {group} is lost");
            }
        }
    }

    /// Compares all of them.
    pub fn check_all(clients: &Clients, applied: &AppliedPrefix) {
        for (group, acknowledged) in &clients.acknowledged {
            for (index, proposal) in acknowledged {
                let found = applied.applied.get(group).and_then(|of_group| of_group.get(index));
                assert_eq!(
                    found.map(|(_, proposal)| *proposal),
                    Some(*proposal),
                    "index {index} of group {group}"
                );
            }
        }
    }
}
