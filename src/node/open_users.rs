//! How many user shards a database has, and opening those that are here.
//!
//! The number is decided when a database is created, by an entry of the meta group, before the first user shard is made;
//! splits make it larger. A directory from before there was such an entry has one. A node that joins learns the
//! numbers from the meta group, which it therefore joins first; which of the shards it holds, from the cluster's map.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use segue_cluster::{ClusterNode, GroupHandle, GroupId};

use super::far::Far;
use super::group::Group;
use super::holders::Holders;
use super::open::{Groups, USERS, wait_until_replayed};
use super::place::{Place, is_coming, is_kept, remove_files, sweep};
use super::replica::{SnapshotFolder, UserReplica};
use super::shard_count::{ShardCount, decide};
use super::users::UserReplicas;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::storage::meta::{MetaCommand, MetaStore, ShardKind, SplitPhase};
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
    /// User shards this directory has a log of, ascending.
    pub stored: Vec<u16>,
    pub opened: BTreeMap<u16, (GroupHandle, UserShard)>,
}

/// The user shards of an opened node.
pub(super) struct OpenedUsers {
    pub replicas: UserReplicas,
    /// What is to be done with each; empty for a database that is alone.
    pub places: Vec<Place<UserShard>>,
    pub far: Option<Arc<Far>>,
}

/// A shard and the machine that applies its log.
pub(super) struct OpenedShard {
    pub shard: UserShard,
    pub machine: UserReplica,
}

/// Which user shards a directory has a log of.
pub(super) fn stored_shards(node: &ClusterNode) -> Vec<u16> {
    let groups = node.stored_groups();
    (0..USER_SHARDS_MAX).filter(|shard| groups.contains(&group_id((*shard).into()))).collect()
}

fn group_id(shard: usize) -> GroupId {
    GroupId(USERS + shard as u64)
}

