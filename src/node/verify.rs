//! Checks a whole data directory that is not open: every file's checksums, every group's log, and what they all say about
//! each other. Nothing in the directory is changed.
//!
//! Files first. Where they are whole, the start is rehearsed: each state machine is opened at its checkpoint (those that
//! write, on links and copies in a scratch folder), is given what the log has for it, and the state that comes of it is
//! checked row by row.

mod state;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use segue_cluster::{
    CommittedEntry, FileDamage, GroupId, MAP_GROUP, StateMachine, hold_directory, map_machine, verify_node,
};
use segue_storage_format::verify::{Damage, VerifyProgress, VerifyReport, verify_shard_with};
use segue_storage_format::{Residence, Verify, manifest::segment_folder};

use super::open::{META, USERS, open_error};
use super::open_tracks::{group_id, known};
use super::replica::{MetaReplica, TrackReplica, UserReplica};
use super::stage::Stage;
use crate::error::{Error, Result};
use crate::pipeline::statistics::Statistics;
use crate::storage::error::describe;
use crate::storage::meta::{self, MetaState, MetaStore, ShardSplit};
use crate::storage::track_shard::{Opening, TrackStateMachine, TrackView, owners};
use crate::storage::user_shard::{UserShard, UserShardOptions};
use crate::types::{ShardId, Slot, TRACK_SHARDS_MAX, TrackRef, USER_SHARDS_MAX};

/// Memory for the user store while it is rehearsed.
const CACHE_BYTES: usize = 16 << 20;

/// What a check of a data directory found.
#[derive(Debug, Default)]
pub struct DirectoryReport {
    /// Files, bytes and damage.
    pub checked: VerifyReport,
    /// What is no damage but worth knowing, as sentences: a write cut short that the next start drops.
    pub notes: Vec<String>,
}

/// Where the parts of a data directory are.
struct Parts {
    meta: PathBuf,
    /// By number.
    tracks: BTreeMap<u16, PathBuf>,
    /// By number.
    users: BTreeMap<u16, PathBuf>,
}

impl Parts {
    fn of(dir: &Path) -> Self {
        let there = |kind: &str, most: u16| {
            let folders = (0..most).map(|shard| (shard, dir.join(format!("{kind}-{shard}"))));
            folders.filter(|(_, folder)| folder.exists()).collect()
        };
        Self {
            meta: dir.join("meta"),
            tracks: there("tracks", TRACK_SHARDS_MAX),
            users: there("users", USER_SHARDS_MAX),
        }
    }
}

/// Opened state machines, where their files are whole.
#[derive(Default)]
struct Machines {
    meta: Option<(MetaReplica, MetaStore)>,
    /// By number.
    tracks: BTreeMap<u16, TrackReplica>,
    /// By number.
    users: BTreeMap<u16, (UserReplica, UserShard)>,
}

/// Checks the data directory `dir`; `progress` is told of the files of the track shards, the largest. Cost: reads
/// everything once, the log twice, and decodes every record.
///
/// # Errors
/// `NotFound` when it is no data directory, `Unavailable` when it is open, disk errors. Damage is in the report.
pub fn verify(dir: &Path, progress: &mut dyn FnMut(VerifyProgress)) -> Result<DirectoryReport> {
    let mut parts = Parts::of(dir);
    if !["identity", "raft", "tracks-0"].iter().any(|name| dir.join(name).exists()) {
        return Err(Error::not_found("data directory", dir.display()));
    }
    let _hold = hold_directory(dir).map_err(open_error)?;
    let scratch = tempfile::tempdir()
        .map_err(|source| Error::io("make a scratch folder", std::env::temp_dir(), source))?;
    let mut report = DirectoryReport::default();
    let mut machines = Machines::default();
    report.meta(&parts.meta, scratch.path(), &mut machines)?;
    let count = machines.meta.as_ref().and_then(|(_, store)| known(&store.state()));
    // Without a meta state, as many as there are.
    let count = count.unwrap_or_else(|| parts.tracks.keys().next_back().map_or(1, |last| last + 1));
    let numbers = machines.meta.as_ref().map(|(_, store)| store.state().track_shard_numbers());
    for (&shard, folder) in &parts.tracks {
        if numbers.as_ref().is_none_or(|numbers| numbers.contains(&shard)) {
            report.tracks((shard, count), folder, &mut machines, progress);
        }
    }
    // What is missing must come whole from the log.
    let numbers = machines.meta.as_ref().map(|(_, store)| store.state().user_shard_numbers());
    for shard in numbers.unwrap_or_default() {
        parts.users.entry(shard).or_insert_with(|| dir.join(format!("users-{shard}")));
    }
    for (&shard, folder) in &parts.users {
        report.users(shard, folder, scratch.path(), &mut machines);
    }
    let was_closed = report.log(dir, scratch.path(), &mut machines)?;
    report.staging(&dir.join("staging"), was_closed)?;
    if report.checked.is_clean() {
        report.state(&parts, &machines)?;
    }
    Ok(report)
}

