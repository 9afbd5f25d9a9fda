//! A user shard is split while it takes writes; a stop at any step is gone on from; nothing is lost, and nobody is there twice.
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::engine::{LoadKind, Segue};
use super::split_plan::{SplitReport, SplitRequest, SplitState};
use super::tests::{settings_without_reserve, track};
use crate::error::ErrorKind;
use crate::pipeline::request::{RequestContext, SimilarUsersRequest};
use crate::storage::meta::{MetaCommand, SplitPhase};
use crate::storage::user_shard::{ImportPlace, SplitOp, SplitRole};
use crate::types::{
    Action, EventId, FeedbackEvent, Play, PlayAction, SLOTS, SpaceName, Timestamp, User, UserId, VectorRow,
};

const AS_OF: Timestamp = Timestamp(1_790_000_000_000);

fn open(dir: &Path, user_shards: u16) -> Segue {
    let mut settings = settings_without_reserve();
    settings.storage.user_shards = user_shards;
    Segue::open(dir, settings).unwrap().0
}

fn user(name: &str) -> User {
    User::unknown(UserId::new(name).unwrap())
}

fn event(name: &str, number: u64) -> FeedbackEvent {
    FeedbackEvent {
        track_id: Some(track(number % 9).track_id),
        at: Some(Timestamp(AS_OF.0 - 1_000_000 + number as i64 * 1_000)),
        listened_ms: Some(90_000),
        event_id: Some(EventId::new(format!("{name}-{number}")).unwrap()),
        ..FeedbackEvent::new(UserId::new(name).unwrap(), Action::Play)
    }
}

/// Listeners with plays, vectors and events that wait for a track.
fn fill(engine: &Segue, count: u64) {
    engine.upsert_tracks((0..9).map(track).collect()).unwrap();
    let names: Vec<String> = (0..count).map(|number| format!("u{number}")).collect();
    engine.upsert_users(names.iter().map(|name| user(name)).collect()).unwrap();
    let generation = engine.create_generation(4, None).unwrap().id;
    let row = |(number, name): (u64, &String)| {
        let vector = (0..4).map(|place| ((number * 7 + place) % 13) as f32 + 1.0).collect();
        VectorRow { id: name.clone(), vector }
    };
    let rows = (0..).zip(&names).map(row).collect();
    engine.upsert_vectors(&SpaceName::new("user_cf").unwrap(), generation, rows).unwrap();
    let track_row =
        |number: u64| VectorRow { id: format!("t{number}"), vector: vec![1.0, 2.0, 3.0, number as f32] };
    engine
        .upsert_vectors(&SpaceName::new("track_cf").unwrap(), generation, (0..9).map(track_row).collect())
        .unwrap();
    engine.activate_generation(generation).unwrap();
    let mut events: Vec<FeedbackEvent> =
        names.iter().flat_map(|name| (0..3).map(|at| event(name, at))).collect();
    for event in events.iter_mut().step_by(5) {
        event.track_id = Some(track(777).track_id);
    }
    engine.feedback(events).unwrap();
}

/// What is answered about listeners whose names begin with `u`.
fn answers(engine: &Segue, count: u64) -> Vec<String> {
    let mut found = Vec::new();
    for number in 0..count {
        let id = UserId::new(format!("u{number}")).unwrap();
        let portrait = engine.portrait(&id, AS_OF, &RequestContext::default()).unwrap();
        let near = engine.similar_users(SimilarUsersRequest::new(id.clone(), 5)).unwrap();
        found.push(format!("{:?} {portrait:?} {near:?}", engine.user(&id).unwrap()));
    }
    let generations = engine.generations().unwrap();
    found.push(format!("{generations:?}"));
    found
}

/// Every listener's name, as the pages have them.
fn listed(engine: &Segue) -> Vec<String> {
    let (mut names, mut cursor) = (Vec::new(), None);
    loop {
        let (page, next) = engine.list_users(cursor, 17).unwrap();
        names.extend(page.into_iter().map(|user| user.user_id.to_string()));
        cursor = next;
        if cursor.is_none() {
            return names;
        }
    }
}

pub(super) fn split(
    engine: &Segue,
    group: &str,
    at: Option<u16>,
    dry_run: bool,
) -> crate::Result<SplitReport> {
    engine.split_shard(&SplitRequest { group: group.to_owned(), at, dry_run })
}

