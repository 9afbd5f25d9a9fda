//! A track shard is split while it serves: what has to be done next, looked up each time, so that it goes on wherever it stopped.
//! The whole way and why it is safe: `docs/adr/0024`.
//!
//! The founder makes the new shard's group, every other node takes a replica of it in, whoever leads the old shard does the
//! rest. Every step is an entry that may be said again, so there may be two who do it for a moment.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use segue_cluster::{Cluster, StoreId};
use tracing::info;

use super::engine::Inner;
use super::far_tracks::founded;
use super::group::Group;
use super::open_tracks::{OpenedPart, PartPlace, group_id, known};
use super::peers::start_error;
use super::split::stopping;
use super::stop_points::{SPLIT_COPYING, hold_point};
use super::tracks::{TrackPart, unexpected};
use crate::error::{Error, Result};
use crate::storage::meta::{MetaCommand, ShardKind, ShardSplit, SplitPhase};
use crate::storage::track_shard::Parting;
use crate::storage::track_shard::command::{TrackCommand, TrackReply, TrackSplitOp};

impl Inner {
    /// Takes the split of a track shard that runs as far as this node can.
    pub(super) fn go_on_with_track_split(&self) -> Result<()> {
        let Some(split) = self.meta.shard.state().track_split() else { return Ok(()) };
        match split.phase {
            SplitPhase::Founding => self.found_track_child(&split),
            SplitPhase::Copying => self.hand_tracks_over(&split),
            SplitPhase::Switched => {
                let is_ours = self.track_part(split.parent).is_some_and(|parent| self.leads(&parent));
                if is_ours { self.end_track_split(&split) } else { Ok(()) }
            }
        }
    }

    fn found_track_child(&self, split: &ShardSplit) -> Result<()> {
        match &self.peers {
            None => self.found_track_child_alone(split)?,
            Some(peers) => {
                let cluster = peers.cluster()?;
                if split.founder == cluster.store().0 {
                    self.found_track_child_among_others(cluster, split)?;
                    // Not before it is founded: whoever is to have it would make a replica.
                    self.place_as_parent(ShardKind::Tracks, split)?;
                } else if split.founder != 0 || self.track_part(split.child).is_none() {
                    return Ok(());
                }
                // It was made here when the database was alone.
            }
        }
        let advance = MetaCommand::AdvanceTrackSplit { child: split.child, phase: SplitPhase::Copying };
        self.propose_meta(&advance)?;
        info!(parent = split.parent, child = split.child, at = split.at, "a track shard is being split");
        Ok(())
    }

    pub(super) fn found_track_child_alone(&self, split: &ShardSplit) -> Result<()> {
        if self.track_part(split.child).is_some() {
            return Ok(());
        }
        let guard = self.cluster.lock();
        let Some(node) = &*guard else { return Err(stopping()) };
        let part = self.open_track_part(split.child)?.run(|name, machine| {
            let handle = node.add_group(group_id(split.child), machine);
            Ok(Group::new(name, handle.map_err(|error| start_error(error.into()))?, None))
        })?;
        self.tracks.add(Arc::new(part));
        Ok(())
    }

    /// Makes the first replica, unless it is there. Nobody else makes one before the meta group knows that this one is there,
    /// and nobody founds the group afterwards.
    fn found_track_child_among_others(&self, cluster: &Arc<Cluster>, split: &ShardSplit) -> Result<()> {
        if self.track_part(split.child).is_some() {
            return Ok(());
        }
        let (map, id) = (cluster.map(), group_id(split.child));
        if let Some((store, _)) = map.nodes.iter().find(|(_, node)| node.replicas.contains_key(&id)) {
            return Err(Error::Internal(format!(
                "a new track shard has a replica already. group=`tracks-{}`, node=`{store}`",
                split.child
            )));
        }
        let guard = self.cluster.lock();
        let Some(node) = &*guard else { return Err(stopping()) };
        let part = self.open_track_part(split.child)?.run(|name, machine| {
            let handle = cluster.found_group(node, id, machine);
            let handle = handle.map_err(|error| start_error(error.into()))?;
            Ok(Group::new(name, handle, Some(Arc::clone(cluster))))
        })?;
        self.tracks.add(Arc::new(part));
        Ok(())
    }

    /// Takes replicas in of track shards that other nodes have made since this one was started.
    pub(super) fn bring_track_shards(&self) -> Result<()> {
        let Some(peers) = &self.peers else { return Ok(()) };
        let state = self.meta.shard.state();
        for number in founded(&state) {
            let cluster = peers.cluster()?;
            // Those that have their places come and go as these say; a new one has the places of its parent, which this node may
            // hear of later than of the shard.
            let parent = state.track_split().filter(|split| split.child == number).map(|split| split.parent);
            let map = cluster.map();
            let is_placed = |number: u16| map.placements.contains_key(&group_id(number));
            if is_placed(number) || parent.is_some_and(is_placed) || self.track_part(number).is_some() {
                continue;
            }
            let guard = self.cluster.lock();
            let Some(node) = &*guard else { return Ok(()) };
            let part = self.open_track_part(number)?.run(|name, machine| {
                let handle = cluster.add_group(node, group_id(number), machine);
                let handle = handle.map_err(|error| start_error(error.into()))?;
                Ok(Group::new(name, handle, Some(Arc::clone(cluster))))
            })?;
            self.tracks.add(Arc::new(part));
            info!(shard = number, "a new track shard is taken in");
        }
        Ok(())
    }

