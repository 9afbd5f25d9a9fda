//! Track shards that are asked, by bytes, say to the bit what they say when they are read in place.
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

mod asked;
mod hostile;
mod newer;
mod world;

use std::path::Path;

use asked::{Asked, Replies, replies, replies_of};
use world::{AS_OF, World, space};

use super::engine::Segue;
use super::split_tests::done;
use super::tests::settings_without_reserve;
use crate::pipeline::reader::Caches;
use crate::pipeline::recommend::recommend;
use crate::pipeline::request::RecommendRequest;
use crate::types::{
    Action, DAY_MS, FeedbackEvent, GenerationId, RecordingId, SLOTS, SpaceName, Surface, Timestamp, Track,
    TrackId, UserId, shard_of_slot, slot_of,
};

fn open(dir: &Path, track_shards: u16) -> Segue {
    let mut settings = settings_without_reserve();
    settings.storage.track_shards = track_shards;
    settings.storage.seal_rows = 1_000;
    Segue::open(dir, settings).unwrap().0
}

/// A world in which much is equal and most recordings with two versions are in two shards; some of it in files, some in memory,
/// some replaced, taken down, blocked and hidden.
fn fill(engine: &Segue, world: &mut World) {
    for track in &mut world.tracks {
        track.popularity = track.popularity.map(|popularity| (popularity / 10.0).round() * 10.0);
    }
    for (at, user) in world.users.iter_mut().enumerate() {
        user.social_consent = at % 5 != 0;
        user.friends = [1, 2, 7].map(|step| UserId::new(format!("u{}", (at + step) % 30)).unwrap()).to_vec();
        if at % 6 == 0 {
            user.onboarding_genres = vec!["rock".into(), "jazz".into()];
        }
    }
    let generation = world.load(engine);
    engine.checkpoint().unwrap();
    let number = |track: &Track| track.track_id.as_str()[1..].parse::<u64>().unwrap();
    let moved = world.tracks.iter().step_by(13).map(|track| {
        let recording_id = RecordingId::new(format!("t{}", number(track) / 2)).unwrap();
        Track { recording_id, ..track.clone() }
    });
    engine.upsert_tracks(moved.collect()).unwrap();
    let gone: Vec<TrackId> = world.tracks.iter().skip(5).step_by(31).map(|t| t.track_id.clone()).collect();
    engine.delete_tracks(&gone).unwrap();
    let without: Vec<String> = world.tracks.iter().step_by(41).map(|t| t.track_id.to_string()).collect();
    engine.delete_vectors(&space("track_cf"), generation, &without).unwrap();
    let event = |at: usize, user: &UserId| FeedbackEvent {
        track_id: Some(TrackId::new(format!("t{}", 6 * at + 4)).unwrap()),
        at: Some(Timestamp(AS_OF.0 - DAY_MS + at as i64)),
        ..FeedbackEvent::new(user.clone(), Action::HideTrack)
    };
    let events = world.users.iter().enumerate().map(|(at, user)| event(at, &user.user_id));
    engine.feedback(events.collect()).unwrap();
    engine.refresh_statistics().unwrap();
}

#[track_caller]
fn assert_same(expected: &Replies, found: &Replies, what: &str) {
    assert_eq!(expected.len(), found.len());
    for ((name, expected), (_, found)) in expected.iter().zip(found) {
        let differs = expected.bytes().zip(found.bytes()).position(|(a, b)| a != b);
        let Some(at) = differs.or((expected.len() != found.len()).then_some(0)) else { continue };
        // Replies are long.
        let part =
            |text: &str| String::from_utf8_lossy(&text.as_bytes()[at.saturating_sub(200)..]).into_owned();
        let (expected, found) = (part(expected), part(found));
        panic!("{what}: {name}\n{expected:.400}\n{found:.400}");
    }
}

/// The goal: whatever is asked, exactly or not, has the same reply to the bit wherever shards are; of one shard, of several, and
/// behind a split.
#[test]
fn replies_do_not_tell_where_track_shards_are() {
    for (shards, elsewhere) in [(1, vec![vec![0]]), (3, vec![vec![0, 1, 2], vec![1], vec![0, 2]])] {
        let folder = tempfile::tempdir().unwrap();
        let engine = open(folder.path(), shards);
        let mut world = World::generate(0x7AC5, 900, 30);
        fill(&engine, &mut world);
        let all = Asked::new(&engine, &[]);
        let here = replies(&engine, &world, &all);
        assert_eq!(all.questions(), 0);
        let offered = here.iter().filter(|(name, _)| name.starts_with("list")).count();
        assert!(offered > 100 && here.iter().any(|(name, _)| name.starts_with("explained")));
        for places in elsewhere {
            let asked = all.elsewhere(&places);
            assert_same(&here, &replies(&engine, &world, &asked), &format!("{places:?} of {shards}"));
            assert!(asked.questions() > 1_000, "{}", asked.questions());
        }
    }
}

