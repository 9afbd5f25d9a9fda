//! What a read demands and is given: a state as new as its token, an answer in time or none, a list for a newcomer, a
//! full one where anything is left.

use std::time::Duration;

use segue::api::Batch;
use segue::node::LoadProgress;
use segue::pipeline::request::{
    RecommendRequest, SearchRequest, SimilarRequest, SimilarUsersRequest, WriteToken,
};
use segue::types::{DAY_MS, Date, Deadline, Play, PlayAction, Surface, Timestamp, User};
use segue::{ErrorKind, Segue};

use crate::running::{Running, run};
use crate::support::{AS_OF, World, id, small_segments, space, track};

#[test]
fn a_read_with_a_token_sees_the_write_or_says_that_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = Segue::open(folder.path(), small_segments()).unwrap();
    World::generate(13, 120, 4).load(&engine);
    let token = engine.upsert_tracks(vec![track(950, 1)]).unwrap();
    let search = |min_token| SearchRequest { min_token, k: 1_000, ..SearchRequest::new(space("audio")) };
    let found = engine.search(search(Some(token.clone()))).unwrap();
    assert!(found.tracks.iter().any(|listed| listed.track_id.as_str() == "t950"));
    let mut similar = SimilarRequest::new(vec![(id("t1"), 1.0)]);
    similar.min_token = Some(token.clone());
    assert_eq!(engine.similar(similar.clone()).unwrap().tracks.len(), 10);

    let future = WriteToken { applied: vec![(token.applied[0].0.clone(), token.applied[0].1 + 1_000)] };
    let stranger = WriteToken { applied: vec![("tracks-77".to_owned(), 1)] };
    for (token, kind) in [(future, ErrorKind::Unavailable), (stranger, ErrorKind::Invalid)] {
        similar.min_token = Some(token.clone());
        assert_eq!(engine.similar(similar.clone()).unwrap_err().kind(), kind);
        assert_eq!(engine.search(search(Some(token.clone()))).unwrap_err().kind(), kind);
        let mut request = RecommendRequest::new(id("u1"), id::<Surface>("radio"));
        request.min_token = Some(token);
        assert_eq!(engine.recommend(request).unwrap_err().kind(), kind);
    }
}

/// A passed deadline gives an error, through the library and through gRPC; it never gives half a list.
#[test]
fn a_query_that_is_out_of_time_says_so_and_gives_no_part_of_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::generate(14, 3_000, 12);
    let late = Deadline::after(Duration::ZERO);
    {
        let (engine, _) = Segue::open(folder.path(), small_segments()).unwrap();
        world.load(&engine);
        let recommend = RecommendRequest::new(id("u2"), id::<Surface>("discover_weekly"));
        let error = engine.recommend(RecommendRequest { deadline: late, ..recommend }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        let similar = SimilarRequest::new(vec![(id("t1"), 1.0)]);
        let error = engine.similar(SimilarRequest { deadline: late, ..similar }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        let users = SimilarUsersRequest { deadline: late, ..SimilarUsersRequest::new(id("u2"), 3) };
        assert_eq!(engine.similar_users(users).unwrap_err().kind(), ErrorKind::Timeout);
        let search = SearchRequest { deadline: late, ..SearchRequest::new(space("audio")) };
        assert_eq!(engine.search(search).unwrap_err().kind(), ErrorKind::Timeout);
        engine.shutdown().unwrap();
    }
    let server = Running::start(folder.path(), &[]);
    let client = server.client();
    let ask = |deadline| {
        let request = RecommendRequest::new(id("u2"), id::<Surface>("discover_weekly"));
        let request_id = Some("fixed".to_owned());
        client.recommend(RecommendRequest { deadline, request_id, as_of: Some(AS_OF), ..request })
    };
    let whole = ask(Deadline::NEVER).unwrap().tracks;
    let (mut late, mut answered) = (0, 0);
    for micros in [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 1_000_000] {
        match ask(Deadline::after(Duration::from_micros(micros))) {
            Ok(list) => {
                assert_eq!(list.tracks, whole, "an answer in time is the whole answer");
                answered += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
                late += 1;
            }
        }
    }
    assert!(late > 0 && answered > 0, "{late} late, {answered} answered");
    let output = run(&[
        "recommend",
        "--user",
        "u2",
        "--surface",
        "radio",
        "--timeout-ms",
        "0",
        "--endpoint",
        &server.endpoint,
        "--json",
    ]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("timed out"));
}

#[test]
fn a_newcomer_is_served_from_what_listeners_like_them_hear() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = Segue::open(folder.path(), small_segments()).unwrap();
    let mut world = World::generate(15, 300, 60);
    for (at, user) in world.users.iter_mut().enumerate() {
        user.region = Some(if at % 2 == 0 { "SE" } else { "DE" }.parse().unwrap());
        user.age_band = Some("18-24".to_owned());
    }
    world.load(&engine);
    let newcomer = |name: &str, region: Option<&str>, band: Option<&str>| User {
        region: region.map(|code| code.parse().unwrap()),
        age_band: band.map(str::to_owned),
        ..User::unknown(id(name))
    };
    let cases = [
        (newcomer("n0", Some("SE"), Some("18-24")), "region_age_prior"),
        (newcomer("n1", Some("DE"), Some("65+")), "region_age_prior"),
        (newcomer("n2", Some("BR"), Some("18-24")), "region_age_prior"),
        (newcomer("n3", Some("BR"), None), "popularity"),
        (newcomer("n4", None, None), "popularity"),
    ];
    for (user, expected) in cases {
        let name = user.user_id.clone();
        engine.upsert_users(vec![user]).unwrap();
        let request = RecommendRequest::new(name.clone(), id::<Surface>("made_for_you"));
        let list = engine.recommend(RecommendRequest { as_of: Some(AS_OF), ..request }).unwrap();
        assert_eq!((list.cold_start.as_str(), list.tracks.len()), (expected, 20), "{name}");
    }
}

