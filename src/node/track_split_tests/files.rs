//! What a split means for bulk loads on their way, and for files.

use std::collections::BTreeSet;

use segue_storage_format::{BlobFile, Verify};

use super::{MIDDLE, audio, done, is_whole, listed, open, row, split, track};
use crate::node::LoadKind;
use crate::types::GenerationId;

#[test]
fn loads_go_on_over_a_split_and_take_every_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), 1);
    let mut row_number = 0_u64;
    engine.load_vectors("v", 0, &audio(), GenerationId::STATIC, Vec::new()).unwrap();
    while row_number < 3_000 {
        // Every batch begins some rows before what is done.
        let first = row_number.saturating_sub(20);
        let tracks = (first..row_number + 150).map(track).collect();
        assert_eq!(engine.load_tracks("t", first, tracks).unwrap().rows_done, row_number + 150);
        row_number += 150;
        if row_number == 600 {
            split(&engine, "tracks-0", None, false).unwrap();
        }
        if row_number == 1_500 {
            done(&engine, "tracks-0", MIDDLE);
            // Staged before the next split, and built behind it.
            let rows = (0..1_000).map(|number| row(&format!("t{number}"), 3.0)).collect();
            engine.load_vectors("v", 0, &audio(), GenerationId::STATIC, rows).unwrap();
            split(&engine, "tracks-1", Some(3_000), false).unwrap();
        }
    }
    done(&engine, "tracks-1", 3_000);
    let (progress, _) = engine.finish_load("t", LoadKind::Tracks, &|_| {}).unwrap();
    assert_eq!((progress.rows_done, progress.finished), (row_number, true));
    assert_eq!(engine.live_tracks().unwrap() as u64, row_number);
    let (progress, _) = engine.finish_load("v", LoadKind::Vectors, &|_| {}).unwrap();
    assert_eq!((progress.rows_done, progress.finished), (1_000, true));
    let views = engine.inner().tracks.owners().unwrap().all_here().unwrap().to_vec();
    assert_eq!(views.len(), 3);
    for view in &views {
        let marks: Vec<_> = view.loads.values().map(|mark| (mark.rows_done, mark.finished)).collect();
        assert_eq!(marks, [(row_number, true), (1_000, true)]);
    }
    let held: u64 =
        views.iter().filter_map(|view| Some(view.set(&audio(), GenerationId::STATIC)?.live)).sum();
    assert_eq!(held, 1_000);
    for number in 0..1_000 {
        let id = format!("t{number}");
        assert_eq!(engine.vector(&audio(), None, &id).unwrap(), row(&id, 3.0).vector);
    }
}

#[test]
fn merges_leave_out_what_went_and_a_shard_that_was_never_split_is_written_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), 1);
    engine.upsert_tracks((0..600).map(track).collect()).unwrap();
    let vectors = (0..600).map(|number| row(&format!("t{number}"), 1.0)).collect();
    engine.upsert_vectors(&audio(), GenerationId::STATIC, vectors).unwrap();
    engine.checkpoint().unwrap();
    let schemas = |shard: u16| -> BTreeSet<u32> {
        let entries = std::fs::read_dir(folder.path().join(format!("tracks-{shard}"))).unwrap();
        let states = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("state-")));
        states.map(|path| BlobFile::open(&path, Verify::Full).unwrap().schema()).collect()
    };
    assert_eq!(schemas(0), BTreeSet::from([1]));
    let rows = |shard: usize| {
        let view = engine.inner().tracks.parts()[shard].shard.view();
        let tracks: usize = view.segments.iter().map(|segment| segment.rows()).sum();
        let set = view.set(&audio(), GenerationId::STATIC).unwrap();
        let vectors: usize = set.segments.iter().map(|segment| segment.rows()).sum();
        (tracks, vectors, view.live_tracks() as usize, set.live as usize)
    };
    // More than half of what the old shard has goes: it is rewritten; then the same of the new one.
    for (group, parent, child, at) in [("tracks-0", 0, 1, 1_000), ("tracks-1", 1, 2, 1_900)] {
        split(&engine, group, Some(at), false).unwrap();
        done(&engine, group, at);
        let (live, new) = (rows(parent).2, rows(child));
        assert!(live > 0 && new.2 > 2 * live, "{live} stay, {} go", new.2);
        engine.checkpoint().unwrap();
        assert_eq!(rows(parent), (live, live, live, live), "{group}");
        assert_eq!(rows(child).2 + live, new.2 + live, "nothing of the other is lost");
        assert_eq!(schemas(parent as u16).last(), Some(&2));
    }
    assert_eq!((0..3).map(|shard| rows(shard).2).sum::<usize>(), 600);
    assert_eq!(listed(&engine).into_iter().collect::<BTreeSet<_>>().len(), 600);
    engine.shutdown().unwrap();
    drop(engine);
    is_whole(folder.path());
    let engine = open(folder.path(), 0);
    assert_eq!(engine.live_tracks().unwrap(), 600);
}
