//! A simulated cluster and its steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::clients::Clients;
use super::disk::Logs;
use super::faults::Faults;
use super::invariants::Invariants;
use super::machine::Journal;
use super::network::Network;
use super::node::Node;
use super::operator::Operator;
use super::random::Random;
use crate::group::core::{GroupCore, Outbox};
use crate::ids::{GroupId, PeerId, StoreId};
use crate::log::store::GroupWrite;
use crate::members::Members;
use crate::status::Role;

pub const NODES: usize = 5;
/// A group of three, and one that starts with a single member.
pub const GROUPS: [GroupId; 2] = [GroupId(1), GroupId(2)];

/// Nodes, network, and who acts on them.
pub struct World {
    pub random: Random,
    pub now: u64,
    pub nodes: Vec<Node>,
    pub network: Network,
    pub journal: Journal,
    pub clients: Clients,
    pub operator: Operator,
    pub faults: Faults,
    pub invariants: Invariants,
    /// Whether connections break, too: when a node crashes, and for no reason.
    pub connections_break: bool,
    /// How logs are kept.
    pub logs: Logs,
}

impl World {
    /// With logs in memory.
    pub fn new(seed: u64) -> Self {
        Self::with_logs(seed, Logs::Memory)
    }

    pub fn with_logs(seed: u64, logs: Logs) -> Self {
        let journal = Journal::default();
        let mut random = Random(seed);
        let mut node = || {
            let store = StoreId(random.next());
            Node::new(store, journal.clone(), logs.make(journal.clone(), &mut random))
        };
        let nodes = (0..NODES).map(|_| node()).collect();
        let mut world = Self {
            random,
            now: 0,
            nodes,
            network: Network { delay: 3, reorder: seed % 4 == 3, ..Network::default() },
            journal: Arc::clone(&journal),
            clients: Clients::default(),
            operator: Operator::default(),
            faults: Faults::default(),
            invariants: Invariants::default(),
            connections_break: seed % 4 == 2,
            logs,
        };
        world.bootstrap(GROUPS[0], &[0, 1, 2]);
        world.bootstrap(GROUPS[1], &[3]);
        world
    }

    fn bootstrap(&mut self, group: GroupId, nodes: &[usize]) {
        let voters: Vec<(PeerId, StoreId)> =
            nodes.iter().map(|node| (PeerId(self.random.next()), self.nodes[*node].store)).collect();
        for (node, (peer, _)) in nodes.iter().zip(&voters) {
            let write = GroupWrite::bootstrap(group, *peer, &voters);
            self.nodes[*node].create(write, &mut self.random);
        }
    }

    /// One step with everything that may go wrong.
    pub fn step(&mut self) {
        Faults::act(self);
        Operator::act(self);
        Clients::act(self);
        self.advance();
    }

    /// One step in which time passes and packets arrive.
    pub fn advance(&mut self) {
        self.now += 1;
        let mut out = Outbox::new();
        if self.connections_break && self.random.one_in(60) {
            let lost = self.random.below(NODES as u64) as usize;
            let node = self.random.below(NODES as u64) as usize;
            let lost = self.nodes[lost].store;
            self.nodes[node].cores.values_mut().for_each(|core| core.store_unreachable(lost));
        }
        for parcel in self.network.arrivals(self.now) {
            let position = self.nodes.iter().position(|node| node.store == parcel.what.to_store);
            if let Some(position) = position.filter(|position| self.runs(*position)) {
                let node = &mut self.nodes[position];
                node.receive(parcel.from, parcel.what, &mut out);
                self.send(position, &mut out);
            }
        }
        for number in 0..self.nodes.len() {
            if self.runs(number) {
                self.turn(number, &mut out);
            }
        }
        Clients::answers(self);
        Invariants::check(self);
    }

    fn runs(&self, number: usize) -> bool {
        let node = &self.nodes[number];
        node.up && node.stalled_until <= self.now && !node.is_frozen()
    }

    fn turn(&mut self, number: usize, out: &mut Outbox) {
        let crash = self.faults.crashes(number, &mut self.random);
        let node = &mut self.nodes[number];
        if self.now.is_multiple_of(node.ticks_every) {
            node.tick(&mut self.random, out);
        }
        let goes_on = node.turn(crash, &mut self.random, out);
        if goes_on && self.now.is_multiple_of(40 + number as u64) {
            node.log.collect();
        }
        self.send(number, out);
        if !goes_on && self.connections_break {
            let lost = self.nodes[number].store;
            let cores = self.nodes.iter_mut().flat_map(|node| node.cores.values_mut());
            cores.for_each(|core| core.store_unreachable(lost));
        }
    }

    /// Goes on with a write that had no space.
    pub fn thaw(&mut self, number: usize) {
        let mut out = Outbox::new();
        self.nodes[number].log.set_full(false);
        if self.nodes[number].up {
            self.nodes[number].turn(false, &mut self.random, &mut out);
            self.send(number, &mut out);
        }
    }

    fn send(&mut self, number: usize, out: &mut Outbox) {
        let from = self.nodes[number].store;
        for packet in out.drain(..) {
            let (group, to) = (packet.group, packet.to);
            let sent = self.network.send(self.now, from, packet, &mut self.random);
            if !sent && let Some(core) = self.nodes[number].cores.get_mut(&group) {
                core.unreachable(to);
            }
        }
    }

    /// All running replicas of a group, with the number of their node.
    pub fn cores(&self, group: GroupId) -> impl Iterator<Item = (usize, &GroupCore)> {
        self.nodes
            .iter()
            .enumerate()
            .filter_map(move |(number, node)| Some((number, node.cores.get(&group)?)))
    }

    /// The node whose replica leads in the latest term.
    pub fn leader(&self, group: GroupId) -> Option<usize> {
        let leads = self.cores(group).filter(|(_, core)| core.status().role == Role::Leader);
        leads.max_by_key(|(_, core)| core.status().term).map(|(number, _)| number)
    }

    /// The latest membership anybody has applied.
    pub fn members(&self, group: GroupId) -> Members {
        let known = self.cores(group).map(|(_, core)| core.members().clone());
        known.max_by_key(|members| members.index).unwrap_or_default()
    }

    /// Ends all faults and runs until every group is at rest and its members agree.
    ///
    /// # Panics
    /// When that takes too long: something is stuck.
    pub fn settle(&mut self) {
        Faults::end(self);
        for _ in 0..20_000 {
            Operator::act(self);
            self.advance();
            if self.network.is_empty() && self.operator.is_idle() && self.is_settled() {
                return;
            }
        }
        let status = |group| self.cores(group).map(|(_, core)| core.status()).collect::<Vec<_>>();
        let all: BTreeMap<_, _> = GROUPS.iter().map(|group| (*group, status(*group))).collect();
        panic!(
            "the cluster does not come to rest. members={:?}, {all:#?}",
            GROUPS.map(|group| self.members(group))
        );
    }

    fn is_settled(&self) -> bool {
        GROUPS.iter().all(|group| {
            let members = self.members(*group);
            let applied: Vec<u64> = self.cores(*group).map(|(_, core)| core.status().applied).collect();
            let idle = self.cores(*group).all(|(_, core)| core.is_idle());
            let commit = self.cores(*group).map(|(_, core)| core.status().commit).max().unwrap_or_default();
            idle && self.leader(*group).is_some()
                && applied.len() == members.peers().len()
                && applied.iter().all(|applied| *applied == commit)
        })
    }
}
