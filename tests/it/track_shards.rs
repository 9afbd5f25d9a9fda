//! A database with several track shards answers, exactly, as one with a single shard does, whatever is sealed and merged.

use segue::Segue;
use segue::eval::RulesRequest;
use segue::filter::TrackFilter;
use segue::pipeline::portrait::Portrait;
use segue::pipeline::request::{
    ExplainRequest, Explanation, RecommendRequest, Recommendation, RequestContext, SearchRequest,
    SimilarRequest, SimilarUser, SimilarUsersRequest,
};
use segue::types::{Action, DAY_MS, FeedbackEvent, Surface, Timestamp, Track, TrackId, UserId};

use crate::discovery::event;
use crate::running::run;
use crate::support::{AS_OF, World, id, seed, space, track};
use crate::track_writes::{files, open};

/// A world whose listeners have friends, and in which much is equal: popularities, vectors, moments. One track in six is
/// a version of the one before it, so most recordings with two versions are in two shards.
pub(crate) fn world(seed: u64) -> World {
    let mut world = World::generate(seed, 900, 70);
    let ids: Vec<UserId> = world.users.iter().map(|user| user.user_id.clone()).collect();
    for (at, user) in world.users.iter_mut().enumerate() {
        user.social_consent = at % 5 != 0;
        user.friends = [1, 2, 7].map(|step| ids[(at + step) % ids.len()].clone()).to_vec();
        user.age_band = Some(["18-24", "25-34"][at % 2].to_owned());
    }
    for track in &mut world.tracks {
        track.popularity = track.popularity.map(|popularity| (popularity / 10.0).round() * 10.0);
    }
    for vectors in [&mut world.audio_vectors, &mut world.track_vectors] {
        for at in (7..vectors.len()).step_by(7) {
            vectors[at].vector = vectors[at - 3].vector.clone();
        }
    }
    for at in (3..world.plays.len()).step_by(9) {
        if world.plays[at].user_id == world.plays[at - 1].user_id {
            world.plays[at].played_at = world.plays[at - 1].played_at;
        }
    }
    world
}

/// Things done to tracks after they were loaded: blocked, hidden, saved, heard before they came.
fn events(world: &World) -> Vec<FeedbackEvent> {
    let mut events = Vec::new();
    for (at, user) in (0_i64..).zip(&world.users) {
        let user = user.user_id.as_str();
        let did = |action, track: String, minutes: i64| FeedbackEvent {
            track_id: Some(id(track)),
            ..event(user, action, Timestamp(AS_OF.0 - DAY_MS + minutes * 60_000))
        };
        events.push(did(Action::Play, format!("late{}", at % 3), at));
        events.push(did(Action::HideTrack, format!("t{}", 6 * at + 4), 1));
        events.push(did(Action::Save, format!("t{}", 6 * at + 11), 2));
        if at % 4 == 0 {
            let artist = Some(id("a5"));
            events.push(FeedbackEvent { artist_id: artist, ..event(user, Action::BlockArtist, AS_OF) });
        }
    }
    events
}

/// Fills a database: rows, what is done to them, and rows that replace, move to other recordings, go and come back.
pub(crate) fn fill(engine: &Segue, world: &World) {
    let generation = world.load(engine);
    let (_, token) = engine.feedback(events(world)).unwrap();
    // As of another day: trends of today are counted once everything is there.
    let yesterday = Some(Timestamp(AS_OF.0 - DAY_MS));
    let home = request(&world.users[0].user_id, "home");
    let with_token = RecommendRequest { min_token: Some(token), as_of: yesterday, ..home };
    engine.recommend(with_token).unwrap();
    let late = (0..3).map(|number| Track { track_id: id(format!("late{number}")), ..track(5_000, number) });
    engine.upsert_tracks(late.collect()).unwrap();
    // Some become versions of others, some stop being that.
    let moved = world.tracks.iter().step_by(13).map(|track| {
        let number: u64 = track.track_id.as_str()[1..].parse().unwrap();
        Track { recording_id: id(format!("t{}", number / 2)), ..track.clone() }
    });
    engine.upsert_tracks(moved.collect()).unwrap();
    let gone: Vec<TrackId> = world.tracks.iter().skip(5).step_by(31).map(|t| t.track_id.clone()).collect();
    let (deleted, token) = engine.delete_tracks(&gone).unwrap();
    assert_eq!(deleted, gone.len() as u64);
    assert!(!token.applied.is_empty());
    engine.upsert_tracks(world.tracks.iter().skip(5).step_by(93).cloned().collect()).unwrap();
    let without: Vec<String> = world.tracks.iter().step_by(41).map(|t| t.track_id.to_string()).collect();
    let (found, _) = engine.delete_vectors(&space("track_cf"), generation, &without).unwrap();
    assert!(found > 10, "{found}");
    engine.refresh_statistics().unwrap();
}

