//! A track shard is split while it takes writes; a stop at any step is gone on from; nothing is lost, and nothing is there twice.
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::engine::Segue;
use super::split_plan::SplitState;
use super::split_tests::{done, split};
use super::tests::{settings_without_reserve, track as plain_track};
use crate::error::ErrorKind;
use crate::pipeline::request::{RecommendRequest, RequestContext};
use crate::storage::meta::{MetaCommand, SplitPhase};
use crate::storage::track_shard::Parting;
use crate::storage::track_shard::command::TrackSplitOp;
use crate::types::{
    Action, EventId, FeedbackEvent, GenerationId, RecordingId, SLOTS, SpaceName, Surface, Timestamp, Track,
    TrackId, User, UserId, VectorRow, slot_of,
};

const AS_OF: Timestamp = Timestamp(1_790_000_000_000);
const MIDDLE: u16 = SLOTS / 2;

fn open(dir: &Path, track_shards: u16) -> Segue {
    let mut settings = settings_without_reserve();
    settings.storage.track_shards = track_shards;
    Segue::open(dir, settings).unwrap().0
}

/// Each odd track is a version of the one before it.
fn track(number: u64) -> Track {
    let recording_id = RecordingId::new(format!("t{}", number / 2 * 2)).unwrap();
    Track { recording_id, ..plain_track(number) }
}

fn audio() -> SpaceName {
    SpaceName::new("audio").unwrap()
}

fn row(id: &str, first: f32) -> VectorRow {
    let rest = |place: u32| (blake3::hash(id.as_bytes()).as_bytes()[place as usize] as f32) + 1.0;
    VectorRow { id: id.to_owned(), vector: vec![first, rest(0), rest(1), rest(2)] }
}

fn user(number: u64) -> UserId {
    UserId::new(format!("u{number}")).unwrap()
}

fn event(user: UserId, track: &TrackId, action: Action, number: u64) -> FeedbackEvent {
    FeedbackEvent {
        track_id: Some(track.clone()),
        at: Some(Timestamp(AS_OF.0 - 80_000_000 + number as i64 * 1_000)),
        listened_ms: Some(90_000),
        event_id: Some(EventId::new(format!("{user}-{track}-{number}")).unwrap()),
        ..FeedbackEvent::new(user, action)
    }
}

/// Tracks with vectors, some taken down, some in files and some in memory, and listeners who have played and blocked some.
fn fill(engine: &Segue, count: u64) {
    engine.upsert_tracks((0..count).map(track).collect()).unwrap();
    let vectors = |first: f32| (0..count).map(|number| row(&format!("t{number}"), first)).collect();
    engine.upsert_vectors(&audio(), GenerationId::STATIC, vectors(1.0)).unwrap();
    let generation = engine.create_generation(4, None).unwrap().id;
    let track_cf = SpaceName::new("track_cf").unwrap();
    engine.upsert_vectors(&track_cf, generation, vectors(2.0)).unwrap();
    let mut users: Vec<User> = (0..12).map(|number| User::unknown(user(number))).collect();
    for (number, user) in (0..).zip(&mut users) {
        user.blocked_tracks = (0..4).map(|at| track(number * 9 + at * 5).track_id).collect();
    }
    engine.upsert_users(users).unwrap();
    let rows = (0..12).map(|number| row(user(number).as_str(), 1.0)).collect();
    engine.upsert_vectors(&SpaceName::new("user_cf").unwrap(), generation, rows).unwrap();
    engine.activate_generation(generation).unwrap();
    engine.checkpoint().unwrap();
    // Replaced and taken down where rows are in files.
    let again =
        (0..count).step_by(7).map(|number| Track { title: format!("again {number}"), ..track(number) });
    engine.upsert_tracks(again.collect()).unwrap();
    let gone: Vec<TrackId> = (3..count).step_by(19).map(|number| track(number).track_id).collect();
    assert_eq!(engine.delete_tracks(&gone).unwrap().0, gone.len() as u64);
    let played = |at: u64| event(user(at % 12), &track(at * 11 % count).track_id, Action::Play, at);
    engine.feedback((0..120).map(played).collect()).unwrap();
    let hidden = |at: u64| event(user(at), &track(at * 17 % count).track_id, Action::HideTrack, 500 + at);
    engine.feedback((0..12).map(hidden).collect()).unwrap();
}

