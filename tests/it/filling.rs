//! A list that would be short: windows give way, what lies longest back first, and the list says so.

use std::collections::HashSet;

use segue::Segue;
use segue::pipeline::recipe::RecipePatch;
use segue::pipeline::request::{RecommendRequest, Recommendation};
use segue::types::{Action, DAY_MS, FeedbackEvent, Surface, Timestamp, TrackId, User};

use crate::discovery::event;
use crate::support::{AS_OF, id, small_segments, track};

/// Tracks of a catalogue that is too small for three lists.
const TRACKS: u64 = 45;
const LENGTH: u32 = 20;

#[test]
fn tracks_that_were_served_longest_ago_come_back_first_when_there_are_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = Segue::open(folder.path(), small_segments()).unwrap();
    engine.upsert_tracks((0..TRACKS).map(|number| track(number, 0)).collect()).unwrap();
    engine.upsert_users(vec![User::unknown(id("few"))]).unwrap();
    let ask = |weeks_ago: i64| -> Recommendation {
        let as_of = Timestamp(AS_OF.0 - weeks_ago * 7 * DAY_MS);
        let overrides = RecipePatch {
            n: Some(LENGTH),
            exploration_rate: Some(0.0),
            artist_cap: Some(0),
            album_cap: Some(0),
            ..RecipePatch::default()
        };
        let request = RecommendRequest {
            as_of: Some(as_of),
            request_id: Some(format!("week {weeks_ago}")),
            overrides,
            ..RecommendRequest::new(id("few"), Surface::new("discover_weekly").unwrap())
        };
        let list = engine.recommend(request).unwrap();
        let impression = Some(list.impression.clone());
        engine.feedback(vec![FeedbackEvent { impression, ..event("few", Action::Served, as_of) }]).unwrap();
        list
    };
    let names = |list: &Recommendation| -> HashSet<TrackId> {
        list.tracks.iter().map(|track| track.track_id.clone()).collect()
    };
    let (first, second, third, fourth) = (ask(3), ask(2), ask(1), ask(0));
    let said = |list: &Recommendation| list.relaxed.iter().any(|words| words.contains("served window"));
    assert!(!said(&first) && !said(&second), "{:?} {:?}", first.relaxed, second.relaxed);
    let (first, second) = (names(&first), names(&second));
    assert_eq!((first.len(), second.len()), (20, 20));
    assert!(first.is_disjoint(&second));
    // Five are left; the others come from the first list, none from the second.
    assert!(said(&third), "{:?}", third.relaxed);
    let third = names(&third);
    assert_eq!(
        (third.len(), third.intersection(&first).count(), third.intersection(&second).count()),
        (20, 15, 0)
    );
    // Then the five of the first list that were not served again, and fifteen of the second.
    assert!(said(&fourth), "{:?}", fourth.relaxed);
    let fourth = names(&fourth);
    assert_eq!((fourth.intersection(&first).count(), fourth.intersection(&second).count()), (5, 15));
}
