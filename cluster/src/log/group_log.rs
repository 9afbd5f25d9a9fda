//! One group's log as Raft sees it: `raft::Storage` over a [`LogStore`].
//!
//! Memory: the length of every entry (4 bytes), the terms as runs, and the newest entries themselves
//! up to [`CACHE_BYTES_MAX`], so that what was just written is applied without reading it back.
//!
//! Invariants: entries are `truncated.index + 1 ..= last`, without a hole; terms never fall; nothing
//! enters here before it is durable.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;

use protobuf::Message as _;
use raft::eraftpb::{Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use super::store::{BOOTSTRAP, GroupWrite, LogStore, Truncated};
use crate::error::LogError;
use crate::ids::GroupId;
use crate::members::Members;
use crate::snapshot::manifest::{Offer, SnapshotManifest};

/// Entries kept in memory behind the newest one.
const CACHE_BYTES_MAX: u64 = 16 << 20;

/// One group's log.
pub(crate) struct GroupLog {
    group: GroupId,
    store: Arc<dyn LogStore>,
    truncated: Truncated,
    hard_state: HardState,
    members: Members,
    /// A snapshot that may be offered to followers, and the id of its pinned files.
    offered: Option<(u64, SnapshotManifest)>,
    /// Raft asked for a snapshot that is not there.
    snapshot_wanted: Cell<bool>,
    /// `(first index of the run, term)`, ascending.
    term_runs: VecDeque<(u64, u64)>,
    /// Encoded bytes of each entry from `truncated.index + 1` on.
    lengths: VecDeque<u32>,
    bytes: u64,
    /// The newest entries, consecutive, up to and with the last one.
    cache: VecDeque<Entry>,
    cache_bytes: u64,
}

impl GroupLog {
    /// Makes the view of a log that has no entries yet.
    pub fn new(
        group: GroupId,
        store: Arc<dyn LogStore>,
        truncated: Truncated,
        hard_state: HardState,
        members: Members,
    ) -> Self {
        Self {
            group,
            store,
            truncated,
            hard_state,
            members,
            offered: None,
            snapshot_wanted: Cell::new(false),
            term_runs: VecDeque::new(),
            lengths: VecDeque::new(),
            bytes: 0,
            cache: VecDeque::new(),
            cache_bytes: 0,
        }
    }

    /// Makes the view of a log that `bootstrap` is about to create.
    pub fn created(store: Arc<dyn LogStore>, bootstrap: &GroupWrite) -> Self {
        let truncated = bootstrap.truncate.unwrap_or(BOOTSTRAP);
        let hard_state = bootstrap.hard_state.clone().unwrap_or_default();
        let members = bootstrap.members.clone().unwrap_or_default();
        Self::new(bootstrap.group, store, truncated, hard_state, members)
    }

    pub fn truncated(&self) -> Truncated {
        self.truncated
    }

    pub fn last(&self) -> u64 {
        self.truncated.index + self.lengths.len() as u64
    }

    /// Returns the encoded bytes of all entries.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns how many entries are in the log.
    pub fn len(&self) -> u64 {
        self.lengths.len() as u64
    }

    pub fn hard_state(&self) -> &HardState {
        &self.hard_state
    }

    pub fn members(&self) -> &Members {
        &self.members
    }

    /// Takes over a membership that is not on disk yet.
    pub fn set_members(&mut self, members: Members) {
        self.members = members;
    }

    /// Says which snapshot Raft may offer, by the id of its pinned files.
    pub fn set_offered(&mut self, offered: Option<(u64, SnapshotManifest)>) {
        self.offered = offered;
    }

    /// Returns whether Raft asked for a snapshot since the last call, and found none.
    pub fn take_snapshot_wanted(&self) -> bool {
        self.snapshot_wanted.take()
    }

    fn offer(&self, request_index: u64) -> Option<Snapshot> {
        let (id, manifest) = self.offered.as_ref()?;
        let at = place(manifest);
        // Without the entries behind it the follower could not go on.
        if at.index < self.truncated.index || at.index < request_index {
            return None;
        }
        let offer = Offer { id: *id, members: self.members.clone(), manifest: manifest.clone() };
        let mut snapshot = Snapshot { data: offer.encode().into(), ..Snapshot::default() };
        let metadata = snapshot.mut_metadata();
        metadata.index = at.index;
        metadata.term = at.term;
        metadata.set_conf_state(self.members.conf_state.clone());
        Some(snapshot)
    }

    /// Takes over what a durable write contained.
    ///
    /// # Panics
    /// When the entries leave a hole: Raft never does that, and the store has refused it before.
    pub fn written(&mut self, write: GroupWrite) {
        if let Some(hard_state) = write.hard_state {
            self.hard_state = hard_state;
        }
        if let Some(members) = write.members {
            self.members = members;
        }
        if write.reset {
            self.reset(write.truncate.unwrap_or(BOOTSTRAP));
        }
        self.append(write.entries);
        if let Some(truncated) = write.truncate {
            self.truncate(truncated);
        }
    }

    /// Remembers a commit index that is not on disk yet; it goes there with the next write.
    pub fn set_commit(&mut self, commit: u64) {
        self.hard_state.commit = commit;
    }

    /// Returns the term of an entry in the log or of the truncation point.
    pub fn term_of(&self, index: u64) -> Option<u64> {
        if index == self.truncated.index {
            return Some(self.truncated.term);
        }
        if index < self.truncated.index || index > self.last() {
            return None;
        }
        let run = self.term_runs.partition_point(|(first, _)| *first <= index);
        self.term_runs.get(run.checked_sub(1)?).map(|(_, term)| *term)
    }

    /// Returns entries `low..high`, at least one, cut before `bytes_max` is exceeded.
    ///
    /// # Errors
    /// As [`LogStore::read`].
    pub fn read(&self, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, LogError> {
        match self.cache.front() {
            Some(first) if first.index <= low => Ok(self.read_cached(first.index, low, high, bytes_max)),
            _ => self.store.read(self.group, low, high, bytes_max),
        }
    }

    fn read_cached(&self, cache_first: u64, low: u64, high: u64, bytes_max: u64) -> Vec<Entry> {
        let (from, to) = ((low - cache_first) as usize, (high - cache_first) as usize);
        let mut entries = Vec::with_capacity(to - from);
        let mut bytes = 0;
        for entry in self.cache.range(from..to) {
            bytes += u64::from(entry.compute_size());
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        entries
    }

    /// Forgets all entries; the log goes on behind `to`.
    fn reset(&mut self, to: Truncated) {
        self.truncated = to;
        self.term_runs.clear();
        self.lengths.clear();
        self.bytes = 0;
        self.cache.clear();
        self.cache_bytes = 0;
    }

    fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first() else {
            return;
        };
        assert!(
            first.index > self.truncated.index && first.index <= self.last() + 1,
            "entries leave a hole or replace what was dropped"
        );
        self.cut_from(first.index);
        for entry in entries {
            let length = entry.compute_size();
            if self.term_runs.back().is_none_or(|(_, term)| *term != entry.term) {
                self.term_runs.push_back((entry.index, entry.term));
            }
            self.lengths.push_back(length);
            self.bytes += u64::from(length);
            self.cache_bytes += u64::from(length);
            self.cache.push_back(entry);
        }
        self.trim_cache();
    }

    /// Removes the entries from `index` on.
    fn cut_from(&mut self, index: u64) {
        while self.last() >= index {
            let length = self.lengths.pop_back().map_or(0, u64::from);
            self.bytes -= length;
            if self.cache.pop_back().is_some() {
                self.cache_bytes -= length;
            }
        }
        while self.term_runs.back().is_some_and(|(first, _)| *first >= index) {
            self.term_runs.pop_back();
        }
    }

    fn trim_cache(&mut self) {
        while self.cache_bytes > CACHE_BYTES_MAX && self.cache.len() > 1 {
            if let Some(entry) = self.cache.pop_front() {
                self.cache_bytes -= u64::from(entry.compute_size());
            }
        }
    }

    fn truncate(&mut self, to: Truncated) {
        while self.truncated.index < to.index {
            let Some(length) = self.lengths.pop_front() else {
                break;
            };
            self.bytes -= u64::from(length);
            self.truncated.index += 1;
        }
        self.truncated = to;
        while self.cache.front().is_some_and(|entry| entry.index <= to.index) {
            if let Some(entry) = self.cache.pop_front() {
                self.cache_bytes -= u64::from(entry.compute_size());
            }
        }
        while self.term_runs.get(1).is_some_and(|(first, _)| *first <= to.index + 1) {
            self.term_runs.pop_front();
        }
        if self.lengths.is_empty() {
            self.term_runs.clear();
        }
    }
}

impl Storage for GroupLog {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.members.conf_state.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.truncated.index {
            return Err(StorageError::Compacted.into());
        }
        if high > self.last() + 1 {
            return Err(StorageError::Unavailable.into());
        }
        self.read(low, high, max_size.into().unwrap_or(u64::MAX)).map_err(other)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index < self.truncated.index {
            return Err(StorageError::Compacted.into());
        }
        self.term_of(index).ok_or_else(|| StorageError::Unavailable.into())
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.truncated.index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    /// Answers at once: with an offer a few kilobytes long, or that there is none yet.
    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        self.offer(request_index).ok_or_else(|| {
            self.snapshot_wanted.set(true);
            StorageError::SnapshotTemporarilyUnavailable.into()
        })
    }
}

/// Returns where the log goes on after a snapshot: a new machine stands at the synthetic first one.
pub(crate) fn place(manifest: &SnapshotManifest) -> Truncated {
    if manifest.index <= BOOTSTRAP.index {
        return BOOTSTRAP;
    }
    Truncated { index: manifest.index, term: manifest.term }
}

fn other(error: LogError) -> raft::Error {
    raft::Error::Store(StorageError::Other(Box::new(error)))
}
