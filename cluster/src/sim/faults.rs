//! What goes wrong, and when: crashes, stalls, full and lost disks, cut and lossy networks.

use std::collections::BTreeMap;

use super::node::Node;
use super::operator::Operator;
use super::power::Losses;
use super::random::Random;
use super::world::{GROUPS, World};
use crate::ids::{PeerId, StoreId};

/// Faults under way, and how many there were.
#[derive(Default)]
pub struct Faults {
    /// Nodes that crash in their next turn.
    doomed: Vec<usize>,
    restart_at: BTreeMap<usize, u64>,
    space_at: BTreeMap<usize, u64>,
    heal_at: u64,
    calm_at: u64,
    pub crashes: u64,
    pub cuts: u64,
    pub wipes: u64,
    pub full: u64,
    pub stalls: u64,
    /// Of disks that are no more.
    pub losses: Losses,
}

impl Faults {
    pub fn act(world: &mut World) {
        Self::recover(world);
        let number = world.random.below(world.nodes.len() as u64) as usize;
        match world.random.below(2_400) {
            0..12 => world.faults.doomed.push(number),
            12..20 => Self::cut(world, number),
            20..26 => Self::stall(world, number),
            26..30 => Self::fill(world, number),
            30..32 => Self::wipe(world, number),
            32..40 => Self::disturb(world),
            40..46 => world.nodes[number].slow_apply = !world.nodes[number].slow_apply,
            46..106 => Self::checkpoint(&mut world.nodes[number]),
            106..116 => Self::transfer(world),
            116..120 => world.nodes[number].ticks_every = 4 + world.random.below(4),
            _ => {}
        }
    }

    /// Returns whether a node's next turn is its last.
    pub fn crashes(&mut self, number: usize, random: &mut Random) -> bool {
        if !self.doomed.contains(&number) {
            return false;
        }
        self.doomed.retain(|doomed| *doomed != number);
        self.crashes += 1;
        self.restart_at.insert(number, random.below(250));
        true
    }

    /// Ends what has lasted long enough.
    fn recover(world: &mut World) {
        let now = world.now;
        for number in 0..world.nodes.len() {
            if !world.nodes[number].up {
                let wait = world.faults.restart_at.entry(number).or_insert(0);
                if *wait == 0 {
                    world.faults.restart_at.remove(&number);
                    world.faults.space_at.remove(&number);
                    world.nodes[number].log.set_full(false);
                    world.nodes[number].restart(&mut world.random);
                } else {
                    *wait -= 1;
                }
            }
        }
        let freed: Vec<usize> =
            world.faults.space_at.extract_if(.., |_, at| *at <= now).map(|(number, _)| number).collect();
        freed.into_iter().for_each(|number| world.thaw(number));
        if world.faults.heal_at <= now {
            world.network.cut.clear();
        }
        if world.faults.calm_at <= now {
            world.network.loss = 0;
            world.network.delay = 3;
        }
    }

    /// Cuts one node off from some or all others, in one or both directions.
    fn cut(world: &mut World, lonely: usize) {
        let one_way = world.random.below(3);
        let some_only = world.random.one_in(2);
        let name = world.nodes[lonely].store.0;
        let others: Vec<u64> =
            world.nodes.iter().map(|node| node.store.0).filter(|other| *other != name).collect();
        for other in others {
            if some_only && world.random.one_in(2) {
                continue;
            }
            if one_way != 1 {
                world.network.cut.insert((name, other));
            }
            if one_way != 2 {
                world.network.cut.insert((other, name));
            }
        }
        world.faults.heal_at = world.now + 50 + world.random.below(350);
        world.faults.cuts += 1;
    }

    fn stall(world: &mut World, number: usize) {
        world.nodes[number].stalled_until = world.now + 10 + world.random.below(200);
        world.faults.stalls += 1;
    }

    fn fill(world: &mut World, number: usize) {
        world.nodes[number].log.set_full(true);
        let until = world.now + 10 + world.random.below(150);
        world.faults.space_at.insert(number, until);
        world.faults.full += 1;
    }

    fn disturb(world: &mut World) {
        world.network.loss = world.random.below(300);
        world.network.delay = 1 + world.random.below(25);
        world.faults.calm_at = world.now + 50 + world.random.below(300);
    }

    pub fn checkpoint(node: &mut Node) {
        for replica in node.replicas.values() {
            if node.up {
                let state = replica.state.lock().clone();
                replica.disk.lock().durable = state;
            }
        }
    }

    fn transfer(world: &mut World) {
        let group = world.random.pick(&GROUPS).expect("there are groups");
        let voters = world.members(group).conf_state.voters;
        let leader = world.leader(group).filter(|node| !world.nodes[*node].is_frozen());
        if let (Some(node), Some(to)) = (leader, world.random.pick(&voters)) {
            let core = world.nodes[node].cores.get_mut(&group).expect("the leader runs");
            // May be refused, as any operator's wish.
            let _ = core.transfer_leader(PeerId(to));
        }
    }

    /// Takes a node's disk away, if every group on it can do without and is not being changed. The node comes
    /// back as another store, and its replicas are replaced.
    pub fn wipe(world: &mut World, number: usize) {
        let groups: Vec<_> = world.nodes[number].replicas.keys().copied().collect();
        let spared = groups.iter().any(|group| {
            let members = world.members(*group);
            let voters = &members.conf_state.voters;
            let all_here = members.peers().iter().all(|peer| Self::is_on_disk(world, *peer));
            // Others that have not applied the end of a change still need both majorities of it. Seed 500370: a leader
            // alone knew that it was over, and lost its disk.
            let others = world.cores(*group).filter(|(node, _)| *node != number);
            let known = others.filter(|(_, core)| core.members().index == members.index).count();
            let is_changing = members.is_joint() || known < voters.len() / 2 + 1;
            world.operator.is_busy_with(*group) || is_changing || voters.len() < 3 || !all_here
        });
        if spared || groups.is_empty() {
            return;
        }
        let mut lost = Vec::new();
        for (group, replica) in std::mem::take(&mut world.nodes[number].replicas) {
            lost.push((group, replica.peer));
        }
        let store = StoreId(world.random.next());
        world.faults.losses.add(world.nodes[number].log.losses());
        let log = world.logs.make(world.journal.clone(), &mut world.random);
        world.nodes[number] = Node::new(store, world.journal.clone(), log);
        world.faults.wipes += 1;
        for (group, peer) in lost {
            Operator::start(world, group, true, Some(peer));
        }
    }

    fn is_on_disk(world: &World, peer: u64) -> bool {
        world.nodes.iter().any(|node| node.replicas.values().any(|replica| replica.peer.0 == peer))
    }

    /// Ends all faults.
    pub fn end(world: &mut World) {
        world.operator.paused = true;
        world.connections_break = false;
        world.faults = Faults {
            crashes: world.faults.crashes,
            cuts: world.faults.cuts,
            wipes: world.faults.wipes,
            full: world.faults.full,
            stalls: world.faults.stalls,
            losses: world.faults.losses,
            ..Faults::default()
        };
        world.network.cut.clear();
        world.network.loss = 0;
        world.network.delay = 3;
        for number in 0..world.nodes.len() {
            let node = &mut world.nodes[number];
            (node.stalled_until, node.slow_apply, node.ticks_every) = (0, false, 5);
            world.thaw(number);
            if !world.nodes[number].up {
                world.nodes[number].restart(&mut world.random);
            }
        }
    }
}
