//! Bad input never panics: every wrong request is refused with the field named, and nothing is half-written.
//!
//! The goal: each case is given to the engine as a caller of the library would, the error's kind and field are
//! compared, and afterwards the database holds exactly what it held before.

use segue::node::VectorRow;
use segue::pipeline::recipe::{HeardWindow, RecipePatch, Source, SourceSpec};
use segue::pipeline::request::{
    ExplainRequest, RecommendRequest, SearchRequest, SimilarRequest, SimilarUsersRequest, TrackFilter,
};
use segue::types::{
    Action, ArtistId, FeedbackEvent, GenerationId, Metric, Surface, Timestamp, Track, TrackId, User, UserId,
};
use segue::{Error, ErrorKind, Segue};

use crate::support::{AS_OF, DIM, STATIC, World, id, small_segments, space, track};

/// A small database, and a way to see whether anything in it changed.
struct Bench {
    folder: tempfile::TempDir,
    engine: Segue,
    generation: GenerationId,
}

/// Everything that a refused write might have left behind.
#[derive(Debug, PartialEq)]
struct Contents {
    tracks: Vec<Track>,
    users: Vec<User>,
    vectors: Vec<Option<Vec<f32>>>,
    generations: String,
    recipes: usize,
    list: Vec<TrackId>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (engine, _) = Segue::open(folder.path(), small_segments()).unwrap();
        let generation = World::generate(7, 120, 8).load(&engine);
        Self { folder, engine, generation }
    }

    fn contents(&self) -> Contents {
        let vector = |space_name: &str, number: usize| {
            let name = if space_name == "user_cf" { format!("u{number}") } else { format!("t{number}") };
            self.engine.vector(&space(space_name), None, &name).ok()
        };
        let spaces = ["audio", "track_cf", "user_cf"];
        let list = self.engine.recommend(recommend()).unwrap();
        Contents {
            tracks: self.engine.list_tracks(None, 1_000).unwrap().0,
            users: self.engine.list_users(None, 1_000).unwrap().0,
            vectors: spaces.iter().flat_map(|name| (0..8).map(move |number| vector(name, number))).collect(),
            generations: format!("{:?}", self.engine.generations().unwrap()),
            recipes: self.engine.recipes().unwrap().len(),
            list: list.tracks.into_iter().map(|listed| listed.track_id).collect(),
        }
    }
}

fn recommend() -> RecommendRequest {
    RecommendRequest {
        as_of: Some(AS_OF),
        request_id: Some("fixed".to_owned()),
        ..RecommendRequest::new(id("u2"), id::<Surface>("made_for_you"))
    }
}

fn similar() -> SimilarRequest {
    SimilarRequest {
        space: Some(space("audio")),
        as_of: Some(AS_OF),
        ..SimilarRequest::new(vec![(id("t1"), 1.0)])
    }
}

fn search() -> SearchRequest {
    SearchRequest { vector: Some(vec![1.0; DIM]), ..SearchRequest::new(space("audio")) }
}

fn feedback(action: Action) -> FeedbackEvent {
    FeedbackEvent {
        user_id: id("u1"),
        action,
        track_id: Some(id("t1")),
        artist_id: None,
        at: Some(AS_OF),
        listened_ms: None,
        event_id: None,
        query: None,
        impression: None,
        positions: Vec::new(),
    }
}

/// The field an error is about, rows and indexes left out.
fn field(error: &Error) -> String {
    match error {
        Error::InvalidField { field, .. } => field.split('[').next().unwrap_or_default().to_owned(),
        Error::InvalidRow { source, .. } => field(source),
        Error::NotFound { what, .. } => what.to_string(),
        other => format!("{other:?}"),
    }
}

fn row(error: &Error) -> Option<usize> {
    match error {
        Error::InvalidRow { row, .. } => Some(*row),
        _ => None,
    }
}

/// Asserts that a request is refused as wrong, for that field.
fn refused<T: std::fmt::Debug>(case: &str, result: segue::Result<T>, expected: &str) -> Error {
    let error = result.map(|answer| panic!("{case}: accepted: {answer:?}")).unwrap_err();
    assert_eq!((error.kind(), field(&error).as_str()), (ErrorKind::Invalid, expected), "{case}: {error}");
    error
}

