//! Membership equal at equal index (Raft paper, 6; thesis, 4): the change at an index makes the same members
//! everywhere, joint memberships included.

use std::collections::BTreeMap;

use crate::ids::GroupId;
use crate::members::Members;
use crate::sim::world::{GROUPS, World};

/// Every membership ever in force, by group and index.
#[derive(Default)]
pub struct Membership {
    seen: BTreeMap<(GroupId, u64), Members>,
}

impl Membership {
    pub fn check(&mut self, world: &World) {
        for group in GROUPS {
            for (_, core) in world.cores(group) {
                let members = core.members();
                if members.peers().is_empty() {
                    // Waits for its first snapshot.
                    continue;
                }
                let first = self.seen.entry((group, members.index)).or_insert_with(|| sorted(members));
                let status = core.status();
                assert_eq!(*first, sorted(members), "members of group {group} differ at {}", status.peer);
            }
        }
    }
}

/// Checks that all members know of the last change, once nothing is under way.
pub fn check_at_rest(world: &World) {
    for group in GROUPS {
        let latest = sorted(&world.members(group));
        for (_, core) in world.cores(group) {
            let peer = core.status().peer;
            assert_eq!(sorted(core.members()), latest, "members of group {group} are out of date at {peer}");
        }
    }
}

/// The same members, whatever order Raft lists them in.
fn sorted(members: &Members) -> Members {
    let mut members = members.clone();
    let conf = &mut members.conf_state;
    for list in [&mut conf.voters, &mut conf.learners, &mut conf.voters_outgoing, &mut conf.learners_next] {
        list.sort_unstable();
    }
    members
}