/// What is answered, by listener and by track.
fn answers(engine: &Segue, count: u64) -> Vec<String> {
    let mut found = Vec::new();
    for surface in ["radio", "home"] {
        for number in 0..12 {
            let request = RecommendRequest {
                as_of: Some(AS_OF),
                request_id: Some(format!("{surface}{number}")),
                exact: true,
                ..RecommendRequest::new(user(number), Surface::new(surface).unwrap())
            };
            let list = engine.recommend(request).unwrap();
            assert!(!list.tracks.is_empty());
            let bits = list.tracks.iter().map(|track| (track.track_id.to_string(), track.score.to_bits()));
            found.push(format!("{:?} {:?}", bits.collect::<Vec<_>>(), list.relaxed));
        }
    }
    for number in 0..12 {
        let portrait = engine.portrait(&user(number), AS_OF, &RequestContext::default()).unwrap();
        found.push(format!("{portrait:?}"));
    }
    for number in 0..count {
        let id = format!("t{number}");
        let vector = engine.vector(&audio(), None, &id).map_err(|error| error.kind());
        found.push(format!(
            "{:?} {vector:?}",
            engine.track(&track(number).track_id).map_err(|error| error.kind())
        ));
    }
    found.push(format!("{}", engine.live_tracks().unwrap()));
    found
}

/// Every track's id, as the pages have them.
fn listed(engine: &Segue) -> Vec<String> {
    let (mut names, mut cursor) = (Vec::new(), None);
    loop {
        let (page, next) = engine.list_tracks(cursor, 17).unwrap();
        names.extend(page.into_iter().map(|track| track.track_id.to_string()));
        cursor = next;
        if cursor.is_none() {
            return names;
        }
    }
}

/// All rows are where they belong; see `segue verify`.
#[track_caller]
fn is_whole(dir: &Path) {
    let report = super::verify::verify(dir, &mut |_| {}).unwrap();
    assert!(report.checked.is_clean(), "{:?}", report.checked.damage);
}

/// What one writer was told is done.
#[derive(Default)]
struct Written {
    titles: BTreeMap<String, String>,
    deleted: BTreeSet<String>,
    plays: u64,
}

/// Writes tracks, their vectors and plays, replaces some, takes some down.
fn write(engine: &Segue, writer: u64, stop: &AtomicBool) -> Written {
    let mut written = Written::default();
    let listener = UserId::new(format!("w{writer}")).unwrap();
    engine.upsert_users(vec![User::unknown(listener.clone())]).unwrap();
    for round in 0.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        let named = |at: u64, title: &str| {
            let id = format!("w{writer}-{round}-{at}");
            let track_id = TrackId::new(id.clone()).unwrap();
            Track {
                recording_id: RecordingId::from(&track_id),
                track_id,
                title: title.to_owned(),
                ..track(0)
            }
        };
        let batch: Vec<Track> = (0..7).map(|at| named(at, "first")).collect();
        engine.upsert_tracks(batch.clone()).unwrap();
        let rows = batch.iter().map(|track| row(track.track_id.as_str(), 7.0)).collect();
        engine.upsert_vectors(&audio(), GenerationId::STATIC, rows).unwrap();
        let events =
            batch.iter().map(|track| event(listener.clone(), &track.track_id, Action::Play, round)).collect();
        let (new, _) = engine.feedback(events).unwrap();
        assert_eq!(new, [true; 7]);
        written.plays += 7;
        engine.upsert_tracks((0..3).map(|at| named(at, "second")).collect()).unwrap();
        let gone = [batch[5].track_id.clone(), batch[6].track_id.clone()];
        assert_eq!(engine.delete_tracks(&gone).unwrap().0, 2);
        for (at, track) in (0..5).zip(&batch) {
            assert_eq!(engine.track(&track.track_id).unwrap().track_id, track.track_id, "its own write");
            let title = if at < 3 { "second" } else { "first" };
            written.titles.insert(track.track_id.to_string(), title.to_owned());
        }
        written.deleted.extend(gone.map(|id| id.to_string()));
    }
    written
}

