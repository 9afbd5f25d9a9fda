//! Replicas of one group stepped by hand, without threads: the code a node runs, on logs in memory and
//! a network that loses, duplicates, delays and partitions, all from one seed (`SEED`; `SEEDS` runs more).
//!
//! Checked after every step: at most one leader a term (Raft paper, 5.2), equal entries at equal index and term
//! (log matching, 5.3), equal applied prefixes (state machine safety, 5.4). At the end: nothing
//! acknowledged is missing.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use raft::eraftpb::Message;

use super::core::{GroupCore, GroupLimits, Outbox};
use super::entry::EntryKind;
use super::handle::Applied;
use super::shared::GroupShared;
use crate::error::ClusterError;
use crate::ids::{GroupId, PeerId};
use crate::log::memory_log::MemoryLog;
use crate::log::recover::recover;
use crate::log::store::{GroupWrite, LogStore};
use crate::state_machine::{AppliedState, ApplyError, CommittedEntry, StateMachine};
use crate::status::Role;
use crate::wait::{Pending, pending};

const GROUP: GroupId = GroupId(1);
const PEERS: [PeerId; 3] = [PeerId(1), PeerId(2), PeerId(3)];
const LIMITS: GroupLimits = GroupLimits {
    apply_batch_bytes_max: 1 << 20,
    log_bytes_max: 1 << 30,
    log_entries_max: 1 << 30,
    log_slack_entries: 0,
};

/// Keeps entries outside of the replica, as a durable state machine does.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Vec<CommittedEntry>>>);

impl StateMachine for Disk {
    fn recovered(&self) -> AppliedState {
        let entries = self.0.lock();
        let last = entries.last().map_or((0, 0), |entry| (entry.index, entry.term));
        AppliedState { index: last.0, term: last.1, ..AppliedState::default() }
    }

    fn apply(&mut self, batch: &[CommittedEntry]) -> Result<Vec<Bytes>, ApplyError> {
        self.0.lock().extend_from_slice(batch);
        Ok(batch.iter().map(|entry| entry.data.clone()).collect())
    }

    fn durable_index(&self) -> u64 {
        self.recovered().index
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

struct Replica {
    peer: PeerId,
    log: Arc<MemoryLog>,
    disk: Disk,
    /// `None` while it is down.
    core: Option<GroupCore>,
}

struct Simulation {
    random: Random,
    replicas: Vec<Replica>,
    network: Vec<Message>,
    /// Pairs of peers that do not hear from the other; one-way.
    cut: Vec<(u64, u64)>,
    leaders: BTreeMap<u64, u64>,
    waiting: Vec<(u64, Pending<Applied>)>,
    acknowledged: Vec<u64>,
    proposed: u64,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let replica = |peer| {
            let log = Arc::new(MemoryLog::default());
            log.write(&[GroupWrite::bootstrap(GROUP, peer, &PEERS)]).unwrap();
            Replica { peer, log, disk: Disk::default(), core: None }
        };
        let mut simulation = Self {
            random: Random(seed),
            replicas: PEERS.map(replica).into(),
            network: Vec::new(),
            cut: Vec::new(),
            leaders: BTreeMap::new(),
            waiting: Vec::new(),
            acknowledged: Vec::new(),
            proposed: 0,
        };
        (0..PEERS.len()).for_each(|number| simulation.start(number));
        simulation
    }

    fn start(&mut self, number: usize) {
        let replica = &mut self.replicas[number];
        let stored = replica.log.load(GROUP).unwrap().unwrap();
        let recovered = recover(GROUP, replica.log.clone(), stored, &replica.disk.recovered()).unwrap();
        let shared = GroupShared::new(GROUP, replica.peer, usize::MAX);
        let mut core = GroupCore::new(shared, recovered, Box::new(replica.disk.clone()), LIMITS).unwrap();
        // The one thing `raft` draws by itself.
        core.set_election_ticks(10 + self.random.below(10) as usize);
        replica.core = Some(core);
    }

    /// Runs one turn of a replica, as the Raft thread does for all groups of a node.
    fn turn(&mut self, number: usize) {
        let crash = self.random.below(400) == 0;
        let replica = &mut self.replicas[number];
        let Some(core) = &mut replica.core else {
            return;
        };
        let mut outbox = Outbox::new();
        let write = core.take_write(&mut outbox);
        if crash {
            // Before the write: whatever left already did not depend on it.
            self.network.append(&mut outbox);
            replica.core = None;
            return;
        }
        replica.log.write(std::slice::from_ref(&write)).unwrap();
        core.written(write, &mut outbox);
        if let Some(job) = core.next_apply() {
            assert!(core.applied(job.run()).is_ok());
        }
        core.set_election_ticks(10 + self.random.below(10) as usize);
        self.network.append(&mut outbox);
    }

    fn step(&mut self) {
        let number = self.random.below(PEERS.len() as u64) as usize;
        match self.random.below(100) {
            0 => self.cut = self.draw_cut(),
            1..4 => self.cut.clear(),
            4..7 if self.replicas[number].core.is_none() => self.start(number),
            7..30 => {
                if let Some(core) = &mut self.replicas[number].core {
                    core.tick();
                }
            }
            30..40 => self.propose(number),
            40..70 => self.deliver(),
            _ => {}
        }
        self.turn(number);
        self.check();
    }

    fn draw_cut(&mut self) -> Vec<(u64, u64)> {
        let lonely = 1 + self.random.below(3);
        let one_way = self.random.below(2) == 0;
        let others = PEERS.map(|peer| peer.0).into_iter().filter(|peer| *peer != lonely);
        others
            .flat_map(|other| [Some((lonely, other)), (!one_way).then_some((other, lonely))])
            .flatten()
            .collect()
    }

    fn propose(&mut self, number: usize) {
        let Some(core) = &mut self.replicas[number].core else {
            return;
        };
        let (ticket, answer) = pending(core.shared().clone(), 0);
        self.proposed += 1;
        core.propose(EntryKind::Command, self.proposed.to_le_bytes().to_vec().into(), ticket);
        self.waiting.push((self.proposed, answer));
    }

    /// Delivers one message of many, perhaps never, perhaps twice.
    fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let position = self.random.below(self.network.len() as u64) as usize;
        let message = match self.random.below(20) {
            0 => self.network[position].clone(),
            _ => self.network.swap_remove(position),
        };
        let lost = self.random.below(20) == 0 || self.cut.contains(&(message.from, message.to));
        let target = self.replicas.iter_mut().find(|replica| replica.peer.0 == message.to).unwrap();
        if !lost && let Some(core) = &mut target.core {
            core.step(message);
        }
    }

