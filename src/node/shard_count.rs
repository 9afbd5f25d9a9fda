//! How many shards of a kind a database has: decided when it is created, by an entry of the meta group; settings may only agree.

use super::group::Group;
use crate::error::{Error, Result};
use crate::storage::meta::{MetaCommand, MetaReply};

/// What settings ask for, of one kind of shards.
pub(super) struct ShardCount {
    /// `track` or `user`.
    pub kind: &'static str,
    /// The number asked for; 0 = none in particular.
    pub asked: u16,
    /// What somebody who wants another number can do.
    pub advice: &'static str,
}

impl ShardCount {
    /// Compares with the number there is.
    ///
    /// # Errors
    /// `Conflict` when another is asked for.
    pub(super) fn check(&self, there: u16) -> Result<()> {
        let Self { kind, asked, advice } = self;
        if *asked == 0 || *asked == there {
            return Ok(());
        }
        Err(Error::Conflict(format!(
            "the database was created with another number of {kind} shards, which stays: ask for that, or for none{advice}. storage.{kind}_shards=`{asked}`, there=`{there}`"
        )))
    }

    /// The same for a node that learns the number from the cluster it has joined: a voter that went away now would be missed.
    pub(super) fn check_joined(&self, there: u16) {
        if let Err(error) = self.check(there) {
            tracing::warn!(%error, kind = self.kind, "the node joins with the cluster's number of shards");
        }
    }
}

/// Decides by a command of the meta group.
///
/// # Errors
/// Those of proposing; what the group replies.
pub(super) fn decide(meta_group: &Group, command: &MetaCommand) -> Result<()> {
    let applied = meta_group.propose(command.encode()?)?;
    MetaReply::decode(&applied.reply)?.into_result().map(drop)
}
