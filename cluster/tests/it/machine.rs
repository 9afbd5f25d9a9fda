//! A state machine for tests: keeps every entry it was given, and may be told to misbehave.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use segue_cluster::{
    Applied, AppliedState, ApplyError, ClusterError, ClusterNode, CommittedEntry, GroupHandle, GroupId,
    NodeConfig, StateMachine,
};

pub const GROUP: GroupId = GroupId(7);
pub const LONG: Duration = Duration::from_secs(20);

/// What the machine has applied, shared with the test.
#[derive(Default)]
pub struct Journal {
    pub entries: Mutex<Vec<CommittedEntry>>,
    pub durable: AtomicU64,
    /// Whether the machine panics when it is asked what it holds, which the Raft thread does.
    pub is_poisoned: AtomicBool,
    /// Held by a test to stop the machine in the middle of a batch.
    pub gate: RwLock<()>,
}

impl Journal {
    pub fn texts(&self) -> Vec<String> {
        let entries = self.entries.lock();
        entries.iter().map(|entry| String::from_utf8(entry.data.to_vec()).unwrap()).collect()
    }

    /// Pretends that everything applied so far is in the machine's own files.
    pub fn checkpoint(&self) -> AppliedState {
        let state = self.entries.lock().last().map_or_else(AppliedState::default, recovered);
        self.durable.store(state.index, Ordering::Release);
        state
    }
}

/// The state of a machine whose last entry is `entry`.
pub fn recovered(entry: &CommittedEntry) -> AppliedState {
    AppliedState { index: entry.index, term: entry.term }
}

/// Replies to every entry with its text reversed. "panic" panics, "io error" stops the replica.
pub struct JournalMachine {
    journal: Arc<Journal>,
    recovered: AppliedState,
}

impl JournalMachine {
    pub fn boxed(journal: &Arc<Journal>) -> Box<dyn StateMachine> {
        Self::boxed_from(journal, AppliedState::default())
    }

    pub fn boxed_from(journal: &Arc<Journal>, recovered: AppliedState) -> Box<dyn StateMachine> {
        Box::new(Self { journal: journal.clone(), recovered })
    }
}

impl StateMachine for JournalMachine {
    fn recovered(&self) -> AppliedState {
        self.recovered.clone()
    }

    fn apply(&mut self, batch: &[CommittedEntry]) -> Result<Vec<Bytes>, ApplyError> {
        let mut replies = Vec::new();
        for entry in batch {
            let _gate = self.journal.gate.read();
            match entry.data.as_ref() {
                b"panic" => panic!("told to panic"),
                b"io error" => return Err(ApplyError::new("told to fail")),
                _ => {}
            }
            replies.push(entry.data.iter().rev().copied().collect());
            self.journal.entries.lock().push(entry.clone());
        }
        Ok(replies)
    }

    fn durable_index(&self) -> u64 {
        assert!(!self.journal.is_poisoned.load(Ordering::Acquire), "told to panic on the Raft thread");
        self.journal.durable.load(Ordering::Acquire)
    }
}

/// Small files and no reserve, so that tests are quick and do not depend on the disk's size.
pub fn config() -> NodeConfig {
    NodeConfig {
        log_file_bytes: 64 << 10,
        log_disk_bytes: 256 << 10,
        disk_reserve_bytes: 0,
        ..NodeConfig::default()
    }
}

/// Opens a node with one group and waits until everything in its log is applied.
pub fn open_one(dir: &Path, journal: &Arc<Journal>) -> (ClusterNode, GroupHandle) {
    let node = ClusterNode::open(dir, config()).unwrap();
    let group = node.add_group(GROUP, JournalMachine::boxed(journal)).unwrap();
    group.barrier().unwrap().wait_timeout(LONG).unwrap();
    (node, group)
}

pub fn write(group: &GroupHandle, text: &str) -> Result<Applied, ClusterError> {
    group.propose(text.to_owned())?.wait_timeout(LONG)
}

/// Copies a directory as it is at this moment, like a crash would leave it.
pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            copy_dir(&item.path(), &target);
        } else {
            std::fs::copy(item.path(), target).unwrap();
        }
    }
}

/// Seed of the random tests: `SEED` from the environment, or a fixed one.
pub fn seed() -> u64 {
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_101);
    println!("SEED={seed}");
    seed
}

/// A small generator of test choices (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
