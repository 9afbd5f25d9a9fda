//! Round trips through protobuf, and refusals that name the field.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::api::proto as pb;
use crate::error::{Error, Result};
use crate::pipeline::experiment::Assignment;
use crate::pipeline::funnel::{Funnel, FunnelSource};
use crate::pipeline::recipe::{
    Diversity, EditorialRule, EnergyArc, ExplorationPolicy, HeardWindow, Normalization, Recipe, RecipePatch,
    RuleCondition, RuleEffect, RuleTracks, Source, SourceSpec,
};
use crate::pipeline::request::{
    RecommendRequest, Recommendation, RecommendedTrack, RequestContext, SearchReport, SearchRequest,
    SimilarRequest, SourceOffer, SourceScore, TrackExplanation, TrackFilter, WriteToken,
};
use crate::types::{
    Action, AlbumId, Artist, ArtistId, AudioFeatures, Date, Deadline, EventId, FeedbackEvent, GenerationId,
    GenreTag, Metric, Play, PlayAction, RecordingId, Region, RegionSet, SpaceName, Surface, Timestamp, Track,
    TrackId, User, UserId,
};

const MS: std::ops::Range<i64> = -62_000_000_000_000..253_000_000_000_000;

/// An id type's strategy.
fn id<T: TryFrom<String> + std::fmt::Debug>() -> impl Strategy<Value = T>
where
    T::Error: std::fmt::Debug,
{
    "[a-zA-Z0-9_é音:]{1,20}".prop_map(|text| T::try_from(text).expect("a valid id"))
}

fn word() -> impl Strategy<Value = String> {
    "[a-z é-]{1,12}"
}

fn share() -> impl Strategy<Value = f32> {
    0.0_f32..=1.0
}

fn region() -> impl Strategy<Value = Region> {
    (0_u16..676).prop_map(|number| Region::from_number(number).expect("below 676"))
}

fn regions() -> impl Strategy<Value = RegionSet> {
    prop_oneof![Just(RegionSet::All), vec(region(), 0..4).prop_map(RegionSet::Only)]
}

fn audio() -> impl Strategy<Value = AudioFeatures> {
    let numbers =
        (option::of(0.1_f32..300.0), option::of(0_u8..12), option::of(0_u8..2), option::of(-60.0_f32..0.0));
    (numbers, vec(option::of(share()), 7)).prop_map(|((tempo, key, mode, loudness), shares)| AudioFeatures {
        tempo,
        key,
        mode,
        energy: shares[0],
        danceability: shares[1],
        valence: shares[2],
        acousticness: shares[3],
        instrumentalness: shares[4],
        speechiness: shares[5],
        liveness: shares[6],
        loudness,
    })
}

fn genres() -> impl Strategy<Value = Vec<GenreTag>> {
    proptest::collection::btree_map(word(), 0.01_f32..=1.0, 0..4)
        .prop_map(|map| map.into_iter().map(|(genre, confidence)| GenreTag { genre, confidence }).collect())
}

fn track() -> impl Strategy<Value = Track> {
    let artist = (id::<ArtistId>(), ".{0,20}").prop_map(|(id, name)| Artist { id, name });
    let names = (id::<TrackId>(), id::<RecordingId>(), ".{0,40}", vec(artist, 1..4));
    let album = (option::of(id::<AlbumId>()), option::of(".{0,20}"), option::of(".{0,20}"));
    let numbers = (
        option::of(-700_000_i32..2_900_000),
        option::of(any::<u32>()),
        option::of(0.0_f32..=100.0),
        option::of(any::<bool>()),
    );
    (names, album, genres(), numbers, regions(), audio()).prop_map(
        |(names, (album_id, album, label), genres, numbers, regions, audio)| Track {
            track_id: names.0,
            recording_id: names.1,
            title: names.2,
            artists: names.3,
            album_id,
            album,
            label,
            genres,
            release_date: numbers.0.map(Date),
            duration_ms: numbers.1,
            popularity: numbers.2,
            explicit: numbers.3,
            regions,
            audio,
        },
    )
}

