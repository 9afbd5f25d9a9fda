//! Acknowledged means durable: what was written is there after a stop, after a drop, and after seals and merges, and the
//! same request gets the same answer.

use segue::node::{LoadKind, VectorRow};
use segue::pipeline::recipe::{Recipe, built_in};
use segue::pipeline::request::{RecommendRequest, SearchRequest};
use segue::types::{Action, FeedbackEvent, GenerationId, Metric, Surface, Timestamp, TrackId};
use segue::{ErrorKind, Segue};

use crate::support::{AS_OF, DIM, STATIC, World, audio_vector, id, small_segments, space, track};

fn open(folder: &std::path::Path) -> Segue {
    let (engine, report) = Segue::open(folder, small_segments()).unwrap();
    assert_eq!(report.repairs, Vec::<String>::new());
    engine
}

fn request(user: &str) -> RecommendRequest {
    RecommendRequest {
        as_of: Some(AS_OF),
        request_id: Some("fixed".to_owned()),
        exact: true,
        ..RecommendRequest::new(id(user), id::<Surface>("discover_weekly"))
    }
}

fn nearest(engine: &Segue, vector: Vec<f32>, exact: bool) -> Vec<TrackId> {
    let request = SearchRequest {
        vector: Some(vector),
        metric: Some(Metric::Cosine),
        exact,
        ..SearchRequest::new(space("audio"))
    };
    engine.search(request).unwrap().tracks.into_iter().map(|listed| listed.track_id).collect()
}

/// Answers for all listeners, without what a restart may change (applied indexes).
fn answers(engine: &Segue, world: &World) -> Vec<(Vec<TrackId>, Vec<String>, String)> {
    let answer = |user: &segue::types::User| {
        let list = engine.recommend(request(user.user_id.as_str())).unwrap();
        let tracks = list.tracks.iter().map(|listed| listed.track_id.clone()).collect();
        let scores = list.tracks.iter().map(|listed| format!("{:x}", listed.score.to_bits())).collect();
        (tracks, scores, list.cold_start)
    };
    world.users.iter().map(answer).collect()
}

#[test]
fn everything_is_there_after_a_stop_and_after_a_drop() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::generate(11, 1_200, 20);
    let engine = open(folder.path());
    let generation = world.load(&engine);
    let built_in = built_in().swap_remove(0);
    let recipe = engine.put_recipe(Recipe { n: built_in.n - 1, ..built_in }).unwrap();
    let before = answers(&engine, &world);
    engine.shutdown().unwrap();
    assert_eq!(engine.track(&id("t1")).unwrap_err().kind(), ErrorKind::Unavailable);
    drop(engine);
    for _ in 0..2 {
        let engine = open(folder.path());
        assert_eq!(engine.list_tracks(None, 10_000).unwrap().0, world.tracks);
        let mut users = world.users.clone();
        users.sort_by(|a, b| a.user_id.cmp(&b.user_id));
        let mut found = engine.list_users(None, 10_000).unwrap().0;
        found.sort_by(|a, b| a.user_id.cmp(&b.user_id));
        assert_eq!(found, users);
        for row in world.track_vectors.iter().step_by(37) {
            assert_eq!(engine.vector(&space("track_cf"), Some(generation), &row.id).unwrap(), row.vector);
        }
        assert!(engine.recipes().unwrap().iter().any(|(stored, _)| *stored == recipe));
        assert_eq!(answers(&engine, &world), before);
        // Dropped without a word the second time round.
    }
}

#[test]
fn a_folder_is_open_once() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let Err(error) = Segue::open(folder.path(), small_segments()) else { panic!("opened twice") };
    assert!(!matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Internal), "{error}");
    first.upsert_tracks(vec![track(1, 0)]).unwrap();
    drop(first);
    assert_eq!(open(folder.path()).track(&id("t1")).unwrap(), track(1, 0));
}

