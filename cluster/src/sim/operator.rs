//! Whoever moves replicas between nodes: one operation a group at a time, step by step, by the same plan a
//! real cluster goes by.

use std::collections::BTreeMap;

use super::world::{GROUPS, World};
use crate::ids::{GroupId, PeerId};
use crate::log::store::GroupWrite;
use crate::placement::replace::{Replacement, Step, next_step};
use crate::wait::pending;

/// Steps between two looks at an operation.
const PERIOD: u64 = 10;

/// Operations under way.
#[derive(Default)]
pub struct Operator {
    goals: BTreeMap<GroupId, Replacement>,
    pub finished: u64,
    /// No new operations; those under way go on.
    pub paused: bool,
}

impl Operator {
    pub fn act(world: &mut World) {
        if !world.now.is_multiple_of(PERIOD) {
            return;
        }
        for group in GROUPS {
            match world.operator.goals.get(&group).copied() {
                Some(goal) => Self::go_on(world, group, goal),
                None if !world.operator.paused && world.random.one_in(15) => Self::begin(world, group),
                None => {}
            }
        }
    }

    pub fn is_idle(&self) -> bool {
        self.goals.is_empty()
    }

    pub fn is_busy_with(&self, group: GroupId) -> bool {
        self.goals.contains_key(&group)
    }

    /// Grows, shrinks or moves a group.
    fn begin(world: &mut World, group: GroupId) {
        let members = world.members(group);
        if members.is_joint() || world.leader(group).is_none() {
            return;
        }
        let voters = members.conf_state.voters.clone();
        let remove = world.random.pick(&voters).map(PeerId);
        let size = voters.len() as u64;
        let (add, remove) = match world.random.below(4) {
            0 if size > 3 => (false, remove),
            _ if size < 3 || size < 5 && world.random.one_in(4) => (true, None),
            _ => (true, remove),
        };
        Self::start(world, group, add, remove);
    }

    /// Starts an operation; `add` puts a new replica on a node that has none.
    pub fn start(world: &mut World, group: GroupId, add: bool, remove: Option<PeerId>) {
        let free = |number: &usize| {
            let node = &world.nodes[*number];
            node.up && !node.is_frozen() && !node.replicas.contains_key(&group)
        };
        let target = (0..world.nodes.len()).filter(free).collect::<Vec<_>>();
        let added = match world.random.pick(&target).filter(|_| add) {
            Some(number) => {
                // Always a new name: the store may have held a replica of the group before.
                let peer = PeerId(world.random.next());
                world.nodes[number].create(GroupWrite::join(group, peer), &mut world.random);
                Some((peer, world.nodes[number].store))
            }
            None if add => return,
            None => None,
        };
        world.operator.goals.insert(group, Replacement { add: added, remove });
    }

    fn go_on(world: &mut World, group: GroupId, goal: Replacement) {
        // A node whose write waits for space takes no requests.
        let Some(node) = world.leader(group).filter(|node| !world.nodes[*node].is_frozen()) else {
            return;
        };
        let core = world.nodes[node].cores.get_mut(&group).expect("the leader runs");
        match next_step(&goal, &core.view()) {
            Step::Wait => {}
            Step::TransferLeader(to) => {
                // Refused while the other one is behind; the plan asks again.
                let _ = core.transfer_leader(to);
            }
            Step::Propose(change) => {
                let (ticket, answer) = pending(core.shared().clone(), 0);
                core.change_members(change, ticket);
                drop(answer);
            }
            Step::Done => Self::finish(world, group, goal),
        }
    }

    /// Destroys what was removed. A leader that is cut off may see an old membership, so that the one that
    /// leads in the latest term is asked, and its word checked against what is applied anywhere.
    fn finish(world: &mut World, group: GroupId, goal: Replacement) {
        let members = world.members(group);
        if goal.remove.is_some_and(|peer| members.contains(peer)) {
            return;
        }
        if let Some(peer) = goal.remove {
            let holds = |number: &usize| {
                world.nodes[*number].replicas.get(&group).is_some_and(|replica| replica.peer == peer)
            };
            if let Some(number) = (0..world.nodes.len()).find(holds) {
                world.nodes[number].destroy(group);
            }
        }
        world.operator.goals.remove(&group);
        world.operator.finished += 1;
    }
}
