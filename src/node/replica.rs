//! Shards behind Raft groups: the adapters between the `cluster` crate's state machine and the storage layer's.

use bytes::Bytes;
use segue_cluster::{AppliedState, ApplyError, CommittedEntry, StateMachine};

use crate::error::Result;
use crate::storage::error::describe;
use crate::storage::track_shard::TrackStateMachine;

/// A track shard as a group's state machine.
pub struct TrackReplica(pub TrackStateMachine);

impl StateMachine for TrackReplica {
    fn recovered(&self) -> AppliedState {
        let (index, term) = self.0.recovered();
        AppliedState { index, term, conf_state: Bytes::new() }
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
pub fn replies(result: Result<Vec<Vec<u8>>>) -> std::result::Result<Vec<Bytes>, ApplyError> {
    match result {
        Ok(replies) => Ok(replies.into_iter().map(Bytes::from).collect()),
        Err(error) => Err(ApplyError::with_source(describe(&error), error)),
    }
}