/// Opens the files of a shard; memory is divided among `all`.
pub(super) fn open_shard(
    dir: &Path,
    settings: &Settings,
    all: usize,
    number: usize,
    in_cluster: bool,
) -> Result<OpenedShard> {
    let options = UserShardOptions {
        view_cache_bytes: usize::try_from(settings.storage.user_cache_bytes).unwrap_or(usize::MAX),
        ..UserShardOptions::default()
    };
    let name = format!("users-{number}");
    let (shard, applied) = UserShard::open(&dir.join(&name), &options.shared_by(all)).map_err(Error::from)?;
    let folder = in_cluster.then(|| SnapshotFolder::open(dir, &name)).transpose()?;
    let machine = UserReplica::new(shard.clone(), applied, folder);
    Ok(OpenedShard { shard, machine })
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
            self.asked().check(count)?;
        }
        let mut shards = self.stored.clone();
        let numbers = self.meta.state().user_shard_numbers();
        if founds && known.is_some() {
            shards.extend(&numbers);
        }
        let all = known.map_or(self.stored.len(), |_| numbers.len());
        shards.into_iter().try_for_each(|shard| self.open(shard, all))
    }

    /// Opens the rest of those that are placed here, once the meta group is as new as any.
    ///
    /// # Errors
    /// As [`OpeningUsers::open_first`].
    pub(super) fn open_rest(mut self, holders: Option<Arc<Holders>>) -> Result<OpenedUsers> {
        let count = self.meta.state().user_shards().unwrap_or(BEFORE_IT_WAS_KEPT);
        self.asked().check_joined(count);
        let state = self.meta.state();
        let numbers = state.user_shard_numbers();
        if let Some(shard) = self.opened.keys().find(|shard| !numbers.contains(shard)) {
            return Err(Error::Corrupt(format!(
                "the directory has a user shard that its database does not have. found=`users-{shard}`, user_shards=`{}`",
                numbers.len()
            )));
        }
        let (Some(peers), Some(holders)) = (self.groups.peers, holders) else {
            numbers.iter().try_for_each(|shard| self.open(*shard, numbers.len()))?;
            let mut replicas = Vec::new();
            for shard in 0..USER_SHARDS_MAX {
                let name = format!("users-{shard}");
                replicas.push(match self.opened.remove(&shard) {
                    Some((handle, users)) => (Group::new(name, handle, None), Some(users)),
                    None => (Group::elsewhere(name, group_id(shard.into()), None), None),
                });
            }
            let replicas = UserReplicas::new(replicas, self.meta.user_ranges(), None);
            return Ok(OpenedUsers { replicas, places: Vec::new(), far: None });
        };
        let cluster = peers.cluster()?;
        // One that is being founded is its founder's to make.
        let is_founded = |shard: u16| {
            let split = state.user_split().filter(|split| split.child == shard);
            split.is_none_or(|split| split.phase != SplitPhase::Founding)
        };
        for shard in numbers.iter().copied().filter(|shard| is_founded(*shard)) {
            let is_known = self.opened.contains_key(&shard);
            if !is_known && cluster.is_wanted_here(group_id(shard.into())) {
                // What an earlier replica has left.
                remove_files(self.dir, &ShardKind::Users.name(shard))?;
                self.open(shard, numbers.len())?;
            }
        }
        let ranges = state.user_ranges();
        let (mut replicas, mut places) = (Vec::new(), Vec::new());
        for shard in 0..USER_SHARDS_MAX {
            let (name, id) = (format!("users-{shard}"), group_id(shard.into()));
            match self.opened.remove(&shard) {
                Some((handle, users)) if is_kept(cluster, id) => {
                    if ranges.range_of(shard.into()).is_some() && !is_coming(cluster, &handle) {
                        let group = Group::new(name, handle.clone(), Some(Arc::clone(cluster)));
                        replicas.push((group, Some(users.clone())));
                        places.push(Place::Serving(handle, users));
                    } else {
                        // It is being made, or copied: nobody waits for it.
                        replicas.push((Group::elsewhere(name, id, Some(Arc::clone(cluster))), None));
                        places.push(Place::coming(handle, users));
                    }
                }
                left => {
                    match &left {
                        Some(_) => cluster.give_up(id),
                        None => sweep(cluster, self.dir, id)?,
                    }
                    replicas.push((Group::elsewhere(name, id, Some(Arc::clone(cluster))), None));
                    let left = left.map(|(handle, users)| Place::Leaving(handle, users));
                    places.push(left.unwrap_or(Place::Absent));
                }
            }
        }
        let far = Arc::new(Far::new(holders, USER_SHARDS_MAX.into()));
        let replicas = UserReplicas::new(replicas, self.meta.user_ranges(), Some(far.clone()));
        Ok(OpenedUsers { replicas, places, far: Some(far) })
    }

    /// The number in the log, or the one it is given now.
    fn decide(&self) -> Result<u16> {
        if let Some(count) = self.meta.state().user_shards() {
            return Ok(count);
        }
        if !self.stored.is_empty() {
            return Ok(BEFORE_IT_WAS_KEPT);
        }
        let count = self.settings.storage.user_shards.max(1);
        decide(self.meta_group, &MetaCommand::SetUserShards { count })?;
        Ok(count)
    }

    fn asked(&self) -> ShardCount {
        ShardCount { kind: "user", asked: self.settings.storage.user_shards, advice: "" }
    }

    /// Opens a shard, unless it is open; memory is divided among `all`.
    fn open(&mut self, shard: u16, all: usize) -> Result<()> {
        if self.opened.contains_key(&shard) {
            return Ok(());
        }
        let cluster = self.groups.peers.map(|peers| peers.cluster()).transpose()?;
        if self.groups.forget_left(group_id(shard.into()).0)? {
            // It was gone, but for its files, when the node stopped.
            return remove_files(self.dir, &ShardKind::Users.name(shard));
        }
        if let Some(cluster) = cluster
            && !is_kept(cluster, group_id(shard.into()))
        {
            // It was being removed when the node stopped.
            cluster.give_up(group_id(shard.into()));
        }
        let opened = open_shard(self.dir, self.settings, all, shard.into(), cluster.is_some())?;
        let handle =
            self.groups.run(group_id(shard.into()).0, &format!("users-{shard}"), Box::new(opened.machine))?;
        self.opened.insert(shard, (handle, opened.shard));
        Ok(())
    }
}
