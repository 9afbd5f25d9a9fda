//! What is breaking: played far more in the last week than in the four before, and not known to everybody. It is said, and it is
//! what exploration takes of trends.

use segue::pipeline::recipe::{RecipePatch, Source, SourceSpec};
use segue::pipeline::request::{RecommendRequest, Recommendation, RecommendedTrack};
use segue::types::{Action, Artist, DAY_MS, FeedbackEvent, Surface, Timestamp, Track, User};

use crate::discovery::{Place, event, only};
use crate::support::{AS_OF, id, track};

/// Listeners of one region who play what is new.
const FANS: u64 = 9;
/// New bands: more than exploration takes of them.
const BANDS: u64 = 12;
/// A day of the last week, and one of each of the four before.
const LATELY: i64 = 3;
const EARLIER: [i64; 4] = [10, 17, 24, 31];

/// A jazz track of an artist of its own, popular to this degree.
fn by_a_band(name: &str, popularity: f32) -> Track {
    let jazz = track(1, 0);
    assert_eq!(jazz.genres[0].genre, "jazz");
    Track {
        track_id: id(name),
        recording_id: id(name),
        artists: vec![Artist { id: id(format!("artist-{name}")), name: format!("Band {name}") }],
        album_id: Some(id(format!("album-{name}"))),
        popularity: Some(popularity),
        ..jazz
    }
}

fn heard(user: &str, what: &str, days: i64, number: u64) -> FeedbackEvent {
    FeedbackEvent {
        track_id: Some(id(what)),
        listened_ms: Some(300_000),
        ..event(user, Action::Play, Timestamp(AS_OF.0 - days * DAY_MS - 60_000 * number as i64))
    }
}

/// A place where new bands, a hit and a steady band are played in Germany.
fn place() -> Place {
    let place = Place::new();
    let mut tracks: Vec<Track> = (0..BANDS).map(|band| by_a_band(&format!("new{band}"), 20.0)).collect();
    tracks.extend([by_a_band("hit", 90.0), by_a_band("steady", 20.0)]);
    place.engine.upsert_tracks(tracks.clone()).unwrap();
    let from = |name: String, region: &str| User { region: region.parse().ok(), ..User::unknown(id(name)) };
    let mut users: Vec<User> = (0..FANS).map(|fan| from(format!("fan{fan}"), "DE")).collect();
    users.extend([from("me".to_owned(), "DE"), from("abroad".to_owned(), "SE")]);
    place.engine.upsert_users(users).unwrap();
    let mut events = Vec::new();
    for fan in 0..FANS {
        let user = format!("fan{fan}");
        events.extend(tracks.iter().map(|it| heard(&user, it.track_id.as_str(), LATELY, fan)));
        events.extend(EARLIER.map(|days| heard(&user, "steady", days, fan)));
    }
    // Two who like jazz, and know none of the bands.
    for user in ["me", "abroad"] {
        events.extend((0..30).map(|at| heard(user, &format!("t{}", 1 + 40 * (at % 10)), 20 + at as i64, at)));
    }
    place.engine.feedback(events).unwrap();
    place
}

fn named<'l>(list: &'l Recommendation, name: &str) -> &'l RecommendedTrack {
    list.tracks.iter().find(|track| track.track_id.as_str() == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn what_is_suddenly_played_and_not_widely_known_is_on_the_rise_where_it_is_played() {
    let place = place();
    let trends = || RecipePatch { n: Some(60), artist_cap: Some(0), ..only(Source::Trending) };
    let here = place.ask("me", "anywhere", trends());
    for band in 0..BANDS {
        assert_eq!(named(&here, &format!("new{band}")).reason, "on the rise in DE");
    }
    assert_eq!(named(&here, "hit").reason, "popular in DE", "everybody knows it");
    assert_eq!(named(&here, "steady").reason, "popular in DE", "it was played as often before");
    let abroad = place.ask("abroad", "anywhere", trends());
    assert!(abroad.tracks.iter().all(|track| !track.reason.contains("rise")), "nobody plays it there");
}

/// PIPELINE.md §8: of trends, exploration takes the best unheard track of ten breaking artists in a liked genre.
#[test]
fn of_trends_only_what_is_breaking_in_a_liked_genre_is_explored() {
    let place = place();
    let explored = |user: &str, request: u64| -> Vec<RecommendedTrack> {
        let spec = |source, weight| SourceSpec { source, depth: 100, weights: [weight; 3] };
        let overrides = RecipePatch {
            sources: Some(vec![spec(Source::Content, 1.0), spec(Source::Trending, 0.5)]),
            exploration_rate: Some(0.3),
            n: Some(10),
            ..RecipePatch::default()
        };
        let request = RecommendRequest {
            as_of: Some(AS_OF),
            request_id: Some(format!("request {request}")),
            explain: true,
            overrides,
            ..RecommendRequest::new(id(user), Surface::new("anywhere").unwrap())
        };
        let list = place.engine.recommend(request).unwrap();
        list.tracks.into_iter().filter(|track| track.explored).collect()
    };
    let mut bands = std::collections::BTreeSet::new();
    for request in 0..60 {
        for track in explored("me", request) {
            assert_eq!(track.reason, "exploration: on the rise in DE", "{}", track.track_id);
            let arm = track.explanation.unwrap().arm.unwrap();
            assert!(arm.starts_with("trending/"), "{arm}");
            bands.insert(track.track_id);
        }
    }
    assert_eq!(bands.len(), 10, "ten of the bands take part: {bands:?}");
    // Where nothing is breaking, what is merely popular is no discovery of that kind.
    let reasons: Vec<String> =
        (0..10).flat_map(|request| explored("abroad", request)).map(|track| track.reason).collect();
    assert!(!reasons.is_empty() && reasons.iter().all(|reason| !reason.contains("rise")), "{reasons:?}");
}
