//! One simulated node: its disk, its replicas, and turns as the Raft thread of a real node takes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use protobuf::Message as _;

use super::disk::SimLog;
use super::machine::{Event, Journal, MachineDisk, SharedDisk, SimMachine, State};
use super::random::Random;
use crate::edge;
use crate::error::LogError;
use crate::group::apply::ApplyJob;
use crate::group::core::{GroupCore, GroupLimits, Outbox};
use crate::group::shared::GroupShared;
use crate::ids::{GroupId, PeerId, StoreId};
use crate::log::recover::recover;
use crate::log::store::{GroupWrite, LogStore};
use crate::snapshot::packet::{Outgoing, Packet};
use crate::snapshot::transfer::{Progress, Transfers};
use crate::state_machine::StateMachine;

pub const LIMITS: GroupLimits = GroupLimits {
    apply_batch_bytes_max: 200,
    log_bytes_max: 1 << 30,
    log_entries_max: 24,
    log_slack_entries: 4,
    follower_dead_ticks: 60,
};

/// What one replica keeps on disk beside the log, and its machine's memory while it runs.
pub struct Replica {
    pub peer: PeerId,
    pub disk: SharedDisk,
    pub state: Arc<Mutex<State>>,
}

/// One node.
pub struct Node {
    pub store: StoreId,
    pub log: Arc<SimLog>,
    pub replicas: BTreeMap<GroupId, Replica>,
    /// Running replicas; none while the node is down.
    pub cores: BTreeMap<GroupId, GroupCore>,
    pub up: bool,
    /// Does nothing before this step: a stalled disk, or a paused process.
    pub stalled_until: u64,
    pub ticks_every: u64,
    pub journal: Journal,
    transfers: Transfers,
    /// Writes that wait for space.
    held: Option<Vec<GroupWrite>>,
    /// Batches at the apply threads.
    jobs: Vec<ApplyJob>,
    /// Whether apply threads are slow.
    pub slow_apply: bool,
}

impl Node {
    pub fn new(store: StoreId, journal: Journal, log: SimLog) -> Self {
        Self {
            store,
            log: Arc::new(log),
            replicas: BTreeMap::new(),
            cores: BTreeMap::new(),
            up: true,
            stalled_until: 0,
            ticks_every: 5,
            journal,
            transfers: Transfers::new(32, 200),
            held: None,
            jobs: Vec::new(),
            slow_apply: false,
        }
    }

    /// Creates a replica on disk and runs it.
    pub fn create(&mut self, write: GroupWrite, random: &mut Random) {
        let (group, peer) = (write.group, write.peer.expect("a new replica has a peer id"));
        self.log.write_in_any_case(write);
        let disk = Arc::new(Mutex::new(MachineDisk::default()));
        self.replicas.insert(group, Replica { peer, disk, state: Arc::default() });
        if self.up {
            self.start(group, random);
        }
    }

    /// Destroys a replica: log and files.
    pub fn destroy(&mut self, group: GroupId) {
        self.cores.remove(&group);
        self.replicas.remove(&group);
        self.jobs.retain(|job| job.shared.id != group);
        self.transfers.forget(group);
        if let Some(held) = &mut self.held {
            held.retain(|write| write.group != group);
        }
        self.log.write_in_any_case(GroupWrite { destroy: true, ..GroupWrite::new(group) });
    }

    /// Loses memory and what was not synced.
    pub fn crash(&mut self, random: &mut Random) {
        self.up = false;
        self.log.crash();
        self.cores.clear();
        self.jobs.clear();
        self.held = None;
        self.transfers = Transfers::new(32, 200);
        for replica in self.replicas.values() {
            replica.disk.lock().crash(random.below(100) as usize);
        }
    }

    pub fn restart(&mut self, random: &mut Random) {
        self.up = true;
        self.log.restart();
        let groups: Vec<_> = self.replicas.keys().copied().collect();
        groups.into_iter().for_each(|group| self.start(group, random));
    }

    fn start(&mut self, group: GroupId, random: &mut Random) {
        let replica = self.replicas.get_mut(&group).expect("a replica is started where it is");
        let durable = replica.disk.lock().durable.clone();
        replica.state = Arc::new(Mutex::new(durable.clone()));
        let peer = replica.peer;
        self.journal.lock().push(Event::Started { group, peer, index: durable.index, hash: durable.hash });
        let machine = SimMachine {
            group,
            peer,
            disk: replica.disk.clone(),
            state: replica.state.clone(),
            journal: self.journal.clone(),
        };
        let stored = self.log.load(group).expect("the log is whole").expect("the replica was created");
        let removed = !stored.members.peers().is_empty() && !stored.members.contains(peer);
        if removed {
            // Its own log says so: nobody will ever miss it.
            return self.destroy(group);
        }
        let mut recovered = recover(group, self.log.clone(), stored, &machine.recovered())
            .unwrap_or_else(|error| panic!("replica {peer} of group {group} cannot start: {error}"));
        if let Some(write) = recovered.first_write.take() {
            self.log.write_in_any_case(write);
        }
        let shared = GroupShared::new(group, peer, usize::MAX);
        let core = GroupCore::new(shared, recovered, Box::new(machine), LIMITS, random.next())
            .unwrap_or_else(|error| panic!("replica {peer} of group {group} cannot start: {error}"));
        self.cores.insert(group, core);
    }

