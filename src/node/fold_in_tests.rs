//! The vector that is computed on read is the trainer's own: from stored events to the last digit.
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use super::engine::{LoadKind, Segue};
use super::tests::{settings_without_reserve, track};
use crate::pipeline::cold_start::ColdStart;
use crate::pipeline::recommend::{Plan, UserVector, user_vector};
use crate::pipeline::request::RecommendRequest;
use crate::telemetry::StageClock;
use crate::train::{AlsModel, AlsParams, Interactions, Observed, WeightParams, solve_row, train_als};
use crate::types::{
    Action, FeedbackEvent, GenerationId, Play, PlayAction, SpaceName, SplitMix64, Surface, Timestamp, Track,
    User, UserId, VectorRow,
};

/// 2026-11-01T00:00:00Z: the time of every request.
const AS_OF: Timestamp = Timestamp(1_793_491_200_000);
const TRACKS: u64 = 80;
const LISTENERS: u64 = 48;
/// The generation's decay stands still here; a third of all events comes later and weighs in full.
const REFERENCE_DAYS_AGO: i64 = 30;

/// Every fifth track has no known length.
fn catalogue() -> Vec<Track> {
    let length = |number: u64| (!number.is_multiple_of(5)).then_some(90_000 + 2_000 * number as u32);
    (0..TRACKS).map(|number| Track { duration_ms: length(number), ..track(number) }).collect()
}

fn listener(number: u64) -> UserId {
    UserId::new(format!("u{number:02}")).unwrap()
}

/// Events of every kind of the last so many days, several on most tracks, none twice at the same time. The first listener has
/// one play; the second skips a track more than they play it, and plays another for no time at all.
fn history(seed: u64, days: u64) -> Vec<Play> {
    let mut rng = SplitMix64::new(seed);
    let mut plays = Vec::new();
    let mut add = |user: u64, track_number: u64, action: PlayAction, listened_ms: u32, at: i64| {
        let track_id = track(track_number).track_id;
        let played_at = Timestamp(AS_OF.0 - at);
        plays.push(Play { user_id: listener(user), track_id, played_at, listened_ms, action });
    };
    let day = 86_400_000;
    add(0, 7, PlayAction::Play, 61_000, 3 * day);
    add(1, 1, PlayAction::Play, 20_000, 40 * day);
    add(1, 1, PlayAction::Skip, 2_000, 41 * day);
    add(1, 1, PlayAction::Skip, 29_999, 2 * day);
    add(1, 2, PlayAction::Play, 0, 5 * day);
    add(1, 3, PlayAction::Save, 0, 6 * day);
    add(1, 5, PlayAction::Play, 100_000, 7 * day);
    for user in 2..LISTENERS {
        for event in 0..10 + rng.below(50) as i64 {
            let action = [PlayAction::Play, PlayAction::Save, PlayAction::Repeat, PlayAction::Skip]
                [rng.below(4) as usize];
            let listened_ms = [0, 5_000, 29_999, 30_000, 90_000, 250_000][rng.below(6) as usize];
            let at = 1 + event + 1_000 * rng.below(days * 86_400) as i64;
            add(user, (rng.below(30) + 7 * user) % TRACKS, action, listened_ms, at);
        }
    }
    plays
}

fn weighed(plays: &[Play], tracks: &[Track]) -> Interactions {
    let length = |id: &str| tracks.iter().find(|track| track.track_id.as_str() == id)?.duration_ms;
    let params = WeightParams { half_life_days: 62.4, reference_time: AS_OF.minus_days(REFERENCE_DAYS_AGO) };
    Interactions::from_plays(plays, length, params).unwrap()
}

/// A database that holds the history, half of it loaded and half of it told as feedback, and the model's track vectors. It
/// has no vector of a listener.
fn stored(folder: &std::path::Path, tracks: &[Track], plays: &[Play], model: &AlsModel) -> Segue {
    let engine = Segue::open(folder, settings_without_reserve()).unwrap().0;
    engine.upsert_tracks(tracks.to_vec()).unwrap();
    engine.upsert_users((0..LISTENERS).map(|number| User::unknown(listener(number))).collect()).unwrap();
    let (loaded, told) = plays.split_at(plays.len() / 2);
    engine.load_plays("half", 0, loaded.to_vec()).unwrap();
    engine.finish_load("half", LoadKind::Plays, &|_| {}).unwrap();
    let event = |play: &Play| {
        let action = match play.action {
            PlayAction::Play => Action::Play,
            PlayAction::Skip => Action::Skip,
            PlayAction::Save => Action::Save,
            PlayAction::Repeat => Action::Repeat,
        };
        FeedbackEvent {
            track_id: Some(play.track_id.clone()),
            at: Some(play.played_at),
            listened_ms: Some(play.listened_ms),
            ..FeedbackEvent::new(play.user_id.clone(), action)
        }
    };
    engine.feedback(told.iter().map(event).collect()).unwrap();
    let generation = engine.create_generation(model.gram.dim, Some(model.gram.clone())).unwrap().id;
    let rows = model.track_ids.iter().enumerate();
    let rows = rows.map(|(row, id)| VectorRow { id: id.clone(), vector: model.track(row).to_vec() });
    engine.upsert_vectors(&SpaceName::new("track_cf").unwrap(), generation, rows.collect()).unwrap();
    // Activation wants a listener with a vector; it is nobody's of this history.
    let stranger = VectorRow { id: "stranger".to_owned(), vector: model.track(0).to_vec() };
    engine.upsert_users(vec![User::unknown(UserId::new("stranger").unwrap())]).unwrap();
    engine.upsert_vectors(&SpaceName::new("user_cf").unwrap(), generation, vec![stranger]).unwrap();
    engine.activate_generation(generation).unwrap();
    assert_ne!(generation, GenerationId::STATIC);
    engine
}

