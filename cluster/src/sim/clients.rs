//! Clients that write numbers and ask for read points, and remember what they were told.

use std::collections::BTreeMap;

use super::machine::command;
use super::wgl::{Action, Operation};
use super::world::{GROUPS, World};
use crate::error::{ClusterError, ErrorKind};
use crate::group::entry::EntryKind;
use crate::group::handle::{Applied, ReadPoint};
use crate::ids::GroupId;
use crate::wait::{Pending, pending};

const KEYS: u64 = 16;

/// Requests under way and outcomes.
#[derive(Default)]
pub struct Clients {
    proposed: u64,
    writes: Vec<Write>,
    reads: Vec<Read>,
    /// Index of each acknowledged proposal.
    pub acknowledged: BTreeMap<GroupId, BTreeMap<u64, u64>>,
    /// Latest index that any completed request of a group has seen.
    seen: BTreeMap<GroupId, u64>,
    /// Read points with the latest index seen before they were asked for, and the machine's own index.
    pub answered: Vec<AnsweredRead>,
    /// What clients saw, by key; a read says which proposal it found.
    pub histories: BTreeMap<(GroupId, u32), Vec<Operation>>,
    pub reads_answered: u64,
    pub reads_by_followers: u64,
    pub refused: u64,
}

struct Write {
    group: GroupId,
    proposal: u64,
    key: u32,
    called: u64,
    answer: Pending<Applied>,
}

struct Read {
    group: GroupId,
    node: usize,
    key: u32,
    called: u64,
    /// A replica that restarts does not answer for its earlier life.
    floor: u64,
    answer: Pending<ReadPoint>,
}

/// A read point that was given.
pub struct AnsweredRead {
    pub group: GroupId,
    pub floor: u64,
    pub index: u64,
    /// What the replica that answered has applied.
    pub applied: u64,
}

impl Clients {
    /// Maybe makes a request of each kind.
    pub fn act(world: &mut World) {
        let group = world.random.pick(&GROUPS).expect("there are groups");
        if world.random.one_in(3)
            && let Some(node) = world.leader(group).filter(|node| !world.nodes[*node].is_frozen())
        {
            Self::write(world, group, node);
        }
        if world.random.one_in(6) {
            let takes = |number: &usize| !world.nodes[*number].is_frozen();
            let holders: Vec<usize> = world.cores(group).map(|(number, _)| number).filter(takes).collect();
            if let Some(node) = world.random.pick(&holders) {
                Self::read(world, group, node);
            }
        }
    }

    pub fn write(world: &mut World, group: GroupId, node: usize) -> u64 {
        let clients = &mut world.clients;
        clients.proposed += 1;
        let proposal = clients.proposed;
        let key = world.random.below(KEYS) as u32;
        let core = world.nodes[node].cores.get_mut(&group).expect("a leader runs");
        let (ticket, answer) = pending(core.shared().clone(), 0);
        core.propose(EntryKind::Command, command(key, proposal), ticket);
        clients.writes.push(Write { group, proposal, key, called: 2 * world.now + 1, answer });
        proposal
    }

    pub fn read(world: &mut World, group: GroupId, node: usize) {
        let core = world.nodes[node].cores.get_mut(&group).expect("the replica runs");
        let (ticket, answer) = pending(core.shared().clone(), 0);
        core.read(ticket);
        let floor = world.clients.seen.get(&group).copied().unwrap_or(0);
        let (key, called) = (world.random.below(KEYS) as u32, 2 * world.now + 1);
        world.clients.reads.push(Read { group, node, key, called, floor, answer });
    }

    /// Takes the answers that have come.
    pub fn answers(world: &mut World) {
        let mut clients = std::mem::take(&mut world.clients);
        // Even, and calls odd: what is called after an answer is strictly later.
        let now = 2 * world.now;
        for Write { group, proposal, key, called, answer } in std::mem::take(&mut clients.writes) {
            let mut note = |answered| {
                let action = Action::Write(proposal);
                clients.histories.entry((group, key)).or_default().push(Operation {
                    called,
                    answered,
                    action,
                });
            };
            match answer.try_answer() {
                Ok(Ok(applied)) => {
                    note(Some(now));
                    let seen = clients.seen.entry(group).or_default();
                    *seen = (*seen).max(applied.index);
                    clients.acknowledged.entry(group).or_default().insert(applied.index, proposal);
                }
                Ok(Err(ClusterError::Quarantined { .. })) => panic!("a replica is quarantined"),
                Ok(Err(error)) => {
                    if error.kind() == ErrorKind::Unknown {
                        note(None);
                    }
                    clients.refused += 1;
                }
                Err(answer) => clients.writes.push(Write { group, proposal, key, called, answer }),
            }
        }
        for Read { group, node, key, called, floor, answer } in std::mem::take(&mut clients.reads) {
            match answer.try_answer() {
                Ok(Ok(ReadPoint { index })) => {
                    let status = world.nodes[node].cores.get(&group).map(|core| core.status());
                    let Some(status) = status else { continue };
                    let state = world.nodes[node].replicas[&group].state.lock();
                    let found = state.values.get(&key).map_or(0, |(proposal, _)| *proposal);
                    let read = Operation { called, answered: Some(now), action: Action::Read(found) };
                    clients.histories.entry((group, key)).or_default().push(read);
                    clients.reads_answered += 1;
                    clients.reads_by_followers += u64::from(status.leader != Some(status.peer));
                    clients.answered.push(AnsweredRead { group, floor, index, applied: status.applied });
                    let seen = clients.seen.entry(group).or_default();
                    *seen = (*seen).max(index);
                }
                Ok(Err(_)) => {}
                Err(answer) => clients.reads.push(Read { group, node, key, called, floor, answer }),
            }
        }
        world.clients = clients;
    }

    /// Writes nobody will ever answer become part of the histories.
    pub fn close(&mut self) {
        for Write { group, proposal, key, called, .. } in std::mem::take(&mut self.writes) {
            let open = Operation { called, answered: None, action: Action::Write(proposal) };
            self.histories.entry((group, key)).or_default().push(open);
        }
    }
}
