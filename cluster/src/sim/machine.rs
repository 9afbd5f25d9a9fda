//! A state machine whose files survive a crash and whose memory does not: numbers by key.
//!
//! What is applied is in memory; a checkpoint makes it durable. A snapshot is the last checkpoint, as four
//! files named by content, so that a follower that has some of them fetches the others only.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::ids::{GroupId, PeerId};
use crate::snapshot::{SnapshotFile, SnapshotFiles, SnapshotManifest, Staging};
use crate::state_machine::{AppliedState, ApplyError, CommittedEntry, StateMachine};

const BUCKETS: u32 = 4;

/// What happened in a replica, for the invariants.
#[derive(Clone, Debug)]
pub enum Event {
    Written { group: GroupId, index: u64, term: u64, digest: u64 },
    Applied { group: GroupId, peer: PeerId, index: u64, term: u64, proposal: u64, hash: u64 },
    Installed { group: GroupId, peer: PeerId, index: u64, hash: u64 },
    Started { group: GroupId, peer: PeerId, index: u64, hash: u64 },
}

pub type Journal = Arc<Mutex<Vec<Event>>>;

/// The numbers, and how they came about.
#[derive(Clone, Default, Debug, PartialEq)]
pub struct State {
    pub index: u64,
    pub term: u64,
    /// Proposal and index by key.
    pub values: BTreeMap<u32, (u64, u64)>,
    /// Of every entry ever applied, in order.
    pub hash: u64,
}

/// A replica's files.
#[derive(Default)]
pub struct MachineDisk {
    pub durable: State,
    /// Whole staged files, by hash.
    whole: BTreeMap<[u8; 32], Vec<u8>>,
    /// Staged files that are not whole; a crash cuts them.
    parts: BTreeMap<[u8; 32], Vec<u8>>,
    /// Pieces written, ever.
    pub pieces: u64,
}

pub type SharedDisk = Arc<Mutex<MachineDisk>>;

impl MachineDisk {
    /// Loses what was not synced: of each growing file, all but the first `kept` bytes.
    pub fn crash(&mut self, kept: usize) {
        for part in self.parts.values_mut() {
            part.truncate(kept);
        }
    }

    fn file(&self, hash: &[u8; 32]) -> Option<Vec<u8>> {
        let own = || files_of(&self.durable).into_iter().find(|(file, _)| file.hash == *hash);
        self.whole.get(hash).cloned().or_else(|| own().map(|(_, content)| content))
    }
}

/// The machine of one replica.
pub struct SimMachine {
    pub group: GroupId,
    pub peer: PeerId,
    pub disk: SharedDisk,
    /// In memory; shared with readers.
    pub state: Arc<Mutex<State>>,
    pub journal: Journal,
}

/// A proposal as bytes.
pub fn command(key: u32, proposal: u64) -> Bytes {
    [&key.to_le_bytes()[..], &proposal.to_le_bytes()].concat().into()
}

fn read_command(data: &[u8]) -> (u32, u64) {
    let (key, proposal) = data.split_first_chunk::<4>().expect("a command has a key");
    (u32::from_le_bytes(*key), u64::from_le_bytes(proposal.try_into().expect("and a number")))
}

pub fn mix(hash: u64, value: u64) -> u64 {
    (hash ^ value).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23)
}

fn files_of(state: &State) -> Vec<(SnapshotFile, Vec<u8>)> {
    let bucket = |number: u32| {
        let mut content = number.to_le_bytes().to_vec();
        for (key, (proposal, index)) in state.values.iter().filter(|(key, _)| **key % BUCKETS == number) {
            content.extend(key.to_le_bytes());
            content.extend(proposal.to_le_bytes());
            content.extend(index.to_le_bytes());
        }
        let hash = *blake3::hash(&content).as_bytes();
        let file = SnapshotFile { name: format!("bucket-{number}"), bytes: content.len() as u64, hash };
        (file, content)
    };
    (0..BUCKETS).map(bucket).collect()
}

struct Pinned {
    manifest: SnapshotManifest,
    contents: Vec<Vec<u8>>,
}

impl SnapshotFiles for Pinned {
    fn manifest(&self) -> &SnapshotManifest {
        &self.manifest
    }

    fn read(&self, file: usize, offset: u64, bytes: u64) -> io::Result<Vec<u8>> {
        let content = self.contents.get(file).ok_or(io::ErrorKind::NotFound)?;
        let rest = content.get(offset as usize..).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(rest[..rest.len().min(bytes as usize)].to_vec())
    }
}

