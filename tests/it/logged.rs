//! What is logged of served lists: enough to make them again, and to say with what probability each slot was chosen.

use segue::Segue;
use segue::pipeline::request::{RecommendRequest, Recommendation};
use segue::types::{Action, FeedbackEvent, Surface, Timestamp, TrackId, UserId};

use crate::discovery::event;
use crate::support::{AS_OF, World, seed, small_segments};

fn ask(engine: &Segue, user: &UserId, request: &str, recipe: Option<&str>) -> Recommendation {
    let request = RecommendRequest {
        as_of: Some(AS_OF),
        request_id: Some(request.to_owned()),
        recipe: recipe.map(str::to_owned),
        explain: true,
        ..RecommendRequest::new(user.clone(), Surface::new("discover_weekly").unwrap())
    };
    engine.recommend(request).unwrap()
}

fn served(user: &UserId, list: &Recommendation, at: Timestamp, positions: Vec<u32>) -> FeedbackEvent {
    let impression = Some(list.impression.clone());
    FeedbackEvent { impression, positions, ..event(user.as_str(), Action::Served, at) }
}

#[test]
fn the_log_has_what_makes_a_list_again_and_the_probability_of_every_slot() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::generate(seed(0x10_66), 1_500, 12);
    let (engine, _) = Segue::open(folder.path(), small_segments()).unwrap();
    world.load(&engine);
    let user = &world.users[3].user_id;
    let first = ask(&engine, user, "first", None);
    let other = ask(&engine, user, "other", None);
    let shown = |track: &segue::pipeline::request::RecommendedTrack| {
        let numbers = track.explanation.as_ref().unwrap();
        (track.track_id.clone(), track.explored, numbers.arm.clone(), numbers.propensity)
    };
    // All of one list and, a minute later, four places of the other.
    let places = [0_u32, 3, 4, 9];
    let later = Timestamp(AS_OF.0 + 60_000);
    engine.feedback(vec![served(user, &first, AS_OF, Vec::new())]).unwrap();
    engine.feedback(vec![served(user, &other, later, places.to_vec())]).unwrap();
    let logged = engine.logged_lists(user, later, 10).unwrap();
    assert_eq!(logged.iter().map(|list| list.request_id.as_str()).collect::<Vec<_>>(), ["other", "first"]);
    assert_eq!(engine.logged_lists(user, AS_OF, 10).unwrap(), logged[1..]);
    assert_eq!(engine.logged_lists(user, later, 1).unwrap(), logged[..1]);

    let [part, whole] = &logged[..] else { panic!("{logged:?}") };
    let positions: Vec<u32> = part.slots.iter().map(|slot| slot.position).collect();
    assert_eq!(positions, places);
    assert_eq!(
        (whole.slots.len(), first.tracks.iter().any(|track| track.explored)),
        (first.tracks.len(), true)
    );
    for (list, made) in [(part, &other), (whole, &first)] {
        for slot in &list.slots {
            let (track, explored, arm, propensity) = shown(&made.tracks[slot.position as usize]);
            assert_eq!((&slot.track_id, slot.explored, &slot.arm), (&track, explored, &arm));
            // Slots that explored nothing were certain; a stored probability has the precision of an `f32`.
            let expected = propensity.unwrap_or(1.0);
            let logged = slot.propensity.unwrap();
            assert!((logged / expected - 1.0).abs() < 1e-6, "{logged} instead of {expected}");
            assert_eq!(slot.draw.is_some(), explored);
            let source = slot.source.as_ref().unwrap();
            let has_source = made.tracks[slot.position as usize].sources.contains(source);
            assert!(has_source || explored, "{slot:?}");
        }
        let made_by = list.made_by.as_ref().unwrap();
        assert_eq!((&made_by.recipe, made_by.seed, made_by.as_of), (&made.recipe, made.seed, AS_OF));
        assert_eq!((made_by.generation, &made_by.experiment), (made.generation, &None));
    }
    let hash = |list: &segue::pipeline::logged::LoggedList| list.made_by.as_ref().unwrap().candidates_hash;
    assert_eq!(hash(part), hash(whole), "the same candidates, and other draws");
    assert_ne!(part.made_by.as_ref().unwrap().seed, whole.made_by.as_ref().unwrap().seed);
    engine.shutdown().unwrap();
    drop(engine);

    // In a database that nothing was shown in yet, what was logged makes the same list again, to the token's last bit but for
    // the key it is signed with.
    let fresh = tempfile::tempdir().unwrap();
    let (again, _) = Segue::open(fresh.path(), small_segments()).unwrap();
    world.load(&again);
    let made_by = whole.made_by.as_ref().unwrap();
    let list = ask(&again, user, &whole.request_id, Some(&made_by.recipe));
    let tracks: Vec<&TrackId> = list.tracks.iter().map(|track| &track.track_id).collect();
    assert_eq!(tracks, whole.slots.iter().map(|slot| &slot.track_id).collect::<Vec<_>>());
    assert_eq!(list.seed, made_by.seed);
    again.feedback(vec![served(user, &list, AS_OF, Vec::new())]).unwrap();
    assert_eq!(again.logged_lists(user, AS_OF, 1).unwrap(), logged[1..]);

    // What was logged before a restart is there after it.
    let (engine, _) = Segue::open(folder.path(), small_segments()).unwrap();
    assert_eq!(engine.logged_lists(user, later, 10).unwrap(), logged);
    assert_eq!(engine.logged_lists(&world.users[4].user_id, later, 10).unwrap(), []);
}
