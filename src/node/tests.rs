//! What a stop at a bad moment leaves behind, and that the next start puts it right.
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::path::Path;

use super::engine::{LoadKind, Segue};
use super::stage::Stage;
use crate::config::Settings;
use crate::error::ErrorKind;
use crate::pipeline::request::{RecommendRequest, Recommendation};
use crate::storage::track_shard::command::TrackCommand;
use crate::storage::user_shard::UserOp;
use crate::types::{
    Action, Artist, ArtistId, AudioFeatures, EventId, FeedbackEvent, GenerationId, Play, PlayAction,
    RecordingId, RegionSet, SpaceName, Surface, Timestamp, Track, TrackId, User, UserId, VectorRow,
};

fn open(folder: &Path) -> (Segue, Vec<String>) {
    let mut settings = Settings::default();
    settings.storage.disk_reserve_bytes = 0;
    let (engine, report) = Segue::open(folder, settings).unwrap();
    (engine, report.repairs)
}

fn track(number: u64) -> Track {
    let id = format!("t{number}");
    Track {
        track_id: TrackId::new(id.clone()).unwrap(),
        recording_id: RecordingId::new(id.clone()).unwrap(),
        title: id,
        artists: vec![Artist { id: ArtistId::new("a").unwrap(), name: "A".to_owned() }],
        album_id: None,
        album: None,
        label: None,
        genres: vec![],
        release_date: None,
        duration_ms: Some(100_000),
        popularity: None,
        explicit: None,
        regions: RegionSet::All,
        audio: AudioFeatures::default(),
    }
}

fn event(number: u64, action: Action) -> FeedbackEvent {
    FeedbackEvent {
        user_id: UserId::new("u").unwrap(),
        action,
        track_id: Some(track(number).track_id),
        artist_id: None,
        at: Some(Timestamp(1_790_000_000_000 + number as i64)),
        listened_ms: Some(60_000),
        event_id: Some(EventId::new(format!("e{number}{action:?}")).unwrap()),
        query: None,
        impression: None,
        positions: Vec::new(),
    }
}

fn heard(engine: &Segue) -> usize {
    let view = engine.inner().users.shard.view(&UserId::new("u").unwrap()).unwrap();
    view.map_or(0, |view| view.heard.tracks.len())
}

#[test]
fn a_stop_between_a_track_and_the_plays_that_waited_for_it_is_made_good_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = open(folder.path());
    engine.upsert_users(vec![User::unknown(UserId::new("u").unwrap())]).unwrap();
    // More than are looked up at once, and one that stays unknown.
    let many: Vec<u64> = (0..1_500).collect();
    engine.feedback(many.iter().map(|&number| event(number, Action::Play)).collect()).unwrap();
    let known: Vec<Track> = many[1..].iter().map(|&number| track(number)).collect();
    // The tracks' own entry, and then nothing: as if the process died here.
    engine.inner().propose_tracks(&TrackCommand::UpsertTracks { tracks: known, load: None }).unwrap();
    assert_eq!(heard(&engine), 0, "nothing resolves them by itself");
    drop(engine);
    let (engine, repairs) = open(folder.path());
    assert_eq!((heard(&engine), repairs), (1_499, Vec::new()));
    engine.upsert_tracks(vec![track(0)]).unwrap();
    assert_eq!(heard(&engine), 1_500);
    assert_eq!(engine.inner().users.shard.waited_for(None, 10).unwrap(), []);
}

#[test]
fn a_track_that_comes_between_look_up_and_record_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = open(folder.path());
    engine.upsert_users(vec![User::unknown(UserId::new("u").unwrap())]).unwrap();
    let (resolved, choices) = engine.inner().resolve_event(event(1, Action::Play)).unwrap();
    assert_eq!(choices, []);
    engine.upsert_tracks(vec![track(1)]).unwrap();
    let (new, token) = engine.inner().record_events(vec![resolved], Vec::new()).unwrap();
    assert_eq!((new, heard(&engine)), (vec![true], 1));
    assert_eq!(token.applied.len(), 2, "the token covers the entry that moved the event");
    // The same event again is the same event.
    assert_eq!(engine.feedback(vec![event(1, Action::Play)]).unwrap().0, [false]);
}

