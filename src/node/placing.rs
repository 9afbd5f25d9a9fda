//! Where shards should be: moves one by one, evenly over all nodes, or away from nodes that do not answer. What is decided
//! here is written into the cluster's map; the groups' leaders and the nodes carry it out.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use segue_cluster::{
    Cluster, ClusterStatus, GroupId, GroupPlace, NodeIntent, PlacementChange, Role, StoreId,
};
use serde::{Deserialize, Serialize};

use super::ask_tracks::knows_far_tracks;
use super::engine::Inner;
use super::everyone::ask_each;
use super::group::Group;
use super::open::TRACKS;
use super::open_tracks;
use super::progress::Progress;
use super::report::{group_name, parse_node};
use crate::error::{Error, Result};
use crate::storage::meta::ShardKind;
use crate::types::TRACK_SHARDS_MAX;

/// What a program must know once track shards have their places: how to ask other nodes for them ([`Cluster::need`]).
const ASKS_FOR_TRACKS: u32 = 1;
/// How long to wait for leaders: an election, and some.
const ELECTION: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

/// What shall be placed elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placing {
    /// One shard from one node to another.
    Move {
        /// `users-0`, `tracks-0`, …
        group: String,
        /// The node that gives its replica up.
        from: String,
        /// The node that gets one.
        to: String,
    },
    /// All user shards evenly over all serving nodes, none on a node that drains; and all track shards that have their places.
    Rebalance {
        /// Also those that have none yet, and are on every node.
        tracks: bool,
    },
    /// Shards that have a place on a node which does not answer, to another node.
    Repair,
}

/// What was, or would be, placed elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacingReport {
    /// The map was changed; otherwise it would be.
    pub applied: bool,
    /// At most one for each shard; empty when all is as it should be.
    pub moves: Vec<ShardMove>,
    /// What goes with it, or stands against it, a sentence each.
    pub notes: Vec<String>,
}

/// Where one shard goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardMove {
    /// Its group.
    pub group: String,
    /// Nodes it is placed on; empty: on all.
    pub from: Vec<String>,
    /// Nodes it should be on.
    pub to: Vec<String>,
    /// Bytes that have to be copied, roughly.
    pub bytes: u64,
}

impl Inner {
    /// Places shards elsewhere, or says what would be. Asked again it changes nothing more.
    pub(super) fn place_shards(&self, what: &Placing, dry_run: bool) -> Result<PlacingReport> {
        let cluster = self.others()?.cluster()?;
        // A dead node is replaced all the same: nothing else would give a split its members back.
        if *what != Placing::Repair {
            self.check_no_split()?;
        }
        let status = self.led_status(cluster);
        let silent: BTreeSet<StoreId> =
            status.nodes.iter().filter(|node| node.groups.is_err()).map(|node| node.store).collect();
        let mut notes = Vec::new();
        let changes = match what {
            Placing::Move { group, from, to } => {
                self.plan_move(&status, group, (from, to))?.into_iter().collect()
            }
            Placing::Rebalance { tracks } => {
                if let Some(store) = silent.iter().next() {
                    return Err(Error::Conflict(format!(
                        "a node does not answer: start it, or `repair` first; nothing was done. node=`{store}`"
                    )));
                }
                let plan = cluster.plan_placements(&self.group_places(&status, *tracks)?, &silent);
                notes.extend(plan.stuck.iter().map(|group| {
                    format!("{} stays on a node that drains: no other node is free", group_name(*group))
                }));
                plan.changes
            }
            Placing::Repair => {
                if 2 * silent.len() >= status.nodes.len() {
                    return Err(Error::Conflict(format!(
                        "half of the nodes do not answer: rather this one hears badly, or a majority is lost; nothing was done. silent=`{}`",
                        silent.len()
                    )));
                }
                repairs(cluster, &status, &silent, &mut notes)
            }
        };
        self.check_movable(&status, &changes)?;
        if changes.iter().any(|change| is_of_tracks(change.group)) && *what != Placing::Repair {
            self.check_tracks_placeable(cluster, &status)?;
            if !dry_run {
                cluster.need(ASKS_FOR_TRACKS).map_err(Error::Conflict)?;
            }
        }
        let progress = self.all_progress(cluster, &status);
        let mut report = PlacingReport { applied: !dry_run, moves: Vec::new(), notes };
        for change in &changes {
            let has_it = |store: &&StoreId| holds(&status, **store, change.group);
            let copies = change.to.iter().filter(|store| !has_it(store)).count() as u64;
            let of_group = |it: &(&(GroupId, StoreId), &Progress)| it.0.0 == change.group;
            let sizes = progress.iter().filter(of_group).map(|(_, progress)| progress.bytes);
            let size = sizes.max().unwrap_or(0);
            report.moves.push(ShardMove {
                group: group_name(change.group),
                from: change.from.iter().flatten().map(ToString::to_string).collect(),
                to: change.to.iter().map(ToString::to_string).collect(),
                bytes: copies * size,
            });
            if !dry_run {
                cluster.place(change).map_err(Error::Conflict)?;
            }
        }
        Ok(report)
    }

