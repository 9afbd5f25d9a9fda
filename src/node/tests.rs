//! What a stop at a bad moment leaves behind, and that the next start puts it right.
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::collections::HashSet;
use std::path::Path;

use super::engine::{LoadKind, Segue};
use super::group::Group;
use super::listeners::KnownList;
use super::open::META;
use super::replica::MetaReplica;
use super::stage::Stage;
use crate::config::Settings;
use crate::error::ErrorKind;
use crate::pipeline::request::{RecommendRequest, Recommendation};
use crate::storage::meta::{MetaCommand, MetaStore};
use crate::storage::track_shard::command::TrackCommand;
use crate::storage::user_shard::{LoadStep, NewEvents, UserCommand, UserOp};
use crate::types::{
    Action, Artist, ArtistId, AudioFeatures, EventId, FeedbackEvent, GenerationId, Play, PlayAction,
    RecordingId, RegionSet, SpaceName, Surface, Timestamp, Track, TrackId, User, UserId, VectorRow,
};

fn open(folder: &Path) -> (Segue, Vec<String>) {
    open_with(folder, 0)
}

fn open_with(folder: &Path, user_shards: u16) -> (Segue, Vec<String>) {
    let mut settings = settings_without_reserve();
    settings.storage.user_shards = user_shards;
    let (engine, report) = Segue::open(folder, settings).unwrap();
    (engine, report.repairs)
}

pub(super) fn settings_without_reserve() -> Settings {
    let mut settings = Settings::default();
    settings.storage.disk_reserve_bytes = 0;
    settings
}

pub(crate) fn track(number: u64) -> Track {
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
    let view = engine.inner().users.shards.view(&UserId::new("u").unwrap()).unwrap();
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
    let inner = engine.inner();
    inner
        .propose_tracks(&inner.tracks.parts()[0], &TrackCommand::UpsertTracks { tracks: known, load: None })
        .unwrap();
    assert_eq!(heard(&engine), 0, "nothing resolves them by itself");
    drop(engine);
    let (engine, repairs) = open(folder.path());
    assert_eq!((heard(&engine), repairs), (1_499, Vec::new()));
    engine.upsert_tracks(vec![track(0)]).unwrap();
    assert_eq!(heard(&engine), 1_500);
    assert_eq!(engine.inner().users.shards.waited_for(None, 10).unwrap(), []);
}

#[test]
fn a_track_that_comes_between_look_up_and_record_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = open(folder.path());
    engine.upsert_users(vec![User::unknown(UserId::new("u").unwrap())]).unwrap();
    let owners = engine.inner().tracks.owners().unwrap();
    let asked = event(1, Action::Play);
    let tracks = engine.inner().look_tracks_up(&owners, asked.track_id.iter()).unwrap();
    let (resolved, list) = engine.inner().resolve_event(asked.clone(), &HashSet::new(), &tracks).unwrap();
    assert_eq!(list, KnownList::default());
    engine.upsert_tracks(vec![track(1)]).unwrap();
    let (new, token) =
        engine.inner().record_events(NewEvents { events: vec![resolved], ..NewEvents::default() }).unwrap();
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
    assert_eq!(engine.inner().users.shards.waited_for(None, 10).unwrap(), []);
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
    let users = |rows: std::ops::Range<u64>| rows.map(user).collect::<Vec<_>>();
    engine.load_users("users", 0, users(0..20)).unwrap();
    let mut early = engine.inner().user_load("users", 20).unwrap();
    engine.load_users("users", 20, users(20..50)).unwrap();
    let mut late = engine.inner().user_load("users", 50).unwrap();
    engine.load_users("users", 50, users(50..100)).unwrap();
    // A slower call that began at row 50 and goes to 150: the rows from 100 on are not there yet.
    let refused = late.step(users(50..150), |user| &user.user_id, UserOp::UpsertUsers);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(engine.load_progress("users").unwrap().rows_done, 100);
    let whole = early.step(users(20..50), |user| &user.user_id, UserOp::UpsertUsers);
    assert_eq!(whole.unwrap(), 50, "rows that are all there need not be sent again");
    engine.load_users("users", 50, (50..150).map(user).collect()).unwrap();
    assert_eq!(engine.list_users(None, 1_000).unwrap().0.len(), 150);
}