/// The staging area of a replica's disk.
pub struct SimStaging(pub SharedDisk);

impl Staging for SimStaging {
    fn holds(&self, file: &SnapshotFile) -> bool {
        self.0.lock().file(&file.hash).is_some()
    }

    fn staged_bytes(&self, file: &SnapshotFile) -> u64 {
        self.0.lock().parts.get(&file.hash).map_or(0, |part| part.len() as u64)
    }

    fn append(&self, file: &SnapshotFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.pieces += 1;
        let part = disk.parts.entry(file.hash).or_default();
        part.truncate(offset as usize);
        part.extend(bytes);
        Ok(())
    }

    fn finish(&self, file: &SnapshotFile) -> io::Result<bool> {
        let mut disk = self.0.lock();
        let content = disk.parts.remove(&file.hash).unwrap_or_default();
        let fits = blake3::hash(&content) == blake3::Hash::from_bytes(file.hash);
        if fits {
            disk.whole.insert(file.hash, content);
        }
        Ok(fits)
    }

    fn keep_only(&self, files: &[SnapshotFile]) -> io::Result<()> {
        let wanted = |hash: &[u8; 32]| files.iter().any(|file| file.hash == *hash);
        let mut disk = self.0.lock();
        disk.whole.retain(|hash, _| wanted(hash));
        disk.parts.retain(|hash, _| wanted(hash));
        Ok(())
    }
}

impl StateMachine for SimMachine {
    fn recovered(&self) -> AppliedState {
        let disk = self.disk.lock();
        AppliedState { index: disk.durable.index, term: disk.durable.term }
    }

    fn apply(&mut self, batch: &[CommittedEntry]) -> Result<Vec<Bytes>, ApplyError> {
        let mut state = self.state.lock();
        for entry in batch {
            assert!(entry.index > state.index, "entry {} was applied twice", entry.index);
            let (key, proposal) = read_command(&entry.data);
            state.values.insert(key, (proposal, entry.index));
            (state.index, state.term) = (entry.index, entry.term);
            state.hash = mix(mix(state.hash, entry.index), proposal);
            let (group, peer, hash) = (self.group, self.peer, state.hash);
            let (index, term) = (entry.index, entry.term);
            self.journal.lock().push(Event::Applied { group, peer, index, term, proposal, hash });
        }
        Ok(batch.iter().map(|entry| entry.data.clone()).collect())
    }

    fn durable_index(&self) -> u64 {
        self.disk.lock().durable.index
    }

    fn snapshot(&mut self) -> Result<Option<Arc<dyn SnapshotFiles>>, ApplyError> {
        let mut disk = self.disk.lock();
        let state = self.state.lock();
        // Sometimes as fresh as can be, sometimes what happens to be in the files.
        if state.index.is_multiple_of(2) {
            disk.durable = state.clone();
        }
        let State { index, term, hash, .. } = disk.durable;
        let (files, contents) = files_of(&disk.durable).into_iter().unzip();
        let data = hash.to_le_bytes().to_vec().into();
        let manifest = SnapshotManifest { index, term, data, files };
        Ok(Some(Arc::new(Pinned { manifest, contents })))
    }

    fn staging(&self) -> Option<Arc<dyn Staging>> {
        Some(Arc::new(SimStaging(self.disk.clone())))
    }

    fn install(&mut self, snapshot: &SnapshotManifest) -> Result<(), ApplyError> {
        let mut disk = self.disk.lock();
        let mut values = BTreeMap::new();
        for file in &snapshot.files {
            let content = disk.file(&file.hash).ok_or_else(|| ApplyError::new("a file is missing"))?;
            for row in content[4..].chunks_exact(20) {
                let number =
                    |from: usize| u64::from_le_bytes(row[from..from + 8].try_into().expect("8 bytes"));
                let key = u32::from_le_bytes(row[..4].try_into().expect("4 bytes"));
                values.insert(key, (number(4), number(12)));
            }
        }
        let hash = u64::from_le_bytes(snapshot.data[..].try_into().expect("a hash"));
        let state = State { index: snapshot.index, term: snapshot.term, values, hash };
        disk.durable = state.clone();
        *self.state.lock() = state;
        let (group, peer, index) = (self.group, self.peer, snapshot.index);
        self.journal.lock().push(Event::Installed { group, peer, index, hash });
        Ok(())
    }
}
