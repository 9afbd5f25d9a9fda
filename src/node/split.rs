//! A user shard is split while it serves: what has to be done next, looked up each time, so that it goes on wherever it stopped.
//! The whole way and why it is safe: `docs/adr/0022`.
//!
//! The founder makes the new shard's group. Whoever leads the old shard does the rest; if there are two for a moment, only one's
//! rows are taken.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use segue_cluster::{Cluster, GroupId};
use tracing::info;

use super::engine::Inner;
use super::open::USERS;
use super::open_users::open_shard;
use super::peers::start_error;
use super::place::{Place, remove_files};
use super::stop_points::{SPLIT_COPYING, hold_point};
use crate::error::{Error, Result};
use crate::storage::meta::{MetaCommand, ShardKind, ShardSplit, SplitPhase};
use crate::storage::user_shard::{
    ImportPlace, PartingStage, SplitOp, SplitRole, UserCommand, UserOp, UserReply, UserShard,
};
use crate::types::SLOTS;

/// Bytes of rows in one entry, and one row more.
const BATCH_BYTES: usize = 1 << 20;
/// How long requests that began before the switch may still read the old shard.
const GRACE: Duration = Duration::from_secs(1);
/// Pause between two looks while something else has to happen first.
const PAUSE: Duration = Duration::from_millis(10);
/// Entries without rows that are proposed at a time so that old rows go.
const SWEEPS: usize = 8;

impl Inner {
    /// Takes the splits that run as far as this node can.
    pub(super) fn go_on_with_splits(&self) -> Result<()> {
        // Of tracks first: writes may be waiting.
        self.go_on_with_track_split().and(self.go_on_with_split())
    }

    /// Takes the split that runs as far as this node can. With none, lets old rows go.
    pub(super) fn go_on_with_split(&self) -> Result<()> {
        let Some(split) = self.meta.shard.state().user_split() else { return self.sweep_old_rows() };
        match split.phase {
            SplitPhase::Founding => self.found_child(&split),
            SplitPhase::Copying => self.copy_to_child(&split),
            SplitPhase::Switched => self.release_parent(&split),
        }
    }

    fn found_child(&self, split: &ShardSplit) -> Result<()> {
        match &self.peers {
            None => self.found_alone(split)?,
            Some(peers) => {
                let cluster = peers.cluster()?;
                if split.founder == cluster.store().0 {
                    self.found_among_others(cluster, split)?;
                } else if split.founder != 0 || self.is_absent(split.child) {
                    return Ok(());
                }
                // It was made here when the database was alone.
            }
        }
        let advance = MetaCommand::AdvanceSplit { child: split.child, phase: SplitPhase::Copying };
        self.propose_meta(&advance)?;
        info!(parent = split.parent, child = split.child, at = split.at, "a user shard is being split");
        Ok(())
    }

    fn is_absent(&self, shard: u16) -> bool {
        matches!(self.places.lock()[usize::from(shard)], Place::Absent)
    }

    pub(super) fn found_alone(&self, split: &ShardSplit) -> Result<()> {
        let (number, id) = (usize::from(split.child), group_id(split.child));
        if self.users.groups[number].is_here() {
            return Ok(());
        }
        let guard = self.cluster.lock();
        let Some(node) = &*guard else { return Err(stopping()) };
        let all = self.users.shards.count() + 1;
        let opened = open_shard(&self.dir, &self.settings, all, number, false)?;
        let replica = node.add_group(id, Box::new(opened.machine)).map_err(|e| start_error(e.into()))?;
        self.users.serve(number, replica, opened.shard);
        Ok(())
    }

    /// Makes the first replica, unless it is there. Nobody else makes one before the meta group knows that this one is there,
    /// and nobody founds the group afterwards.
    fn found_among_others(&self, cluster: &Cluster, split: &ShardSplit) -> Result<()> {
        self.place_as_parent(ShardKind::Users, split)?;
        let (number, id) = (usize::from(split.child), group_id(split.child));
        let mut places = self.places.lock();
        if !matches!(places[number], Place::Absent) {
            return Ok(());
        }
        let map = cluster.map();
        if let Some((store, _)) = map.nodes.iter().find(|(_, node)| node.replicas.contains_key(&id)) {
            return Err(Error::Internal(format!(
                "a new user shard has a replica already. group=`users-{number}`, node=`{store}`"
            )));
        }
        let guard = self.cluster.lock();
        let Some(node) = &*guard else { return Err(stopping()) };
        remove_files(&self.dir, &ShardKind::Users.name(split.child))?;
        let all = self.users.shards.count() + 1;
        let opened = open_shard(&self.dir, &self.settings, all, number, true)?;
        cluster.keep(id);
        let replica = cluster
            .found_group(node, id, Box::new(opened.machine))
            .map_err(|error| start_error(error.into()))?;
        places[number] = Place::coming(replica, opened.shard);
        Ok(())
    }

