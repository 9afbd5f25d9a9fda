//! Opening a data directory: the log, the shards behind it, and what was found.
//!
//! ```text
//! DIR/            node identity and lock (cluster crate)
//! DIR/raft/       the one log
//! DIR/meta/       spaces, generations, recipes
//! DIR/tracks-0/   segments and manifest of a track shard; with several also tracks-1/, ...
//! DIR/users-0/    listeners; with several user shards also users-1/, ...
//! DIR/staging/    vectors of bulk loads under way
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use segue_cluster::{ClusterId, ClusterNode, GroupHandle, GroupId, NodeConfig, StateMachine, cluster_of};

use super::current::Ahead;
use super::engine::{Inner, OpenReport, Replica};
use super::entries::EntryReaders;
use super::forward::Guests;
use super::group::Group;
use super::holders::Holders;
use super::open_tracks::{OpeningTracks, stored_tracks};
use super::open_users::{OpenedUsers, OpeningUsers, stored_shards};
use super::peers::{Membership, Peers};
use super::replica::MetaReplica;
use super::rests::Rests;
use super::shadow::Shadows;
use super::stage::Stage;
use super::statistics::StatisticsTurn;
use super::tally::Tallies;
use super::tracks::TrackReplicas;
use super::warm_up::WarmUp;
use crate::config::Settings;
use crate::error::{Error, ErrorKind, Result};
use crate::maintenance::IndexChoice;
use crate::pipeline::reader::Caches;
use crate::pipeline::retrieve::Searchers;
use crate::storage::error::describe;
use crate::storage::meta::MetaStore;
use crate::storage::track_shard::command::LoadMark;

/// Raft groups of a node, by number. Track shards count up from [`TRACKS`], user shards from [`USERS`].
pub(super) const META: u64 = 1;
pub(super) const TRACKS: u64 = 1 << 16;
pub(super) const USERS: u64 = 2 << 16;

/// How long replaying the log may take before a start is given up.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(600);

/// Opens every part of a node and waits until the log is replayed.
pub(super) fn open(dir: &Path, settings: Settings, membership: Membership) -> Result<(Inner, OpenReport)> {
    let config = NodeConfig {
        disk_reserve_bytes: settings.storage.disk_reserve_bytes,
        log_entries_max: settings.storage.log_entries_max,
        snapshot_bytes_per_second: settings.cluster.copy_bytes_per_second,
        cluster_id: cluster_to_join(dir, &membership)?,
        ..NodeConfig::default()
    };
    let cluster = ClusterNode::open(dir, config).map_err(open_error)?;
    let peers = Peers::start(&cluster, dir, membership, settings.cluster.copy_bytes_per_second)?;
    let groups = Groups { node: &cluster, peers: peers.as_ref() };
    let mut report = OpenReport { repairs: log_repairs(&cluster) };

    let opened = MetaStore::open(&dir.join("meta"))?;
    report.repairs.extend(opened.repairs);
    let meta = opened.store;
    let meta_group = groups.add(META, "meta", Box::new(MetaReplica::new(meta.clone(), opened.applied)))?;

    let health = Arc::default();
    let mut tracks = OpeningTracks {
        dir,
        settings: &settings,
        groups: &groups,
        meta: &meta,
        meta_group: &meta_group,
        stored: stored_tracks(&cluster),
        opened: BTreeMap::new(),
        repairs: Vec::new(),
        health: &health,
    };
    let mut users = OpeningUsers {
        dir,
        settings: &settings,
        groups: &groups,
        meta: &meta,
        meta_group: &meta_group,
        stored: stored_shards(&cluster),
        opened: BTreeMap::new(),
    };
    // Its groups are of one member each until it is in the map.
    let founds = match &peers {
        Some(peers) => peers.cluster()?.is_founding(),
        None => true,
    };
    tracks.open_first(founds)?;
    users.open_first(founds)?;
    if let Some(peers) = &peers {
        peers.enter()?;
    }
    wait_until_replayed(&meta_group, peers.is_some())?;
    if let Some(peers) = &peers {
        // Which user shards belong here is known once the map is as new as any.
        let cluster = peers.cluster()?;
        let map = cluster.map_group().ok_or_else(|| Error::Internal("the map has no group".to_owned()))?;
        wait_until_replayed(&Group::new("map", map, Some(Arc::clone(cluster))), true)?;
    }
    let holders = peers.as_ref().map(|peers| peers.cluster().cloned()).transpose()?;
    let holders = holders.map(|cluster| Arc::new(Holders::new(cluster)));
    let opened = tracks.open_rest(holders.clone())?;
    report.repairs.append(&mut tracks.repairs);
    let (tracks, track_places, caches) = (opened.replicas, opened.places, Caches::default());
    let views = tracks.all_views();
    let (opened, indexes) = std::thread::scope(|scope| {
        // While the logs of listeners are replayed: both take one processor.
        let indexes = scope.spawn(|| views.iter().try_for_each(|view| caches.heads.open_all(view)));
        let opened = open_rest_and_replay(&tracks, users, holders);
        (opened, indexes.join())
    });
    let OpenedUsers { replicas: users, places, far } = opened?;
    indexes.map_err(|_| Error::Internal("opening the indexes failed".to_owned()))??;
    if let Some(far) = &far {
        // What is derived from all listeners is known before the first request.
        far.look_at(users.shards.elsewhere());
    }
    if let Some(far) = tracks.far() {
        // And of track shards that were split, which numbers they have. Whoever is asked may be starting, too: one look, no second.
        far.look_at(&tracks.elsewhere());
    }
    for part in tracks.parts().iter() {
        part.shard.remove_garbage()?;
    }
    let index_choice = IndexChoice::with_threads(settings.storage.background_threads)?;
    let inner = Inner {
        dir: dir.to_owned(),
        settings,
        was_closed: cluster.report().closed_orderly,
        cluster: Mutex::new(Some(cluster)),
        peers,
        meta: Replica { group: meta_group, shard: meta },
        tracks,
        users,
        places: Mutex::new(places),
        track_places: Mutex::new(track_places),
        far,
        entry_readers: EntryReaders::default(),
        guests: Guests::requests(),
        track_guests: Guests::track_questions(),
        rests: Rests::default(),
        ahead: Ahead::default(),
        tenders: Mutex::default(),
        resolve_cursor: Mutex::default(),
        caches,
        index_choice,
        searchers: Searchers::start()?,
        stages: Mutex::default(),
        maintenance: Mutex::default(),
        worker: Mutex::default(),
        resolve_due: false.into(),
        statistics_turn: StatisticsTurn::new(),
        shadows: Shadows::default(),
        tallies: Tallies::default(),
        health,
        warm_up: WarmUp::default(),
        closing: false.into(),
    };
    inner.define_built_in()?;
    resolve_waiting(&inner)?;
    report.repairs.extend(inner.clean_stages()?);
    // Those of segments that the replay has brought meanwhile; the others are open.
    inner.open_indexes()?;
    inner.sound()?;
    Ok((inner, report))
}