#[test]
fn a_split_under_writes_loses_nothing_and_changes_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), 1);
    fill(&engine, 400);
    let (before, names) = (answers(&engine, 400), listed(&engine));
    let planned = split(&engine, "tracks-0", None, true).unwrap();
    assert_eq!((planned.state, planned.new_group.as_str()), (SplitState::Planned, "tracks-1"));
    assert_eq!((planned.keeps, planned.gets), ((0, MIDDLE), (MIDDLE, SLOTS)));
    assert!(engine.inner().meta.shard.state().track_split().is_none(), "nothing was done");
    let stop = AtomicBool::new(false);
    let written: Vec<Written> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let (engine, stop) = (engine.clone(), &stop);
                scope.spawn(move || write(&engine, writer, stop))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(split(&engine, "tracks-0", None, false).unwrap().state, SplitState::Copying);
        done(&engine, "tracks-0", MIDDLE);
        std::thread::sleep(Duration::from_millis(100));
        // And what was split off is split again, under the same writes.
        split(&engine, "tracks-1", Some(3_000), false).unwrap();
        done(&engine, "tracks-1", 3_000);
        std::thread::sleep(Duration::from_millis(100));
        stop.store(true, Ordering::Release);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let check = |engine: &Segue| {
        let mut expected: Vec<String> = names.clone();
        for (writer, written) in (0..).zip(&written) {
            assert!(written.plays > 70, "{}", written.plays);
            for (id, title) in &written.titles {
                assert_eq!(&engine.track(&TrackId::new(id.as_str()).unwrap()).unwrap().title, title);
                assert_eq!(engine.vector(&audio(), None, id).unwrap(), row(id, 7.0).vector);
            }
            for id in &written.deleted {
                let gone = engine.track(&TrackId::new(id.as_str()).unwrap());
                assert_eq!(gone.unwrap_err().kind(), ErrorKind::NotFound);
            }
            let listener = UserId::new(format!("w{writer}")).unwrap();
            let portrait = engine.portrait(&listener, AS_OF, &RequestContext::default()).unwrap();
            assert_eq!(u64::from(portrait.plays_total), written.plays);
            expected.extend(written.titles.keys().cloned());
        }
        assert_eq!(engine.live_tracks().unwrap(), expected.len());
        let mut found = listed(engine);
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
        // What was asked of single tracks and listeners before is answered so; lists have new tracks to choose from.
        let unchanged = |answers: Vec<String>| answers[24..answers.len() - 1].to_vec();
        assert_eq!(unchanged(answers(engine, 400)), unchanged(before.clone()));
    };
    check(&engine);
    engine.checkpoint().unwrap();
    check(&engine);
    engine.shutdown().unwrap();
    drop(engine);
    is_whole(folder.path());
    // Settings that ask for the number of before still hold.
    let engine = open(folder.path(), 1);
    check(&engine);
    assert_eq!(engine.inner().tracks.parts().len(), 3);
    assert_eq!(split(&engine, "tracks-0", Some(MIDDLE), false).unwrap().state, SplitState::Done);
    assert_eq!(split(&engine, "tracks-9", None, false).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(split(&engine, "tracks-1", Some(9), false).unwrap_err().kind(), ErrorKind::Conflict);
}