    /// # Errors
    /// `Conflict` while a shard is being split.
    fn check_no_split(&self) -> Result<()> {
        let state = self.meta.shard.state();
        for kind in [ShardKind::Users, ShardKind::Tracks] {
            if let Some(split) = state.split(kind) {
                return Err(Error::Conflict(format!(
                    "a shard is being split: wait until that has ended; nothing was done. group=`{}`, new=`{}`",
                    kind.name(split.parent),
                    kind.name(split.child)
                )));
            }
        }
        Ok(())
    }

    /// Refuses to give track shards their places while a node does not know how to ask others for them: its requests would find
    /// nothing of a shard that left it.
    fn check_tracks_placeable(&self, cluster: &Cluster, status: &ClusterStatus) -> Result<()> {
        if status.placements.keys().any(|group| is_of_tracks(*group)) {
            return Ok(());
        }
        let others: Vec<StoreId> =
            status.nodes.iter().map(|node| node.store).filter(|store| *store != cluster.store()).collect();
        let said = ask_each(&others, |to| knows_far_tracks(cluster, to));
        match others.iter().zip(said).find_map(|(store, said)| Some((store, said.err()?))) {
            Some((store, reason)) => Err(Error::Conflict(format!(
                "every node must say that it can ask others about tracks before one gives a track shard up: start it, or upgrade it, first; nothing was done. node=`{store}`: {reason}"
            ))),
            None => Ok(()),
        }
    }

