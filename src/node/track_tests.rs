//! Several track shards of which only some have done their part when the process stops.
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::path::Path;

use super::engine::{LoadKind, LoadProgress, Segue};
use super::stage::Stage;
use super::tests::{settings_without_reserve, track};
use crate::error::ErrorKind;
use crate::storage::track_shard::command::{LoadMark, TrackCommand};
use crate::types::{GenerationId, SpaceName, Track, VectorRow};

fn open(folder: &Path, track_shards: u16) -> Segue {
    let mut settings = settings_without_reserve();
    settings.storage.track_shards = track_shards;
    Segue::open(folder, settings).unwrap().0
}

#[test]
fn a_load_of_tracks_that_only_some_shards_have_taken_goes_on_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), 3);
    let tracks = |rows: std::ops::Range<u64>| rows.map(track).collect::<Vec<Track>>();
    // As if the process had died when one of three shards had its part of the first hundred rows.
    let node = engine.inner();
    let owners = node.tracks.owners().unwrap();
    let parts = owners.split(tracks(0..100), |track| &track.track_id);
    let load = Some(LoadMark { load_id: "load".into(), rows_done: 100, finished: false });
    let own = TrackCommand::UpsertTracks { tracks: parts[1].clone(), load };
    node.tracks.propose(&owners, vec![(1, own)]).unwrap();
    // Meanwhile somebody replaces a row that this shard has: the load must not bring the old one back.
    let newer = Track { title: "newer".into(), ..parts[1][0].clone() };
    engine.upsert_tracks(vec![newer.clone()]).unwrap();
    assert_eq!(engine.live_tracks().unwrap(), parts[1].len());
    assert_eq!(engine.load_progress("load").unwrap().rows_done, 0, "what all have counts");
    let early = engine.finish_load("load", LoadKind::Tracks, &|_| {});
    assert_eq!(early.unwrap_err().kind(), ErrorKind::Conflict, "rows of the others are missing");
    let taken = || {
        let views = node.tracks.owners().unwrap().all_here().unwrap().to_vec();
        views.iter().map(|view| view.loads.get("load").map_or(0, |mark| mark.rows_done)).collect::<Vec<_>>()
    };
    for (rows, expected) in [(0..60, [60, 100, 60]), (60..150, [150; 3]), (150..160, [160; 3])] {
        let end = rows.end;
        assert_eq!(engine.load_tracks("load", rows.start, tracks(rows)).unwrap().rows_done, end);
        assert_eq!(taken(), expected);
    }
    assert_eq!(engine.live_tracks().unwrap(), 160);
    assert_eq!(engine.track(&newer.track_id).unwrap().title, "newer");
    let (progress, _) = engine.finish_load("load", LoadKind::Tracks, &|_| {}).unwrap();
    assert_eq!((progress.rows_done, progress.finished), (160, true));
    assert_eq!(engine.load_progress("load").unwrap(), progress);
}

#[test]
fn a_load_of_vectors_that_stops_between_two_shards_is_completed_once_in_each() {
    for done_first in [vec![0], vec![2], vec![0, 1], vec![0, 1, 2]] {
        let folder = tempfile::tempdir().unwrap();
        let audio = SpaceName::new("audio").unwrap();
        let row = |number: u64| VectorRow { id: format!("t{number}"), vector: vec![1.0, number as f32] };
        let engine = open(folder.path(), 3);
        engine.upsert_tracks((0..90).map(track).collect()).unwrap();
        engine.load_vectors("v", 0, &audio, GenerationId::STATIC, (0..90).map(row).collect()).unwrap();
        let node = engine.inner();
        let stage = node.stages.lock().remove("v").unwrap();
        let space = node.space(&audio).unwrap();
        let set = node.vector_set(&space, GenerationId::STATIC, 2).unwrap();
        node.declare_set(&space, &set).unwrap();
        let owners = node.tracks.owners().unwrap();
        for (place, owner) in owners.iter().filter(|(place, _)| done_first.contains(place)) {
            let part = owner.here().unwrap();
            let done = LoadProgress { rows_done: 90, finished: true };
            let built = node.build_part((&owners, part, place), &stage, (&space, &set), done, &|_| {});
            assert_eq!(built.ok(), Some(true));
        }
        let all = done_first.len() == 3;
        drop((stage, owners, engine));
        let engine = open(folder.path(), 0);
        let staging = folder.path().join("staging");
        assert_eq!(Stage::all(&staging).unwrap().is_empty(), all, "rows that all shards have are not kept");
        let progress = engine.load_progress("v").unwrap();
        assert_eq!((progress.rows_done, progress.finished), (90, all), "{done_first:?}");
        assert!(engine.finish_load("v", LoadKind::Vectors, &|_| {}).unwrap().0.finished);
        assert_eq!(Stage::all(&staging).unwrap().len(), 0);
        for view in engine.inner().tracks.owners().unwrap().all_here().unwrap().to_vec() {
            let set = view.set(&audio, GenerationId::STATIC).unwrap();
            assert_eq!(set.segments.len(), 1, "each shard is built once");
        }
        for number in 0..90 {
            assert_eq!(engine.vector(&audio, None, &format!("t{number}")).unwrap(), [1.0, number as f32]);
        }
    }
}

#[test]
fn staged_rows_that_are_gone_when_some_shards_have_theirs_are_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let audio = SpaceName::new("audio").unwrap();
    let engine = open(folder.path(), 2);
    engine.upsert_tracks((0..20).map(track).collect()).unwrap();
    let mark = LoadMark { load_id: "v".into(), rows_done: 20, finished: true };
    let owners = engine.inner().tracks.owners().unwrap();
    engine.inner().tracks.propose(&owners, vec![(0, TrackCommand::MarkLoad { load: mark })]).unwrap();
    let refused = engine.finish_load("v", LoadKind::Vectors, &|_| {}).unwrap_err();
    assert!(refused.kind() == ErrorKind::Conflict && refused.to_string().contains("send"), "{refused}");
    assert_eq!(engine.load_progress("v").unwrap().rows_done, 0);
    let row = |number: u64| VectorRow { id: format!("t{number}"), vector: vec![1.0, number as f32] };
    engine.load_vectors("v", 0, &audio, GenerationId::STATIC, (0..20).map(row).collect()).unwrap();
    assert!(engine.finish_load("v", LoadKind::Vectors, &|_| {}).unwrap().0.finished);
}