fn request(user: &UserId, surface: &str) -> RecommendRequest {
    RecommendRequest {
        as_of: Some(AS_OF),
        request_id: Some(format!("{user}/{surface}")),
        explain: true,
        exact: true,
        ..RecommendRequest::new(user.clone(), Surface::new(surface).unwrap())
    }
}

const SURFACES: [&str; 7] =
    ["discover_weekly", "radio", "release_radar", "daily_mix", "top_mixes", "made_for_you", "home"];

/// What a database answers.
#[derive(Debug, PartialEq)]
pub(crate) struct Answers {
    live: usize,
    lists: Vec<Recommendation>,
    searches: Vec<Recommendation>,
    similar: Vec<Option<Recommendation>>,
    similar_users: Vec<Option<Vec<SimilarUser>>>,
    explanations: Vec<Explanation>,
    portraits: Vec<Portrait>,
    pub(crate) wrong: u64,
}

/// Leaves out what says how it was asked: log indexes, tokens (they name places), shares of shards.
fn plain(mut list: Recommendation) -> Recommendation {
    list.applied.clear();
    list.impression.clear();
    list.searches.clear();
    list
}

fn searches(engine: &Segue, world: &World) -> Vec<Recommendation> {
    let mut all = Vec::new();
    let excluded: Vec<TrackId> = world.tracks.iter().skip(4).step_by(6).map(|t| t.track_id.clone()).collect();
    let filters = [
        TrackFilter::default(),
        TrackFilter { exclude_tracks: excluded, ..TrackFilter::default() },
        TrackFilter { genres: vec!["rock".into(), "jazz".into()], ..TrackFilter::default() },
    ];
    for (number, filter) in filters.iter().cycle().take(30).enumerate() {
        for (name, rows) in [("audio", &world.audio_vectors), ("track_cf", &world.track_vectors)] {
            for k in [1, 10, 57] {
                let asked = SearchRequest {
                    vector: Some(rows[number * 7].vector.clone()),
                    k,
                    exact: true,
                    filter: filter.clone(),
                    ..SearchRequest::new(space(name))
                };
                all.push(engine.search(asked).unwrap());
            }
        }
        let text = ["title", "artist 7", ""][number % 3].to_owned();
        let popular = SearchRequest {
            k: 40,
            text: Some(text),
            filter: filter.clone(),
            ..SearchRequest::new(space("audio"))
        };
        all.push(engine.search(popular).unwrap());
    }
    let timeless = |list: Recommendation| Recommendation { as_of: AS_OF, ..plain(list) };
    all.into_iter().map(timeless).collect()
}

