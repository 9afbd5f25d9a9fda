//! The same request on the same state is answered with the same bytes: the whole reply, scores, reasons, explanations, the
//! impression token, what each source offered, how each search went.

use segue::Segue;
use segue::pipeline::recipe::{Diversity, ExplorationPolicy, RecipePatch};
use segue::pipeline::request::{
    RecommendRequest, Recommendation, RequestContext, SearchRequest, SimilarRequest, SimilarUsersRequest,
};
use segue::types::{Surface, User};

use crate::support::{AS_OF, World, id, seed, small_segments, space};

/// Every surface with a recipe of its own and one without, with everything a reply can carry; and requests with seeds, with
/// a context, and with a recipe's other ways of choosing.
pub fn requests(users: &[User]) -> Vec<RecommendRequest> {
    let surfaces =
        ["radio", "top_mixes", "daily_mix", "discover_weekly", "release_radar", "made_for_you", "anywhere"];
    let mut all = Vec::new();
    for (at, user) in users.iter().enumerate() {
        for surface in surfaces {
            all.push(RecommendRequest {
                as_of: Some(AS_OF),
                request_id: Some(format!("{surface} of {}", user.user_id)),
                explain: true,
                offers: true,
                ..RecommendRequest::new(user.user_id.clone(), Surface::new(surface).unwrap())
            });
        }
        let plain = all[all.len() - 1].clone();
        let context = RequestContext {
            utc_offset_min: 120,
            device: Some("car".to_owned()),
            activity: Some("gym".to_owned()),
        };
        let other = RecipePatch {
            diversity: Some(if at.is_multiple_of(2) { Diversity::Dpp } else { Diversity::Mean }),
            exploration_policy: Some(ExplorationPolicy::Softmax),
            exploration_rate: Some(0.4),
            long_tail_share: Some(0.1),
            learned_weights: Some(true),
            ..RecipePatch::default()
        };
        all.push(RecommendRequest { seeds: vec![id("t3"), id("t40")], exact: true, ..plain.clone() });
        all.push(RecommendRequest { context, overrides: other, n: Some(25), ..plain });
    }
    all
}

/// The bytes of every reply, lists first, then similar tracks, searches and listeners alike; `keep` may leave something
/// out of a list.
fn bytes(engine: &Segue, users: &[User], keep: impl Fn(Recommendation) -> Recommendation) -> Vec<String> {
    let text = |list: Recommendation| serde_json::to_string(&keep(list)).unwrap();
    let mut all: Vec<String> =
        requests(users).into_iter().map(|request| text(engine.recommend(request).unwrap())).collect();
    for number in [1, 17, 200] {
        let similar = SimilarRequest {
            as_of: Some(AS_OF),
            ..SimilarRequest::new(vec![(id(format!("t{number}")), 1.0)])
        };
        // The reply's own id and time are made up at the border where the request says none.
        all.push(text(Recommendation { request_id: String::new(), ..engine.similar(similar).unwrap() }));
        let search = SearchRequest { k: 20, ..SearchRequest::new(space("audio")) };
        let found = engine.search(search).unwrap();
        all.push(text(Recommendation { request_id: String::new(), as_of: AS_OF, ..found }));
        let alike = engine.similar_users(SimilarUsersRequest::new(users[0].user_id.clone(), number)).unwrap();
        all.push(serde_json::to_string(&alike).unwrap());
    }
    all
}

/// The first difference, or nothing.
fn differs(a: &[String], b: &[String]) -> Option<String> {
    assert_eq!(a.len(), b.len());
    let (a, b) = a.iter().zip(b).find(|(a, b)| a != b)?;
    let at = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let around = |text: &str| {
        String::from_utf8_lossy(&text.as_bytes()[at.saturating_sub(80)..text.len().min(at + 80)]).into_owned()
    };
    Some(format!("{}\nagainst\n{}", around(a), around(b)))
}

/// Goal: nothing of an answer depends on what was asked before, or on when the process started.
///
/// Left out after a start, and only then: `applied`, since a start writes an entry of its own to each log.
#[test]
fn the_whole_reply_is_the_same_when_asked_twice_and_after_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::generate(seed(0x5A3E), 1_300, 24);
    let (engine, _) = Segue::open(folder.path(), small_segments()).unwrap();
    world.load(&engine);
    engine.refresh_statistics().unwrap();
    // What grows is sealed now, not between two answers.
    engine.checkpoint().unwrap();
    let users = &world.users[..12];
    let first = bytes(&engine, users, |list| list);
    let mut others = world.users[12..].to_vec();
    others.reverse();
    // Others in between, so that shared memory is not as it was.
    let _ = bytes(&engine, &others, |list| list);
    assert_eq!(differs(&first, &bytes(&engine, users, |list| list)), None, "asked twice");
    assert_eq!(first.len(), 12 * 9 + 9);

    let of_state = |list: Recommendation| Recommendation { applied: Vec::new(), ..list };
    let before = bytes(&engine, users, of_state);
    engine.shutdown().unwrap();
    drop(engine);
    let (engine, _) = Segue::open(folder.path(), small_segments()).unwrap();
    assert_eq!(differs(&before, &bytes(&engine, users, of_state)), None, "after a start");
    // Without the start's own entry nothing is left out: asked twice again, whole.
    let first = bytes(&engine, users, |list| list);
    assert_eq!(differs(&first, &bytes(&engine, users, |list| list)), None, "asked twice after a start");
}