/// Opens the rest of the user shards and waits until every group that serves has applied its log.
fn open_rest_and_replay(
    tracks: &TrackReplicas,
    users: OpeningUsers<'_>,
    holders: Option<Arc<Holders>>,
) -> Result<OpenedUsers> {
    let in_cluster = holders.is_some();
    let opened = users.open_rest(holders)?;
    // A user shard that is being made serves nobody yet, and is not waited for.
    let owners: Vec<_> = opened.replicas.owners().into_iter().filter(|group| group.is_here()).collect();
    wait_for_tracks(tracks, in_cluster)?;
    owners.into_iter().try_for_each(|group| wait_until_replayed(group, in_cluster))?;
    Ok(opened)
}

/// Waits until the track shards have applied their logs. Nor is such a track shard waited for that is being made, unless its parent
/// has given its slots away already.
fn wait_for_tracks(tracks: &TrackReplicas, in_cluster: bool) -> Result<()> {
    let parts = tracks.parts();
    let waited_for = parts.iter().filter(|part| !in_cluster || !part.shard.is_new());
    waited_for.into_iter().try_for_each(|part| wait_until_replayed(&part.group, in_cluster))?;
    if !tracks.elsewhere().is_empty() {
        // Requests look for those themselves, and whoever holds one may be waiting for this node.
        return Ok(());
    }
    let owners = loop {
        match tracks.owners() {
            Err(Error::Unavailable(reason)) if in_cluster => {
                tracing::info!(reason, "waiting for a track shard")
            }
            owners => break owners?,
        }
    };
    owners.groups_here().try_for_each(|group| wait_until_replayed(group, in_cluster))
}

/// Finishes what a stop between a track's entry and that of the events waiting for it has left. A node that cannot write
/// now (a full disk) opens all the same; its worker tries again.
fn resolve_waiting(inner: &Inner) -> Result<()> {
    match inner.resolve_all_waiting() {
        Err(error)
            if matches!(error.kind(), ErrorKind::Exhausted | ErrorKind::Timeout | ErrorKind::Unavailable) =>
        {
            tracing::warn!(%error, "events still wait for tracks that are there; it is tried again");
            inner.resolve_due.store(true, Ordering::Release);
            Ok(())
        }
        result => result,
    }
}

/// Where groups are run.
pub(super) struct Groups<'a> {
    node: &'a ClusterNode,
    pub(super) peers: Option<&'a Arc<Peers>>,
}

