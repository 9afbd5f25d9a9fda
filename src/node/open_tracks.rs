//! How many track shards a database has, and opening those that are here: all of them on every node, until they have their places
//! in the cluster's map.
//!
//! As with user shards, the number is decided when a database is created, by an entry of the meta group, before anything else
//! is made of it; later only splits add to it. A database with one has no such entry, and neither has one from before
//! there could be several. A node that joins learns the number from the meta group, which it therefore joins first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use segue_cluster::{ClusterNode, GroupHandle, GroupId, StateMachine};
use segue_storage_format::{Health, Residence, Verify};

use super::far_tracks::FarTracks;
use super::group::Group;
use super::holders::Holders;
use super::open::{Groups, TRACKS, wait_until_replayed};
use super::peers::Peers;
use super::place::{Place, is_coming, is_kept, remove_files, sweep};
use super::replica::{SnapshotFolder, TrackReplica};
use super::shard_count::{ShardCount, decide};
use super::tracks::{TrackPart, TrackReplicas};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::storage::meta::{MetaCommand, MetaState, MetaStore, ShardKind, SplitPhase};
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

/// The track shards of an opened node.
pub(super) struct OpenedTracks {
    pub replicas: TrackReplicas,
    /// What is to be done with each; empty for a database that is alone.
    pub places: Vec<Place<Arc<TrackPart>>>,
}

/// Which track shards a directory has a log of.
pub(super) fn stored_tracks(node: &ClusterNode) -> Vec<u16> {
    let groups = node.stored_groups();
    (0..TRACK_SHARDS_MAX).filter(|shard| groups.contains(&group_id(*shard))).collect()
}

pub(super) fn group_id(shard: u16) -> GroupId {
    GroupId(TRACKS + u64::from(shard))
}

/// How many a meta state says there were at the beginning; `None` when it does not know yet: whoever decides about user shards has decided
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
        let shards = if founds { self.made() } else { self.stored.clone() };
        shards.into_iter().try_for_each(|shard| self.open(shard, count))
    }

    /// The numbers of all there are, but for one that is still to be founded: its founder makes it.
    fn made(&self) -> Vec<u16> {
        let state = self.meta.state();
        let is_founding = |shard: u16| {
            let split = state.track_split().filter(|split| split.child == shard);
            split.is_some_and(|split| split.phase == SplitPhase::Founding)
        };
        let numbers = state.track_shard_numbers().into_iter();
        numbers.filter(|shard| self.stored.contains(shard) || !is_founding(*shard)).collect()
    }

    /// Opens the rest, once the meta group is as new as any.
    ///
    /// # Errors
    /// As [`OpeningTracks::open_first`].
    pub(super) fn open_rest(&mut self, holders: Option<Arc<Holders>>) -> Result<OpenedTracks> {
        let count = known(&self.meta.state()).unwrap_or(1);
        self.asked().check_joined(count);
        let numbers = self.meta.state().track_shard_numbers();
        if let Some(shard) = self.stored.iter().chain(self.opened.keys()).find(|it| !numbers.contains(it)) {
            return Err(Error::Corrupt(format!(
                "the directory has more track shards than its database. found=`tracks-{shard}`, track_shards=`{}`",
                numbers.len()
            )));
        }
        let (Some(peers), Some(holders)) = (self.groups.peers, holders) else {
            self.made().into_iter().try_for_each(|shard| self.open(shard, count))?;
            let parts = std::mem::take(&mut self.opened).into_values().map(Arc::new).collect();
            return Ok(OpenedTracks { replicas: TrackReplicas::new(parts, None), places: Vec::new() });
        };
        let cluster = peers.cluster()?;
        let mut coming = BTreeSet::new();
        for shard in self.made() {
            if self.opened.contains_key(&shard) || !cluster.is_wanted_here(group_id(shard)) {
                continue;
            }
            // One with a log here is this node's own, however far it has come.
            let is_placed = cluster.map().placements.contains_key(&group_id(shard));
            if is_placed && !self.stored.contains(&shard) {
                // What an earlier replica has left.
                remove_files(self.dir, &ShardKind::Tracks.name(shard))?;
                coming.insert(shard);
            }
            self.open(shard, count)?;
        }
        let (mut here, mut places) = (Vec::new(), Vec::new());
        for shard in 0..TRACK_SHARDS_MAX {
            let id = group_id(shard);
            places.push(match self.opened.remove(&shard).map(Arc::new) {
                None => {
                    sweep(cluster, self.dir, id)?;
                    Place::Absent
                }
                Some(part) => {
                    let replica = GroupHandle::clone(&*part.group.replica()?);
                    if coming.contains(&shard) || (is_kept(cluster, id) && is_coming(cluster, &replica)) {
                        // Others are asked until it has everything.
                        Place::coming(replica, part)
                    } else if is_kept(cluster, id) {
                        here.push(Arc::clone(&part));
                        Place::Serving(replica, part)
                    } else {
                        cluster.give_up(id);
                        part.group.put(None);
                        Place::Leaving(replica, part)
                    }
                }
            });
        }
        let far = Arc::new(FarTracks::new(holders, self.meta.clone()));
        Ok(OpenedTracks { replicas: TrackReplicas::new(here, Some(far)), places })
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
        ShardCount { kind: "track", asked, advice: "; to have more, split them: `segue cluster split-shard`" }
    }

    /// Opens a shard, unless it is open.
    fn open(&mut self, shard: u16, count: u16) -> Result<()> {
        if self.opened.contains_key(&shard) {
            return Ok(());
        }
        if self.groups.forget_left(group_id(shard).0)? {
            // It was gone, but for its files, when the node stopped.
            return remove_files(self.dir, &ShardKind::Tracks.name(shard));
        }
        if let Some(peers) = self.groups.peers
            && !is_kept(peers.cluster()?, group_id(shard))
        {
            // It was being removed when the node stopped.
            peers.cluster()?.give_up(group_id(shard));
        }
        let place = PartPlace {
            dir: self.dir,
            settings: self.settings,
            peers: self.groups.peers,
            health: self.health,
        };
        let opened = place.open((shard, count))?;
        let said = |what| if count == 1 { what } else { format!("tracks-{shard}: {what}") };
        self.repairs.extend(opened.repairs.iter().cloned().map(said));
        let part = opened.run(|name, machine| self.groups.add(group_id(shard).0, name, machine))?;
        self.opened.insert(shard, part);
        Ok(())
    }
}