/// Asserts that something named does not exist.
fn missing<T: std::fmt::Debug>(case: &str, result: segue::Result<T>, expected: &str) {
    let error = result.map(|answer| panic!("{case}: accepted: {answer:?}")).unwrap_err();
    assert_eq!((error.kind(), field(&error).as_str()), (ErrorKind::NotFound, expected), "{case}: {error}");
}

#[test]
fn ids_are_refused_before_they_reach_the_database() {
    for (case, text) in
        [("empty", String::new()), ("10 MB", "x".repeat(10 << 20)), ("control", "a\u{0}b".to_owned())]
    {
        assert_eq!(TrackId::new(text.clone()).map_err(|error| error.field()), Err("track_id"), "{case}");
        assert_eq!(UserId::new(text.clone()).map_err(|error| error.field()), Err("user_id"), "{case}");
        assert_eq!(ArtistId::new(text.clone()).map_err(|error| error.field()), Err("artist_id"), "{case}");
        let message = TrackId::new(text).unwrap_err().to_string();
        assert!(
            message.len() < 200,
            "{case}: an error must not repeat ten megabytes: {} bytes",
            message.len()
        );
    }
}

#[test]
fn wrong_vectors_are_refused_whole() {
    let bench = Bench::new();
    let before = bench.contents();
    let good = |number: usize| VectorRow { id: format!("t{number}"), vector: vec![0.5; DIM] };
    let with = |number: usize, vector: Vec<f32>| VectorRow { id: format!("t{number}"), vector };
    let write = |rows: Vec<VectorRow>| bench.engine.upsert_vectors(&space("audio"), STATIC, rows);
    let spoiled = |value: f32| {
        let mut vector = vec![0.5; DIM];
        vector[3] = value;
        vector
    };
    let cases = [
        ("wrong dimension", with(2, vec![0.5; DIM + 1])),
        ("no components", with(2, Vec::new())),
        ("NaN", with(2, spoiled(f32::NAN))),
        ("infinity", with(2, spoiled(f32::INFINITY))),
        ("minus infinity", with(2, spoiled(f32::NEG_INFINITY))),
        ("zero by cosine", with(2, vec![0.0; DIM])),
    ];
    for (case, bad) in cases {
        let error = refused(case, write(vec![good(0), good(1), bad.clone()]), "vector");
        assert_eq!(row(&error), Some(2), "{case}: {error}");
        refused(
            case,
            bench.engine.load_vectors("bad", 0, &space("audio"), STATIC, vec![good(0), bad]),
            "vector",
        );
    }
    refused("wrong dimension throughout", write(vec![with(0, vec![0.5; DIM * 2])]), "vector");
    refused("empty id", write(vec![VectorRow { id: String::new(), vector: vec![0.5; DIM] }]), "track_id");
    refused(
        "long id",
        write(vec![VectorRow { id: "x".repeat(10 << 20), vector: vec![0.5; DIM] }]),
        "track_id",
    );
    missing("unknown track", write(vec![good(0), with(99_999, vec![0.5; DIM])]), "track");
    missing("unknown space", bench.engine.upsert_vectors(&space("nowhere"), STATIC, vec![good(0)]), "space");
    let nowhere = GenerationId(77);
    missing(
        "unknown generation",
        bench.engine.upsert_vectors(&space("track_cf"), nowhere, vec![good(0)]),
        "generation",
    );
    refused(
        "generation of a static space",
        bench.engine.upsert_vectors(&space("audio"), nowhere, vec![good(0)]),
        "generation",
    );
    assert_eq!(bench.contents(), before);
}

#[test]
fn wrong_tracks_are_refused_whole() {
    let bench = Bench::new();
    let before = bench.contents();
    #[expect(clippy::type_complexity, reason = "a table: what is wrong, how to make it so, the field named")]
    let cases: [(&str, fn(&mut Track), &str); 9] = [
        ("tempo 0", |t| t.audio.tempo = Some(0.0), "audio.tempo"),
        ("tempo NaN", |t| t.audio.tempo = Some(f32::NAN), "audio.tempo"),
        ("energy 2", |t| t.audio.energy = Some(2.0), "audio.energy"),
        ("key 12", |t| t.audio.key = Some(12), "audio.key"),
        ("no artist", |t| t.artists.clear(), "artists"),
        ("popularity 101", |t| t.popularity = Some(101.0), "popularity"),
        ("popularity NaN", |t| t.popularity = Some(f32::NAN), "popularity"),
        ("confidence 0", |t| t.genres[0].confidence = 0.0, "genres.confidence"),
        ("10 MB title", |t| t.title = "x".repeat(10 << 20), "title"),
    ];
    for (case, spoil, expected) in cases {
        let mut tracks = vec![track(0, 9), track(900, 9), track(901, 9)];
        spoil(&mut tracks[2]);
        let error = refused(case, bench.engine.upsert_tracks(tracks.clone()), expected);
        assert_eq!(row(&error), Some(2), "{case}: {error}");
        refused(case, bench.engine.load_tracks("bad", 0, tracks), expected);
        assert_eq!(bench.engine.load_progress("bad").unwrap().rows_done, 0, "{case}");
    }
    assert_eq!(bench.contents(), before);
}

