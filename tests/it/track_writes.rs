//! Several track shards: their number stays, writes and loads are divided among them, damage is named with its shard.

use std::path::Path;

use segue::config::{Settings, Storage};
use segue::node::{LoadKind, VectorRow};
use segue::types::{Track, TrackId, shard_of_slot, slot_of};
use segue::{ErrorKind, Segue};

use crate::running::run;
use crate::support::{STATIC, World, id, space, track};

/// Settings under which nothing is sealed by itself.
pub fn settings(track_shards: u16) -> Settings {
    let storage = Storage {
        track_shards,
        disk_reserve_bytes: 0,
        user_cache_bytes: 4 << 20,
        background_threads: 1,
        ..Storage::default()
    };
    Settings { storage, ..Settings::default() }
}

pub fn open(dir: &Path, track_shards: u16) -> Segue {
    Segue::open(dir, settings(track_shards)).unwrap().0
}

#[test]
fn the_number_of_track_shards_stays_and_another_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (there, asked) in [(3, [1, 2, 4]), (1, [2, 3, 64])] {
        let dir = folder.path().join(format!("{there}"));
        open(&dir, there).shutdown().unwrap();
        for asked in asked {
            let refused = Segue::open(&dir, settings(asked)).err().unwrap();
            assert_eq!(refused.kind(), ErrorKind::Conflict);
            let said = refused.to_string();
            assert!(
                said.contains(&format!("there=`{there}`")) && said.contains("segue cluster split-shard"),
                "{said}"
            );
        }
        for asked in [0, there] {
            let engine = open(&dir, asked);
            engine.upsert_tracks(vec![track(1, 0)]).unwrap();
            engine.shutdown().unwrap();
        }
        assert!(dir.join(format!("tracks-{}", there - 1)).exists());
        assert!(!dir.join(format!("tracks-{there}")).exists());
    }
    let dir = folder.path().join("3");
    let dir = dir.to_str().unwrap();
    let flags = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--track-shards", "5"];
    let said = run(&[&["serve", "--data", dir][..], &flags].concat());
    assert!(!said.status.success() && String::from_utf8_lossy(&said.stderr).contains("there=`3`"));
}

/// Numbers of tracks, `each` of them in each of so many shards.
fn of_each(shards: u16, each: usize) -> Vec<Vec<u64>> {
    let mut found = vec![Vec::new(); shards.into()];
    for number in 0.. {
        let shard = shard_of_slot(slot_of(&format!("t{number}")), shards);
        if found[shard].len() < each {
            found[shard].push(number);
        }
        if found.iter().all(|of| of.len() == each) {
            return found;
        }
    }
    found
}

#[test]
fn a_write_names_the_shards_it_went_to_and_a_mistake_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), 4);
    let numbers = of_each(4, 2);
    let known: Vec<Track> = numbers.iter().map(|of| track(of[0], 0)).collect();
    let token = engine.upsert_tracks(known).unwrap();
    let groups: Vec<&str> = token.applied.iter().map(|(group, _)| group.as_str()).collect();
    assert_eq!(groups, ["tracks-0", "tracks-1", "tracks-2", "tracks-3"]);
    assert_eq!(engine.upsert_tracks(vec![track(numbers[2][0], 1)]).unwrap().applied[0].0, "tracks-2");
    assert_eq!(engine.upsert_tracks(Vec::new()).unwrap().applied, []);
    let row = |number: u64, dim: usize| VectorRow { id: format!("t{number}"), vector: vec![1.0; dim] };
    // One row names a track that is not there: in its place, and no other shard has taken its rows.
    let rows = vec![row(numbers[3][0], 4), row(numbers[1][1], 4), row(numbers[0][0], 4)];
    let refused = engine.upsert_vectors(&space("audio"), STATIC, rows).unwrap_err();
    assert!(refused.to_string().starts_with("row 1: track not found"), "{refused}");
    let missing = engine.vector(&space("audio"), None, &format!("t{}", numbers[3][0])).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    // The first vectors decide of what dimension the space is, in all shards.
    engine.upsert_vectors(&space("audio"), STATIC, vec![row(numbers[3][0], 4)]).unwrap();
    let refused = engine.upsert_vectors(&space("audio"), STATIC, vec![row(numbers[1][0], 5)]).unwrap_err();
    assert!(refused.to_string().contains("expected=`4`"), "{refused}");
    let refused = engine.load_vectors("l", 0, &space("audio"), STATIC, vec![row(numbers[2][0], 5)]);
    assert!(refused.unwrap_err().to_string().contains("expected=`4`"));
    // Pages go through all shards, whatever their size.
    for limit in [1, 2, 3, 100] {
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let (page, next) = engine.list_tracks(cursor, limit).unwrap();
            assert!(page.len() <= limit);
            seen.extend(page.into_iter().map(|track| track.track_id));
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        seen.sort_unstable();
        let mut all: Vec<TrackId> = numbers.iter().map(|of| id(format!("t{}", of[0]))).collect();
        all.sort_unstable();
        assert_eq!(seen, all, "pages of {limit}");
    }
}