#[test]
fn replies_do_not_tell_where_the_parts_of_a_split_shard_are() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), 2);
    let mut world = World::generate(0x51, 900, 30);
    fill(&engine, &mut world);
    done(&engine, "tracks-0", SLOTS / 4);
    // Numbers that both parts give.
    let again = world.tracks.iter().step_by(3).map(|track| {
        let id = format!("new-{}", track.track_id);
        let recording_id = track.recording_id.clone();
        Track { track_id: TrackId::new(id).unwrap(), recording_id, ..track.clone() }
    });
    engine.upsert_tracks(again.collect()).unwrap();
    let all = Asked::new(&engine, &[]);
    let here = replies(&engine, &world, &all);
    for places in [vec![0, 1, 2], vec![0], vec![1], vec![2]] {
        let asked = all.elsewhere(&places);
        assert_same(&here, &replies(&engine, &world, &asked), &format!("{places:?} behind a split"));
    }
}

/// What a list costs where a shard is elsewhere: questions go together, and what is kept of a listener is not asked for again.
#[test]
fn a_list_of_a_known_listener_takes_few_questions() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), 2);
    let mut world = World::generate(0x7AC5, 900, 30);
    fill(&engine, &mut world);
    let asked = Asked::new(&engine, &[1]);
    let caches = Caches::default();
    for surface in ["discover_weekly", "radio", "home"] {
        let lists = |round: &str| {
            asked.take_kinds();
            let mut most = 0;
            for user in &world.users {
                let before = asked.questions();
                let request = RecommendRequest {
                    as_of: Some(AS_OF),
                    request_id: Some(format!("{round} {surface}")),
                    ..RecommendRequest::new(user.user_id.clone(), Surface::new(surface).unwrap())
                };
                recommend(&asked.reader(&engine, &caches), &request).unwrap();
                most = most.max(asked.questions() - before);
            }
            let kinds = asked.take_kinds();
            let all: usize = kinds.values().sum();
            let mean = all as f64 / world.users.len() as f64;
            eprintln!("{surface}, {round}: {mean:.1} questions a list, {most} at most, {kinds:?}");
            (mean, most)
        };
        lists("first");
        let (mean, most) = lists("again");
        assert!(mean <= 11.0 && most <= 15, "{surface}: {mean} questions a list, {most} at most");
    }
}

/// A shard that nobody can be asked for is named, nothing of it is shown, and nothing made without it is kept.
#[test]
fn a_missing_shard_is_named_and_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), 3);
    let mut world = World::generate(0x11, 900, 30);
    fill(&engine, &mut world);
    let all = Asked::new(&engine, &[]);
    let here = replies(&engine, &world, &all);
    let caches = Caches::default();
    let asked = all.elsewhere(&[1]);
    let gone = [asked.silent(), asked.missing()];
    let user = |at: usize| world.users[at].user_id.clone();
    let kinds = [(2, "radio"), (3, "home"), (4, "discover_weekly")];
    for ((at, surface), silent) in
        kinds.into_iter().flat_map(|kind| gone.iter().map(move |gone| (kind, gone)))
    {
        let request = RecommendRequest {
            as_of: Some(AS_OF),
            request_id: Some("r".to_owned()),
            ..RecommendRequest::new(user(at), Surface::new(surface).unwrap())
        };
        let reader = silent.reader(&engine, &caches);
        let list = crate::pipeline::recommend::recommend(&reader, &request).unwrap();
        assert!(list.degraded.iter().any(|words| words.contains("tracks-1")), "{:?}", list.degraded);
        assert!(list.tracks.len() >= 10, "two of three shards have enough: {}", list.tracks.len());
        for track in &list.tracks {
            assert_ne!(reader.find(&track.track_id).unwrap().unwrap().shard.0, 1, "{}", track.track_id);
        }
        // What cannot do without the shard says so instead of leaving something out.
        let in_it = |track: &&Track| shard_of_slot(slot_of(track.track_id.as_str()), 3) == 1;
        let lost = world.tracks.iter().find(in_it).unwrap();
        for refused in [
            reader.record(&lost.track_id).map(drop),
            reader.page(1, 0, 10).map(drop),
            reader.live_tracks().map(drop),
            reader.count_vectors(&audio(), GenerationId::STATIC).map(drop),
            reader.whole(),
        ] {
            assert_eq!(refused.unwrap_err().kind(), crate::ErrorKind::Unavailable);
        }
        assert!(reader.page(0, 0, 10).is_ok_and(|page| page.len() == 10));
    }
    let later = replies_of(&engine, &world, || asked.reader(&engine, &caches));
    assert_same(&here, &later, "the shard is back");
    // It goes again: what was kept of it meanwhile offers nothing of it, and names none of its tracks as a reason.
    for (at, surface) in kinds {
        let request = RecommendRequest {
            as_of: Some(AS_OF),
            request_id: Some("again".to_owned()),
            explain: true,
            ..RecommendRequest::new(user(at), Surface::new(surface).unwrap())
        };
        let reader = asked.missing().reader(&engine, &caches);
        let list = crate::pipeline::recommend::recommend(&reader, &request).unwrap();
        assert!(list.degraded.iter().any(|words| words.contains("tracks-1")), "{:?}", list.degraded);
        let is_lost = |id: &TrackId| shard_of_slot(slot_of(id.as_str()), 3) == 1;
        assert!(list.tracks.len() >= 10 && list.tracks.iter().all(|track| !is_lost(&track.track_id)));
    }
}

fn audio() -> SpaceName {
    space("audio")
}
