//! Why a track is not in a list: every stage that drops one says so, and what it says is true.

use std::collections::BTreeMap;

use segue::pipeline::recipe::{RecipePatch, Source, SourceSpec};
use segue::pipeline::request::{ExplainRequest, Explanation, RecommendRequest};
use segue::types::{Action, FeedbackEvent, Surface, Timestamp, TrackId, User};

use crate::discovery::{Place, event};
use crate::support::{AS_OF, id};

/// Tracks that the stages behind the blend look at, at most.
const WENT_ON: usize = 600;

/// The most popular `depth` tracks, ten of them listed.
fn most_popular(depth: u32) -> RecipePatch {
    RecipePatch {
        n: Some(10),
        sources: Some(vec![SourceSpec { source: Source::Trending, depth, weights: [1.0; 3] }]),
        exploration_rate: Some(0.0),
        artist_cap: Some(1),
        ..RecipePatch::default()
    }
}

fn why(place: &Place, depth: u32, track: &TrackId) -> Explanation {
    let request = RecommendRequest {
        as_of: Some(AS_OF),
        request_id: Some("why".to_owned()),
        overrides: most_popular(depth),
        ..RecommendRequest::new(id("curious"), Surface::new("anywhere").unwrap())
    };
    place.engine.explain(ExplainRequest { request, track_id: track.clone() }).unwrap()
}

#[test]
fn every_stage_that_drops_a_track_says_so() {
    let place = Place::new();
    place
        .engine
        .upsert_users(vec![User { region: "DE".parse().ok(), ..User::unknown(id("curious")) }])
        .unwrap();
    let says = |action, minutes: i64| event("curious", action, Timestamp(AS_OF.0 - 60_000 * minutes));
    let heard = place.world.tracks.iter().find(|track| track.artists[0].id.as_str() == "a7").unwrap();
    let blocks = FeedbackEvent { artist_id: Some(id("a5")), ..says(Action::BlockArtist, 3) };
    let plays = FeedbackEvent { track_id: Some(heard.track_id.clone()), ..says(Action::Play, 2) };
    place.engine.feedback(vec![blocks, plays]).unwrap();

    let mut stages: BTreeMap<String, usize> = BTreeMap::new();
    let mut ranks = Vec::new();
    let mut listed = Vec::new();
    for track in place.world.tracks.iter().step_by(7).chain([heard]) {
        let told = why(&place, 2_000, &track.track_id);
        let by = |artist: &str| track.artists.iter().any(|by| by.id.as_str() == artist);
        *stages.entry(told.stage.clone()).or_default() += 1;
        assert_eq!(told.listed, told.position.is_some());
        match told.stage.as_str() {
            // A track may break several rules, of which the first is told.
            "filter" => assert!(by("a5") || !told.reason.contains("blocked"), "{}", told.reason),
            "window" => assert_eq!(track.recording_id, heard.recording_id, "{}", told.reason),
            "blend" => {
                let number = told.reason.split_whitespace().find_map(|word| word.parse::<usize>().ok());
                ranks.push(number.unwrap());
                assert!(told.reason.ends_with(&format!("only {WENT_ON} went on")), "{}", told.reason);
            }
            "cap" | "diversity" => assert!(told.scores.is_some(), "it was scored"),
            "listed" => listed.push(track.artists[0].id.clone()),
            stage => panic!("nothing that may be shown is beyond the depth: {stage}, {}", told.reason),
        }
        assert!(!by("a5") || told.stage == "filter", "{}: {}", track.track_id, told.stage);
    }
    let of = |stage: &str| stages.get(stage).copied().unwrap_or(0);
    assert!(of("filter") > 10 && of("window") >= 1 && of("cap") > 0 && of("diversity") > 10, "{stages:?}");
    assert!(of("blend") > 10, "{stages:?}");
    ranks.sort_unstable();
    assert!(ranks[0] > WENT_ON && ranks.windows(2).all(|pair| pair[0] < pair[1]), "{ranks:?}");

    // Of the same tracks hardly any is among the first twenty.
    let unpopular = place.world.tracks.iter().filter(|track| track.popularity == Some(0.0));
    for track in unpopular.take(10) {
        let (deep, shallow) = (why(&place, 2_000, &track.track_id), why(&place, 20, &track.track_id));
        let is_kept_out = matches!(deep.stage.as_str(), "filter" | "window");
        assert_eq!(shallow.stage, if is_kept_out { deep.stage.as_str() } else { "retrieval" });
        assert_eq!(is_kept_out, !shallow.reason.contains("trending 20"), "{}", shallow.reason);
    }
}
