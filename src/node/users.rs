//! The user shards of a node and their groups: what is written goes to the shards it belongs to, to all at the same time.

use std::sync::Arc;

use segue_cluster::GroupHandle;

use super::group::{Group, propose_all};
use crate::error::{Error, Result};
use crate::pipeline::request::WriteToken;
use crate::storage::user_shard::{Elsewhere, UserCommand, UserReply, UserShard, UserShards};
use crate::types::UserId;

/// The user shards and the groups they apply the logs of.
pub(super) struct UserReplicas {
    /// In the order of the slots they own.
    pub shards: UserShards,
    /// In the same order.
    pub groups: Vec<Group>,
}

impl UserReplicas {
    /// Puts all there are together, in order; all are here.
    pub(super) fn new(replicas: Vec<(Group, UserShard)>) -> Self {
        let (groups, shards) = replicas.into_iter().unzip();
        Self { shards: UserShards::new(shards), groups }
    }

    /// The same of a database of which other nodes have parts.
    pub(super) fn placed(replicas: Vec<(Group, Option<UserShard>)>, elsewhere: Arc<dyn Elsewhere>) -> Self {
        let (groups, shards) = replicas.into_iter().unzip();
        Self { shards: UserShards::placed(shards, elsewhere), groups }
    }

    /// The groups of which a replica serves here.
    pub(super) fn here(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| group.is_here())
    }

    /// From now on a replica of a shard serves here.
    pub(super) fn serve(&self, place: usize, replica: GroupHandle, shard: UserShard) {
        self.groups[place].put(Some(replica));
        self.shards.put(place, Some(shard));
    }

    /// From now on none does.
    pub(super) fn serve_no_more(&self, place: usize) {
        self.shards.put(place, None);
        self.groups[place].put(None);
    }

    /// Rows by the shard of their user, in the order they came in.
    pub(super) fn split<T>(&self, rows: Vec<T>, user_of: impl Fn(&T) -> &UserId) -> Vec<Vec<T>> {
        if self.groups.len() == 1 {
            return vec![rows];
        }
        let mut parts: Vec<Vec<T>> = self.groups.iter().map(|_| Vec::new()).collect();
        for row in rows {
            parts[self.shards.place_of(user_of(&row))].push(row);
        }
        parts
    }

    /// Where every group stands that is here.
    pub(super) fn applied(&self) -> impl Iterator<Item = (String, u64)> {
        self.shards.here().map(|(place, shard)| (self.groups[place].name.clone(), shard.applied().index))
    }

    /// Proposes commands to shards, at most one to each, all at the same time; the replies once all are applied, in the same
    /// order, and one token for all.
    ///
    /// Each is applied whole or not at all. Mistakes that any of several shards would refuse are found before anything is proposed.
    ///
    /// # Errors
    /// `InvalidField` before anything was done. Retryable refusals and `Timeout` of the first shard that answered so: others
    /// may have done their part.
    pub(super) fn propose(&self, parts: Vec<(usize, UserCommand)>) -> Result<(Vec<UserReply>, WriteToken)> {
        if parts.len() > 1
            && let Some(reason) = parts.iter().find_map(|(_, command)| command.problem())
        {
            return Err(Error::invalid("batch", reason));
        }
        let proposals = parts.iter().map(|(shard, command)| (&self.groups[*shard], command.encode()));
        let outcomes = propose_all(proposals.collect());
        let mut replies = Vec::with_capacity(parts.len());
        let mut token = WriteToken::default();
        for ((shard, _), outcome) in parts.iter().zip(outcomes) {
            let applied = outcome?;
            token.applied.push((self.groups[*shard].name.clone(), applied.index));
            match UserReply::decode(&applied.reply)? {
                UserReply::Refused(reason) => return Err(Error::invalid("batch", reason)),
                reply => replies.push(reply),
            }
        }
        Ok((replies, token))
    }

    /// The same of parts of one batch; the sum of what was counted.
    pub(super) fn propose_counted(&self, parts: Vec<(usize, UserCommand)>) -> Result<(u64, WriteToken)> {
        let (replies, token) = self.propose(parts)?;
        let mut sum = 0;
        for reply in replies {
            match reply {
                UserReply::Done(count) => sum += count,
                other => return Err(unexpected(&other)),
            }
        }
        Ok((sum, token))
    }
}

/// Parts with rows as commands.
pub(super) fn commands<T, C: Into<UserCommand>>(
    parts: Vec<Vec<T>>,
    command: impl Fn(Vec<T>) -> C,
) -> Vec<(usize, UserCommand)> {
    let parts = parts.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
    parts.map(|(shard, rows)| (shard, command(rows).into())).collect()
}

pub(super) fn unexpected(reply: &UserReply) -> Error {
    Error::Internal(format!("unexpected reply of a user shard: {reply:?}"))
}