    pub(super) fn open_track_part(&self, shard: u16) -> Result<OpenedPart> {
        let created_with = known(&self.meta.shard.state()).unwrap_or(1);
        let place = PartPlace {
            dir: &self.dir,
            settings: &self.settings,
            peers: self.peers.as_ref(),
            health: &self.health,
        };
        place.open((shard, created_with))
    }

    fn track_part(&self, shard: u16) -> Option<Arc<TrackPart>> {
        self.tracks.of_group(group_id(shard))
    }

    /// Freezes what is given away, has the new shard begin with the files of the old one, and gives it up.
    fn hand_tracks_over(&self, split: &ShardSplit) -> Result<()> {
        hold_point(SPLIT_COPYING);
        let Some(parent) = self.track_part(split.parent) else { return Ok(()) };
        if !self.leads(&parent) || self.closing.load(Ordering::Acquire) {
            return Ok(());
        }
        self.place_as_parent(ShardKind::Tracks, split)?;
        let Some(child) = self.track_part(split.child) else { return Ok(()) };
        if !self.is_as_safe_in_tracks(&parent, &child)? {
            return Ok(());
        }
        if child.shard.is_new() {
            // What has grown is written before anybody has to wait.
            self.seal_part(&parent, &|_| {})?;
            // Nothing is merged or loaded meanwhile.
            let _turn = self.maintenance.lock();
            self.track_step(&parent, TrackSplitOp::Freeze { child: split.child, at: split.at })?;
            self.seal_in_turn(&parent, &|_| {})?;
            if !self.bequeath(split, &parent, &child)? {
                return Ok(());
            }
        }
        self.track_step(&parent, TrackSplitOp::Release { child: split.child })?;
        self.end_track_split(split)
    }

    /// Whether as many replicas of the child are members, and vote, as of the parent: a write must not become less safe by a split,
    /// and no node shall miss what it has. A member that is to leave is not waited for: its node may be dead, and is a member until it is
    /// back.
    fn is_as_safe_in_tracks(&self, parent: &TrackPart, child: &TrackPart) -> Result<bool> {
        let map = self.peers.as_ref().map(|peers| peers.cluster()).transpose()?.map(|cluster| cluster.map());
        let members = |part: &TrackPart| {
            let (status, id) = (part.group.status()?, part.group.id());
            let stays = |store: StoreId| map.as_ref().is_none_or(|map| map.is_placed(id, store));
            let all = status.members.iter().filter(|member| member.store.is_none_or(stays)).count();
            let votes = status.members.iter().filter(|member| member.votes).count();
            Ok::<_, Error>((votes, all, status.is_joint))
        };
        let ((votes, all, _), (child_votes, child_all, is_joint)) = (members(parent)?, members(child)?);
        Ok(child_votes >= votes && child_all >= all && !is_joint)
    }

    /// Has the new shard begin; whether it has.
    pub(super) fn bequeath(&self, split: &ShardSplit, parent: &TrackPart, child: &TrackPart) -> Result<bool> {
        let parting = Parting { child: split.child, at: split.at };
        let Some(inheritance) = parent.shard.bequeath(parting, &child.shard)? else { return Ok(false) };
        let ids: Vec<u64> = inheritance.segments.iter().map(|new| new.entry.id).collect();
        let outcome = self.track_step(child, TrackSplitOp::Inherit(inheritance));
        child.shard.unstage(ids, &outcome);
        outcome.map(|()| true)
    }

    fn end_track_split(&self, split: &ShardSplit) -> Result<()> {
        let child = split.child;
        self.propose_meta(&MetaCommand::AdvanceTrackSplit { child, phase: SplitPhase::Switched })?;
        self.propose_meta(&MetaCommand::EndTrackSplit { child })?;
        self.wake_worker();
        info!(parent = split.parent, child, "a track shard was split");
        Ok(())
    }

    /// Takes one step in one of both shards.
    pub(super) fn track_step(&self, part: &TrackPart, step: TrackSplitOp) -> Result<()> {
        match self.propose_tracks(part, &TrackCommand::from(step))? {
            TrackReply::Done(_) => Ok(()),
            TrackReply::Refused(reason) => {
                Err(Error::Conflict(format!("{reason}. group=`{}`", part.group.name)))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Bytes of a track shard's files here; those that two shards have in common count in both.
    pub(super) fn bytes_of_tracks(&self, shard: u16) -> u64 {
        self.track_part(shard).map_or(0, |part| part.shard.view().file_bytes())
    }

    /// Bytes of a shard of either kind.
    pub(super) fn bytes_of(&self, kind: ShardKind, shard: u16) -> u64 {
        match kind {
            ShardKind::Tracks => self.bytes_of_tracks(shard),
            ShardKind::Users => self.bytes_of_shard(shard.into()),
        }
    }
}