    fn check(&mut self) {
        for replica in &self.replicas {
            if let Some(core) = &replica.core
                && core.status().role == Role::Leader
            {
                let leader = *self.leaders.entry(core.status().term).or_insert(replica.peer.0);
                assert_eq!(leader, replica.peer.0, "two leaders in term {}", core.status().term);
            }
        }
        let longest =
            self.replicas.iter().map(|replica| replica.disk.0.lock().clone()).max_by_key(Vec::len).unwrap();
        for replica in &self.replicas {
            let applied = replica.disk.0.lock();
            assert_eq!(*applied, longest[..applied.len()], "applied prefixes differ");
        }
        for (number, answer) in std::mem::take(&mut self.waiting) {
            match answer.try_answer() {
                Ok(Ok(_)) => self.acknowledged.push(number),
                Ok(Err(error)) => assert!(!matches!(error, ClusterError::Quarantined { .. }), "{error}"),
                Err(answer) => self.waiting.push((number, answer)),
            }
        }
    }

    fn check_logs(&self) {
        let mut seen = BTreeMap::new();
        for replica in &self.replicas {
            let stored = replica.log.load(GROUP).unwrap().unwrap();
            let Some((first, last)) = stored.entries else { continue };
            for entry in replica.log.read(GROUP, first, last + 1, u64::MAX).unwrap() {
                let data = seen.entry((entry.index, entry.term)).or_insert_with(|| entry.data.clone());
                assert_eq!(*data, entry.data, "logs differ at index {} of term {}", entry.index, entry.term);
            }
        }
    }

    /// Heals everything and runs until all replicas have applied the same.
    fn settle(&mut self) {
        self.cut.clear();
        for _ in 0..20_000 {
            for number in 0..PEERS.len() {
                if self.replicas[number].core.is_none() {
                    self.start(number);
                }
                if self.random.below(10) == 0
                    && let Some(core) = &mut self.replicas[number].core
                {
                    core.tick();
                }
                self.deliver();
                self.turn(number);
            }
            self.check();
            let lengths: Vec<_> = self.replicas.iter().map(|replica| replica.disk.0.lock().len()).collect();
            let up =
                self.replicas.iter().all(|replica| replica.core.as_ref().is_some_and(GroupCore::is_idle));
            if up && self.network.is_empty() && lengths.iter().all(|length| *length == lengths[0]) {
                break;
            }
        }
        self.check_logs();
    }
}

#[test]
fn three_replicas_agree_through_crashes_and_a_bad_network() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, seeds) = (number("SEED").unwrap_or(1), number("SEEDS").unwrap_or(20));
    let (mut acknowledged, mut terms) = (0, 0);
    for seed in first..first + seeds {
        println!("SEED={seed}");
        let mut simulation = Simulation::new(seed);
        (0..4_000).for_each(|_| simulation.step());
        simulation.settle();
        let applied = simulation.replicas[0].disk.0.lock().clone();
        let numbers: Vec<_> =
            applied.iter().map(|entry| u64::from_le_bytes(entry.data[..].try_into().unwrap())).collect();
        for number in &simulation.acknowledged {
            let times = numbers.iter().filter(|applied| *applied == number).count();
            assert_eq!(times, 1, "seed {seed}: acknowledged proposal {number} was applied {times} times");
        }
        acknowledged += simulation.acknowledged.len();
        terms += simulation.leaders.len();
    }
    println!("acknowledged={acknowledged} terms={terms}");
    assert!(acknowledged as u64 > 50 * seeds, "only {acknowledged} proposals were acknowledged");
    assert!(terms as u64 > 2 * seeds, "only {terms} terms had a leader");
}

#[test]
fn a_leader_that_is_cut_off_answers_no_read() {
    let mut simulation = Simulation::new(7);
    let leader = loop {
        for number in 0..PEERS.len() {
            simulation.replicas[number].core.as_mut().unwrap().tick();
            for _ in 0..20 {
                simulation.turn(number);
                simulation.deliver();
            }
            if simulation.replicas.iter().any(|replica| replica.core.is_none()) {
                simulation = Simulation::new(simulation.random.0);
            }
        }
        let leads = |replica: &Replica| {
            replica.core.as_ref().is_some_and(|core| core.status().role == Role::Leader && core.is_idle())
        };
        if let Some(number) = simulation.replicas.iter().position(leads) {
            break number;
        }
    };
    let core = simulation.replicas[leader].core.as_mut().unwrap();
    let (ticket, answer) = pending(core.shared().clone(), 0);
    core.read(ticket);
    let mut outbox = Outbox::new();
    for _ in 0..12 {
        let write = core.take_write(&mut outbox);
        core.written(write, &mut outbox);
        core.tick();
    }
    let error = answer.wait_timeout(Duration::ZERO).unwrap_err();
    assert!(matches!(error, ClusterError::Timeout { .. }), "{error}");
}