#[test]
fn loads_go_on_in_batches_of_any_size_and_after_any_restart() {
    let folder = tempfile::tempdir().unwrap();
    let tracks: Vec<Track> = (0..2_500).map(|number| track(number, 0)).collect();
    let vectors: Vec<VectorRow> = (0..2_500)
        .map(|number| VectorRow {
            id: format!("t{number}"),
            vector: vec![1.0, number as f32, (number % 17) as f32],
        })
        .collect();
    let mut engine = open(folder.path(), 5);
    let mut row = 0;
    for size in [700, 300, 1, 999].into_iter().cycle() {
        let first = usize::try_from(row).unwrap().saturating_sub(50);
        let end = (first + size).min(tracks.len());
        let progress = engine.load_tracks("tracks", first as u64, tracks[first..end].to_vec()).unwrap();
        assert_eq!(progress.rows_done, row.max(end as u64));
        row = progress.rows_done;
        if row == tracks.len() as u64 {
            break;
        }
        // Not orderly: the log says how far each shard is.
        drop(engine);
        engine = open(folder.path(), 0);
        assert_eq!(engine.load_progress("tracks").unwrap().rows_done, row);
    }
    assert!(engine.finish_load("tracks", LoadKind::Tracks, &|_| {}).unwrap().0.finished);
    assert_eq!(engine.live_tracks().unwrap(), 2_500);
    for first in (0..2_500).step_by(900) {
        let part = vectors[first..(first + 900).min(2_500)].to_vec();
        engine.load_vectors("vectors", first as u64, &space("audio"), STATIC, part).unwrap();
        drop(engine);
        engine = open(folder.path(), 5);
        let done = engine.load_progress("vectors").unwrap();
        assert_eq!((done.rows_done, done.finished), ((first as u64 + 900).min(2_500), false));
    }
    assert!(engine.finish_load("vectors", LoadKind::Vectors, &|_| {}).unwrap().0.finished);
    assert!(engine.load_progress("vectors").unwrap().finished);
    for number in [0, 1, 77, 2_499] {
        assert_eq!(
            engine.vector(&space("audio"), None, &format!("t{number}")).unwrap(),
            vectors[number].vector
        );
    }
    let gap = engine.load_tracks("gap", 5, tracks[5..9].to_vec()).unwrap_err();
    assert_eq!(gap.kind(), ErrorKind::Conflict);
}

#[test]
fn verify_names_the_shard_that_is_damaged_and_shards_of_another_database() {
    let folder = tempfile::tempdir().unwrap();
    let (three, two) = (folder.path().join("three"), folder.path().join("two"));
    for (dir, shards) in [(&three, 3), (&two, 2)] {
        let engine = open(dir, shards);
        World::generate(0x1057, 120, 30).load(&engine);
        engine.checkpoint().unwrap();
        engine.shutdown().unwrap();
    }
    let damage = |dir: &Path| {
        let report = segue::node::verify(dir, &mut |_| {}).unwrap();
        report
            .checked
            .damage
            .iter()
            .map(|it| format!("{}: {}", it.file.display(), it.what))
            .collect::<Vec<_>>()
    };
    assert_eq!((damage(&three), damage(&two)), (Vec::new(), Vec::new()));
    for shard in 0..3 {
        let folder = three.join(format!("tracks-{shard}"));
        let file = files(&folder).into_iter().find(|file| file.ends_with("columns.seg")).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 8;
        std::fs::write(&file, flipped).unwrap();
        let found = damage(&three);
        assert!(
            !found.is_empty() && found.iter().all(|it| it.contains(&format!("tracks-{shard}"))),
            "{found:?}"
        );
        // By the start, or by what reads what the start has left.
        let opened = Segue::open(&three, settings(0));
        let refused = opened.and_then(|(engine, _)| engine.wait_until_warm()).unwrap_err();
        assert!(
            refused.kind() == ErrorKind::Corrupt && refused.to_string().contains(&format!("tracks-{shard}")),
            "{refused}"
        );
        std::fs::write(&file, bytes).unwrap();
    }
    // A shard of a database with two is none of one with three, and a third is none of one with two.
    let (own, other) = (three.join("tracks-1"), two.join("tracks-1"));
    std::fs::rename(&own, folder.path().join("kept")).unwrap();
    copy(&other, &own);
    let found = damage(&three);
    assert!(found.iter().any(|it| it.contains("another number of track shards")), "{found:?}");
    std::fs::remove_dir_all(&own).unwrap();
    std::fs::rename(folder.path().join("kept"), &own).unwrap();
    copy(&three.join("tracks-2"), &two.join("tracks-2"));
    let found = damage(&two);
    assert!(
        found.iter().any(|it| it.contains("tracks-2") && it.contains("is no part of the database")),
        "{found:?}"
    );
}

pub fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&file, target).unwrap();
    }
}