/// Found by `segue eval rules`: the window keeps all versions of a heard recording away, but only the version that was
/// heard came back when a list was short.
#[test]
fn another_version_of_a_heard_recording_fills_a_short_list() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = Segue::open(folder.path(), small_segments()).unwrap();
    let released = |number: u64, days: i32| {
        let mut track = track(number, 1);
        track.release_date = Some(Date(AS_OF.day() - days));
        track
    };
    let mut again = released(2, 3);
    again.recording_id = id("t3");
    engine.upsert_tracks(vec![released(0, 1), released(1, 2), again, released(3, 4_000)]).unwrap();
    engine.upsert_users(vec![User::unknown(id("u1"))]).unwrap();
    let heard = Play {
        user_id: id("u1"),
        track_id: id("t3"),
        played_at: Timestamp(AS_OF.0 - 50 * DAY_MS),
        listened_ms: 200_000,
        action: PlayAction::Play,
    };
    engine.load_plays("plays", 0, vec![heard]).unwrap();
    let request = RecommendRequest::new(id("u1"), id::<Surface>("release_radar"));
    let list = engine.recommend(RecommendRequest { as_of: Some(AS_OF), ..request }).unwrap();
    let mut shown: Vec<&str> = list.tracks.iter().map(|listed| listed.track_id.as_str()).collect();
    shown.sort_unstable();
    assert_eq!(shown, ["t0", "t1", "t2"]);
    assert!(list.relaxed.iter().any(|words| words.starts_with("heard window")), "{:?}", list.relaxed);
}

/// A seed nobody knows among known ones is said, not dropped in silence; none that is known is an error.
#[test]
fn an_unknown_seed_is_named_and_the_list_is_that_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = Segue::open(folder.path(), small_segments()).unwrap();
    World::generate(15, 400, 4).load(&engine);
    let ask = |seeds: &[&str]| {
        engine.recommend(RecommendRequest {
            seeds: seeds.iter().map(|seed| id(*seed)).collect(),
            as_of: Some(AS_OF),
            request_id: Some("seeded".to_owned()),
            ..RecommendRequest::new(id("u1"), id::<Surface>("radio"))
        })
    };
    let (known, both) = (ask(&["t3"]).unwrap(), ask(&["nope", "t3", "neither"]).unwrap());
    assert_eq!(known.tracks, both.tracks);
    let said: Vec<&String> = both.degraded.iter().filter(|words| words.starts_with("seed")).collect();
    assert_eq!(said, ["seed not found: nope", "seed not found: neither"]);
    assert_eq!(both.degraded.len(), known.degraded.len() + 2);
    assert_eq!(ask(&["nope"]).unwrap_err().kind(), ErrorKind::NotFound);
}

/// A stream whose batches are all answered has ended well, and the metrics say so.
#[test]
fn a_load_that_is_through_does_not_count_as_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(folder.path(), &[]);
    let world = World::generate(16, 300, 4);
    let mut loader = server.client().loader("some-tracks", LoadProgress::default());
    for (at, rows) in world.tracks.chunks(50).enumerate() {
        loader.push(50 * at as u64, Batch::Tracks(rows.to_vec())).unwrap();
    }
    assert_eq!(loader.flush().unwrap().rows_done, 300);
    let start = std::time::Instant::now();
    loop {
        let metrics = server.get("/metrics");
        let ended = metrics.lines().filter(|line| line.starts_with("segue_grpc_requests_total"));
        let pushed: Vec<&str> = ended.filter(|line| line.contains("method=\"Push\"")).collect();
        assert!(!pushed.iter().any(|line| line.contains("cancelled")), "{pushed:?}");
        if pushed.iter().any(|line| line.contains("code=\"ok\"") && line.ends_with(" 1")) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{pushed:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    // The loader can be used again.
    assert_eq!(
        loader
            .push(300, Batch::Tracks(vec![track(950, 1)]))
            .map(drop)
            .and_then(|()| loader.flush())
            .unwrap()
            .rows_done,
        301
    );
}