    /// The status, once every shard has a leader: one that is handing over has none for a moment.
    fn led_status(&self, cluster: &Cluster) -> ClusterStatus {
        let start = Instant::now();
        let groups: Vec<GroupId> = self.shard_groups().collect();
        loop {
            let status = cluster.status();
            let is_led = |group: &GroupId| status.leader_of(*group).is_some();
            if groups.iter().all(is_led) || start.elapsed() >= ELECTION {
                return status;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// One move; `None` when the shard is there already, and no more where it was.
    fn plan_move(
        &self,
        status: &ClusterStatus,
        group: &str,
        (from, to): (&str, &str),
    ) -> Result<Option<PlacementChange>> {
        let found = self.shard_groups().find(|id| group_name(*id) == group);
        let id = found.ok_or_else(|| Error::not_found("shard", group))?;
        let (from, to) = (parse_node(from)?, parse_node(to)?);
        let node = |store: StoreId| {
            let node = status.nodes.iter().find(|node| node.store == store);
            node.ok_or_else(|| Error::not_found("node", store))
        };
        let target = node(to)?;
        let now = status.placements.get(&id).cloned().unwrap_or_else(|| voters(status, id));
        if now.contains(&to) && !now.contains(&from) && status.placements.contains_key(&id) {
            return Ok(None);
        }
        if !now.contains(&from) {
            return Err(Error::Conflict(format!("{group} is not placed on node {from}; nothing was done")));
        }
        if now.contains(&to) && from != to {
            return Err(Error::Conflict(format!(
                "node {to} has a place of {group} already: a move there would leave a replica fewer; nothing was done"
            )));
        }
        if let Err(reason) = &target.groups {
            return Err(Error::Conflict(format!("node {to} does not answer: {reason}; nothing was done")));
        }
        if target.record.intent != NodeIntent::Serving {
            return Err(Error::Conflict(format!("node {to} is draining; nothing was done")));
        }
        let mut places = now;
        places.remove(&from);
        places.insert(to);
        let answers =
            |store: &&StoreId| status.nodes.iter().any(|node| node.store == **store && node.groups.is_ok());
        let answering = places.iter().filter(answers).count();
        if answering < places.len() / 2 + 1 {
            return Err(Error::Conflict(format!(
                "{group} would have no majority that answers: start the silent nodes, or `repair`, first; nothing was done. places=`{}`, answering=`{answering}`",
                places.len()
            )));
        }
        Ok(Some(PlacementChange { group: id, from: status.placements.get(&id).cloned(), to: places }))
    }

    /// Refuses what would have to be carried out by groups that cannot: without a leader, or a majority that answers, nothing
    /// moves, and to wish for it hides the trouble.
    fn check_movable(&self, status: &ClusterStatus, changes: &[PlacementChange]) -> Result<()> {
        for PlacementChange { group, .. } in changes {
            let members = voters(status, *group);
            let answers = |store: &&StoreId| {
                status.nodes.iter().any(|node| node.store == **store && node.groups.is_ok())
            };
            let answering = members.iter().filter(answers).count();
            if status.leader_of(*group).is_none() || answering < members.len() / 2 + 1 {
                return Err(Error::Conflict(format!(
                    "{} has no majority that answers, so it cannot move; nothing was done. voters=`{}`, answering=`{answering}`",
                    group_name(*group),
                    members.len()
                )));
            }
        }
        Ok(())
    }

    /// The groups of all shards.
    fn shard_groups(&self) -> impl Iterator<Item = GroupId> {
        let users: Vec<GroupId> = self.users.owners().into_iter().map(Group::id).collect();
        let tracks = self.meta.shard.state().track_shard_numbers().into_iter().map(open_tracks::group_id);
        users.into_iter().chain(tracks)
    }

    /// All shards, track shards that are on every node only with `tracks`. Each counts as much as the others, however many slots it
    /// owns.
    fn group_places(&self, status: &ClusterStatus, tracks: bool) -> Result<Vec<GroupPlace>> {
        let place = |id: GroupId| {
            let voters = voters(status, id);
            if voters.is_empty() {
                return Err(Error::Unavailable(format!(
                    "nobody knows who votes. group=`{}`",
                    group_name(id)
                )));
            }
            Ok(GroupPlace { group: id, bytes: 1, voters })
        };
        let is_placed =
            |group: &GroupId| tracks || !is_of_tracks(*group) || status.placements.contains_key(group);
        self.shard_groups().filter(is_placed).map(place).collect()
    }

    /// Bytes of a user shard; of one elsewhere as of a moment ago.
    pub(super) fn bytes_of_shard(&self, place: usize) -> u64 {
        let far = || self.far.as_ref().and_then(|far| far.last_figures(place));
        match self.users.shards.any_at(place) {
            Some(shard) => shard.disk_bytes(),
            None => far().map_or(0, |figures| figures.bytes),
        }
    }
}

/// Changes that leave no place on a silent node where another one is free.
fn repairs(
    cluster: &Cluster,
    status: &ClusterStatus,
    silent: &BTreeSet<StoreId>,
    notes: &mut Vec<String>,
) -> Vec<PlacementChange> {
    if status.placements.is_empty() {
        notes.push("every node holds every shard: votes go to spare nodes by themselves".to_owned());
        return Vec::new();
    }
    let changes = cluster.plan_repairs(silent);
    for (group, stores) in &status.placements {
        let change = changes.iter().find(|change| change.group == *group);
        let left = change.map_or(stores, |change| &change.to);
        if let Some(store) = left.iter().find(|store| silent.contains(store)) {
            notes.push(format!(
                "{} keeps its place on node {store}, which does not answer: no other node is free",
                group_name(*group)
            ));
        }
    }
    changes
}

/// The stores of a group's voters, as its leader of the newest term or, without one, whoever has most of it says.
pub(super) fn voters(status: &ClusterStatus, group: GroupId) -> BTreeSet<StoreId> {
    let seen = status.nodes.iter().filter_map(|node| node.groups.as_ref().ok()).flatten();
    let of_group = seen.filter(|it| it.group == group);
    let best = of_group.max_by_key(|it| (it.role == Role::Leader, it.term, it.applied));
    let members = best.map(|best| best.members.as_slice()).unwrap_or_default();
    members.iter().filter(|member| member.votes).filter_map(|member| member.store).collect()
}

fn is_of_tracks(group: GroupId) -> bool {
    (TRACKS..TRACKS + u64::from(TRACK_SHARDS_MAX)).contains(&group.0)
}

fn holds(status: &ClusterStatus, store: StoreId, group: GroupId) -> bool {
    status.nodes.iter().any(|node| node.store == store && node.record.replicas.contains_key(&group))
}