    pub fn tick(&mut self, random: &mut Random, out: &mut Outbox) {
        for core in self.cores.values_mut() {
            core.tick();
            // The one thing `raft` draws by itself.
            core.set_election_ticks(10 + random.below(10) as usize);
        }
        let progress = self.transfers.tick();
        self.take_progress(progress, out);
    }

    /// Takes a packet for one of its replicas.
    pub fn receive(&mut self, from: StoreId, what: Outgoing, out: &mut Outbox) {
        let group = what.group;
        let Some(core) = self.cores.get_mut(&group) else {
            return;
        };
        if self.replicas.get(&group).is_none_or(|replica| replica.peer != what.to) {
            return;
        }
        match what.packet {
            Packet::Raft(message) => {
                // Through the bytes and the checks a real node sees.
                let bytes = message.write_to_bytes().expect("a message can be encoded");
                let message = edge::read_message(&bytes)
                    .unwrap_or_else(|refused| panic!("an honest message is refused: {refused}, {message:?}"));
                core.receive(message, from);
            }
            Packet::Fetch(fetch) => {
                let files = core.pinned(what.from, fetch.snapshot);
                let answer = self.transfers.serve(fetch, files.as_deref());
                let back = |chunk| core.outgoing(what.from, from, Packet::Chunk(chunk));
                out.extend(answer.map(back));
            }
            Packet::Chunk(chunk) => {
                let progress = self.transfers.take(group, &chunk);
                self.take_progress(progress, out);
            }
            Packet::Fetched { snapshot, ok } => core.snapshot_ended(what.from, snapshot, ok),
        }
    }

    fn take_progress(&mut self, progress: Progress, out: &mut Outbox) {
        out.extend(progress.out);
        for done in progress.done {
            if let Some(core) = self.cores.get_mut(&done.group) {
                core.fetch_done(done.snapshot, done.ok);
            }
        }
    }

    /// Runs one turn. Returns `false` when the node crashed in it.
    pub fn turn(&mut self, crash: bool, random: &mut Random, out: &mut Outbox) -> bool {
        let writes = match self.held.take() {
            Some(writes) => writes,
            None => self.cores.values_mut().map(|core| core.take_write(out)).collect(),
        };
        let batch: Vec<GroupWrite> = writes.iter().filter(|write| !write.is_empty()).cloned().collect();
        if crash && random.one_in(2) {
            self.log.write_and_lose(&batch);
            self.crash(random);
            return false;
        }
        if !batch.is_empty() {
            match self.log.write(&batch) {
                Ok(_) => {}
                Err(LogError::NoSpace { .. }) => {
                    self.held = Some(writes);
                    return true;
                }
                Err(error) => panic!("{error}"),
            }
        }
        if crash {
            self.crash(random);
            return false;
        }
        for write in writes {
            if let Some(core) = self.cores.get_mut(&write.group) {
                core.written(write, out);
            }
        }
        self.apply(random);
        for (group, core) in &mut self.cores {
            if let Some(order) = core.take_fetch() {
                let disk = self.replicas[group].disk.clone();
                let staging = Arc::new(super::machine::SimStaging(disk));
                let progress = self.transfers.fetch(*group, order, staging);
                out.extend(progress.out);
                for done in progress.done {
                    core.fetch_done(done.snapshot, done.ok);
                }
            }
        }
        true
    }

    fn apply(&mut self, random: &mut Random) {
        self.jobs.extend(self.cores.values_mut().filter_map(GroupCore::next_apply));
        let slow = self.slow_apply;
        let ready: Vec<ApplyJob> = self.jobs.extract_if(.., |_| !slow || random.one_in(8)).collect();
        for job in ready {
            let done = job.run();
            let core = self.cores.get_mut(&done.shared.id).expect("a batch belongs to a replica");
            if let Err(failure) = core.applied(done) {
                panic!("the machine of group {} stopped: {}", core.id(), failure.reason);
            }
        }
    }

    pub fn is_frozen(&self) -> bool {
        self.held.is_some()
    }
}