impl DirectoryReport {
    fn add(&mut self, file: &Path, what: impl Into<String>) {
        self.checked.damage.push(Damage { file: file.to_owned(), offset: None, what: what.into() });
    }

    /// Runs one check of files; whether it found no damage.
    fn whole(&mut self, check: impl FnOnce(&mut VerifyReport)) -> bool {
        let before = self.checked.damage.len();
        check(&mut self.checked);
        self.checked.damage.len() == before
    }

    fn meta(&mut self, folder: &Path, scratch: &Path, machines: &mut Machines) -> Result<()> {
        if !folder.exists() || !self.whole(|report| meta::check_files(folder, report)) {
            return Ok(());
        }
        let copy = scratch.join("meta");
        copy_files(folder, &copy).map_err(|source| Error::io("copy the meta state", &copy, source))?;
        match MetaStore::open(&copy) {
            Ok(opened) => {
                machines.meta = Some((MetaReplica::new(opened.store.clone(), opened.applied), opened.store));
            }
            Err(error) => self.add(folder, describe(&error)),
        }
        Ok(())
    }

    fn tracks(
        &mut self,
        (number, shards): (u16, u16),
        folder: &Path,
        machines: &mut Machines,
        progress: &mut dyn FnMut(VerifyProgress),
    ) {
        let published = has_manifest(folder);
        let whole = !published
            || self.whole(|report| {
                let shard = verify_shard_with(folder, progress);
                report.files += shard.files;
                report.bytes += shard.bytes;
                report.damage.extend(shard.damage);
            });
        if whole {
            // Opening a track shard writes nothing, nor does applying entries to it.
            let opening =
                Opening { verify: Verify::Structure, index: Residence::Mapped, shards, health: None };
            match TrackStateMachine::open(folder, ShardId(number), opening) {
                Ok((machine, _)) => {
                    machines.tracks.insert(number, TrackReplica::new(machine, None, Arc::default()));
                }
                Err(error) => self.add(folder, describe(&error)),
            }
        }
    }

    fn users(&mut self, number: u16, folder: &Path, scratch: &Path, machines: &mut Machines) {
        let is_there = folder.exists();
        if is_there && !self.whole(|report| UserShard::check_files(folder, report)) {
            return;
        }
        let target = scratch.join(format!("users-{number}"));
        let options = UserShardOptions {
            view_cache_bytes: CACHE_BYTES,
            block_cache_bytes: CACHE_BYTES as u64,
            trend_cache_bytes: CACHE_BYTES,
            ..UserShardOptions::default()
        };
        let copied = if is_there { UserShard::overlay(folder, &target) } else { Ok(()) };
        match copied.and_then(|()| UserShard::open(&target, &options)) {
            Ok((shard, applied)) => {
                let replica = UserReplica::new(shard.clone(), applied, None);
                machines.users.insert(number, (replica, shard));
            }
            Err(error) => self.add(folder, describe(&error)),
        }
    }