#[test]
fn a_load_that_only_some_shards_have_taken_goes_on_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = open_with(folder.path(), 3);
    let user = |number: u64| User::unknown(UserId::new(format!("u{number}")).unwrap());
    let users = |rows: std::ops::Range<u64>| rows.map(user).collect::<Vec<_>>();
    // As if the process had died when one of three shards had its part of the first hundred rows.
    let node = engine.inner();
    let parts = node.users.split(users(0..100), |user| &user.user_id);
    let load = Some(LoadStep { load_id: "users".into(), first_row: 0, rows_done: 100, finished: false });
    node.users.propose(vec![(1, UserCommand { load, op: UserOp::UpsertUsers(parts[1].clone()) })]).unwrap();
    assert_eq!(engine.user_count().unwrap(), parts[1].len() as u64);
    assert_eq!(engine.load_progress("users").unwrap().rows_done, 0, "what all have counts");
    let early = engine.finish_load("users", LoadKind::Users, &|_| {});
    assert_eq!(early.unwrap_err().kind(), ErrorKind::Conflict, "rows of the others are missing");
    // Other batches than before: one ends within what the shard has, one begins within it.
    let taken =
        || node.users.shards.load_states("users").unwrap().into_iter().map(|(_, state)| state.rows_done);
    for (rows, expected) in [(0..60, [60, 100, 60]), (60..150, [150; 3]), (150..160, [160; 3])] {
        let end = rows.end;
        assert_eq!(engine.load_users("users", rows.start, users(rows)).unwrap().rows_done, end);
        assert_eq!(taken().collect::<Vec<_>>(), expected);
    }
    assert_eq!(engine.user_count().unwrap(), 160);
    let (progress, _) = engine.finish_load("users", LoadKind::Users, &|_| {}).unwrap();
    assert_eq!((progress.rows_done, progress.finished), (160, true));
    assert_eq!(engine.load_progress("users").unwrap(), progress);
}

#[test]
fn a_directory_that_was_stopped_before_its_user_shards_were_made_makes_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    drop(open_with(folder.path(), 4));
    let whole = std::fs::read_dir(folder.path()).unwrap().count();
    // Only the number is decided: no user shard is there yet.
    let other = tempfile::tempdir().unwrap();
    let config = segue_cluster::NodeConfig { disk_reserve_bytes: 0, ..Default::default() };
    let node = segue_cluster::ClusterNode::open(other.path(), config).unwrap();
    let opened = MetaStore::open(&other.path().join("meta")).unwrap();
    let machine = Box::new(MetaReplica::new(opened.store, opened.applied));
    let meta = Group::new("meta", node.add_group(segue_cluster::GroupId(META), machine).unwrap(), None);
    meta.propose(MetaCommand::SetUserShards { count: 4 }.encode().unwrap()).unwrap();
    drop(meta);
    node.shutdown().unwrap();
    let mut settings = Settings::default();
    settings.storage.user_shards = 2;
    assert_eq!(Segue::open(other.path(), settings).err().unwrap().kind(), ErrorKind::Conflict);
    let (engine, _) = open(other.path());
    assert_eq!(engine.inner().users.shards.count(), 4);
    drop(engine);
    assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), whole);
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
        engine.inner().put_statistics(vec![1, 2, 3]).unwrap();
        let list = ask(&engine);
        assert!(is_said(&list), "{:?}", list.degraded);
        assert!(!list.tracks.is_empty());
    }
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while is_said(&ask(&engine)) {
        assert!(std::time::Instant::now() < until, "they are not derived again");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let learnt = engine.inner().caches.statistics.get(engine.inner().users.shards.statistics());
    assert_eq!((learnt.statistics.listeners, learnt.statistics.events), (1, 20));
}
