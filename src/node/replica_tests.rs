//! A replica that becomes a snapshot of another holds the same state, at once and after a restart; a crash in the middle leaves
//! the old state or the new one.
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use segue_cluster::{SnapshotFiles, SnapshotManifest, StateMachine};
use segue_storage_format::{Residence, Verify};

use super::engine::Segue;
use super::replica::{MetaReplica, SnapshotFolder, TrackReplica, UserReplica};
use crate::config::Settings;
use crate::storage::meta::MetaStore;
use crate::storage::track_shard::{Opening, TrackShard, TrackStateMachine, TrackView};
use crate::storage::user_shard::{UserShard, UserShardOptions};
use crate::types::{
    Action, Artist, ArtistId, EventId, FeedbackEvent, GenerationId, ShardId, SpaceName, SplitMix64,
    Timestamp, Track, TrackId, User, UserId, VectorRow,
};

/// Bytes of one piece: small, so that files come in several.
const PIECE: u64 = 10_000;

fn track(number: u64) -> Track {
    let artist = Artist { id: ArtistId::new(format!("a{}", number % 5)).unwrap(), name: "A".to_owned() };
    Track::new(TrackId::new(format!("t{number}")).unwrap(), format!("Title {number}"), vec![artist])
}

/// Writes to a database in a directory of its own, by chance; sealed and merged along the way.
fn fill(dir: &Path, seed: u64, rounds: u64) {
    let mut settings = Settings::default();
    settings.storage.disk_reserve_bytes = 0;
    let (engine, _) = Segue::open(dir, settings).unwrap();
    let mut rng = SplitMix64::new(seed);
    let audio = SpaceName::new("audio").unwrap();
    for round in 0..rounds {
        let numbers: Vec<u64> = (0..40).map(|_| rng.below(200)).collect();
        engine.upsert_tracks(numbers.iter().map(|number| track(*number)).collect()).unwrap();
        let row = |number: &u64| VectorRow {
            id: format!("t{number}"),
            vector: (0..8).map(|place| ((number * 7 + place) % 11) as f32 + 1.0).collect(),
        };
        engine.upsert_vectors(&audio, GenerationId::STATIC, numbers.iter().map(row).collect()).unwrap();
        engine.delete_tracks(&[track(rng.below(200)).track_id]).unwrap();
        let users: Vec<UserId> =
            (0..5).map(|_| UserId::new(format!("u{}", rng.below(30))).unwrap()).collect();
        engine.upsert_users(users.iter().map(|user| User::unknown(user.clone())).collect()).unwrap();
        let event = |(place, user): (usize, &UserId)| FeedbackEvent {
            track_id: Some(track(numbers[place]).track_id),
            at: Some(Timestamp(1_790_000_000_000 + (round * 10 + place as u64) as i64)),
            event_id: Some(EventId::new(format!("e{round}-{place}")).unwrap()),
            ..FeedbackEvent::new(user.clone(), Action::Play)
        };
        engine.feedback(users.iter().enumerate().map(event).collect()).unwrap();
        if rng.below(2) == 0 {
            engine.checkpoint().unwrap();
        }
    }
    engine.checkpoint().unwrap();
    engine.shutdown().unwrap();
}

/// A database, and one that shall become it: a new one, or one that is far behind.
fn source_and_target(from: &Path, to: &Path, seed: u64) {
    fill(from, seed, 3);
    if seed % 2 == 1 {
        write_files(to, &files(from));
    }
    fill(from, seed + 100, 4);
}

/// A hash of everything a track shard answers from.
fn tracks_hash(view: &TrackView) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(format!("{} {}", view.applied_index, view.ordinals()).as_bytes());
    hash.update(format!("{:?}", view.loads).as_bytes());
    for ordinal in 0..view.ordinals() {
        let row = view.row(ordinal).unwrap();
        hash.update(format!("{ordinal} {} {:?}", view.hot(ordinal).live, row.track).as_bytes());
        for (key, set) in &view.sets {
            hash.update(format!("{key:?} {:?}", set.vector(ordinal)).as_bytes());
        }
    }
    hash.finalize().to_hex().to_string()
}

/// The same of a user shard.
fn users_hash(shard: &UserShard) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(format!("{:?} {:?}", shard.applied(), shard.generations().unwrap()).as_bytes());
    let (users, _) = shard.list_users(None, 1_000).unwrap();
    for user in users {
        hash.update(format!("{:?}", shard.view(&user.user_id).unwrap()).as_bytes());
    }
    hash.finalize().to_hex().to_string()
}