#[test]
fn tracks_and_their_plays_meet_in_whatever_order_they_come() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = open(folder.path());
    engine.upsert_users(vec![User::unknown(UserId::new("u").unwrap())]).unwrap();
    std::thread::scope(|scope| {
        let tracks = scope
            .spawn(|| (0..200).for_each(|number| drop(engine.upsert_tracks(vec![track(number)]).unwrap())));
        for number in 0..200 {
            engine.feedback(vec![event(number, Action::Play)]).unwrap();
        }
        let play = |number: u64| Play {
            user_id: UserId::new("u").unwrap(),
            track_id: track(number).track_id,
            played_at: Timestamp(1_780_000_000_000),
            listened_ms: 50_000,
            action: PlayAction::Play,
        };
        engine.load_plays("plays", 0, (100..200).map(play).collect()).unwrap();
        tracks.join().unwrap();
    });
    assert_eq!(heard(&engine), 200);
    assert_eq!(engine.inner().users.shard.waited_for(None, 10).unwrap(), []);
}

#[test]
fn the_stage_of_a_load_whose_segment_is_live_is_removed_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let staging = folder.path().join("staging");
    let (engine, _) = open(folder.path());
    engine.upsert_tracks((0..20).map(track).collect()).unwrap();
    let audio = SpaceName::new("audio").unwrap();
    let row = |number: u64| VectorRow { id: format!("t{number}"), vector: vec![1.0, number as f32] };
    let load = |name: &str, rows: std::ops::Range<u64>| {
        engine.load_vectors(name, 0, &audio, GenerationId::STATIC, rows.map(row).collect()).unwrap();
    };
    load("done", 0..10);
    load("open", 10..20);
    let kept = std::fs::read(Stage::path(&staging, "done")).unwrap();
    engine.finish_load("done", LoadKind::Vectors, &|_| {}).unwrap();
    drop(engine);
    // As if the process had died before it removed the file.
    std::fs::write(Stage::path(&staging, "done"), kept).unwrap();
    let (engine, repairs) = open(folder.path());
    assert_eq!(repairs.len(), 1, "{repairs:?}");
    assert_eq!(Stage::all(&staging).unwrap(), [Stage::path(&staging, "open")]);
    assert!(engine.load_progress("done").unwrap().finished);
    assert_eq!(engine.load_progress("open").unwrap().rows_done, 10);
    let (progress, _) = engine.finish_load("open", LoadKind::Vectors, &|_| {}).unwrap();
    assert_eq!((progress.rows_done, Stage::all(&staging).unwrap().len()), (10, 0));
    assert_eq!(engine.vector(&audio, None, "t15").unwrap(), [1.0, 15.0]);
}

#[test]
fn a_call_that_overlaps_another_of_the_same_load_is_refused_instead_of_losing_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = open(folder.path());
    let user = |number: u64| User::unknown(UserId::new(format!("u{number}")).unwrap());
    engine.load_users("users", 0, (0..100).map(user).collect()).unwrap();
    // A slower call that began at row 50 and goes to 150: the rows from 100 on are not there yet.
    let op = UserOp::UpsertUsers((50..150).map(user).collect());
    let late = engine.inner().load_step("users", 50, 100, op);
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(engine.load_progress("users").unwrap().rows_done, 100);
    let whole = engine.inner().load_step("users", 20, 30, UserOp::UpsertUsers((20..50).map(user).collect()));
    assert_eq!(whole.unwrap(), 50, "rows that are all there need not be sent again");
    engine.load_users("users", 50, (50..150).map(user).collect()).unwrap();
    assert_eq!(engine.list_users(None, 1_000).unwrap().0.len(), 150);
}

#[test]
fn statistics_nobody_can_read_cost_no_request_and_are_derived_again() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = open(folder.path());
    engine.upsert_users(vec![User::unknown(UserId::new("u").unwrap())]).unwrap();
    engine.upsert_tracks((0..40).map(track).collect()).unwrap();
    engine.feedback((0..20).map(|number| event(number, Action::Play)).collect()).unwrap();
    let ask = |engine: &Segue| {
        let mut request = RecommendRequest::new(UserId::new("u").unwrap(), Surface::new("home").unwrap());
        request.as_of = Some(Timestamp(1_790_000_100_000));
        engine.recommend(request).unwrap()
    };
    let is_said =
        |list: &Recommendation| list.degraded.iter().any(|word| word.contains("statistics cannot be read"));
    assert!(!is_said(&ask(&engine)));
    {
        // Nothing is derived meanwhile.
        let _turn = engine.inner().statistics_turn.deriving.lock();
        engine.inner().propose_users_counted(UserOp::PutStatistics(vec![1, 2, 3]).into()).unwrap();
        let list = ask(&engine);
        assert!(is_said(&list), "{:?}", list.degraded);
        assert!(!list.tracks.is_empty());
    }
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while is_said(&ask(&engine)) {
        assert!(std::time::Instant::now() < until, "they are not derived again");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let learnt = engine.inner().caches.statistics.get(engine.inner().users.shard.statistics());
    assert_eq!((learnt.statistics.listeners, learnt.statistics.events), (1, 20));
}
