//! Shards behind Raft groups: the adapters between the `cluster` crate's state machine and the storage layer's.

use bytes::Bytes;
use segue_cluster::{AppliedState, ApplyError, CommittedEntry, StateMachine};

use crate::error::{Error, Result};
use crate::storage::entry::{AppliedAt, LogEntry};
use crate::storage::error::describe;
use crate::storage::meta::MetaStore;
use crate::storage::track_shard::TrackStateMachine;
use crate::storage::user_shard::UserShard;

/// A track shard as a group's state machine.
pub struct TrackReplica(pub TrackStateMachine);

impl StateMachine for TrackReplica {
    fn recovered(&self) -> AppliedState {
        let (index, term) = self.0.recovered();
        AppliedState { index, term }
    }

    fn apply(&mut self, batch: &[CommittedEntry]) -> std::result::Result<Vec<Bytes>, ApplyError> {
        let entries: Vec<(u64, u64, &[u8])> =
            batch.iter().map(|entry| (entry.index, entry.term, &entry.data[..])).collect();
        replies(self.0.apply(&entries))
    }

    fn durable_index(&self) -> u64 {
        self.0.shard().durable_index()
    }
}

/// Replies as bytes; an error stops the replica.
fn replies(result: Result<Vec<Vec<u8>>>) -> std::result::Result<Vec<Bytes>, ApplyError> {
    match result {
        Ok(replies) => Ok(replies.into_iter().map(Bytes::from).collect()),
        Err(error) => Err(ApplyError::with_source(describe(&error), error)),
    }
}

/// A user shard as a group's state machine.
pub struct UserReplica {
    shard: UserShard,
    recovered: AppliedAt,
}

impl UserReplica {
    /// Wraps a shard that was just opened; `recovered` is where its files end.
    pub fn new(shard: UserShard, recovered: AppliedAt) -> Self {
        Self { shard, recovered }
    }
}

impl StateMachine for UserReplica {
    fn recovered(&self) -> AppliedState {
        AppliedState { index: self.recovered.index, term: self.recovered.term }
    }

    fn apply(&mut self, batch: &[CommittedEntry]) -> std::result::Result<Vec<Bytes>, ApplyError> {
        replies(self.shard.apply(&log_entries(batch)).map_err(Error::from))
    }

    fn durable_index(&self) -> u64 {
        self.shard.durable_index()
    }
}

/// The meta state as a group's state machine.
pub struct MetaReplica {
    store: MetaStore,
    recovered: AppliedAt,
}

impl MetaReplica {
    /// Wraps a store that was just opened; `recovered` is where its file ends.
    pub fn new(store: MetaStore, recovered: AppliedAt) -> Self {
        Self { store, recovered }
    }
}

impl StateMachine for MetaReplica {
    fn recovered(&self) -> AppliedState {
        AppliedState { index: self.recovered.index, term: self.recovered.term }
    }

    fn apply(&mut self, batch: &[CommittedEntry]) -> std::result::Result<Vec<Bytes>, ApplyError> {
        replies(self.store.apply(&log_entries(batch)))
    }

    fn durable_index(&self) -> u64 {
        self.store.durable_index()
    }
}

fn log_entries(batch: &[CommittedEntry]) -> Vec<LogEntry<'_>> {
    batch.iter().map(|entry| LogEntry { index: entry.index, term: entry.term, data: &entry.data }).collect()
}