/// Gathers a snapshot's files as a follower does; how many had to be fetched.
fn gather(files: &dyn SnapshotFiles, replica: &dyn StateMachine) -> (SnapshotManifest, usize) {
    let (manifest, staging) = (files.manifest().clone(), replica.staging().unwrap());
    let mut fetched = 0;
    for (place, file) in manifest.files.iter().enumerate() {
        if staging.holds(file) {
            continue;
        }
        fetched += 1;
        while staging.staged_bytes(file) < file.bytes {
            let offset = staging.staged_bytes(file);
            staging.append(file, offset, &files.read(place, offset, PIECE).unwrap()).unwrap();
        }
        assert!(staging.finish(file).unwrap());
    }
    (manifest, fetched)
}

fn open_tracks(dir: &Path) -> (TrackReplica, Arc<TrackShard>) {
    let opening = Opening { verify: Verify::Full, index: Residence::Memory, shards: 1, health: None };
    let (machine, _) = TrackStateMachine::open(&dir.join("tracks-0"), ShardId(0), opening).unwrap();
    let shard = machine.shard();
    let folder = SnapshotFolder::open(dir, "tracks-0").unwrap();
    (TrackReplica::new(machine, Some(folder), Arc::default()), shard)
}

fn open_users(dir: &Path) -> (UserReplica, UserShard) {
    let (shard, at) = UserShard::open(&dir.join("users-0"), &UserShardOptions::default()).unwrap();
    let folder = SnapshotFolder::open(dir, "users-0").unwrap();
    (UserReplica::new(shard.clone(), at, Some(folder)), shard)
}

/// Every file below a folder with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(dir).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn write_files(dir: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    for (path, bytes) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// The files a crash may leave before the moment of change: those of before, and of the new ones some, one of them cut.
fn before_the_change(
    before: &BTreeMap<PathBuf, Vec<u8>>,
    after: &BTreeMap<PathBuf, Vec<u8>>,
    is_change: fn(&Path) -> bool,
    rng: &mut SplitMix64,
) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut left = before.clone();
    for (path, bytes) in after.iter().filter(|(path, _)| !before.contains_key(*path) && !is_change(path)) {
        match rng.below(3) {
            0 => {}
            1 => drop(left.insert(path.clone(), bytes[..bytes.len() / 2].to_vec())),
            _ => drop(left.insert(path.clone(), bytes.clone())),
        }
    }
    left
}

#[test]
fn an_installed_track_shard_equals_the_one_it_is_of_and_a_crash_leaves_one_of_the_two() {
    for seed in 0..4 {
        let [from, to, crashed] = [0; 3].map(|_| tempfile::tempdir().unwrap());
        source_and_target(from.path(), to.path(), seed);
        let (mut source, source_shard) = open_tracks(from.path());
        let (mut target, target_shard) = open_tracks(to.path());
        let old = tracks_hash(&target_shard.view());
        let before = files(&to.path().join("tracks-0"));
        let offered = source.snapshot().unwrap().unwrap();
        let (manifest, fetched) = gather(&*offered, &target);
        assert!(fetched > 0);
        target.install(&manifest).unwrap();
        let new = tracks_hash(&source_shard.view());
        assert_ne!(old, new);
        assert_eq!(tracks_hash(&target_shard.view()), new, "seed {seed}");
        assert_eq!(target.recovered().index, manifest.index);
        assert_eq!(target.durable_index(), manifest.index);
        drop((target, target_shard));
        assert_eq!(tracks_hash(&open_tracks(to.path()).1.view()), new, "after a restart, seed {seed}");
        // The same again needs no file.
        assert_eq!(gather(&*offered, &open_tracks(to.path()).0).1, 0);

        let after = files(&to.path().join("tracks-0"));
        let is_change = |path: &Path| path.to_string_lossy().starts_with("MANIFEST-");
        let left = before_the_change(&before, &after, is_change, &mut SplitMix64::new(seed));
        write_files(&crashed.path().join("tracks-0"), &left);
        assert_eq!(tracks_hash(&open_tracks(crashed.path()).1.view()), old, "crashed, seed {seed}");
        // What is left does not keep the next attempt from succeeding.
        let (mut target, target_shard) = open_tracks(crashed.path());
        let (manifest, _) = gather(&*offered, &target);
        target.install(&manifest).unwrap();
        assert_eq!(tracks_hash(&target_shard.view()), new, "tried again, seed {seed}");
    }
}