fn user() -> impl Strategy<Value = User> {
    let artists = || vec(id::<ArtistId>(), 0..4);
    let lists = (artists(), vec(id::<TrackId>(), 0..4), artists(), vec(id::<UserId>(), 0..4), artists());
    let rest =
        (option::of(region()), any::<[bool; 2]>(), vec(word(), 0..3), option::of(word()), option::of(MS));
    (id::<UserId>(), lists, rest).prop_map(|(user_id, lists, (region, flags, genres, age_band, at))| User {
        user_id,
        region,
        filter_explicit: flags[0],
        blocked_artists: lists.0,
        blocked_tracks: lists.1,
        followed_artists: lists.2,
        friends: lists.3,
        social_consent: flags[1],
        onboarding_genres: genres,
        onboarding_artists: lists.4,
        age_band,
        registered_at: at.map(Timestamp),
    })
}

fn range(min: f32, max: f32) -> impl Strategy<Value = Option<(f32, f32)>> {
    option::of((min..=max, min..=max).prop_map(|(a, b)| (a.min(b), a.max(b))))
}

fn filter() -> impl Strategy<Value = TrackFilter> {
    let lists =
        (vec(id::<ArtistId>(), 0..3), vec(word(), 0..3), vec(word(), 0..3), vec(id::<TrackId>(), 0..3));
    let ranges = (range(0.0, 100.0), range(1.0, 200.0), range(0.0, 1.0));
    (
        option::of(region()),
        option::of(any::<bool>()),
        lists,
        ranges,
        option::of((-9_000_i32..0, 0_i32..9_000)),
    )
        .prop_map(|(region, explicit, lists, (popularity, tempo, energy), days)| TrackFilter {
            region,
            explicit,
            artists: lists.0,
            exclude_artists: Vec::new(),
            genres: lists.1,
            exclude_genres: Vec::new(),
            albums: lists.2,
            exclude_tracks: lists.3,
            popularity,
            release_date: days.map(|(from, to)| (Date(from), Date(to))),
            tempo,
            energy,
        })
}

fn heard() -> impl Strategy<Value = HeardWindow> {
    prop_oneof![Just(HeardWindow::Allowed), (1_u16..).prop_map(HeardWindow::Days), Just(HeardWindow::Ever)]
}

fn normalization() -> impl Strategy<Value = Normalization> {
    prop_oneof![Just(Normalization::MinMax), Just(Normalization::Rrf), Just(Normalization::ZScore)]
}

fn sources() -> impl Strategy<Value = Vec<SourceSpec>> {
    let sources = proptest::sample::subsequence(Source::ALL.to_vec(), 1..=4);
    (sources, 1_u32..=2_000, 0.1_f64..3.0).prop_map(|(sources, depth, weight)| {
        sources
            .into_iter()
            .map(|source| SourceSpec { source, depth, weights: [weight, 1.0, weight] })
            .collect()
    })
}

/// A rule with every condition, or none of them.
fn rules(number: u16) -> Vec<EditorialRule> {
    let hour = (number % 24) as u8;
    let full = EditorialRule {
        name: format!("rule {number}"),
        when: RuleCondition {
            likes_genre: Some(("rock".to_owned(), 0.25)),
            activity: Some("gym".to_owned()),
            device: Some("car".to_owned()),
            hours: Some((hour, 23 - hour)),
            weekdays: vec![0, hour % 7],
            regions: vec!["SE".parse().expect("a region")],
        },
        tracks: RuleTracks {
            genres: vec!["classic rock".to_owned()],
            artists: vec![ArtistId::new("a1").expect("an id")],
            energy: Some((0.7, 1.0)),
            tempo: Some((90.0, 130.0)),
            popularity: Some((10.0, 90.0)),
        },
        effect: [RuleEffect::Candidates, RuleEffect::Boost, RuleEffect::Bury, RuleEffect::Pin]
            [usize::from(number % 4)],
        weight: 0.3,
    };
    let bare =
        EditorialRule { when: RuleCondition::default(), tracks: RuleTracks::default(), ..full.clone() };
    vec![full, bare]
}