/// A batch is larger than one log entry: what is wrong late in it must leave nothing of its beginning either.
#[test]
fn a_wrong_row_at_the_end_of_a_long_load_leaves_nothing() {
    let bench = Bench::new();
    let before = bench.contents();
    let last = 9_000;
    let mut tracks: Vec<Track> = (0..=last).map(|number| track(10_000 + number as u64, 1)).collect();
    tracks[last].audio.tempo = Some(0.0);
    let error = refused("tracks", bench.engine.load_tracks("long", 0, tracks), "audio.tempo");
    assert_eq!(row(&error), Some(last), "{error}");
    let mut users: Vec<User> = (0..=last).map(|number| User::unknown(id(format!("n{number}")))).collect();
    users[last].registered_at = Some(Timestamp(i64::MAX));
    let error = refused("users", bench.engine.load_users("long", 0, users), "registered_at");
    assert_eq!(row(&error), Some(last), "{error}");
    let play = |at| segue::types::Play {
        user_id: id("u1"),
        track_id: id("t1"),
        played_at: at,
        listened_ms: 1,
        action: segue::types::PlayAction::Play,
    };
    let mut plays = vec![play(AS_OF); 20_000];
    plays.push(play(Timestamp(i64::MIN)));
    let error = refused("plays", bench.engine.load_plays("long", 0, plays), "played_at");
    assert_eq!(row(&error), Some(20_000), "{error}");
    assert_eq!(bench.engine.load_progress("long").unwrap().rows_done, 0);
    assert_eq!(bench.contents(), before);
}

#[test]
fn wrong_listeners_and_events_are_refused_whole() {
    let bench = Bench::new();
    let before = bench.contents();
    let user = |number: usize| User::unknown(id(format!("u{number}")));
    let band = User { age_band: Some("x".repeat(10 << 20)), ..user(901) };
    let error = refused("age band", bench.engine.upsert_users(vec![user(900), band]), "age_band");
    assert_eq!(row(&error), Some(1));
    let far = User { registered_at: Some(Timestamp(i64::MAX)), ..user(901) };
    refused("registered at", bench.engine.upsert_users(vec![user(900), far]), "registered_at");

    let cases = [
        ("no track", FeedbackEvent { track_id: None, ..feedback(Action::Play) }, "track_id"),
        ("no artist", feedback(Action::BlockArtist), "artist_id"),
        ("no query", feedback(Action::Search), "query"),
        ("no impression", feedback(Action::Served), "impression"),
        (
            "forged impression",
            FeedbackEvent { impression: Some("AAAA".to_owned()), ..feedback(Action::Served) },
            "impression",
        ),
        ("end of time", FeedbackEvent { at: Some(Timestamp(i64::MIN)), ..feedback(Action::Play) }, "at"),
        (
            "10 MB query",
            FeedbackEvent { query: Some("x".repeat(10 << 20)), ..feedback(Action::Search) },
            "query",
        ),
    ];
    for (case, bad, expected) in cases {
        let hide = FeedbackEvent { user_id: id("u2"), ..feedback(Action::HideTrack) };
        let error = refused(case, bench.engine.feedback(vec![hide, bad]), expected);
        assert_eq!(row(&error), Some(1), "{case}: {error}");
    }
    let stranger = FeedbackEvent { user_id: id("nobody"), ..feedback(Action::Play) };
    missing("unknown user", bench.engine.feedback(vec![feedback(Action::HideTrack), stranger]), "user");
    assert_eq!(bench.contents(), before);
}

