//! What is learnt from shown lists, and what two recipes have in common.

use std::path::Path;

use segue::Segue;
use segue::pipeline::recipe::{ExplorationPolicy, RecipePatch};
use segue::pipeline::request::{RecommendRequest, Recommendation};
use segue::types::{Action, DAY_MS, FeedbackEvent, Surface, Timestamp, User};

use crate::discovery::{Place, event};
use crate::support::{AS_OF, small_segments};

#[test]
fn what_exploration_brought_in_is_explored_more() {
    let place = Place::new();
    let users: Vec<&User> = place.world.users.iter().filter(|user| user.blocked_artists.len() < 10).collect();
    let patch = || RecipePatch {
        exploration_policy: Some(ExplorationPolicy::LinTs),
        exploration_rate: Some(0.5),
        ..RecipePatch::default()
    };
    let explored = |day: i64| -> Vec<(String, Recommendation)> {
        let ask = |user: &&User| {
            let request = RecommendRequest {
                as_of: Some(Timestamp(AS_OF.0 + day * DAY_MS)),
                request_id: Some(format!("{day}/{}", user.user_id)),
                explain: true,
                overrides: patch(),
                ..RecommendRequest::new(user.user_id.clone(), Surface::new("daily_mix").unwrap())
            };
            (user.user_id.to_string(), place.engine.recommend(request).unwrap())
        };
        users.iter().map(ask).collect()
    };
    let share = |lists: &[(String, Recommendation)]| {
        let arms: Vec<String> = lists
            .iter()
            .flat_map(|(_, list)| &list.tracks)
            .filter_map(|track| track.explanation.as_ref()?.arm.clone())
            .collect();
        arms.iter().filter(|arm| arm.starts_with("audio/")).count() as f64 / arms.len() as f64
    };
    let before = share(&explored(0));
    for day in 0..6 {
        let mut events = Vec::new();
        for (user, list) in explored(day) {
            let at = Timestamp(AS_OF.0 + day * DAY_MS + 60_000);
            events.push(FeedbackEvent {
                impression: Some(list.impression.clone()),
                ..event(&user, Action::Served, at)
            });
            for (minute, track) in (2..).zip(list.tracks.iter().filter(|track| track.explored)) {
                let arm = track.explanation.as_ref().unwrap().arm.clone().unwrap();
                // Listeners save what sounds alike and skip everything else.
                let action = if arm.starts_with("audio/") { Action::Save } else { Action::Skip };
                events.push(FeedbackEvent {
                    track_id: Some(track.track_id.clone()),
                    listened_ms: Some(5_000),
                    ..event(&user, action, Timestamp(at.0 + minute * 60_000))
                });
            }
        }
        place.engine.feedback(events).unwrap();
    }
    let same =
        segue::eval::explore_otherwise(&place.engine, segue::pipeline::explore::EPSILON).unwrap().unwrap();
    assert_eq!(
        (same.left_out, same.estimate.weight_mean),
        (0, 1.0),
        "every draw is logged with its probability"
    );
    assert!((same.estimate.ips.0 - same.estimate.logged).abs() < 1e-6 && same.estimate.choices > 500);
    place.engine.refresh_statistics().unwrap();
    let lists = explored(6);
    let after = share(&lists);
    assert!(after > before + 0.15, "audio arms {before:.2} before, {after:.2} after");
    let propensities: Vec<f64> = lists
        .iter()
        .flat_map(|(_, list)| &list.tracks)
        .filter_map(|track| track.explanation.as_ref()?.propensity)
        .collect();
    assert!(propensities.iter().all(|p| *p > 0.0 && *p <= 1.0));
}

#[test]
fn a_shadow_run_tells_how_much_two_recipes_share_and_a_split_who_is_in_which_part() {
    let place = Place::new();
    let ask = |shadow: &str| {
        let request = segue::eval::ShadowRequest {
            surface: Surface::new("daily_mix").unwrap(),
            recipe: None,
            shadow: shadow.to_owned(),
            k: 10,
            as_of: AS_OF,
            listeners: 40,
        };
        segue::eval::shadow(&place.engine, &request).unwrap()
    };
    let same = ask("daily_mix@1");
    assert_eq!((same.overlap, same.same_lists, same.listeners), (1.0, 40, 40));
    let other = ask("radio");
    assert!(other.overlap < 0.9 && other.same_lists < 40, "{other:?}");
    assert_eq!(other.recipes, ("daily_mix@1".to_owned(), "radio@1".to_owned()));
    let user = &place.world.users[2];
    let list = place.ask(user.user_id.as_str(), "daily_mix", RecipePatch::default());
    let events = vec![
        FeedbackEvent {
            impression: Some(list.impression.clone()),
            ..event(user.user_id.as_str(), Action::Served, AS_OF)
        },
        FeedbackEvent {
            track_id: Some(list.tracks[0].track_id.clone()),
            ..event(user.user_id.as_str(), Action::Save, Timestamp(AS_OF.0 + 60_000))
        },
    ];
    place.engine.feedback(events).unwrap();
    let halves = segue::eval::Split::new("a test", 0.5).unwrap();
    let report = segue::eval::split(&place.engine, &halves, None).unwrap();
    assert_eq!(report.parts[0].listeners + report.parts[1].listeners, 60);
    let mine = &report.parts[usize::from(halves.is_second(&user.user_id))];
    assert_eq!(mine.shown, 1);
    let slots = list.tracks.iter().filter(|track| !track.sources.is_empty()).count();
    assert!((mine.reward - 1.0 / slots as f64).abs() < 1e-9, "{report:?}");
    let elsewhere =
        segue::eval::split(&place.engine, &halves, Some(&Surface::new("radio").unwrap())).unwrap();
    assert_eq!(elsewhere.parts[0].shown + elsewhere.parts[1].shown, 0);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

#[test]
fn two_nodes_of_the_same_state_answer_with_the_same_bytes() {
    let place = Place::new();
    place.engine.checkpoint().unwrap();
    place.engine.shutdown().unwrap();
    let Place { folder, engine, world } = place;
    drop(engine);
    let other = tempfile::tempdir().unwrap();
    copy(folder.path(), &other.path().join("copy"));
    let nodes = [folder.path().to_owned(), other.path().join("copy")];
    let nodes = nodes.map(|dir| Segue::open(&dir, small_segments()).unwrap().0);
    let mut compared = 0;
    for user in world.users.iter().take(30) {
        for surface in ["discover_weekly", "daily_mix", "release_radar", "radio", "top_mixes", "home"] {
            let request = RecommendRequest {
                as_of: Some(AS_OF),
                request_id: Some(format!("{}/{surface}", user.user_id)),
                explain: true,
                ..RecommendRequest::new(user.user_id.clone(), Surface::new(surface).unwrap())
            };
            // The other node is asked in another order: nothing that was asked before may show.
            let lists = [&nodes[0], &nodes[1]]
                .map(|node| serde_json::to_string(&node.recommend(request.clone()).unwrap()).unwrap());
            assert_eq!(lists[0], lists[1], "{surface} of {}", user.user_id);
            let _ = nodes[1].recommend(RecommendRequest::new(user.user_id.clone(), request.surface.clone()));
            compared += 1;
        }
    }
    assert_eq!(compared, 180);
}