fn recipe_strategy() -> impl Strategy<Value = Recipe> {
    let numbers =
        (1_u32..=1_000, any::<u16>(), 0.0_f64..=1.0, 0.0_f64..=1.0, 0.0_f64..=0.5, any::<[u32; 3]>());
    (word(), sources(), normalization(), heard(), option::of(heard()), numbers, any::<[bool; 2]>()).prop_map(
        |(name, sources, normalization, heard, heard_collaborative, numbers, flags)| Recipe {
            name,
            version: numbers.5[0],
            n: numbers.0,
            sources,
            normalization,
            heard,
            heard_collaborative,
            served_weeks: numbers.1,
            personal_weight: numbers.2,
            mmr_lambda: numbers.3,
            long_tail_share: numbers.4,
            artist_cap: numbers.5[1],
            album_cap: numbers.5[2],
            exploration_rate: numbers.4,
            sequence: flags[0],
            energy_arc: EnergyArc(vec![(0.0, numbers.2), (1.0, numbers.3)]),
            artist_gap: numbers.5[1],
            released_within_days: numbers.1,
            rules: flags[1],
            diversity: if flags[0] { Diversity::Dpp } else { Diversity::Mmr },
            exploration_policy: if flags[1] { ExplorationPolicy::LinTs } else { ExplorationPolicy::Softmax },
            learned_weights: flags[0],
            editorial: rules(numbers.1),
        },
    )
}

fn patch() -> impl Strategy<Value = RecipePatch> {
    let numbers = (
        option::of(1_u32..=1_000),
        option::of(any::<u16>()),
        option::of(0.0_f64..=0.5),
        option::of(any::<u32>()),
    );
    (
        option::of(sources()),
        option::of(normalization()),
        option::of(heard()),
        numbers,
        option::of(any::<bool>()),
    )
        .prop_map(|(sources, normalization, heard, numbers, sequence)| RecipePatch {
            n: numbers.0,
            sources,
            normalization,
            heard,
            heard_collaborative: heard,
            served_weeks: numbers.1,
            personal_weight: numbers.2,
            mmr_lambda: numbers.2,
            long_tail_share: numbers.2,
            artist_cap: numbers.3,
            album_cap: numbers.3,
            exploration_rate: numbers.2,
            sequence,
            energy_arc: numbers.2.map(|level| EnergyArc(vec![(0.0, level), (1.0, 0.0)])),
            artist_gap: numbers.3,
            released_within_days: numbers.1,
            diversity: sequence.map(|_| Diversity::Dpp),
            exploration_policy: sequence.map(|_| ExplorationPolicy::LinTs),
            learned_weights: sequence,
            editorial: numbers.1.map(rules),
        })
}

fn recommend() -> impl Strategy<Value = RecommendRequest> {
    let context = (-840..=840, option::of(word()), option::of(word()))
        .prop_map(|(utc_offset_min, device, activity)| RequestContext { utc_offset_min, device, activity });
    let token = vec((word(), any::<u64>()), 0..3).prop_map(|applied| WriteToken { applied });
    let options = (option::of(1_u32..1_000), option::of(MS), option::of(word()), option::of(any::<u32>()));
    (
        id::<UserId>(),
        id::<Surface>(),
        patch(),
        filter(),
        context,
        option::of(token),
        options,
        any::<[bool; 2]>(),
    )
        .prop_map(|(user_id, surface, overrides, filter, context, min_token, options, flags)| {
            RecommendRequest {
                user_id,
                surface,
                n: options.0,
                as_of: options.1.map(Timestamp),
                recipe: options.2.clone(),
                overrides,
                request_id: options.2,
                filter,
                seeds: Vec::new(),
                context,
                explain: flags[0],
                exact: flags[1],
                offers: flags[0] ^ flags[1],
                generation: options.3.map(GenerationId),
                min_token,
                deadline: Deadline::NEVER,
                once: false,
            }
        })
}