/// Where a track shard is opened.
pub(super) struct PartPlace<'a> {
    pub dir: &'a Path,
    pub settings: &'a Settings,
    pub peers: Option<&'a Arc<Peers>>,
    /// Where damage is reported that is found while the node serves.
    pub health: &'a Arc<Health>,
}

/// A track shard whose group has still to be run.
pub(super) struct OpenedPart {
    name: String,
    machine: TrackStateMachine,
    folder: Option<SnapshotFolder>,
    /// Sentences about what was dropped or repaired.
    pub repairs: Vec<String>,
}

impl PartPlace<'_> {
    /// Opens one of a database that was created with so many.
    ///
    /// # Errors
    /// Damaged or unreadable files.
    pub(super) fn open(&self, (shard, created_with): (u16, u16)) -> Result<OpenedPart> {
        let name = ShardKind::Tracks.name(shard);
        let storage = &self.settings.storage;
        let opening = Opening {
            verify: Verify::Full,
            index: if storage.index_in_memory { Residence::Memory } else { Residence::Mapped },
            shards: created_with,
            health: Some(Arc::clone(self.health)),
        };
        let (machine, repairs) = TrackStateMachine::open(&self.dir.join(&name), ShardId(shard), opening)?;
        let mut folder = None;
        if let Some(peers) = self.peers {
            peers.serve_shard(&machine.shard());
            folder = Some(SnapshotFolder::open(self.dir, &name)?);
        }
        Ok(OpenedPart { name, machine, folder, repairs })
    }
}

impl OpenedPart {
    /// Has its group run.
    ///
    /// # Errors
    /// Those of `run`.
    pub(super) fn run(
        self,
        run: impl FnOnce(&str, Box<dyn StateMachine>) -> Result<Group>,
    ) -> Result<TrackPart> {
        let shard = self.machine.shard();
        let checkpoint_wanted = Arc::new(AtomicBool::new(false));
        let replica = TrackReplica::new(self.machine, self.folder, Arc::clone(&checkpoint_wanted));
        let group = run(&self.name, Box::new(replica))?;
        Ok(TrackPart { group, shard, checkpoint_wanted })
    }
}