fn on_read(engine: &Segue, user: &UserId, as_of: Timestamp) -> UserVector {
    read_and_kept(engine, user, as_of).0
}

/// And whether the vector was kept from another time.
fn read_and_kept(engine: &Segue, user: &UserId, as_of: Timestamp) -> (UserVector, bool) {
    let reader = engine.inner().reader(None).unwrap();
    let request = RecommendRequest {
        as_of: Some(as_of),
        request_id: Some("a request".to_owned()),
        ..RecommendRequest::new(user.clone(), Surface::new("radio").unwrap())
    };
    let plan = Plan::make(&reader, &request, &mut StageClock::start()).unwrap();
    let is_kept = plan.listener.has_solved_vector();
    (user_vector(&reader, &plan).unwrap(), is_kept)
}

/// How far two vectors are apart, against the length of the second.
fn apart(a: &[f32], b: &[f32]) -> f64 {
    let length = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
    let difference = length(&mut a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    difference / length(&mut b.iter().map(|x| f64::from(*x)))
}

#[test]
fn a_vector_computed_on_read_is_the_one_the_trainer_gives_the_same_history() {
    // Older than a view reaches, too: most of those events are read for the vector alone.
    for (dim, days) in [(8, 85), (24, 400)] {
        let (tracks, plays) = (catalogue(), history(0xF01D, days));
        let data = weighed(&plays, &tracks);
        assert!(data.disliked_pairs() > 100, "{}", data.disliked_pairs());
        let params = AlsParams { dim, alpha: 0.5, sweeps: 6, ..AlsParams::default() };
        let model = train_als(&data, &params, &mut |_| {}).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let engine = stored(folder.path(), &tracks, &plays, &model);
        let mut worst = 0.0_f64;
        for (row, id) in model.user_ids.iter().enumerate() {
            let found = on_read(&engine, &UserId::new(id.clone()).unwrap(), AS_OF);
            assert_eq!(found.step, ColdStart::FoldIn, "{id}");
            let difference = apart(&found.components.unwrap(), model.user(row));
            assert!(difference <= 1e-6, "{id}, dim {dim}: {difference:e}");
            worst = worst.max(difference);
        }
        assert_eq!(model.user_ids.len() as u64, LISTENERS);
        eprintln!("dim {dim}: {LISTENERS} listeners, worst relative difference {worst:e}");
    }
}

/// A request of the past folds in what had happened by then; decay stays frozen at the generation's reference time.
#[test]
fn a_vector_of_the_past_is_the_row_of_what_had_happened_by_then() {
    let (tracks, plays) = (catalogue(), history(0xF01E, 400));
    let params = AlsParams { dim: 16, alpha: 0.5, sweeps: 4, ..AlsParams::default() };
    let model = train_als(&weighed(&plays, &tracks), &params, &mut |_| {}).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let engine = stored(folder.path(), &tracks, &plays, &model);
    let mut compared = 0;
    for days_ago in [5, 30, 60, 200] {
        let as_of = AS_OF.minus_days(days_ago);
        let by_then: Vec<Play> = plays.iter().filter(|play| play.played_at <= as_of).cloned().collect();
        let data = weighed(&by_then, &tracks);
        for (user, id) in data.users().iter().enumerate() {
            let observed = data.of_user(user).map(|(item, weight, liked)| {
                let row = model.track_ids.binary_search(&data.items()[item]).unwrap();
                Observed { vector: model.track(row), weight, liked }
            });
            let observed: Vec<Observed<'_>> = observed.collect();
            if !observed.iter().any(|one| one.liked) {
                continue;
            }
            let expected = solve_row(&model.gram, &observed).unwrap();
            let found = on_read(&engine, &UserId::new(id.clone()).unwrap(), as_of);
            let difference = apart(&found.components.unwrap(), &expected);
            assert!(difference <= 1e-6, "{id}, {days_ago} days ago: {difference:e}");
            compared += 1;
        }
    }
    assert!(compared > 2 * LISTENERS, "{compared}");
}

/// The vector is solved once while nothing changes, and anew whatever changes of what it was made of.
#[test]
fn a_kept_vector_is_solved_anew_when_something_it_was_made_of_changes() {
    let (tracks, plays) = (catalogue(), history(0xF01F, 400));
    let params = AlsParams { dim: 8, alpha: 0.5, sweeps: 4, ..AlsParams::default() };
    let model = train_als(&weighed(&plays, &tracks), &params, &mut |_| {}).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let engine = stored(folder.path(), &tracks, &plays, &model);
    let user = listener(5);
    let read = |as_of| on_read(&engine, &user, as_of).components.unwrap();
    let mut last = read(AS_OF);
    let (again, is_kept) = read_and_kept(&engine, &user, AS_OF);
    assert!(is_kept && again.components.unwrap() == last);
    // What is derived of a listener is the same an instant before an event that its view keeps no more, and after it.
    let mut old: Vec<Timestamp> =
        plays.iter().filter(|play| play.user_id == user).map(|play| play.played_at).collect();
    old.sort_unstable();
    let at = old[2];
    assert!(at < AS_OF.minus_days(120), "of {} events the third is old", old.len());
    let (before, after) = (read(Timestamp(at.0 - 1)), read(at));
    assert!(apart(&before, &after) > 1e-4);
    assert!(!read_and_kept(&engine, &user, at).1);
    assert_eq!(read(Timestamp(at.0 - 1)), before);
    assert_eq!(read(AS_OF), last);
    let mut is_another = |what: &str| {
        let now = read(AS_OF);
        assert!(apart(&now, &last) > 1e-4, "{what}");
        assert_eq!(read(AS_OF), now, "{what}");
        last = now;
    };
    let played = plays.iter().filter(|play| play.user_id == user && play.listened_ms == 90_000);
    let played = played.map(|play| play.track_id.clone()).next().unwrap();
    let longer = tracks.iter().find(|track| track.track_id == played).unwrap().clone();
    engine.upsert_tracks(vec![Track { duration_ms: Some(900_000), ..longer }]).unwrap();
    is_another("a track's length");
    let row = VectorRow { id: played.to_string(), vector: vec![0.5; 8] };
    let generation = engine.inner().reader(None).unwrap().generation.unwrap();
    engine.upsert_vectors(&SpaceName::new("track_cf").unwrap(), generation, vec![row]).unwrap();
    is_another("a track's vector");
    let long_ago = FeedbackEvent {
        track_id: Some(track(79).track_id),
        at: Some(AS_OF.minus_days(399)),
        ..FeedbackEvent::new(user.clone(), Action::Save)
    };
    engine.feedback(vec![long_ago]).unwrap();
    is_another("an event long ago that comes late");
}

/// The whole list, not only the vector: tracks are near what one play says, by the very numbers.
#[test]
fn the_list_of_a_listener_with_one_play_says_fold_in_and_is_asked_for_with_that_vector() {
    let (tracks, plays) = (catalogue(), history(0xF020, 85));
    let params = AlsParams { dim: 8, alpha: 0.5, sweeps: 4, ..AlsParams::default() };
    let model = train_als(&weighed(&plays, &tracks), &params, &mut |_| {}).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let engine = stored(folder.path(), &tracks, &plays, &model);
    let user = listener(0);
    let vector = on_read(&engine, &user, AS_OF).components.unwrap();
    let list = engine
        .recommend(RecommendRequest {
            as_of: Some(AS_OF),
            n: Some(10),
            explain: true,
            ..RecommendRequest::new(user, Surface::new("anywhere").unwrap())
        })
        .unwrap();
    assert_eq!((list.cold_start.as_str(), list.tracks.len()), ("fold_in", 10));
    let mut compared = 0;
    for shown in &list.tracks {
        let scores = &shown.explanation.as_ref().unwrap().sources;
        let Some(score) = scores.iter().find(|score| score.source == "collaborative") else { continue };
        let row = model.track_ids.binary_search_by(|id| id.as_str().cmp(shown.track_id.as_str())).unwrap();
        let product: f32 = vector.iter().zip(model.track(row)).map(|(a, b)| a * b).sum();
        assert!(
            (score.raw - f64::from(product)).abs() < 1e-5,
            "{}: {} and {product}",
            shown.track_id,
            score.raw
        );
        compared += 1;
    }
    assert!(compared >= 5, "{compared} of the list came from that vector");
}
