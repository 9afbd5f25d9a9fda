//! Election safety (Raft paper, 5.2): at most one leader a term.

use std::collections::BTreeMap;

use crate::ids::{GroupId, PeerId};
use crate::sim::world::{GROUPS, World};
use crate::status::Role;

/// Every leader ever seen.
#[derive(Default)]
pub struct OneLeader {
    pub leaders: BTreeMap<(GroupId, u64), PeerId>,
}

impl OneLeader {
    pub fn check(&mut self, world: &World) {
        for group in GROUPS {
            for (_, core) in world.cores(group) {
                let status = core.status();
                if status.role == Role::Leader {
                    let leader = *self.leaders.entry((group, status.term)).or_insert(status.peer);
                    assert_eq!(leader, status.peer, "group {group} has two leaders in term {}", status.term);
                }
            }
        }
    }
}
