//! What is kept between requests decides how soon an answer comes, never what it is.

use segue::Segue;
use segue::node::VectorRow;
use segue::pipeline::request::{RecommendRequest, Recommendation};
use segue::types::{Action, DAY_MS, FeedbackEvent, Surface, Timestamp, User};

use crate::support::{AS_OF, STATIC, World, audio_vector, id, seed, small_segments, space};

/// The lists of every listener on two surfaces at a moment, without what a start (the applied indexes) and sealing in the
/// background (which rows a search had to look at) move on.
fn lists(engine: &Segue, users: &[User], as_of: Timestamp) -> Vec<Recommendation> {
    let mut lists = Vec::new();
    for user in users {
        for surface in ["discover_weekly", "daily_mix"] {
            let request = RecommendRequest {
                as_of: Some(as_of),
                request_id: Some(format!("{}/{surface}", user.user_id)),
                explain: true,
                offers: true,
                // Sealing goes on in the background; an exact search does not see it.
                exact: true,
                ..RecommendRequest::new(user.user_id.clone(), Surface::new(surface).unwrap())
            };
            let list = engine.recommend(request).unwrap();
            lists.push(Recommendation { applied: Vec::new(), searches: Vec::new(), ..list });
        }
    }
    lists
}

/// Goal: after any of the writes that kept state depends on, and at other times, a process that has answered before says
/// what a process that has just started says.
#[test]
fn a_warm_process_answers_as_a_fresh_one() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::generate(seed(0xCAC4E), 900, 12);
    let times = [AS_OF, Timestamp(AS_OF.0 + 9 * DAY_MS), Timestamp(AS_OF.0 + 40 * DAY_MS)];
    let (mut warm, _) = Segue::open(folder.path(), small_segments()).unwrap();
    world.load(&warm);
    let writes: [&dyn Fn(&Segue); 4] = [
        &|_| {},
        // The vectors of what everybody listens to move elsewhere.
        &|engine| {
            let row = |number: u64| VectorRow { id: format!("t{number}"), vector: audio_vector(number, 7) };
            engine.upsert_vectors(&space("audio"), STATIC, (0..900).step_by(2).map(row).collect()).unwrap();
        },
        // Everybody hides what is first in a list.
        &|engine| {
            let event = |list: &Recommendation| FeedbackEvent {
                user_id: list.user_id.clone().unwrap(),
                action: Action::HideTrack,
                track_id: Some(list.tracks[0].track_id.clone()),
                artist_id: None,
                at: Some(AS_OF),
                listened_ms: None,
                event_id: None,
                query: None,
                impression: None,
                positions: Vec::new(),
            };
            engine.feedback(lists(engine, &world.users, AS_OF).iter().map(event).collect()).unwrap();
        },
        &|engine| {
            engine
                .delete_tracks(&(0..900).step_by(7).map(|n| id(format!("t{n}"))).collect::<Vec<_>>())
                .unwrap();
        },
    ];
    let mut before: Option<Vec<Recommendation>> = None;
    for write in writes {
        write(&warm);
        let of_warm: Vec<_> = times.map(|at| lists(&warm, &world.users, at)).concat();
        let again: Vec<_> = times.map(|at| lists(&warm, &world.users, at)).concat();
        assert_eq!(again, of_warm, "asked twice");
        warm.shutdown().unwrap();
        drop(warm);
        let (fresh, _) = Segue::open(folder.path(), small_segments()).unwrap();
        let of_fresh: Vec<_> = times.map(|at| lists(&fresh, &world.users, at)).concat();
        assert_eq!(of_fresh, of_warm, "after a start");
        assert_ne!(before.as_ref(), Some(&of_warm), "the write changes something");
        before = Some(of_warm);
        warm = fresh;
    }
}
