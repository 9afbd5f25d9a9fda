//! A leader that loses its office in the middle of a build, and gets it back: what its successor made live stays as it is.
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use segue_storage_format::manifest::segment_folder;

use super::tests::{Harness, spec, track};
use super::{IndexChoice, seal};
use crate::storage::track_shard::command::TrackCommand;
use crate::types::{SplitMix64, Track, TrackId};

/// Every file of every segment below a shard's folder, with what tells one file from another of the same name.
fn files(shard: &Path) -> BTreeMap<PathBuf, u64> {
    let folders = std::fs::read_dir(shard).unwrap().map(|entry| entry.unwrap().path());
    let segments = folders.filter(|path| path.is_dir() && !path.ends_with("building"));
    let all = segments.flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let file = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.unwrap();
        (entry.path(), entry.metadata().unwrap().ino())
    };
    all.map(file).collect()
}

/// Another node's segments come as files, as they do in a cluster.
fn fetch_from(shard_folder: &Path, harness: &Harness) {
    let from = shard_folder.to_owned();
    harness.machine.lock().shard().set_fetch(Box::new(move |shard, new| {
        let workshop = shard.workshop()?;
        let (source, target) =
            (segment_folder(&from, new.entry.id), segment_folder(workshop.folder(), new.entry.id));
        std::fs::create_dir_all(&target).unwrap();
        for file in new.entry.all_files() {
            std::fs::copy(source.join(&file.name), target.join(&file.name)).unwrap();
        }
        shard.place_for_entry(&workshop, &new.entry)
    }));
}

fn written(harness: &Harness) {
    let mut rng = SplitMix64::new(3);
    let tracks: Vec<Track> = (0..200).map(|n| track(&mut rng, n)).collect();
    let ids: Vec<TrackId> = tracks.iter().map(|track| track.track_id.clone()).collect();
    harness.propose(&TrackCommand::UpsertTracks { tracks, load: None }).unwrap();
    let rows = (0..3 * ids.len()).map(|_| rng.uniform() as f32 + 0.1).collect();
    harness.propose(&TrackCommand::UpsertVectors { set: spec(), ids, rows }).unwrap();
}

/// Seals what a log holds in a folder of its own.
fn sealed_elsewhere(folder: &Path, log: Vec<Vec<u8>>, choice: &IndexChoice) -> Harness {
    let harness = Harness::open(folder, log);
    let shard = harness.machine.lock().shard();
    seal(&shard, &|command| harness.propose(command), choice, &|_| {}).unwrap();
    drop(shard);
    harness
}

#[test]
fn files_of_another_build_of_a_segment_do_not_stand_in_for_those_the_entry_names() {
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let first = Harness::open(folders[0].path(), Vec::new());
    written(&first);
    let log = first.log.lock().clone();
    let with_graph = IndexChoice { rows_min: 1, ..IndexChoice::default() };
    let leader = sealed_elsewhere(folders[1].path(), log.clone(), &with_graph);
    drop(sealed_elsewhere(folders[2].path(), log.clone(), &IndexChoice::default()));
    fetch_from(folders[1].path(), &first);
    // The first node has taken the files of a leader of before, with other settings, under the same numbers.
    for from in files(folders[2].path()).keys() {
        let to = folders[0].path().join(from.strip_prefix(folders[2].path()).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    }
    for (index, bytes) in (1_u64..).zip(leader.log.lock().iter()).skip(log.len()) {
        first.machine.lock().apply(&[(index, 1, bytes)]).unwrap();
    }
    let content = |shard: &Path| -> BTreeMap<PathBuf, Vec<u8>> {
        let named =
            |path: &PathBuf| (path.strip_prefix(shard).unwrap().to_owned(), std::fs::read(path).unwrap());
        files(shard).keys().map(named).collect()
    };
    let (here, there) = (content(folders[0].path()), content(folders[1].path()));
    assert!(there.len() >= 4, "{:?}", there.keys());
    for (name, bytes) in there {
        assert!(here.get(&name) == Some(&bytes), "{} differs from the leader's", name.display());
    }
}

#[test]
fn a_build_that_another_leader_has_overtaken_leaves_the_live_files_alone() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = Harness::open(folders[0].path(), Vec::new());
    fetch_from(folders[1].path(), &first);
    written(&first);

    // In the middle of the first build, the second node leads and seals the same rows, with an index of its own kind.
    let (looks, live) = (AtomicU32::new(0), parking_lot::Mutex::new(BTreeMap::new()));
    let overtake = |_: f64| {
        if looks.fetch_add(1, Ordering::Relaxed) > 0 {
            return;
        }
        let second = Harness::open(folders[1].path(), first.log.lock().clone());
        let choice = IndexChoice { rows_min: 1, ..IndexChoice::default() };
        let shard = second.machine.lock().shard();
        seal(&shard, &|command| second.propose(command), &choice, &|_| {}).unwrap();
        let mut log = first.log.lock();
        for bytes in second.log.lock().iter().skip(log.len()).cloned().collect::<Vec<_>>() {
            log.push(bytes.clone());
            first.machine.lock().apply(&[(log.len() as u64, 1, &bytes)]).unwrap();
        }
        *live.lock() = files(folders[0].path());
        // The same state has the same digest, and another has not.
        let states = [&first, &second].map(|harness| harness.machine.lock().shard().view().digest().unwrap());
        assert_eq!(states[0], states[1]);
        assert_eq!(states[0].records(), 2 * 200);
        drop(log);
        second.propose(&TrackCommand::DeleteTracks { ids: vec![TrackId::new("t3").unwrap()] }).unwrap();
        assert_ne!(second.machine.lock().shard().view().digest().unwrap().parts, states[0].parts);
    };
    let shard = first.machine.lock().shard();
    seal(&shard, &|command| first.propose(command), &IndexChoice::default(), &overtake).unwrap();
    let live = live.into_inner();
    assert!(live.len() >= 6, "the second node's files came: {live:?}");
    assert_eq!(files(folders[0].path()), live, "a file of a live segment was written to");
    // The second node has frozen once more behind its segments: that is the next seal's.
    assert!(shard.durable_index() > 0, "the checkpoint is published");
    seal(&shard, &|command| first.propose(command), &IndexChoice::default(), &|_| {}).unwrap();
    assert!(shard.pending_checkpoint().is_none());
    drop(shard);

    // What is begun and never finished is gone at the next start.
    let unfinished = folders[0].path().join("building").join("7");
    std::fs::create_dir_all(unfinished.join("x")).unwrap();
    let log = first.log.lock().clone();
    drop(first);
    let again = Harness::open(folders[0].path(), log);
    assert!(!unfinished.exists());
    assert_eq!(again.machine.lock().shard().view().live_tracks(), 200);
}