#[test]
fn an_installed_user_shard_equals_the_one_it_is_of_and_a_crash_leaves_one_of_the_two() {
    for seed in 0..4 {
        let [from, to, crashed] = [0; 3].map(|_| tempfile::tempdir().unwrap());
        source_and_target(from.path(), to.path(), seed);
        let (mut source, source_shard) = open_users(from.path());
        let (mut target, target_shard) = open_users(to.path());
        let old = users_hash(&target_shard);
        let before = files(&to.path().join("users-0"));
        let offered = source.snapshot().unwrap().unwrap();
        let (manifest, _) = gather(&*offered, &target);
        // Readers that have begun go on with what they began with.
        let reader = target_shard.clone();
        target.install(&manifest).unwrap();
        let new = users_hash(&source_shard);
        assert_ne!(old, new);
        assert_eq!(users_hash(&reader), new, "seed {seed}");
        assert_eq!((target.recovered().index, target.durable_index()), (manifest.index, manifest.index));
        drop((target, target_shard, reader));
        assert_eq!(users_hash(&open_users(to.path()).1), new, "after a restart, seed {seed}");

        let after = files(&to.path().join("users-0"));
        let is_change = |path: &Path| path == Path::new("TREE");
        let left = before_the_change(&before, &after, is_change, &mut SplitMix64::new(seed));
        write_files(&crashed.path().join("users-0"), &left);
        assert_eq!(users_hash(&open_users(crashed.path()).1), old, "crashed, seed {seed}");
        let (mut target, target_shard) = open_users(crashed.path());
        let (manifest, _) = gather(&*offered, &target);
        target.install(&manifest).unwrap();
        assert_eq!(users_hash(&target_shard), new, "tried again, seed {seed}");
    }
}

#[test]
fn a_wrong_snapshot_is_refused_and_changes_nothing() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(from.path(), 1, 3);
    let (mut source, _) = open_users(from.path());
    let (mut target, shard) = open_users(to.path());
    let old = users_hash(&shard);
    let offered = source.snapshot().unwrap().unwrap();
    let (manifest, _) = gather(&*offered, &target);
    let other_place = SnapshotManifest { index: manifest.index + 1, ..manifest.clone() };
    assert!(target.install(&other_place).is_err());
    let (manifest, _) = gather(&*offered, &target);
    let no_words = SnapshotManifest { data: bytes::Bytes::from_static(b"?"), ..manifest };
    assert!(target.install(&no_words).is_err());
    assert_eq!(users_hash(&shard), old);
    let (mut source, _) = open_tracks(from.path());
    let (mut target, shard) = open_tracks(to.path());
    let offered = source.snapshot().unwrap().unwrap();
    let (manifest, _) = gather(&*offered, &target);
    let lost = segue_cluster::DirStaging::open(to.path().join("snapshots/tracks-0/incoming")).unwrap();
    segue_cluster::Staging::keep_only(&lost, &[]).unwrap();
    assert!(target.install(&manifest).is_err(), "its files are gone");
    assert_eq!(shard.view().ordinals(), 0);
    // Two databases that never were one have different files of one name.
    let stranger = tempfile::tempdir().unwrap();
    fill(stranger.path(), 2, 2);
    let (mut target, shard) = open_tracks(stranger.path());
    let old = tracks_hash(&shard.view());
    let (manifest, _) = gather(&*offered, &target);
    assert!(target.install(&manifest).is_err());
    assert_eq!(tracks_hash(&shard.view()), old);
}

#[test]
fn an_installed_meta_state_equals_the_one_it_is_of() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(from.path(), 1, 1);
    let open = |dir: &Path| {
        let opened = MetaStore::open(&dir.join("meta")).unwrap();
        (MetaReplica::new(opened.store.clone(), opened.applied), opened.store)
    };
    let (mut source, source_store) = open(from.path());
    let (mut target, target_store) = open(to.path());
    let offered = source.snapshot().unwrap().unwrap();
    target.install(offered.manifest()).unwrap();
    assert_eq!(target_store.state(), source_store.state());
    assert_eq!(target.durable_index(), offered.manifest().index);
    let (again, store) = open(to.path());
    assert_eq!((store.state(), again.recovered()), (source_store.state(), source.recovered()));
}