#[test]
fn wrong_recommend_requests_name_their_field() {
    let bench = Bench::new();
    let ask = |request: RecommendRequest| bench.engine.recommend(request);
    refused("n 0", ask(RecommendRequest { n: Some(0), ..recommend() }), "n");
    refused("n huge", ask(RecommendRequest { n: Some(u32::MAX), ..recommend() }), "n");
    refused(
        "duplicate seeds",
        ask(RecommendRequest { seeds: vec![id("t1"), id("t1")], ..recommend() }),
        "seeds",
    );
    let many = (0..51).map(|number| id(format!("t{number}"))).collect();
    refused("51 seeds", ask(RecommendRequest { seeds: many, ..recommend() }), "seeds");
    refused("time", ask(RecommendRequest { as_of: Some(Timestamp(i64::MAX)), ..recommend() }), "as_of");
    missing("recipe", ask(RecommendRequest { recipe: Some("nothing".to_owned()), ..recommend() }), "recipe");
    missing(
        "version",
        ask(RecommendRequest { recipe: Some("radio@99".to_owned()), ..recommend() }),
        "recipe",
    );
    missing("user", ask(RecommendRequest { user_id: id("nobody"), ..recommend() }), "user");
    missing(
        "generation",
        ask(RecommendRequest { generation: Some(GenerationId(77)), ..recommend() }),
        "generation",
    );
    let patches = [
        (
            "lambda",
            RecipePatch { mmr_lambda: Some(f64::NAN), ..RecipePatch::default() },
            "overrides.mmr_lambda",
        ),
        (
            "rate",
            RecipePatch { exploration_rate: Some(0.9), ..RecipePatch::default() },
            "overrides.exploration_rate",
        ),
        (
            "window",
            RecipePatch { heard: Some(HeardWindow::Days(0)), ..RecipePatch::default() },
            "overrides.heard",
        ),
        (
            "no source",
            RecipePatch { sources: Some(Vec::new()), ..RecipePatch::default() },
            "overrides.sources",
        ),
        (
            "depth",
            RecipePatch {
                sources: Some(vec![SourceSpec { source: Source::Audio, depth: 0, weights: [1.0; 3] }]),
                ..RecipePatch::default()
            },
            "overrides.sources",
        ),
    ];
    for (case, overrides, expected) in patches {
        refused(case, ask(RecommendRequest { overrides, ..recommend() }), expected);
    }
    let explain = ExplainRequest { request: recommend(), track_id: id("t99999") };
    missing("explained track", bench.engine.explain(explain), "track");
}

#[test]
fn wrong_filters_name_their_field() {
    let bench = Bench::new();
    let none = TrackFilter::default;
    let cases = [
        ("tempo 0", TrackFilter { tempo: Some((0.0, 100.0)), ..none() }, "filter.tempo"),
        ("tempo NaN", TrackFilter { tempo: Some((f32::NAN, 100.0)), ..none() }, "filter.tempo"),
        ("turned round", TrackFilter { popularity: Some((60.0, 20.0)), ..none() }, "filter.popularity"),
        ("beyond", TrackFilter { energy: Some((0.0, 7.0)), ..none() }, "filter.energy"),
        ("empty genre", TrackFilter { genres: vec![String::new()], ..none() }, "filter.genres"),
        (
            "wanted and not",
            TrackFilter { artists: vec![id("a1")], exclude_artists: vec![id("a1")], ..none() },
            "filter.exclude_artists",
        ),
        (
            "genre wanted and not",
            TrackFilter { genres: vec!["jazz".into()], exclude_genres: vec!["jazz".into()], ..none() },
            "filter.exclude_genres",
        ),
        ("too many", TrackFilter { albums: vec!["b".into(); 10_001], ..none() }, "filter"),
    ];
    for (case, filter, expected) in cases {
        refused(
            case,
            bench.engine.recommend(RecommendRequest { filter: filter.clone(), ..recommend() }),
            expected,
        );
        refused(case, bench.engine.similar(SimilarRequest { filter: filter.clone(), ..similar() }), expected);
        refused(case, bench.engine.search(SearchRequest { filter, ..search() }), expected);
    }
}