    fn staging(&mut self, folder: &Path, was_closed: bool) -> Result<()> {
        for path in Stage::all(folder)? {
            self.checked.files += 1;
            self.checked.bytes += path.metadata().map_or(0, |metadata| metadata.len());
            let found = Stage::check(&path)?;
            let mut damage = found.damage;
            if found.torn_bytes > 0 && was_closed {
                let end = path.metadata().map_or(0, |metadata| metadata.len()) - found.torn_bytes;
                damage = Some((end, "the end is damaged: it was whole at the last stop".to_owned()));
            } else if found.torn_bytes > 0 {
                self.notes.push(format!(
                    "the last rows staged by a load were cut short, they are sent again. path=`{}`, bytes=`{}`",
                    path.display(),
                    found.torn_bytes
                ));
            }
            let damage = damage.map(|(at, what)| Damage { file: path, offset: Some(at), what });
            self.checked.damage.extend(damage);
        }
        Ok(())
    }

    /// The list of a cluster's nodes, where there is one.
    fn map(&mut self, folder: &Path, scratch: &Path) -> Result<Option<Box<dyn StateMachine>>> {
        if !folder.exists() {
            return Ok(None);
        }
        let copy = scratch.join("cluster");
        copy_files(folder, &copy).map_err(|source| Error::io("copy the list of nodes", &copy, source))?;
        match map_machine(scratch) {
            Ok(machine) => {
                self.checked.files += 1;
                Ok(Some(machine))
            }
            Err(error) => {
                self.add(&folder.join("map"), describe(&error));
                Ok(None)
            }
        }
    }

    /// Checks identity and log, and applies what the log has to the machines; whether the last stop was orderly.
    fn log(&mut self, dir: &Path, scratch: &Path, machines: &mut Machines) -> Result<bool> {
        let mut states = BTreeMap::new();
        let mut running: BTreeMap<GroupId, &mut dyn StateMachine> = BTreeMap::new();
        if let Some((machine, _)) = &mut machines.meta {
            running.insert(GroupId(META), machine);
        }
        for (number, machine) in &mut machines.tracks {
            running.insert(group_id(*number), machine);
        }
        for (number, (machine, _)) in &mut machines.users {
            running.insert(GroupId(USERS + u64::from(*number)), machine);
        }
        let mut map = self.map(&dir.join("cluster"), scratch)?;
        if let Some(machine) = &mut map {
            running.insert(MAP_GROUP, machine.as_mut());
        }
        for (group, machine) in &running {
            states.insert(*group, machine.recovered());
        }
        let mut visit = |group: GroupId, entry: &CommittedEntry| match running.get_mut(&group) {
            Some(machine) => {
                machine.apply(std::slice::from_ref(entry)).map(drop).map_err(|error| describe(&error))
            }
            None => Err("no part of the directory belongs to this group".to_owned()),
        };
        let found = verify_node(dir, scratch, &states, &mut visit).map_err(open_error)?;
        self.checked.files += found.files;
        self.checked.bytes += found.bytes;
        let damage = |FileDamage { file, offset, what }| Damage { file, offset, what };
        self.checked.damage.extend(found.damage.into_iter().map(damage));
        self.notes.extend(found.torn_tails.iter().map(|tail| {
            format!(
                "the log ends in a write that was cut short and never acknowledged. path=`{}`, offset=`{}`, bytes=`{}`",
                tail.file.display(),
                tail.offset,
                tail.bytes
            )
        }));
        Ok(found.closed_orderly)
    }