/// Goal: whatever holds the directory's lock is gone when the last clone is. A process that is being started holds copies of
/// all open files for a moment, and the maintenance thread uses the engine while it works.
#[test]
fn a_folder_can_be_opened_again_at_once_while_processes_start_and_maintenance_works() {
    let folder = tempfile::tempdir().unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let child = std::process::Command::new("true").status();
                    assert!(child.is_ok_and(|status| status.success()));
                }
            });
        }
        let outcome = std::panic::catch_unwind(|| {
            for round in 0..40_u64 {
                let engine = open(folder.path());
                // Enough for a seal, which the maintenance thread begins at once.
                let rows = round * 1_100..(round + 1) * 1_100;
                engine.upsert_tracks(rows.map(|number| track(number, 0)).collect()).unwrap();
                if round % 3 == 0 {
                    engine.shutdown().unwrap();
                }
                drop(engine);
            }
        });
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        outcome.unwrap();
    });
    assert_eq!(open(folder.path()).live_tracks().unwrap(), 44_000);
}

#[test]
fn a_write_token_makes_the_next_read_see_the_write() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let world = World::generate(12, 300, 6);
    world.load(&engine);
    for round in 0..50_u64 {
        let hide = FeedbackEvent {
            user_id: id("u2"),
            action: if round % 2 == 0 { Action::HideTrack } else { Action::UnhideTrack },
            track_id: Some(id("t7")),
            artist_id: None,
            at: Some(Timestamp(AS_OF.0 + round as i64)),
            listened_ms: None,
            event_id: None,
            query: None,
            impression: None,
            positions: Vec::new(),
        };
        let (_, token) = engine.feedback(vec![hide]).unwrap();
        let reply =
            engine.recommend(RecommendRequest { min_token: Some(token.clone()), ..request("u2") }).unwrap();
        for (group, index) in &token.applied {
            let applied = reply.applied.iter().find(|(name, _)| name == group).map(|(_, applied)| *applied);
            assert!(applied >= Some(*index), "{group}: read at {applied:?}, written at {index}");
        }
        assert_eq!(engine.user(&id("u2")).unwrap().blocked_tracks.contains(&id("t7")), round % 2 == 0);
    }
}

#[test]
fn seals_and_merges_lose_nothing_and_change_no_exact_answer() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let world = World::generate(13, 3_500, 10);
    world.load(&engine);
    let before = answers(&engine, &world);
    engine.checkpoint().unwrap();
    assert_eq!(answers(&engine, &world), before, "sealed");
    // Replaces a third, so that merges have something to clean up.
    let replaced: Vec<_> = world.tracks.iter().step_by(3).cloned().collect();
    engine.upsert_tracks(replaced).unwrap();
    engine.checkpoint().unwrap();
    assert_eq!(answers(&engine, &world), before, "merged");
    assert_eq!(engine.list_tracks(None, 10_000).unwrap().0.len(), world.tracks.len());
}

#[test]
fn sealed_vectors_are_found_through_the_graph() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let numbers: Vec<u64> = (0..4_000).collect();
    for part in numbers.chunks(1_000) {
        engine.upsert_tracks(part.iter().map(|&number| track(number, 0)).collect()).unwrap();
        let rows = part
            .iter()
            .map(|&number| VectorRow { id: format!("t{number}"), vector: audio_vector(number, 0) });
        engine.upsert_vectors(&space("audio"), STATIC, rows.collect()).unwrap();
        engine.checkpoint().unwrap();
    }
    let mut found = 0;
    for number in (0..4_000).step_by(40) {
        let exact = nearest(&engine, audio_vector(number, 0), true);
        assert_eq!(exact[0], id::<TrackId>(format!("t{number}")));
        let graph = nearest(&engine, audio_vector(number, 0), false);
        found += graph.iter().filter(|track| exact.contains(track)).count();
    }
    assert!(found >= 950, "recall@10 {} below 0.95", found as f64 / 1_000.0);
}