/// Waits until a split is done.
pub(super) fn done(engine: &Segue, group: &str, at: u16) -> SplitReport {
    let start = Instant::now();
    loop {
        let report = split(engine, group, Some(at), false).unwrap();
        let state = engine.inner().meta.shard.state();
        let runs = state.user_split().is_some() || state.track_split().is_some();
        if report.state == SplitState::Done && !runs {
            return report;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{report:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// All rows are where they belong; see `segue verify`.
fn is_whole(dir: &Path) {
    let report = super::verify::verify(dir, &mut |_| {}).unwrap();
    assert!(report.checked.is_clean(), "{:?}", report.checked.damage);
}

#[test]
fn a_split_under_writes_loses_nothing_and_changes_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), 2);
    fill(&engine, 300);
    let before = answers(&engine, 300);
    let planned = split(&engine, "users-1", None, true).unwrap();
    assert_eq!((planned.state, planned.new_group.as_str()), (SplitState::Planned, "users-2"));
    assert_eq!((planned.keeps, planned.gets), ((2_048, 3_072), (3_072, SLOTS)));
    assert!(!engine.inner().meta.shard.state().was_split(), "nothing was done");
    let stop = AtomicBool::new(false);
    let written: Vec<Vec<String>> = std::thread::scope(|scope| {
        let write = |writer: u64| {
            let (engine, stop) = (engine.clone(), &stop);
            move || {
                let mut names = Vec::new();
                for number in 0.. {
                    if stop.load(Ordering::Acquire) {
                        break;
                    }
                    let batch: Vec<String> = (0..7).map(|row| format!("w{writer}-{number}-{row}")).collect();
                    engine.upsert_users(batch.iter().map(|name| user(name)).collect()).unwrap();
                    let events: Vec<FeedbackEvent> = batch.iter().map(|name| event(name, 1)).collect();
                    let (new, _) = engine.feedback(events).unwrap();
                    assert_eq!(new, [true; 7], "each is recorded once, and said so in its place");
                    names.extend(batch);
                }
                names
            }
        };
        let writers: Vec<_> = (0..4).map(|writer| scope.spawn(write(writer))).collect();
        let begun = split(&engine, "users-1", None, false).unwrap();
        assert_eq!(begun.state, SplitState::Copying);
        let other = split(&engine, "users-0", None, true).unwrap_err();
        assert!(
            other.kind() == ErrorKind::Conflict && other.to_string().contains("another split"),
            "{other}"
        );
        done(&engine, "users-1", 3_072);
        std::thread::sleep(Duration::from_millis(100));
        stop.store(true, Ordering::Release);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let check = |engine: &Segue| {
        let names = listed(engine);
        let mut expected: BTreeSet<String> = written.iter().flatten().cloned().collect();
        assert!(expected.len() > 100, "{}", expected.len());
        let events = expected.iter().map(|name| event(name, 1)).collect();
        assert!(engine.feedback(events).unwrap().0.iter().all(|new| !new), "every event is there");
        expected.extend((0..300).map(|number| format!("u{number}")));
        assert_eq!(names.len(), expected.len());
        assert_eq!(names.iter().cloned().collect::<BTreeSet<_>>(), expected);
        assert_eq!(engine.user_count().unwrap(), expected.len() as u64);
        assert_eq!(answers(engine, 300), before);
    };
    check(&engine);
    assert_eq!(engine.upsert_tracks(vec![track(777)]).map(drop).ok(), Some(()));
    let waited = engine.inner().users.shards.waited_for(None, 9).unwrap();
    assert_eq!(waited, [], "events of both halves have found their track");
    engine.shutdown().unwrap();
    drop(engine);
    is_whole(folder.path());
    // Settings that ask for the number of before still hold.
    let engine = open(folder.path(), 2);
    assert_eq!(listed(&engine).len() as u64, engine.user_count().unwrap());
    assert_eq!(engine.inner().users.shards.count(), 3);
    let (near, far) = (split(&engine, "users-1", Some(3_072), false), split(&engine, "users-9", None, false));
    assert_eq!(near.unwrap().state, SplitState::Done, "said again it does nothing");
    assert_eq!(far.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(split(&engine, "users-1", Some(9), false).unwrap_err().kind(), ErrorKind::Conflict);
}

/// One step of the way, as the thread that splits takes it; whether there was one.
fn step(engine: &Segue, number: usize) -> bool {
    let inner = engine.inner();
    let (parent, child, at) = (0, 1, 2_048);
    let shard = |place: usize| inner.users.shards.any_at(place).unwrap();
    let import = |bytes: usize| {
        let SplitRole::Child(import) = shard(1).split_state().role.clone() else { panic!("it is whole") };
        let batch = shard(0).outgoing(child, &import.place, bytes).unwrap().unwrap();
        let step = import.step;
        inner.split_step(1, SplitOp::Import { step, rows: batch.rows, place: batch.place.clone() }).unwrap();
        batch.place
    };
    match number {
        0 => drop(
            inner
                .propose_meta(&MetaCommand::BeginSplit { parent, at, founder: 0, instead_of: None })
                .unwrap(),
        ),
        1 => inner.found_alone(&inner.meta.shard.state().user_split().unwrap()).unwrap(),
        2 => {
            let phase = SplitPhase::Copying;
            inner.propose_meta(&MetaCommand::AdvanceSplit { child, phase }).unwrap();
        }
        3 => inner.split_step(0, SplitOp::BeginSplit { child, at }).unwrap(),
        4 => inner.split_step(1, SplitOp::BeginImport { parent, end: SLOTS }).unwrap(),
        5 | 6 => drop(import(5_000)),
        7 => while matches!(import(100_000), ImportPlace::Rows(_)) {},
        8 => inner.split_step(0, SplitOp::FreezeSplit { child }).unwrap(),
        9 => drop(import(1 << 20)),
        10 => {
            let SplitRole::Child(import) = shard(1).split_state().role.clone() else { panic!("it is whole") };
            let newest_day = shard(0).newest_day();
            inner.split_step(1, SplitOp::EndImport { step: import.step, newest_day }).unwrap();
        }
        11 => {
            let vectors = shard(1).generations().unwrap().into_iter();
            let vectors = vectors.map(|(space, id, _, rows)| (space, id.0, rows)).collect();
            let users = shard(1).user_count();
            inner.split_step(0, SplitOp::HandOver { child, users, vectors }).unwrap();
        }
        12 => {
            let phase = SplitPhase::Switched;
            inner.propose_meta(&MetaCommand::AdvanceSplit { child, phase }).unwrap();
        }
        13 => inner.split_step(0, SplitOp::ReleaseSplit { child }).unwrap(),
        14 => drop(inner.propose_meta(&MetaCommand::EndSplit { child }).unwrap()),
        _ => return false,
    }
    true
}

#[test]
fn a_stop_behind_any_step_is_gone_on_from() {
    let original = tempfile::tempdir().unwrap();
    let engine = open(original.path(), 1);
    fill(&engine, 120);
    let (before, names) = (answers(&engine, 120), listed(&engine));
    engine.shutdown().unwrap();
    drop(engine);
    for stop in 0..15 {
        let folder = tempfile::tempdir().unwrap();
        copy(original.path(), folder.path());
        let engine = open(folder.path(), 0);
        // Nobody else splits.
        engine.inner().tenders.lock().take().unwrap().stop();
        for number in 0..=stop {
            assert!(step(&engine, number));
        }
        assert_eq!(listed(&engine), names, "behind step {stop}");
        assert_eq!(engine.user_count().unwrap(), 120, "behind step {stop}");
        assert_eq!(answers(&engine, 120), before, "behind step {stop}");
        // What only memory has is lost, and comes from the log.
        drop(engine);
        is_whole(folder.path());
        let engine = open(folder.path(), 1);
        engine.upsert_users(vec![user("new0"), user("new1"), user("new2")]).unwrap();
        done(&engine, "users-0", 2_048);
        assert_eq!(answers(&engine, 120), before, "after step {stop}");
        assert_eq!(listed(&engine).len(), names.len() + 3, "after step {stop}");
        engine.shutdown().unwrap();
        drop(engine);
        is_whole(folder.path());
    }
}

#[test]
fn a_load_goes_on_over_a_split_and_takes_every_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), 1);
    engine.upsert_tracks((0..9).map(track).collect()).unwrap();
    let play = |number: u64| Play {
        user_id: UserId::new(format!("u{}", number % 61)).unwrap(),
        track_id: track(number % 9).track_id,
        played_at: Timestamp(AS_OF.0 - number as i64 * 1_000),
        listened_ms: 60_000,
        action: PlayAction::Play,
    };
    let mut row = 0_u64;
    let mut begun = false;
    while row < 6_000 {
        // Every batch begins some rows before what is done.
        let first = row.saturating_sub(20);
        let progress = engine.load_plays("plays", first, (first..row + 150).map(play).collect()).unwrap();
        assert_eq!(progress.rows_done, row + 150);
        row += 150;
        if !begun && row > 600 {
            split(&engine, "users-0", None, false).unwrap();
            begun = true;
        }
    }
    done(&engine, "users-0", 2_048);
    engine.load_plays("plays", row, (row..row + 50).map(play).collect()).unwrap();
    let (progress, _) = engine.finish_load("plays", LoadKind::Plays, &|_| {}).unwrap();
    assert_eq!((progress.rows_done, progress.finished), (row + 50, true));
    let plays = |number: u64| {
        let id = UserId::new(format!("u{number}")).unwrap();
        u64::from(engine.portrait(&id, AS_OF, &RequestContext::default()).unwrap().plays_total)
    };
    assert_eq!((0..61).map(plays).sum::<u64>(), row + 50);
    let states = engine.inner().users.shards.load_states("plays").unwrap();
    assert_eq!(states.len(), 2);
    assert!(states.iter().all(|(_, state)| state.finished && state.rows_done == row + 50), "{states:?}");
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