pub(crate) fn ask(engine: &Segue, world: &World) -> Answers {
    let users: Vec<&UserId> = world.users.iter().map(|user| &user.user_id).collect();
    let mut lists: Vec<Recommendation> = Vec::new();
    for user in &users {
        lists.extend(SURFACES.map(|surface| plain(engine.recommend(request(user, surface)).unwrap())));
    }
    for (at, user) in users.iter().enumerate().take(40) {
        let seeds = [at * 11, at * 11 + 5].map(|number| id::<TrackId>(format!("t{number}"))).to_vec();
        let seeded = RecommendRequest { seeds, ..request(user, "radio") };
        lists.extend(engine.recommend(seeded).ok().map(plain));
    }
    let similar = |at: usize| {
        let seeds = vec![(id(format!("t{}", at * 5)), 1.0), (id(format!("t{}", at * 3 + 1)), -0.5)];
        let asked = SimilarRequest {
            k: 20,
            space: Some(space(["track_cf", "audio"][at % 2])),
            user_id: at.is_multiple_of(3).then(|| users[at].clone()),
            as_of: Some(AS_OF),
            exact: true,
            ..SimilarRequest::new(seeds)
        };
        engine.similar(asked).ok().map(plain)
    };
    let explain = |at: usize| {
        let (user, surface) = (users[at % users.len()], SURFACES[at % SURFACES.len()]);
        engine
            .explain(ExplainRequest { request: request(user, surface), track_id: id(format!("t{}", at * 2)) })
    };
    let rules = RulesRequest { as_of: AS_OF, surfaces: vec!["radio".into()], users_max: None, probes: 0 };
    let like = |user: &&UserId| {
        let asked = SimilarUsersRequest::new((*user).clone(), 12);
        engine.similar_users(asked).ok()
    };
    let portrait = |user: &&UserId| engine.portrait(user, AS_OF, &RequestContext::default()).unwrap();
    Answers {
        live: engine.live_tracks().unwrap(),
        lists,
        searches: searches(engine, world),
        similar: (0..60).map(similar).collect(),
        similar_users: users.iter().map(like).collect(),
        explanations: (0..70).filter_map(|at| explain(at).ok()).collect(),
        portraits: users.iter().map(portrait).collect(),
        wrong: segue::eval::check_rules(engine, &rules, &|_, _| {}).unwrap().wrong,
    }
}

#[track_caller]
pub(crate) fn assert_same(one: &Answers, other: &Answers, what: &str) {
    for (a, b) in one.searches.iter().zip(&other.searches) {
        assert_eq!(a, b, "{what}: a search");
    }
    for (a, b) in one.portraits.iter().zip(&other.portraits) {
        assert_eq!(a, b, "{what}: a portrait");
    }
    for (a, b) in one.lists.iter().zip(&other.lists) {
        assert_eq!(a, b, "{what}: a list");
    }
    assert!(one.similar == other.similar, "{what}: similar tracks");
    assert!(one.similar_users == other.similar_users, "{what}: similar listeners");
    for (a, b) in one.explanations.iter().zip(&other.explanations) {
        assert_eq!(a, b, "{what}: an explanation");
    }
    assert_eq!(one, other, "{what}");
}

/// The goal: nothing that is asked exactly tells how many shards there are, nor what of them is in memory, in files, merged,
/// or was read back.
#[test]
fn answers_do_not_depend_on_the_number_of_track_shards() {
    let world = world(seed(0x7AC5));
    let folder = tempfile::tempdir().unwrap();
    let mut reference: Option<Answers> = None;
    for shards in [1, 2, 5] {
        let dir = folder.path().join(format!("{shards}"));
        let engine = open(&dir, shards);
        fill(&engine, &world);
        let growing = ask(&engine, &world);
        let first = reference.get_or_insert_with(|| ask(&engine, &world));
        assert_same(first, &growing, &format!("{shards} shards in memory"));
        assert!(growing.wrong == 0 && growing.similar.iter().flatten().count() > 40);
        assert!(growing.lists.iter().flat_map(|list| &list.tracks).count() > 5_000);
        assert!(growing.explanations.iter().any(|it| it.listed) && growing.explanations.len() > 50);
        // Four seals and a merge, of rows that are written again as they are.
        for part in 0..5 {
            engine.checkpoint().unwrap();
            let again = world.tracks.iter().skip(part).step_by(311).map(|track| track.track_id.clone());
            let again: Vec<Track> = again.filter_map(|id| engine.track(&id).ok()).collect();
            engine.upsert_tracks(again).unwrap();
        }
        engine.checkpoint().unwrap();
        assert_same(first, &ask(&engine, &world), &format!("{shards} shards in files"));
        engine.shutdown().unwrap();
        drop(engine);
        for shard in 0..shards {
            let files = files(&dir.join(format!("tracks-{shard}")));
            let is_manifest = |file: &std::path::PathBuf| file.to_string_lossy().contains("MANIFEST-");
            assert!(files.iter().any(is_manifest), "tracks-{shard} has no checkpoint");
        }
        assert!(!dir.join(format!("tracks-{shards}")).exists());
        assert!(run(&["verify", dir.to_str().unwrap()]).status.success(), "{shards} shards are not whole");
        // Opened by whoever does not know how many there are.
        let engine = open(&dir, 0);
        assert_same(first, &ask(&engine, &world), &format!("{shards} shards opened again"));
        engine.shutdown().unwrap();
    }
}
