//! How many track shards a database has, and opening them: all of them are on every node.
//!
//! As with user shards, the number is decided when a database is created, by an entry of the meta group, before anything else
//! is made of it; it is never another afterwards. A database with one has no such entry, and neither has one from before
//! there could be several. A node that joins learns the number from the meta group, which it therefore joins first.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use segue_cluster::{ClusterNode, GroupId};
use segue_storage_format::{Health, Residence, Verify};

use super::group::Group;
use super::open::{Groups, TRACKS, wait_until_replayed};
use super::replica::{SnapshotFolder, TrackReplica};
use super::shard_count::{ShardCount, decide};
use super::tracks::{TrackPart, TrackReplicas};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::storage::meta::{MetaCommand, MetaState, MetaStore};
use crate::storage::track_shard::{Opening, TrackStateMachine};
use crate::types::{ShardId, TRACK_SHARDS_MAX};

/// The track shards while a node is opened.
pub(super) struct OpeningTracks<'a> {
    pub dir: &'a Path,
    pub settings: &'a Settings,
    pub groups: &'a Groups<'a>,
    pub meta: &'a MetaStore,
    pub meta_group: &'a Group,
    /// Track shards this directory has a log of, ascending.
    pub stored: Vec<u16>,
    pub opened: BTreeMap<u16, TrackPart>,
    /// Sentences about what was dropped or repaired.
    pub repairs: Vec<String>,
    /// Where damage is reported that is found while the node serves.
    pub health: &'a Arc<Health>,
}

/// Which track shards a directory has a log of.
pub(super) fn stored_tracks(node: &ClusterNode) -> Vec<u16> {
    let groups = node.stored_groups();
    (0..TRACK_SHARDS_MAX).filter(|shard| groups.contains(&group_id(*shard))).collect()
}

pub(super) fn group_id(shard: u16) -> GroupId {
    GroupId(TRACKS + u64::from(shard))
}

/// How many a meta state says there are; `None` when it does not know yet: whoever decides about user shards has decided
/// about track shards before.
pub(super) fn known(state: &MetaState) -> Option<u16> {
    state.track_shards().or_else(|| state.user_shards().map(|_| 1))
}

impl OpeningTracks<'_> {
    /// What a node opens before it is among others: where it founds the database, all; elsewhere what it has, once it knows
    /// how many there are.
    ///
    /// # Errors
    /// `Conflict` when the settings ask for another number than there is; those of opening.
    pub(super) fn open_first(&mut self, founds: bool) -> Result<()> {
        let mut count = known(&self.meta.state());
        if count.is_none() && founds {
            wait_until_replayed(self.meta_group, false)?;
            count = Some(self.decide()?);
        }
        let Some(count) = count else { return Ok(()) };
        self.asked().check(count)?;
        let shards = if founds { (0..count).collect() } else { self.stored.clone() };
        shards.into_iter().try_for_each(|shard| self.open(shard, count))
    }

    /// Opens the rest, once the meta group is as new as any.
    ///
    /// # Errors
    /// As [`OpeningTracks::open_first`].
    pub(super) fn open_rest(&mut self) -> Result<TrackReplicas> {
        let count = known(&self.meta.state()).unwrap_or(1);
        self.asked().check_joined(count);
        if let Some(shard) = self.stored.iter().chain(self.opened.keys()).find(|shard| **shard >= count) {
            return Err(Error::Corrupt(format!(
                "the directory has more track shards than its database. found=`tracks-{shard}`, track_shards=`{count}`"
            )));
        }
        (0..count).try_for_each(|shard| self.open(shard, count))?;
        Ok(TrackReplicas::new(std::mem::take(&mut self.opened).into_values().collect()))
    }

    /// The number in the log, or the one it is given now.
    fn decide(&self) -> Result<u16> {
        if let Some(count) = known(&self.meta.state()) {
            return Ok(count);
        }
        let count = self.settings.storage.track_shards.max(1);
        if !self.stored.is_empty() || count == 1 {
            return Ok(1);
        }
        decide(self.meta_group, &MetaCommand::SetTrackShards { count })?;
        Ok(count)
    }

    fn asked(&self) -> ShardCount {
        let asked = self.settings.storage.track_shards;
        ShardCount { kind: "track", asked, advice: "; to have another, load into a new directory" }
    }

    /// Opens a shard, unless it is open.
    fn open(&mut self, shard: u16, count: u16) -> Result<()> {
        if self.opened.contains_key(&shard) {
            return Ok(());
        }
        let name = format!("tracks-{shard}");
        let storage = &self.settings.storage;
        let opening = Opening {
            verify: Verify::Full,
            index: if storage.index_in_memory { Residence::Memory } else { Residence::Mapped },
            shards: count,
            health: Some(Arc::clone(self.health)),
        };
        let (machine, found) = TrackStateMachine::open(&self.dir.join(&name), ShardId(shard), opening)?;
        let said = |what| if count == 1 { what } else { format!("{name}: {what}") };
        self.repairs.extend(found.into_iter().map(said));
        let opened = machine.shard();
        let mut folder = None;
        if let Some(peers) = self.groups.peers {
            peers.serve_shard(&opened);
            folder = Some(SnapshotFolder::open(self.dir, &name)?);
        }
        let checkpoint_wanted = Arc::new(AtomicBool::new(false));
        let replica = TrackReplica::new(machine, folder, Arc::clone(&checkpoint_wanted));
        let group = self.groups.add(group_id(shard).0, &name, Box::new(replica))?;
        self.opened.insert(shard, TrackPart { group, shard: opened, checkpoint_wanted });
        Ok(())
    }
}