    /// Copies rows, freezes what is given away, and switches.
    fn copy_to_child(&self, split: &ShardSplit) -> Result<()> {
        hold_point(SPLIT_COPYING);
        let (parent, child) = (usize::from(split.parent), usize::from(split.child));
        if !self.goes_on(parent) {
            return Ok(());
        }
        self.place_as_parent(ShardKind::Users, split)?;
        let shards = &self.users.shards;
        let (Some(from), Some(to)) = (shards.any_at(parent), shards.any_at(child)) else { return Ok(()) };
        let range = self.meta.shard.state().user_ranges().range_of(parent);
        let Some(range) = range.filter(|_| self.goes_on(parent)) else { return Ok(()) };
        if !self.is_as_safe(parent, child)? {
            return Ok(());
        }
        self.split_step(parent, SplitOp::BeginSplit { child: split.child, at: split.at })?;
        self.split_step(child, SplitOp::BeginImport { parent: split.parent, end: range.end })?;
        if !self.bring_rows(split, &from, &to)? {
            return Ok(());
        }
        let vectors = to.generations().map_err(Error::from)?.into_iter();
        let vectors = vectors.map(|(space, generation, _, rows)| (space, generation.0, rows)).collect();
        self.split_step(parent, SplitOp::HandOver { child: split.child, users: to.user_count(), vectors })?;
        let advance = MetaCommand::AdvanceSplit { child: split.child, phase: SplitPhase::Switched };
        self.propose_meta(&advance)?;
        info!(parent, child, "a new user shard serves");
        Ok(())
    }

    /// Brings the child everything its parent has for it; whether it has everything now.
    fn bring_rows(&self, split: &ShardSplit, from: &UserShard, to: &UserShard) -> Result<bool> {
        let (parent, child) = (usize::from(split.parent), usize::from(split.child));
        loop {
            let known = to.split_state();
            let SplitRole::Child(import) = &known.role else { return Ok(known.was_child) };
            if !self.goes_on(parent) {
                return Ok(false);
            }
            let batch = from.outgoing(split.child, &import.place, BATCH_BYTES).map_err(Error::from)?;
            let Some(batch) = batch else {
                // This replica has not heard of the split, or is a stranger's.
                std::thread::sleep(PAUSE);
                continue;
            };
            let step = import.step;
            if batch.is_last && batch.rows.is_empty() {
                self.split_step(child, SplitOp::EndImport { step, newest_day: from.newest_day() })?;
                continue;
            }
            let is_noting = from
                .split_state()
                .parting_with(split.child)
                .is_some_and(|parting| parting.stage == PartingStage::Noting);
            if matches!(import.place, ImportPlace::Notes(_)) && !batch.is_full && is_noting {
                // What comes until then is little, too.
                self.split_step(parent, SplitOp::FreezeSplit { child: split.child })?;
                continue;
            }
            if batch.rows.is_empty() && batch.place == import.place {
                std::thread::sleep(PAUSE);
                continue;
            }
            self.split_step(child, SplitOp::Import { step, rows: batch.rows, place: batch.place })?;
        }
    }

    /// Gives the old rows up, once nobody reads them any more.
    fn release_parent(&self, split: &ShardSplit) -> Result<()> {
        let parent = usize::from(split.parent);
        let end = Instant::now() + GRACE;
        while Instant::now() < end {
            if !self.goes_on(parent) {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        self.split_step(parent, SplitOp::ReleaseSplit { child: split.child })?;
        self.propose_meta(&MetaCommand::EndSplit { child: split.child })?;
        // Events of listeners that were being moved may have missed their tracks.
        self.resolve_later();
        info!(parent, child = split.child, "a user shard was split");
        Ok(())
    }

    /// Old rows go with the entries of their shard: a quiet shard gets some.
    fn sweep_old_rows(&self) -> Result<()> {
        if !self.meta.shard.state().was_split() {
            return Ok(());
        }
        for place in 0..self.users.groups.len() {
            let Some(shard) = self.users.shards.any_at(place) else { continue };
            if !self.users.groups[place].leads() || shard.split_state().end == SLOTS {
                continue;
            }
            for _ in 0..SWEEPS {
                if !shard.has_garbage() || !self.goes_on(place) {
                    break;
                }
                self.split_step(place, UserOp::Nothing)?;
            }
        }
        Ok(())
    }

    fn goes_on(&self, parent: usize) -> bool {
        !self.closing.load(Ordering::Acquire) && self.users.groups[parent].leads()
    }

    /// Whether as many replicas of the child vote as of the parent: a write must not become less safe by a split.
    fn is_as_safe(&self, parent: usize, child: usize) -> Result<bool> {
        let votes = |place: usize| {
            let status = self.users.groups[place].status()?;
            Ok::<_, Error>((status.members.iter().filter(|member| member.votes).count(), status.is_joint))
        };
        let ((parent, _), (child, is_joint)) = (votes(parent)?, votes(child)?);
        Ok(child >= parent && !is_joint)
    }

    /// Takes one step in one of both shards.
    pub(super) fn split_step(&self, place: usize, step: impl Into<UserCommand>) -> Result<()> {
        let applied = self.users.groups[place].propose(step.into().encode())?;
        match UserReply::decode(&applied.reply)? {
            UserReply::Done(_) => Ok(()),
            UserReply::Refused(reason) => Err(Error::Conflict(reason)),
            other => Err(super::users::unexpected(&other)),
        }
    }
}

pub(super) fn group_id(shard: u16) -> GroupId {
    GroupId(USERS + u64::from(shard))
}

pub(super) fn stopping() -> Error {
    Error::Unavailable("the node is stopping".to_owned())
}