impl Groups<'_> {
    /// Runs a group: that of the directory, or a new one.
    pub(super) fn add(&self, id: u64, name: &str, machine: Box<dyn StateMachine>) -> Result<Group> {
        let cluster = self.peers.map(|peers| peers.cluster()).transpose()?;
        Ok(Group::new(name, self.run(id, name, machine)?, cluster.cloned()))
    }

    /// Removes the log of a group that has gone on without this node's replica, if it is such a one; whether it was.
    pub(super) fn forget_left(&self, id: u64) -> Result<bool> {
        let Some(peers) = self.peers else { return Ok(false) };
        let forgotten = peers.cluster()?.forget_left(self.node, GroupId(id));
        forgotten.map_err(|error| super::peers::start_error(error.into()))
    }

    /// As [`Groups::add`]; only the handle.
    pub(super) fn run(&self, id: u64, name: &str, machine: Box<dyn StateMachine>) -> Result<GroupHandle> {
        let cluster = self.peers.map(|peers| peers.cluster()).transpose()?;
        let handle = match cluster {
            Some(cluster) => cluster.add_group(self.node, GroupId(id), machine),
            None => self.node.add_group(GroupId(id), machine),
        };
        handle.map_err(|error| {
            Error::Corrupt(format!("the log of a group cannot be used. group=`{name}`: {}", describe(&error)))
        })
    }
}

/// The id of the cluster a new directory is for; `None` when the directory says so itself, or there is none.
fn cluster_to_join(dir: &Path, membership: &Membership) -> Result<Option<ClusterId>> {
    match membership {
        Membership::Join(ports, addresses) if !dir.join("identity").exists() => {
            let ask =
                |address: &String| cluster_of(address, ports.tls.as_ref()).map_err(|error| describe(&error));
            one_cluster(addresses, addresses.iter().map(ask)).map(Some)
        }
        _ => Ok(None),
    }
}

/// The cluster that the nodes who answer are of.
///
/// # Errors
/// `Unavailable` when none answers; `Conflict` when they are of two.
fn one_cluster(
    addresses: &[String],
    answers: impl Iterator<Item = std::result::Result<ClusterId, String>>,
) -> Result<ClusterId> {
    let (mut found, mut reasons) = (None, Vec::new());
    for (address, answer) in addresses.iter().zip(answers) {
        match (answer, found) {
            (Err(reason), _) => reasons.push(format!("{address}: {reason}")),
            (Ok(id), Some((first, at))) if first != id => {
                return Err(Error::Conflict(format!(
                    "the addresses to join are of two clusters, and a node is of one: leave one out. cluster.join=`{at}`, `{address}`"
                )));
            }
            (Ok(id), _) => found = Some((id, address)),
        }
    }
    let none = || Error::Unavailable(format!("no node of the cluster answers: {}", reasons.join("; ")));
    found.map(|(id, _)| id).ok_or_else(none)
}

/// A read barrier passes once everything in the log is applied; in a cluster, once a majority is there and has given this
/// node what it lacks, however long that takes.
pub(super) fn wait_until_replayed(group: &Group, in_cluster: bool) -> Result<()> {
    let start = Instant::now();
    loop {
        match group.read_barrier() {
            Ok(_) => return Ok(()),
            Err(Error::Timeout { .. } | Error::Unavailable(_) | Error::Exhausted(_))
                if in_cluster || start.elapsed() < REPLAY_TIMEOUT =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error),
        }
    }
}

fn log_repairs(cluster: &ClusterNode) -> Vec<String> {
    let report = cluster.report();
    let mut repairs = Vec::new();
    if report.identity_rebuilt {
        repairs.push("the node's identity file was missing and was rebuilt from the log".to_owned());
    }
    if report.dropped_bytes() > 0 {
        repairs.push(format!(
            "the log ended in a torn write that was never acknowledged; dropped_bytes=`{}`",
            report.dropped_bytes()
        ));
    }
    repairs
}

pub(super) fn open_error(error: segue_cluster::OpenError) -> Error {
    let text = describe(&error);
    match error {
        segue_cluster::OpenError::InUse { .. } => Error::Unavailable(text),
        segue_cluster::OpenError::Io { action, path, source } => {
            Error::Io { action: action.into(), path, source }
        }
        _ => Error::Corrupt(text),
    }
}

impl Inner {
    /// Where staged vectors are kept.
    pub(super) fn staging_folder(&self) -> std::path::PathBuf {
        self.dir.join("staging")
    }

    /// Removes what loads have left in the staging folder that needs it no more: rows that are in a segment by now (the
    /// node died between the two), and files that were only begun. Says so of each.
    pub(super) fn clean_stages(&self) -> Result<Vec<String>> {
        // What cannot be known now is kept: the next call of the load looks again.
        let marks = |load_id: &str| self.load_marks(&self.tracks.owners()?, load_id);
        let is_finished = |mark: &Option<LoadMark>| mark.as_ref().is_some_and(|mark| mark.finished);
        let is_done = |load_id: &str| marks(load_id).is_ok_and(|marks| marks.iter().all(is_finished));
        Stage::clean(&self.staging_folder(), is_done)
    }
}
