//! Where shards should be: moves one by one, evenly over all nodes, or away from nodes that do not answer. What is decided
//! here is written into the cluster's map; the groups' leaders and the nodes carry it out.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use segue_cluster::{Cluster, ClusterStatus, GroupId, GroupPlace, PlacementChange, StoreId};
use serde::{Deserialize, Serialize};

use super::ask_tracks::knows_far_tracks;
use super::engine::Inner;
use super::everyone::ask_each;
use super::group::Group;
use super::moving::{check_movable, plan_move, voters};
use super::open::TRACKS;
use super::open_tracks;
use super::progress::Progress;
use super::report::{group_name, parse_node};
use super::stop_points::{PLACES_CHECKED, hold_point};
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
            self.check_no_split(0)?;
            self.catch_up_map()?;
        }
        let status = self.led_status(cluster);
        let silent: BTreeSet<StoreId> =
            status.nodes.iter().filter(|node| node.groups.is_err()).map(|node| node.store).collect();
        let mut notes = Vec::new();
        let changes = match what {
            Placing::Move { group, from, to } => {
                let nodes = (parse_node(from)?, parse_node(to)?);
                plan_move(&status, self.shard_named(group)?, nodes)?.into_iter().collect()
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
        changes.iter().try_for_each(|change| check_movable(&status, change.group))?;
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
                // Looking at all nodes took a while.
                if *what != Placing::Repair {
                    self.check_no_split(report.moves.len() - 1)?;
                }
                hold_point(PLACES_CHECKED);
                place(cluster, change, report.moves.len() - 1)?;
            }
        }
        Ok(report)
    }

    /// Refuses moves while a shard is being split: the new shard would have to follow, and a split waits for whoever is on the way. One
    /// that begins behind this does follow ([`Inner::place_as_parent`]).
    ///
    /// # Errors
    /// `Conflict` while a shard is being split.
    fn check_no_split(&self, made: usize) -> Result<()> {
        self.catch_up_meta()?;
        let state = self.meta.shard.state();
        for kind in [ShardKind::Users, ShardKind::Tracks] {
            if let Some(split) = state.split(kind) {
                return Err(Error::Conflict(format!(
                    "a shard is being split: wait until that has ended; {}. group=`{}`, new=`{}`",
                    done_before(made),
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

    /// The group of a shard by its name.
    fn shard_named(&self, name: &str) -> Result<GroupId> {
        let found = self.shard_groups().find(|id| group_name(*id) == name);
        found.ok_or_else(|| Error::not_found("shard", name))
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

/// What had been done when a change was refused.
fn done_before(moves: usize) -> String {
    match moves {
        0 => "nothing was done".to_owned(),
        moves => format!("what was begun before goes on. moves=`{moves}`"),
    }
}

/// Has the map say where a shard should be, if nobody else has changed that since it was looked at.
fn place(cluster: &Cluster, change: &PlacementChange, made: usize) -> Result<()> {
    cluster.place(change).map_err(|reason| {
        // The change that came first is here when the refusal is.
        if cluster.map().placements.get(&change.group) == change.from.as_ref() {
            return Error::Conflict(reason);
        }
        Error::Conflict(format!(
            "{} was placed elsewhere meanwhile: look where it is (`status`), and ask again if it should still move; {}",
            group_name(change.group),
            done_before(made)
        ))
    })
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

fn is_of_tracks(group: GroupId) -> bool {
    (TRACKS..TRACKS + u64::from(TRACK_SHARDS_MAX)).contains(&group.0)
}

fn holds(status: &ClusterStatus, store: StoreId, group: GroupId) -> bool {
    status.nodes.iter().any(|node| node.store == store && node.record.replicas.contains_key(&group))
}