#[test]
fn events_and_loads_count_once_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::generate(14, 400, 12);
    let half = world.plays.len() / 2;
    let engine = open(folder.path());
    engine.upsert_tracks(world.tracks.clone()).unwrap();
    engine.upsert_users(world.users.clone()).unwrap();
    let progress = engine.load_plays("plays", 0, world.plays[..half].to_vec()).unwrap();
    assert_eq!((progress.rows_done, progress.finished), (half as u64, false));
    drop(engine);

    let engine = open(folder.path());
    assert_eq!(engine.load_progress("plays").unwrap().rows_done, half as u64);
    // Sending everything again skips what is there; a gap is refused.
    let gap = engine.load_plays("plays", half as u64 + 5, world.plays[half + 5..].to_vec());
    assert_eq!(gap.unwrap_err().kind(), ErrorKind::Conflict);
    engine.load_plays("plays", 0, world.plays.clone()).unwrap();
    let (progress, _) = engine.finish_load("plays", LoadKind::Plays, &|_| {}).unwrap();
    assert_eq!((progress.rows_done, progress.finished), (world.plays.len() as u64, true));
    let play = FeedbackEvent {
        user_id: id("u1"),
        action: Action::Play,
        track_id: Some(id("t3")),
        artist_id: None,
        at: Some(AS_OF),
        listened_ms: Some(60_000),
        event_id: Some(id("event-1")),
        query: None,
        impression: None,
        positions: Vec::new(),
    };
    assert_eq!(engine.feedback(vec![play.clone()]).unwrap().0, [true]);
    drop(engine);

    let engine = open(folder.path());
    assert_eq!(engine.feedback(vec![play]).unwrap().0, [false]);
    assert!(engine.load_progress("plays").unwrap().finished);
}

#[test]
fn a_play_of_a_track_that_comes_later_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::generate(15, 300, 6);
    let engine = open(folder.path());
    let (late, early) = world.tracks.split_at(30);
    engine.upsert_tracks(early.to_vec()).unwrap();
    engine.upsert_users(world.users.clone()).unwrap();
    let play = |number: usize| FeedbackEvent {
        user_id: id("u2"),
        action: Action::Play,
        track_id: Some(late[number].track_id.clone()),
        artist_id: None,
        at: Some(AS_OF.minus_days(1)),
        listened_ms: Some(60_000),
        event_id: None,
        query: None,
        impression: None,
        positions: Vec::new(),
    };
    engine.feedback((0..late.len()).map(play).collect()).unwrap();
    drop(engine);
    let engine = open(folder.path());
    engine.upsert_tracks(late.to_vec()).unwrap();
    let list = engine.recommend(RecommendRequest { exact: false, ..request("u2") }).unwrap();
    let heard = list.tracks.iter().find(|listed| late.iter().any(|track| track.track_id == listed.track_id));
    assert!(heard.is_none() || !list.relaxed.is_empty(), "a track heard yesterday came back: {heard:?}");
}

#[test]
fn generations_survive_and_never_mix() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let world = World::generate(16, 400, 12);
    let first = world.load(&engine);
    let before = answers(&engine, &world);
    // The second run has other axes: mixed with the first it would be noise.
    let second = engine.create_generation(DIM as u32, None).unwrap().id;
    let flip = |rows: &[VectorRow]| -> Vec<VectorRow> {
        rows.iter()
            .map(|row| VectorRow {
                id: row.id.clone(),
                vector: row.vector.iter().rev().map(|x| -x).collect(),
            })
            .collect()
    };
    engine.upsert_vectors(&space("track_cf"), second, flip(&world.track_vectors)).unwrap();
    engine.upsert_vectors(&space("user_cf"), second, flip(&world.user_vectors)).unwrap();
    assert_eq!(answers(&engine, &world), before, "a generation that is being filled is not used");
    engine.activate_generation(second).unwrap();
    drop(engine);

    let engine = open(folder.path());
    let reply = engine.recommend(request("u2")).unwrap();
    assert_eq!(reply.generation, Some(second));
    let pinned = engine.recommend(RecommendRequest { generation: Some(first), ..request("u2") }).unwrap();
    assert_eq!(pinned.generation, Some(first));
    engine.rollback_generation().unwrap();
    drop(engine);

    let engine = open(folder.path());
    assert_eq!(engine.recommend(request("u2")).unwrap().generation, Some(first));
    assert_eq!(answers(&engine, &world), before);
    let wrong = VectorRow { id: "t1".to_owned(), vector: vec![1.0; DIM + 1] };
    let refused = engine.upsert_vectors(&space("track_cf"), GenerationId(second.0), vec![wrong]);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
}