#[test]
fn wrong_similar_and_search_requests_name_their_field() {
    let bench = Bench::new();
    let ask = |request: SimilarRequest| bench.engine.similar(request);
    refused("k 0", ask(SimilarRequest { k: 0, ..similar() }), "k");
    refused("k huge", ask(SimilarRequest { k: u32::MAX, ..similar() }), "k");
    refused("no seeds", ask(SimilarRequest { seeds: Vec::new(), ..similar() }), "seeds");
    refused(
        "duplicate",
        ask(SimilarRequest { seeds: vec![(id("t1"), 1.0), (id("t1"), 0.5)], ..similar() }),
        "seeds",
    );
    refused("weight", ask(SimilarRequest { seeds: vec![(id("t1"), f32::NAN)], ..similar() }), "seeds.weight");
    refused("only negative", ask(SimilarRequest { seeds: vec![(id("t1"), -1.0)], ..similar() }), "seeds");
    missing("unknown seed", ask(SimilarRequest { seeds: vec![(id("t99999"), 1.0)], ..similar() }), "track");
    missing("unknown space", ask(SimilarRequest { space: Some(space("nowhere")), ..similar() }), "space");
    missing("unknown user", ask(SimilarRequest { user_id: Some(id("nobody")), ..similar() }), "user");
    // One known seed is enough: the missing one is named, not fatal.
    let one_missing = SimilarRequest { seeds: vec![(id("t1"), 1.0), (id("t99999"), 1.0)], ..similar() };
    let reply = ask(one_missing).unwrap();
    assert_eq!(reply.tracks.len(), 10);
    assert!(reply.degraded.iter().any(|what| what.contains("t99999")), "{:?}", reply.degraded);

    let ask = |request: SearchRequest| bench.engine.search(request);
    refused("k 0", ask(SearchRequest { k: 0, ..search() }), "k");
    refused("k huge", ask(SearchRequest { k: u32::MAX, ..search() }), "k");
    refused("ef 0", ask(SearchRequest { ef: Some(0), ..search() }), "ef");
    refused("dimension", ask(SearchRequest { vector: Some(vec![1.0; DIM - 1]), ..search() }), "vector");
    refused("NaN", ask(SearchRequest { vector: Some(vec![f32::NAN; DIM]), ..search() }), "vector");
    refused("infinity", ask(SearchRequest { vector: Some(vec![f32::INFINITY; DIM]), ..search() }), "vector");
    refused("zero by cosine", ask(SearchRequest { vector: Some(vec![0.0; DIM]), ..search() }), "vector");
    refused(
        "metric without vector",
        ask(SearchRequest { vector: None, metric: Some(Metric::Ip), ..search() }),
        "metric",
    );
    missing("unknown space", ask(SearchRequest { space: space("nowhere"), ..search() }), "space");

    let users = |user: &str, k| SimilarUsersRequest::new(id(user), k);
    refused("k 0", bench.engine.similar_users(users("u1", 0)), "k");
    missing("unknown user", bench.engine.similar_users(users("nobody", 5)), "user");
}

#[test]
fn generations_refuse_the_wrong_order() {
    let bench = Bench::new();
    let before = bench.contents();
    refused("no dimension", bench.engine.create_generation(0, None), "dim");
    refused("huge dimension", bench.engine.create_generation(u32::MAX, None), "dim");
    missing("activate nothing", bench.engine.activate_generation(GenerationId(77)), "generation");
    assert_eq!(bench.contents(), before);
    let empty = bench.engine.create_generation(DIM as u32, None).unwrap();
    let error = bench.engine.activate_generation(empty.id).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "an empty generation must not serve: {error}");
    let active = bench.engine.generations().unwrap();
    assert!(
        active.iter().any(|info| info.id == bench.generation && format!("{:?}", info.state) == "Active"),
        "{active:?}"
    );
}

#[test]
fn a_refused_write_leaves_nothing_for_the_next_start() {
    let bench = Bench::new();
    let mut bad = vec![track(0, 9), track(900, 9)];
    bad[1].artists.clear();
    refused("tracks", bench.engine.upsert_tracks(bad), "artists");
    let before = bench.contents();
    bench.engine.shutdown().unwrap();
    drop(bench.engine);
    let (engine, report) = Segue::open(bench.folder.path(), small_segments()).unwrap();
    assert_eq!(report.repairs, Vec::<String>::new());
    let again = Bench { folder: bench.folder, engine, generation: bench.generation };
    assert_eq!(again.contents(), before);
}
