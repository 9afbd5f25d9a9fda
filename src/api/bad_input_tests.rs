//! Wrong requests over gRPC, as protobuf says them and no typed client would: the code, the field, and nothing written.

use tonic::metadata::MetadataMap;
use tonic::{Code, Response, Status};

use super::core::Core;
use super::proto as pb;
use super::server::routes;
use super::status::{FIELD, REASON};
use crate::Segue;
use crate::config::{Limits, Settings, Storage};
use crate::types::{Artist, ArtistId, Track, TrackId, User, UserId, VectorRow};

const DIM: usize = 4;

type Recommender = pb::recommender_client::RecommenderClient<tonic::service::Routes>;
type Catalog = pb::catalog_client::CatalogClient<tonic::service::Routes>;
type Feedback = pb::feedback_client::FeedbackClient<tonic::service::Routes>;
type Loads = pb::loads_client::LoadsClient<tonic::service::Routes>;
type Generations = pb::generations_client::GenerationsClient<tonic::service::Routes>;
type Recipes = pb::recipes_client::RecipesClient<tonic::service::Routes>;

/// The services over a small database.
pub(super) struct Served {
    pub(super) engine: Segue,
    pub(super) core: Core,
    routes: tonic::service::Routes,
    _folder: tempfile::TempDir,
}

fn track(number: usize) -> Track {
    let artist = Artist { id: ArtistId::new("a").expect("valid"), name: "A".to_owned() };
    let id = TrackId::new(format!("t{number}")).expect("valid");
    Track {
        popularity: Some((number % 100) as f32),
        explicit: Some(false),
        ..Track::new(id, format!("Title {number}"), vec![artist])
    }
}

fn row(number: usize) -> VectorRow {
    let vector = (0..DIM).map(|at| 1.0 + ((number * 7 + at * 3) % 11) as f32).collect();
    VectorRow { id: format!("t{number}"), vector }
}

impl Served {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let storage = Storage { disk_reserve_bytes: 0, ..Storage::default() };
        let (engine, _) = Segue::open(folder.path(), Settings { storage, ..Settings::default() })
            .expect("an empty folder opens");
        engine.upsert_tracks((0..30).map(track).collect()).expect("written");
        engine.upsert_users(vec![User::unknown(UserId::new("u").expect("valid"))]).expect("written");
        let audio = crate::types::SpaceName::new("audio").expect("valid");
        engine
            .upsert_vectors(&audio, crate::types::GenerationId::STATIC, (0..30).map(row).collect())
            .expect("written");
        let core = Core::new(Limits::default());
        core.open(engine.clone());
        let (_health, routes) = routes(&core).expect("the descriptors are valid");
        Self { engine, core, routes, _folder: folder }
    }

    /// Everything a refused write might have changed.
    pub(super) fn contents(&self) -> String {
        let audio = crate::types::SpaceName::new("audio").expect("valid");
        format!(
            "{:?} {:?} {:?} {:?} {}",
            self.engine.list_tracks(None, 1_000).expect("listed"),
            self.engine.list_users(None, 1_000).expect("listed"),
            self.engine.list_vectors(&audio, None, None, 1_000).expect("listed"),
            self.engine.generations().expect("listed"),
            self.engine.recipes().expect("listed").len(),
        )
    }
}

