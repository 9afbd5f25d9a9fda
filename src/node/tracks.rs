//! The track shards of a node and their groups: what is written goes to the shards it belongs to, to all at the same time.
//! Every node holds all of them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use segue_cluster::GroupId;

use super::group::{Group, propose_all};
use crate::error::{Error, Result};
use crate::pipeline::request::WriteToken;
use crate::storage::track_shard::command::{TrackCommand, TrackReply};
use crate::storage::track_shard::{TrackShard, TrackView, decode_reply, encode};
use crate::types::{TrackId, TrackOrdinal, TrackRef, shard_of_slot, slot_of};

/// One track shard and the group it applies the log of.
pub(super) struct TrackPart {
    pub group: Group,
    pub shard: Arc<TrackShard>,
    /// Another node needs a checkpoint to begin with.
    pub checkpoint_wanted: Arc<AtomicBool>,
}

/// All of them, in the order of the slots they own; never none.
pub(super) struct TrackReplicas(Vec<TrackPart>);

impl TrackReplicas {
    /// Puts all there are together, in order.
    pub(super) fn new(parts: Vec<TrackPart>) -> Self {
        assert!(!parts.is_empty(), "a database has at least one track shard");
        Self(parts)
    }

    /// Each, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &TrackPart> {
        self.0.iter()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The first, which says of what dimension a space without generations is.
    pub(super) fn first(&self) -> &TrackPart {
        &self.0[0]
    }

    /// One by its group.
    pub(super) fn of_group(&self, group: GroupId) -> Option<&TrackPart> {
        self.0.iter().find(|part| part.group.id() == group)
    }

    /// The newest version of each.
    pub(super) fn views(&self) -> Vec<Arc<TrackView>> {
        self.0.iter().map(|part| part.shard.view()).collect()
    }

    /// The groups, in order.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.0.iter().map(|part| &part.group)
    }

    /// Where every group stands.
    pub(super) fn applied(&self) -> impl Iterator<Item = (String, u64)> {
        self.0.iter().map(|part| (part.group.name.clone(), part.shard.view().applied_index))
    }

    /// Which shard an id belongs to.
    pub(super) fn place_of(&self, id: &str) -> usize {
        match self.0.len() {
            1 => 0,
            count => shard_of_slot(slot_of(id), u16::try_from(count).expect("at most TRACK_SHARDS_MAX")),
        }
    }

    /// The newest version of the shard that an id belongs to.
    pub(super) fn view_of(&self, id: &TrackId) -> Arc<TrackView> {
        self.0[self.place_of(id.as_str())].shard.view()
    }

    /// The place an id was given, whether or not the track still exists.
    pub(super) fn find(&self, id: &TrackId) -> Option<TrackRef> {
        let view = self.view_of(id);
        let ordinal = TrackOrdinal(view.ordinal_of(id.as_str())?);
        Some(TrackRef { shard: view.shard, ordinal })
    }

    /// Rows by the shard of their track, in the order they came in.
    pub(super) fn split<T>(&self, rows: Vec<T>, id_of: impl Fn(&T) -> &TrackId) -> Vec<Vec<T>> {
        if self.0.len() == 1 {
            return vec![rows];
        }
        let mut parts: Vec<Vec<T>> = self.0.iter().map(|_| Vec::new()).collect();
        for row in rows {
            parts[self.place_of(id_of(&row).as_str())].push(row);
        }
        parts
    }

    /// Proposes commands to shards, at most one to each, all at the same time; the replies once all are applied, in the same
    /// order, and one token for all. Each is applied whole or not at all.
    ///
    /// # Errors
    /// Retryable refusals and `Timeout` of the first shard that answered so: others may have done their part.
    pub(super) fn propose(&self, parts: &[(usize, TrackCommand)]) -> Result<(Vec<TrackReply>, WriteToken)> {
        let mut proposals = Vec::with_capacity(parts.len());
        for (place, command) in parts {
            proposals.push((&self.0[*place].group, encode(command)?));
        }
        let mut replies = Vec::with_capacity(parts.len());
        let mut token = WriteToken::default();
        for ((place, _), outcome) in parts.iter().zip(propose_all(proposals)) {
            let applied = outcome?;
            token.applied.push((self.0[*place].group.name.clone(), applied.index));
            replies.push(decode_reply(&applied.reply)?);
        }
        Ok((replies, token))
    }

    /// The same of parts of one batch; the sum of what was counted.
    pub(super) fn propose_counted(&self, parts: &[(usize, TrackCommand)]) -> Result<(u64, WriteToken)> {
        let (replies, token) = self.propose(parts)?;
        let mut sum = 0;
        for reply in &replies {
            match reply {
                TrackReply::Done(count) => sum += count,
                other => return Err(unexpected(other)),
            }
        }
        Ok((sum, token))
    }
}

/// Parts with rows as commands.
pub(super) fn commands<T>(
    parts: Vec<Vec<T>>,
    command: impl Fn(Vec<T>) -> TrackCommand,
) -> Vec<(usize, TrackCommand)> {
    let parts = parts.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
    parts.map(|(place, rows)| (place, command(rows))).collect()
}

pub(super) fn unexpected(reply: &TrackReply) -> Error {
    Error::Internal(format!("unexpected reply of a track shard: {reply:?}"))
}