    /// Checks the state that a start would come to.
    fn state(&mut self, parts: &Parts, machines: &Machines) -> Result<()> {
        let views: BTreeMap<u16, Arc<TrackView>> =
            machines.tracks.iter().map(|(number, replica)| (*number, replica.shard().view())).collect();
        for (number, view) in &views {
            let own = &parts.tracks[number];
            match view.check() {
                Ok(problems) => {
                    for (segment, what) in problems {
                        let folder = segment_folder(own, u64::from(segment));
                        self.add(if folder.exists() { &folder } else { own }, what);
                    }
                }
                Err(error) => self.add(own, describe(&error)),
            }
        }
        let state = machines.meta.as_ref().map(|(_, store)| store.state());
        let track_shards = state.as_ref().map(|state| state.track_shard_numbers());
        if let Some(numbers) = &track_shards {
            self.track_folders(parts, numbers);
            self.track_slots(parts, &views, numbers);
        }
        // Of a shard that is not here at all nobody can tell.
        let exists = |track: TrackRef| {
            let mut naming = views.values().filter(|view| view.names(track)).peekable();
            if naming.peek().is_some() {
                return naming.any(|view| track.ordinal.0 < view.ordinals());
            }
            let is_one = |numbers: &Vec<u16>| numbers.contains(&track.shard.0);
            views.is_empty()
                || !views.contains_key(&track.shard.0) && track_shards.as_ref().is_none_or(is_one)
        };
        if let Some(state) = &state {
            self.user_folders(parts, &state.user_shard_numbers());
        }
        for (number, (_, users)) in &machines.users {
            let folder = &parts.users[number];
            let is_own = |slot: Slot| state.as_ref().is_none_or(|state| may_be_in(state, *number, slot));
            match users.check_rows(&exists, &is_own) {
                Ok(problems) => problems.into_iter().for_each(|what| self.add(folder, what)),
                Err(error) => self.add(folder, describe(&error)),
            }
            if let Some(Err(error)) = users.statistics().map(|bytes| Statistics::decode(&bytes)) {
                self.add(folder, format!("statistics: {}", describe(&error)));
            }
        }
        if let Some(state) = &state {
            let users: Vec<&UserShard> = machines.users.values().map(|(_, users)| users).collect();
            let tracks: Vec<&TrackView> = views.values().map(AsRef::as_ref).collect();
            for what in state::meta_problems(state, &tracks, &users)? {
                self.add(&parts.meta, what);
            }
        }
        Ok(())
    }

    /// The track shards there are against how many the database has.
    fn track_folders(&mut self, parts: &Parts, numbers: &[u16]) {
        let count = numbers.len();
        for (_, folder) in parts.tracks.iter().filter(|(number, _)| !numbers.contains(number)) {
            self.add(folder, format!("is no part of the database. track_shards=`{count}`"));
        }
        let missing = numbers.iter().filter(|number| !parts.tracks.contains_key(number)).count();
        if missing > 0 {
            self.notes.push(format!(
                "track shards are missing: they are on other nodes of the cluster, or the next start makes them. missing=`{missing}`, track_shards=`{count}`"
            ));
        }
    }

    /// Every slot must have a track shard that has its tracks, in the middle of a split, too.
    fn track_slots(&mut self, parts: &Parts, views: &BTreeMap<u16, Arc<TrackView>>, numbers: &[u16]) {
        let all: Vec<&Arc<TrackView>> = views.values().collect();
        if all.len() == numbers.len() && owners(&all).is_none() {
            self.add(&parts.meta, "there are slots whose tracks no track shard has");
        }
    }

    /// The user shards there are against how many the database has.
    fn user_folders(&mut self, parts: &Parts, numbers: &[u16]) {
        let count = numbers.len();
        for (number, folder) in &parts.users {
            if !numbers.contains(number) && folder.exists() {
                self.add(folder, format!("is no part of the database. user_shards=`{count}`"));
            }
        }
        // One that was stopped in the middle of its first start has none, or some.
        let is_missing = |number: &u16| parts.users.get(number).is_none_or(|folder| !folder.exists());
        let missing = numbers.iter().filter(|number| is_missing(number)).count();
        if missing > 0 {
            self.notes.push(format!(
                "user shards are missing: they are on other nodes of the cluster, or the next start makes them from the log. missing=`{missing}`, user_shards=`{count}`"
            ));
        }
    }
}

/// Whether rows of a slot may be in a user shard: in the one that owns it, and in both of a split that runs.
fn may_be_in(state: &MetaState, number: u16, slot: Slot) -> bool {
    let owner = state.user_ranges().shard_of(slot);
    let both = |split: ShardSplit| {
        let halves = [usize::from(split.parent), usize::from(split.child)];
        halves.contains(&owner) && halves.contains(&number.into())
    };
    owner == usize::from(number) || state.user_split().is_some_and(both)
}

fn has_manifest(folder: &Path) -> bool {
    let is_manifest = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("MANIFEST-");
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(is_manifest)))
}

fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
