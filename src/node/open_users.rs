//! How many user shards a database has, and opening them.
//!
//! The number is decided when a database is created, by an entry of the meta group, before the first user shard is made; it
//! is never another afterwards. A directory from before there was such an entry has one. A node that joins learns the
//! number from the meta group, which it therefore joins first.

use std::path::Path;

use segue_cluster::{ClusterNode, GroupId};

use super::group::Group;
use super::open::{Groups, USERS, wait_until_replayed};
use super::replica::{SnapshotFolder, UserReplica};
use super::users::UserReplicas;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::storage::meta::{MetaCommand, MetaReply, MetaStore};
use crate::storage::user_shard::{UserShard, UserShardOptions};
use crate::types::USER_SHARDS_MAX;

/// What a directory without an entry about it has.
const BEFORE_IT_WAS_KEPT: u16 = 1;

/// The user shards while a node is opened.
pub(super) struct OpeningUsers<'a> {
    pub dir: &'a Path,
    pub settings: &'a Settings,
    pub groups: &'a Groups<'a>,
    pub meta: &'a MetaStore,
    pub meta_group: &'a Group,
    /// User shards this directory has a log of.
    pub stored: u16,
    pub opened: Vec<(Group, UserShard)>,
}

/// How many user shards a directory has a log of; what it has fewer than the meta group says was not yet made.
pub(super) fn stored_shards(node: &ClusterNode) -> u16 {
    let groups = node.stored_groups();
    let is_there = |shard: &u16| groups.contains(&GroupId(USERS + u64::from(*shard)));
    (0..USER_SHARDS_MAX).take_while(is_there).count() as u16
}

impl OpeningUsers<'_> {
    /// What a node opens before it is among others: where it founds the database, all; elsewhere what it has.
    ///
    /// # Errors
    /// `Conflict` when the settings ask for another number than there is; those of opening.
    pub(super) fn open_first(&mut self, founds: bool) -> Result<()> {
        let mut known = self.meta.state().user_shards();
        if known.is_none() && founds {
            wait_until_replayed(self.meta_group, false)?;
            known = Some(self.decide()?);
        }
        if let Some(count) = known {
            self.check_asked(count)?;
        }
        let count = if founds { known.unwrap_or(self.stored) } else { self.stored };
        self.open_up_to(count, known.unwrap_or(self.stored))
    }

    /// Opens the rest, once the meta group is as new as any.
    ///
    /// # Errors
    /// As [`OpeningUsers::open_first`].
    pub(super) fn open_rest(mut self) -> Result<UserReplicas> {
        let count = self.meta.state().user_shards().unwrap_or(BEFORE_IT_WAS_KEPT);
        if let Err(error) = self.check_asked(count) {
            // Known only once the cluster has let the node in: a voter that went away now would be missed.
            tracing::warn!(%error, "the node joins with the cluster's number of user shards");
        }
        if self.opened.len() > usize::from(count) {
            return Err(Error::Corrupt(format!(
                "the directory has more user shards than its database. found=`{}`, user_shards=`{count}`",
                self.opened.len()
            )));
        }
        self.open_up_to(count, count)?;
        Ok(UserReplicas::new(self.opened))
    }

    /// The number in the log, or the one it is given now.
    fn decide(&self) -> Result<u16> {
        if let Some(count) = self.meta.state().user_shards() {
            return Ok(count);
        }
        if self.stored > 0 {
            return Ok(BEFORE_IT_WAS_KEPT);
        }
        let count = self.settings.storage.user_shards.max(1);
        let applied = self.meta_group.propose(MetaCommand::SetUserShards { count }.encode()?)?;
        MetaReply::decode(&applied.reply)?.into_result()?;
        Ok(count)
    }

    fn check_asked(&self, count: u16) -> Result<()> {
        let asked = self.settings.storage.user_shards;
        if asked == 0 || asked == count {
            return Ok(());
        }
        Err(Error::Conflict(format!(
            "the database was created with another number of user shards, which stays: ask for that, or for none. storage.user_shards=`{asked}`, there=`{count}`"
        )))
    }

    /// Opens shards until there are `count`; memory is divided among `all`.
    fn open_up_to(&mut self, count: u16, all: u16) -> Result<()> {
        let options = UserShardOptions {
            view_cache_bytes: usize::try_from(self.settings.storage.user_cache_bytes).unwrap_or(usize::MAX),
            ..UserShardOptions::default()
        };
        let options = options.shared_by(usize::from(all));
        for shard in self.opened.len()..usize::from(count) {
            let name = format!("users-{shard}");
            let (users, applied) = UserShard::open(&self.dir.join(&name), &options).map_err(Error::from)?;
            let folder =
                self.groups.peers.is_some().then(|| SnapshotFolder::open(self.dir, &name)).transpose()?;
            let replica = UserReplica::new(users.clone(), applied, folder);
            let group = self.groups.add(USERS + shard as u64, &name, Box::new(replica))?;
            self.opened.push((group, users));
        }
        Ok(())
    }
}