fn event() -> impl Strategy<Value = FeedbackEvent> {
    let ids = (id::<UserId>(), id::<TrackId>(), id::<ArtistId>(), option::of(id::<EventId>()));
    let rest = (option::of(MS), option::of(any::<u32>()), word(), vec(0_u32..100, 0..4));
    (ids, proptest::sample::select(Action::ALL.to_vec()), rest).prop_map(
        |((user_id, track_id, artist_id, event_id), action, (at, listened_ms, text, positions))| {
            FeedbackEvent {
                user_id,
                action,
                track_id: Some(track_id),
                artist_id: Some(artist_id),
                at: at.map(Timestamp),
                listened_ms,
                event_id,
                query: Some(text.clone()),
                impression: Some(text),
                positions,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tracks_round_trip(track in track()) {
        prop_assert_eq!(Track::try_from(pb::Track::from(track.clone())).expect("valid"), track);
    }

    #[test]
    fn listeners_round_trip(user in user()) {
        prop_assert_eq!(User::try_from(pb::User::from(user.clone())).expect("valid"), user);
    }

    #[test]
    fn recipes_round_trip(recipe in recipe_strategy()) {
        prop_assert_eq!(Recipe::try_from(pb::Recipe::from(recipe.clone())).expect("valid"), recipe);
    }

    #[test]
    fn recommend_requests_round_trip(request in recommend()) {
        let back = RecommendRequest::try_from(pb::RecommendRequest::from(request.clone())).expect("valid");
        prop_assert_eq!(back, request);
    }

    #[test]
    fn events_round_trip(event in event()) {
        prop_assert_eq!(FeedbackEvent::try_from(pb::FeedbackEvent::from(event.clone())).expect("valid"), event);
    }

    #[test]
    fn arbitrary_bytes_are_an_error_or_a_value(bytes in vec(any::<u8>(), 0..200)) {
        arbitrary::<pb::Track, Track>(&bytes);
        arbitrary::<pb::User, User>(&bytes);
        arbitrary::<pb::RecommendRequest, RecommendRequest>(&bytes);
        arbitrary::<pb::Recipe, Recipe>(&bytes);
        arbitrary::<pb::FeedbackEvent, FeedbackEvent>(&bytes);
        arbitrary::<pb::Recommendation, Recommendation>(&bytes);
    }
}

fn arbitrary<P: prost::Message + Default, D: TryFrom<P>>(bytes: &[u8]) {
    if let Ok(proto) = P::decode(bytes) {
        let _ = D::try_from(proto);
    }
}

fn field<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Err(Error::InvalidField { field, .. }) => field.into_owned(),
        Err(Error::InvalidRow { row, source }) => format!("{row}/{}", field(Err::<T, _>(*source))),
        other => format!("{other:?}"),
    }
}

#[test]
fn plays_and_their_actions_round_trip() {
    for action in [PlayAction::Play, PlayAction::Skip, PlayAction::Save, PlayAction::Repeat] {
        let play = Play {
            user_id: UserId::new("u").expect("valid"),
            track_id: TrackId::new("t").expect("valid"),
            played_at: Timestamp(5),
            listened_ms: 7,
            action,
        };
        assert_eq!(Play::try_from(pb::Play::from(play.clone())).expect("valid"), play);
    }
}

#[test]
fn finished_lists_round_trip() {
    let numbers = TrackExplanation {
        sources: vec![SourceScore {
            source: "audio".into(),
            raw: 0.3,
            normalized: 0.5,
            weight: 0.25,
            rank: 4,
        }],
        base: 0.1,
        arm: Some("audio × rock".into()),
        propensity: Some(0.2),
        ..TrackExplanation::default()
    };
    let list = Recommendation {
        user_id: Some(UserId::new("u").expect("valid")),
        recipe: "radio@1".into(),
        experiment: Some(Assignment { experiment: "arc@3".into(), arm: "new".into() }),
        generation: Some(GenerationId(2)),
        as_of: Timestamp(1_000),
        request_id: "r".into(),
        seed: u64::MAX,
        cold_start: "fold_in".into(),
        degraded: vec!["audio".into()],
        relaxed: vec!["heard".into()],
        applied: vec![("tracks-0".into(), 9)],
        searches: vec![SearchReport {
            source: "content".into(),
            space: SpaceName::new("track_cf").expect("valid"),
            path: "filtered".into(),
            selectivity: 0.5,
        }],
        impression: "token".into(),
        tracks: vec![RecommendedTrack {
            track_id: TrackId::new("t").expect("valid"),
            title: "Title".into(),
            artists: vec!["A".into()],
            score: 0.75,
            sources: vec!["audio".into()],
            explored: true,
            reason: "because".into(),
            explanation: Some(numbers),
        }],
        offers: vec![SourceOffer {
            source: "audio".into(),
            tracks: vec![(TrackId::new("t").expect("valid"), 0.5)],
        }],
        funnel: Some(Funnel {
            sources: vec![FunnelSource { source: "audio".into(), depth: 9, offered: 8, listed: 2 }],
            candidates: 7,
            filled: 1,
            capped: 3,
            listed: 5,
            explored: 2,
        }),
    };
    assert_eq!(Recommendation::try_from(pb::Recommendation::from(list.clone())).expect("valid"), list);
}

#[test]
fn searches_and_similar_requests_round_trip() {
    let search = SearchRequest {
        space: SpaceName::new("audio").expect("valid"),
        vector: Some(vec![0.5, -1.0]),
        metric: Some(Metric::L2),
        text: Some("love".into()),
        k: 3,
        ef: Some(64),
        filter: TrackFilter::default(),
        exact: true,
        generation: None,
        min_token: Some(WriteToken { applied: vec![("tracks-0".into(), 7)] }),
        deadline: Deadline::NEVER,
    };
    assert_eq!(SearchRequest::try_from(pb::SearchRequest::from(search.clone())).expect("valid"), search);
    let similar = SimilarRequest {
        seeds: vec![(TrackId::new("t").expect("valid"), -0.5)],
        space: None,
        k: 10,
        filter: TrackFilter::default(),
        user_id: Some(UserId::new("u").expect("valid")),
        as_of: Some(Timestamp(3)),
        exact: false,
        generation: Some(GenerationId(1)),
        min_token: Some(WriteToken { applied: vec![("users-0".into(), 9)] }),
        deadline: Deadline::NEVER,
    };
    assert_eq!(SimilarRequest::try_from(pb::SimilarRequest::from(similar.clone())).expect("valid"), similar);
}

#[test]
fn refusals_name_field_and_row() {
    let good = || pb::Track {
        track_id: "t".into(),
        artists: vec![pb::Artist { artist_id: "a".into(), name: "A".into() }],
        ..pb::Track::default()
    };
    let track = |change: fn(&mut pb::Track)| {
        let mut proto = good();
        change(&mut proto);
        field(rows::<_, Track>("tracks", vec![good(), proto], 10))
    };
    assert_eq!(track(|t| t.track_id.clear()), "1/track_id");
    assert_eq!(track(|t| t.track_id = "x".repeat(10 << 20)), "1/track_id");
    assert_eq!(track(|t| t.regions = Some(pb::RegionSet { regions: vec!["Sweden".into()] })), "1/regions");
    assert_eq!(
        track(|t| t.audio = Some(pb::AudioFeatures { key: Some(300), ..Default::default() })),
        "1/audio.key"
    );
    assert_eq!(field(rows::<pb::Track, Track>("tracks", Vec::new(), 10)), "tracks");
    assert_eq!(field(rows::<pb::Track, Track>("tracks", vec![good(); 11], 10)), "tracks");
    let seeds = vec![pb::Seed { track_id: "a".into(), weight: None }, pb::Seed::default()];
    let similar = pb::SimilarRequest { seeds, ..Default::default() };
    assert_eq!(field(SimilarRequest::try_from(similar)), "seeds[1].track_id");
}

#[test]
fn unknown_enum_values_are_refused() {
    let event = pb::FeedbackEvent { user_id: "u".into(), action: 99, ..Default::default() };
    assert_eq!(field(FeedbackEvent::try_from(event)), "action");
    let play = pb::Play { user_id: "u".into(), track_id: "t".into(), ..Default::default() };
    assert_eq!(field(Play::try_from(play)), "action");
    let spec = pb::SourceSpec { source: 42, depth: 1, ..Default::default() };
    assert_eq!(field(SourceSpec::try_from(spec)), "sources.source");
    assert_eq!(
        field(SearchRequest::try_from(pb::SearchRequest { metric: 7, ..Default::default() })),
        "metric"
    );
    assert_eq!(field(load_kind(0)), "kind");
}

#[test]
fn vectors_of_a_batch_share_one_dimension_and_are_finite() {
    let row = |vector: Vec<f32>| pb::VectorRow { id: "t".into(), vector };
    assert_eq!(field(vector_rows(vec![row(vec![1.0]), row(vec![1.0, 2.0])], 10)), "1/vector");
    assert_eq!(field(vector_rows(vec![row(vec![f32::NAN])], 10)), "0/vector");
    assert_eq!(vector_rows(vec![row(vec![1.0]), row(vec![2.0])], 10).map(|rows| rows.len()).ok(), Some(2));
}

#[test]
fn gram_data_must_fit_its_dimension() {
    let gram = |dim, entries: usize| pb::GramData {
        dim,
        gram: vec![0.5; entries],
        half_life_days: 62.4,
        ..Default::default()
    };
    let create = |dim, gram| field(create_generation(pb::CreateGenerationRequest { dim, gram: Some(gram) }));
    assert_eq!(create(2, gram(2, 3)), "gram.gram");
    assert_eq!(create(3, gram(2, 4)), "gram.dim");
    assert_eq!(create(0, gram(2, 4)), "dim");
    assert_eq!(create(u32::MAX, gram(u32::MAX, 4)), "dim");
    assert!(create(2, gram(2, 4)).starts_with("Ok"));
}