/// Asserts the code, and the field (for what does not exist: what it is).
fn refused<T: std::fmt::Debug>(case: &str, reply: Result<Response<T>, Status>, code: Code, field: &str) {
    let status = reply.map(|reply| panic!("{case}: accepted: {reply:?}")).expect_err("refused");
    assert_eq!(status.code(), code, "{case}: {status}");
    let text = |metadata: &MetadataMap, key: &str| {
        metadata.get(key).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    match code {
        Code::InvalidArgument => {
            let named = text(status.metadata(), FIELD);
            assert_eq!(named.split('[').next(), Some(field), "{case}: {status}");
        }
        Code::NotFound => assert!(status.message().starts_with(field), "{case}: {status}"),
        other => assert_eq!(text(status.metadata(), REASON), field, "{case}: {other:?}"),
    }
    assert!(status.message().len() < 500, "{case}: an error must not repeat megabytes");
}

fn huge() -> String {
    "x".repeat(10 << 20)
}

fn recommend(change: impl Fn(&mut pb::RecommendRequest)) -> pb::RecommendRequest {
    let mut request = pb::RecommendRequest {
        user_id: "u".into(),
        surface: "radio".into(),
        as_of_ms: Some(1_000),
        ..Default::default()
    };
    change(&mut request);
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_recommend_requests_are_refused_by_field() {
    let served = Served::new();
    let mut client = Recommender::new(served.routes.clone());
    let filter = |filter: pb::TrackFilter| recommend(|request| request.filter = Some(filter.clone()));
    let range = |min, max| Some(pb::FloatRange { min: Some(min), max: Some(max) });
    let cases: Vec<(&str, pb::RecommendRequest, Code, &str)> = vec![
        ("empty user", recommend(|r| r.user_id = String::new()), Code::InvalidArgument, "user_id"),
        ("10 MB user", recommend(|r| r.user_id = huge()), Code::InvalidArgument, "user_id"),
        ("unknown user", recommend(|r| r.user_id = "nobody".into()), Code::NotFound, "user"),
        ("empty surface", recommend(|r| r.surface = String::new()), Code::InvalidArgument, "surface"),
        ("n 0", recommend(|r| r.n = Some(0)), Code::InvalidArgument, "n"),
        ("n huge", recommend(|r| r.n = Some(u32::MAX)), Code::InvalidArgument, "n"),
        (
            "duplicate seeds",
            recommend(|r| r.seeds = vec!["t1".into(), "t1".into()]),
            Code::InvalidArgument,
            "seeds",
        ),
        ("empty seed", recommend(|r| r.seeds = vec![String::new()]), Code::InvalidArgument, "seeds"),
        ("unknown seed", recommend(|r| r.seeds = vec!["nothing".into()]), Code::NotFound, "track"),
        ("unknown recipe", recommend(|r| r.recipe = Some("nothing".into())), Code::NotFound, "recipe"),
        ("unknown generation", recommend(|r| r.generation = Some(9)), Code::NotFound, "generation"),
        ("end of time", recommend(|r| r.as_of_ms = Some(i64::MAX)), Code::InvalidArgument, "as_of"),
        (
            "wanted and not",
            filter(pb::TrackFilter {
                artists: vec!["a".into()],
                exclude_artists: vec!["a".into()],
                ..Default::default()
            }),
            Code::InvalidArgument,
            "filter.exclude_artists",
        ),
        (
            "tempo 0",
            filter(pb::TrackFilter { tempo: range(0.0, 100.0), ..Default::default() }),
            Code::InvalidArgument,
            "filter.tempo",
        ),
        (
            "energy NaN",
            filter(pb::TrackFilter { energy: range(f32::NAN, 1.0), ..Default::default() }),
            Code::InvalidArgument,
            "filter.energy",
        ),
        (
            "turned round",
            filter(pb::TrackFilter { popularity: range(60.0, 20.0), ..Default::default() }),
            Code::InvalidArgument,
            "filter.popularity",
        ),
        (
            "token of nowhere",
            recommend(|r| {
                let group = "tracks-99".to_owned();
                r.min_token = Some(pb::WriteToken { applied: vec![pb::AppliedIndex { group, index: 1 }] });
            }),
            Code::InvalidArgument,
            "min_token",
        ),
    ];
    for (case, request, code, field) in cases {
        refused(case, client.recommend(request.clone()).await, code, field);
        let explain = pb::ExplainRequest { request: Some(request), track_id: "t1".into() };
        refused(case, client.explain(explain).await, code, field);
    }
    let no_request = pb::ExplainRequest { request: None, track_id: "t1".into() };
    refused("no request", client.explain(no_request).await, Code::InvalidArgument, "request");
    let list = client.recommend(recommend(|_| {})).await.expect("a right request is answered").into_inner();
    assert_eq!(list.tracks.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_searches_are_refused_by_field() {
    let served = Served::new();
    let mut client = Recommender::new(served.routes.clone());
    let search = |vector: Vec<f32>, k| pb::SearchRequest {
        space: Some("audio".into()),
        vector,
        k,
        ..Default::default()
    };
    let cases = [
        ("k 0", search(vec![1.0; DIM], 0), Code::InvalidArgument, "k"),
        ("k huge", search(vec![1.0; DIM], u32::MAX), Code::InvalidArgument, "k"),
        ("dimension", search(vec![1.0; DIM + 1], 5), Code::InvalidArgument, "vector"),
        ("NaN", search(vec![f32::NAN; DIM], 5), Code::InvalidArgument, "vector"),
        ("infinity", search(vec![f32::INFINITY; DIM], 5), Code::InvalidArgument, "vector"),
        ("zero by cosine", search(vec![0.0; DIM], 5), Code::InvalidArgument, "vector"),
        (
            "metric",
            pb::SearchRequest { metric: 99, ..search(vec![1.0; DIM], 5) },
            Code::InvalidArgument,
            "metric",
        ),
        (
            "space",
            pb::SearchRequest { space: Some("none".into()), ..search(vec![1.0; DIM], 5) },
            Code::NotFound,
            "space",
        ),
        (
            "10 MB space",
            pb::SearchRequest { space: Some(huge()), ..search(vec![1.0; DIM], 5) },
            Code::InvalidArgument,
            "space",
        ),
    ];
    for (case, request, code, field) in cases {
        refused(case, client.search(request).await, code, field);
    }
    let seed = |id: &str, weight| pb::Seed { track_id: id.to_owned(), weight };
    let similar = |seeds: Vec<pb::Seed>, k| pb::SimilarRequest {
        seeds,
        k,
        space: Some("audio".into()),
        ..Default::default()
    };
    let cases = [
        ("no seeds", similar(Vec::new(), 5), Code::InvalidArgument, "seeds"),
        ("k 0", similar(vec![seed("t1", None)], 0), Code::InvalidArgument, "k"),
        (
            "duplicate seeds",
            similar(vec![seed("t1", None), seed("t1", None)], 5),
            Code::InvalidArgument,
            "seeds",
        ),
        ("empty seed", similar(vec![seed("", None)], 5), Code::InvalidArgument, "seeds"),
        ("weight NaN", similar(vec![seed("t1", Some(f32::NAN))], 5), Code::InvalidArgument, "seeds.weight"),
        ("unknown seed", similar(vec![seed("nothing", None)], 5), Code::NotFound, "track"),
        (
            "unknown user",
            pb::SimilarRequest { user_id: Some("nobody".into()), ..similar(vec![seed("t1", None)], 5) },
            Code::NotFound,
            "user",
        ),
    ];
    for (case, request, code, field) in cases {
        refused(case, client.similar(request).await, code, field);
    }
    let users = |user: &str, k| pb::SimilarUsersRequest { user_id: user.to_owned(), k, generation: None };
    refused("k 0", client.similar_users(users("u", 0)).await, Code::InvalidArgument, "k");
    refused("empty user", client.similar_users(users("", 5)).await, Code::InvalidArgument, "user_id");
    let portrait = |user: &str, utc_offset_min, as_of_ms| pb::PortraitRequest {
        user_id: user.to_owned(),
        as_of_ms,
        context: Some(pb::RequestContext { utc_offset_min, ..Default::default() }),
    };
    refused("unknown user", client.portrait(portrait("nobody", 0, None)).await, Code::NotFound, "user");
    refused("empty user", client.portrait(portrait("", 0, None)).await, Code::InvalidArgument, "user_id");
    for (case, offset, as_of, field) in
        [("offset", 900, None, "context.utc_offset_min"), ("end of time", 0, Some(i64::MAX), "as_of")]
    {
        refused(case, client.portrait(portrait("u", offset, as_of)).await, Code::InvalidArgument, field);
    }
    let lists =
        |user: &str, until_ms, limit| pb::LoggedListsRequest { user_id: user.to_owned(), until_ms, limit };
    for (case, request, code, field) in [
        ("unknown user", lists("nobody", None, 0), Code::NotFound, "user"),
        ("empty user", lists("", None, 0), Code::InvalidArgument, "user_id"),
        ("end of time", lists("u", Some(i64::MAX), 0), Code::InvalidArgument, "until"),
        ("too many", lists("u", None, u32::MAX), Code::InvalidArgument, "limit"),
    ] {
        refused(case, client.logged_lists(request).await, code, field);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_writes_are_refused_whole() {
    let served = Served::new();
    let before = served.contents();
    let (mut catalog, mut feedback) =
        (Catalog::new(served.routes.clone()), Feedback::new(served.routes.clone()));
    let good = pb::Track::from(track(900));
    let tracks = |change: fn(&mut pb::Track)| {
        let mut bad = pb::Track::from(track(901));
        change(&mut bad);
        pb::UpsertTracksRequest { tracks: vec![good.clone(), bad] }
    };
    #[expect(clippy::type_complexity, reason = "a table: what is wrong, how to make it so, the field named")]
    let cases: [(&str, fn(&mut pb::Track), &str); 5] = [
        ("empty id", |t| t.track_id.clear(), "track_id"),
        ("10 MB id", |t| t.track_id = huge(), "track_id"),
        ("no artists", |t| t.artists.clear(), "artists"),
        ("10 MB title", |t| t.title = huge(), "title"),
        ("popularity NaN", |t| t.popularity = Some(f32::NAN), "popularity"),
    ];
    for (case, change, field) in cases {
        refused(case, catalog.upsert_tracks(tracks(change)).await, Code::InvalidArgument, field);
    }
    let empty = pb::UpsertTracksRequest { tracks: Vec::new() };
    refused("no rows", catalog.upsert_tracks(empty).await, Code::InvalidArgument, "tracks");
    let user =
        |id: String| pb::UpsertUsersRequest { users: vec![pb::User { user_id: id, ..Default::default() }] };
    refused("empty user", catalog.upsert_users(user(String::new())).await, Code::InvalidArgument, "user_id");
    refused("10 MB user", catalog.upsert_users(user(huge())).await, Code::InvalidArgument, "user_id");
    let vectors = |space: &str, id: &str, vector: Vec<f32>| pb::UpsertVectorsRequest {
        space: space.to_owned(),
        generation: 0,
        rows: vec![row(1).into(), pb::VectorRow { id: id.to_owned(), vector }],
    };
    for (case, request, code, field) in [
        ("dimension", vectors("audio", "t2", vec![1.0; DIM + 1]), Code::InvalidArgument, "vector"),
        ("NaN", vectors("audio", "t2", vec![f32::NAN; DIM]), Code::InvalidArgument, "vector"),
        ("zero", vectors("audio", "t2", vec![0.0; DIM]), Code::InvalidArgument, "vector"),
        ("unknown track", vectors("audio", "nothing", vec![1.0; DIM]), Code::NotFound, "track"),
        ("unknown space", vectors("none", "t2", vec![1.0; DIM]), Code::NotFound, "space"),
        ("no generation", vectors("track_cf", "t2", vec![1.0; DIM]), Code::InvalidArgument, "generation"),
    ] {
        // A row's error begins with the row.
        let reply = catalog.upsert_vectors(request).await;
        match code {
            Code::NotFound => {
                let status = reply.expect_err("refused");
                assert!(status.code() == code && status.message().contains(field), "{case}: {status}");
            }
            _ => refused(case, reply, code, field),
        }
    }
    let event = |user: &str, action: pb::Action, track: Option<&str>| pb::FeedbackEvent {
        user_id: user.to_owned(),
        action: action.into(),
        track_id: track.map(str::to_owned),
        at_ms: Some(1_000),
        ..Default::default()
    };
    let hide = event("u", pb::Action::HideTrack, Some("t1"));
    for (case, bad, field) in [
        ("no action", event("u", pb::Action::Unspecified, Some("t1")), "action"),
        ("no track", event("u", pb::Action::Play, None), "track_id"),
        ("empty track", event("u", pb::Action::Play, Some("")), "track_id"),
        ("no artist", event("u", pb::Action::BlockArtist, None), "artist_id"),
        (
            "end of time",
            pb::FeedbackEvent { at_ms: Some(i64::MIN), ..event("u", pb::Action::Play, Some("t1")) },
            "at",
        ),
    ] {
        let request = pb::RecordRequest { events: vec![hide.clone(), bad] };
        refused(case, feedback.record(request).await, Code::InvalidArgument, field);
    }
    assert_eq!(served.contents(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_administration_is_refused_and_changes_nothing() {
    let served = Served::new();
    let before = served.contents();
    let mut loads = Loads::new(served.routes.clone());
    let mut generations = Generations::new(served.routes.clone());
    let mut recipes = Recipes::new(served.routes.clone());
    let progress = |id: String| pb::GetProgressRequest { load_id: id };
    refused("no load", loads.get_progress(progress(String::new())).await, Code::InvalidArgument, "load_id");
    refused("10 MB load", loads.get_progress(progress(huge())).await, Code::InvalidArgument, "load_id");
    let create = |dim| pb::CreateGenerationRequest { dim, gram: None };
    refused("dim 0", generations.create(create(0)).await, Code::InvalidArgument, "dim");
    refused("dim huge", generations.create(create(u32::MAX)).await, Code::InvalidArgument, "dim");
    let activate = pb::ActivateGenerationRequest { id: 9 };
    refused("nothing", generations.activate(activate).await, Code::NotFound, "generation");
    let back = generations.rollback(pb::RollbackGenerationRequest {}).await;
    refused("nothing before", back, Code::FailedPrecondition, "CONFLICT");
    let put = pb::PutRecipeRequest { recipe: None };
    refused("no recipe", recipes.put(put).await, Code::InvalidArgument, "recipe");
    let nothing = pb::ActivateRecipeRequest { name: "nothing".into(), version: 1 };
    refused("unknown recipe", recipes.activate(nothing).await, Code::NotFound, "recipe");
    assert_eq!(served.contents(), before);
}