/// Steps of the way, as the thread that splits takes them.
const STEPS: usize = 10;

/// Takes one of them.
fn step(engine: &Segue, number: usize) {
    let inner = engine.inner();
    let (parent, child, at) = (0, 1, MIDDLE);
    let part = |shard: usize| inner.tracks.parts()[shard].clone();
    let running = || inner.meta.shard.state().track_split().unwrap();
    let meta = |command| drop(inner.propose_meta(&command).unwrap());
    match number {
        0 => meta(MetaCommand::BeginTrackSplit { parent, at, founder: 0, instead_of: None }),
        1 => inner.found_track_child_alone(&running()).unwrap(),
        2 => meta(MetaCommand::AdvanceTrackSplit { child, phase: SplitPhase::Copying }),
        3 => inner.track_step(&part(0), TrackSplitOp::Freeze { child, at }).unwrap(),
        4 => inner.seal_part(&part(0), &|_| {}).unwrap(),
        // Files are linked, and their entry is not said.
        5 => assert!(part(0).shard.bequeath(Parting { child, at }, &part(1).shard).unwrap().is_some()),
        6 => assert!(inner.bequeath(&running(), &part(0), &part(1)).unwrap()),
        7 => inner.track_step(&part(0), TrackSplitOp::Release { child }).unwrap(),
        8 => meta(MetaCommand::AdvanceTrackSplit { child, phase: SplitPhase::Switched }),
        _ => meta(MetaCommand::EndTrackSplit { child }),
    }
}

/// A track that goes, or stays.
fn new_track(goes: bool) -> Track {
    let number = (10_000..).find(|number| (slot_of(&format!("t{number}")).0 >= MIDDLE) == goes);
    track(number.unwrap())
}

#[test]
fn a_stop_behind_any_step_is_gone_on_from() {
    let original = tempfile::tempdir().unwrap();
    let engine = open(original.path(), 1);
    fill(&engine, 150);
    let (before, names) = (answers(&engine, 150), listed(&engine));
    engine.shutdown().unwrap();
    drop(engine);
    for stop in 0..STEPS {
        let folder = tempfile::tempdir().unwrap();
        copy(original.path(), folder.path());
        let engine = open(folder.path(), 0);
        // Nobody else splits.
        engine.inner().tenders.lock().take().unwrap().stop();
        for number in 0..=stop {
            step(&engine, number);
            // Each may be said again, but for those that have no entry of their own.
            if ![1, 5, 6].contains(&number) {
                step(&engine, number);
            }
        }
        let mut found = listed(&engine);
        found.sort_unstable();
        let mut expected = names.clone();
        expected.sort_unstable();
        assert_eq!(found, expected, "behind step {stop}");
        assert_eq!(answers(&engine, 150), before, "behind step {stop}");
        engine.upsert_tracks(vec![new_track(false)]).unwrap();
        if stop == 4 {
            let refused = engine.upsert_tracks(vec![new_track(true)]).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
            assert!(refused.to_string().contains("tracks-1"), "{refused}");
        }
        // What only memory has is lost, and comes from the log.
        drop(engine);
        is_whole(folder.path());
        let engine = open(folder.path(), 1);
        engine.upsert_tracks(vec![new_track(true)]).unwrap();
        done(&engine, "tracks-0", MIDDLE);
        let gone = [new_track(true).track_id, new_track(false).track_id];
        assert_eq!(engine.delete_tracks(&gone).unwrap().0, 2, "after step {stop}");
        assert_eq!(answers(&engine, 150), before, "after step {stop}");
        engine.checkpoint().unwrap();
        assert_eq!(answers(&engine, 150), before, "merged after step {stop}");
        engine.shutdown().unwrap();
        drop(engine);
        is_whole(folder.path());
        let engine = open(folder.path(), 1);
        assert_eq!(answers(&engine, 150), before, "opened after step {stop}");
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
