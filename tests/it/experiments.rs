//! Experiments: who is given which recipe, what replies say of it, and what runs in its shadow.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use segue::pipeline::experiment::{Arm, Experiment, ExperimentReport, Shadow, sample_ratio};
use segue::pipeline::recipe::RecipePatch;
use segue::pipeline::request::{ExplainRequest, RecommendRequest, Recommendation};
use segue::types::{Surface, UserId};
use segue::{ErrorKind, Segue};

use crate::running::{Running, document, run};
use crate::support::{AS_OF, World, id, small_segments};

const SURFACE: &str = "daily_mix";

fn loaded(dir: &Path, users: u64) -> (Segue, World) {
    let (engine, _) = Segue::open(dir, small_segments()).unwrap();
    let world = World::generate(0xE1, 600, users);
    world.load(&engine);
    engine.checkpoint().unwrap();
    (engine, world)
}

fn arm(name: &str, recipe: &str) -> Arm {
    Arm { name: name.to_owned(), recipe: recipe.to_owned(), weight: 1 }
}

fn experiment() -> Experiment {
    Experiment {
        surface: id::<Surface>(SURFACE),
        name: "arc".to_owned(),
        version: 0,
        salt: None,
        arms: vec![arm("now", "daily_mix@1"), arm("new", "made_for_you@1")],
        shadow: None,
    }
}

fn shadow(recipe: &str, share: f64) -> Option<Shadow> {
    Some(Shadow { recipe: recipe.to_owned(), share, k: 10 })
}

fn request(user: &UserId) -> RecommendRequest {
    RecommendRequest {
        as_of: Some(AS_OF),
        request_id: Some(format!("{user}/list")),
        ..RecommendRequest::new(user.clone(), id::<Surface>(SURFACE))
    }
}

fn bytes(list: &Recommendation) -> String {
    serde_json::to_string(list).unwrap()
}

/// The report, once the shadow has got through everything.
fn settled(engine: &Segue, requests: u64) -> ExperimentReport {
    let start = Instant::now();
    loop {
        let report = engine.experiment_report(&id::<Surface>(SURFACE)).unwrap();
        let shadow = report.shadow.as_ref().unwrap();
        if shadow.lists + shadow.dropped + shadow.failed == requests {
            return report;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{shadow:?}, {requests} requests");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_listener_stays_in_their_arm_and_every_answer_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, world) = loaded(dir.path(), 120);
    let put = engine.put_experiment(experiment()).unwrap();
    assert_eq!((put.version, put.reference()), (1, "arc@1".to_owned()));
    let mut lists: BTreeMap<UserId, String> = BTreeMap::new();
    let mut arms: BTreeMap<String, u64> = BTreeMap::new();
    for user in world.users.iter().map(|user| &user.user_id) {
        let list = engine.recommend(request(user)).unwrap();
        let assignment = list.experiment.clone().unwrap();
        let expected = put.arm_of(user).unwrap();
        assert_eq!((assignment.experiment.as_str(), &assignment.arm), ("arc@1", &expected.name));
        assert_eq!(list.recipe, expected.recipe);
        *arms.entry(assignment.arm.clone()).or_default() += 1;
        // The seed is that of the arm's recipe: asked for by name, it is the same list with another token.
        let named = RecommendRequest { recipe: Some(list.recipe.clone()), ..request(user) };
        let named = engine.recommend(named).unwrap();
        assert_eq!((&named.tracks, named.seed, &named.experiment), (&list.tracks, list.seed, &None));
        assert_ne!(named.impression, list.impression, "the token names the arm");
        // Another request id is another list of the same arm.
        let other = RecommendRequest { request_id: Some("other".to_owned()), ..request(user) };
        assert_eq!(engine.recommend(other).unwrap().experiment, Some(assignment.clone()));
        if let Some(track) = list.tracks.first() {
            let asked = ExplainRequest { request: request(user), track_id: track.track_id.clone() };
            let explained = engine.explain(asked).unwrap();
            assert_eq!((explained.position, &explained.recipe), (Some(0), &list.recipe));
            assert_eq!(explained.experiment, Some(assignment));
        }
        lists.insert(user.clone(), bytes(&list));
    }
    let counts: Vec<(u64, f64)> = arms.values().map(|count| (*count, 1.0)).collect();
    assert!(counts.len() == 2 && sample_ratio(&counts) > 0.001, "{arms:?}");
    // What a request names and changes for itself wins; other surfaces are left alone.
    let user = &world.users[0].user_id;
    let radio = RecommendRequest { recipe: Some("radio".to_owned()), ..request(user) };
    let radio = engine.recommend(radio).unwrap();
    assert_eq!((radio.recipe.as_str(), radio.experiment), ("radio@1", None));
    let shorter = RecipePatch { n: Some(3), ..RecipePatch::default() };
    let short = engine.recommend(RecommendRequest { overrides: shorter, ..request(user) }).unwrap();
    assert!(short.tracks.len() <= 3 && short.experiment.unwrap().experiment == "arc@1");
    let elsewhere = RecommendRequest { surface: id::<Surface>("top_mixes"), ..request(user) };
    assert_eq!(engine.recommend(elsewhere).unwrap().experiment, None);
    // Two lists a listener were counted, and one with its length changed.
    let report = engine.experiment_report(&id::<Surface>(SURFACE)).unwrap();
    assert_eq!(report.arms.iter().map(|arm| arm.requests).sum::<u64>(), 241);
    assert_eq!(report.arms.iter().map(|arm| arm.listeners).sum::<u64>(), 120);
    assert!(report.is_running && report.is_sound, "p={}", report.ratio_p);
    // A token of an arm is taken as any other.
    let list: Recommendation = serde_json::from_str(&lists[user]).unwrap();
    let served = segue::types::FeedbackEvent {
        impression: Some(list.impression),
        ..crate::discovery::event(user.as_str(), segue::types::Action::Served, AS_OF)
    };
    assert_eq!(engine.feedback(vec![served]).unwrap().0, [true]);
    let logged = engine.logged_lists(user, AS_OF, 1).unwrap().remove(0);
    assert_eq!(logged.made_by.unwrap().experiment, list.experiment);
    engine.shutdown().unwrap();
    drop(engine);
    // After a restart nobody has moved, and the lists are the same to the byte but for where the shards stand.
    let (engine, _) = Segue::open(dir.path(), small_segments()).unwrap();
    for (user, before) in lists.iter().skip(1) {
        let mut again = engine.recommend(request(user)).unwrap();
        let before: Recommendation = serde_json::from_str(before).unwrap();
        again.applied.clone_from(&before.applied);
        assert_eq!(bytes(&again), bytes(&before), "{user}");
    }
    assert_eq!(engine.experiments().unwrap(), [(put, true)]);
}

#[test]
fn commands_may_come_twice_and_what_an_experiment_needs_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, world) = loaded(dir.path(), 20);
    let surface = id::<Surface>(SURFACE);
    assert_eq!(engine.stop_experiment(&surface).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(engine.experiment_report(&surface).unwrap_err().kind(), ErrorKind::NotFound);
    let needs =
        |recipe: &str| Experiment { arms: vec![arm("a", "radio@1"), arm("b", recipe)], ..experiment() };
    for missing in ["daily_mix@2", "nobody@1", "daily_mix@0"] {
        let error = engine.put_experiment(needs(missing)).unwrap_err();
        assert_eq!(error.to_string(), format!("recipe not found. id=`{missing}`"));
    }
    let mut second =
        engine.recipes().unwrap().into_iter().find(|(recipe, _)| recipe.name == SURFACE).unwrap().0;
    second.n = 7;
    for _ in 0..2 {
        assert_eq!(engine.put_recipe(second.clone()).unwrap().version, 2, "the same is stored once");
    }
    for _ in 0..2 {
        assert_eq!(engine.put_experiment(needs("daily_mix@2")).unwrap().version, 1);
    }
    // The arm is of that version, whichever is active.
    let running = engine.put_experiment(needs("daily_mix@2")).unwrap();
    let mut users = world.users.iter().map(|user| &user.user_id);
    let user = users.find(|user| running.arm_of(user).unwrap().name == "b").unwrap();
    let list = engine.recommend(request(user)).unwrap();
    assert!(list.recipe == "daily_mix@2" && list.tracks.len() <= 7, "{list:?}");
    let later = Experiment { salt: Some("again".to_owned()), ..needs("daily_mix@2") };
    assert_eq!(engine.put_experiment(later.clone()).unwrap().version, 2);
    for _ in 0..2 {
        assert_eq!(engine.stop_experiment(&surface).unwrap().version, 2);
    }
    let list = engine.recommend(request(user)).unwrap();
    assert_eq!((list.recipe.as_str(), list.experiment), ("daily_mix@1", None));
    assert_eq!(engine.put_experiment(later).unwrap().version, 2, "begun again");
    let runs: Vec<(u32, bool)> = engine
        .experiments()
        .unwrap()
        .into_iter()
        .map(|(experiment, runs)| (experiment.version, runs))
        .collect();
    assert_eq!(runs, [(1, false), (2, true)]);
}

#[test]
fn a_shadow_never_changes_what_is_served_and_is_compared_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, world) = loaded(dir.path(), 60);
    let ask = |requests: &mut dyn Iterator<Item = RecommendRequest>| -> Vec<String> {
        let served = requests.map(|request| {
            let mut list = engine.recommend(request).unwrap();
            // Where the meta group stands is the only thing that putting an experiment changes.
            list.applied.clear();
            bytes(&list)
        });
        served.collect()
    };
    let requests = || world.users.iter().map(|user| request(&user.user_id));
    let before = ask(&mut requests());
    let mut asked = 0;
    for (recipe, is_same) in [("daily_mix@1", true), ("radio@1", false)] {
        let shadowed = Experiment { arms: Vec::new(), shadow: shadow(recipe, 1.0), ..experiment() };
        engine.put_experiment(shadowed).unwrap();
        assert_eq!(ask(&mut requests()), before, "{recipe}");
        let report = settled(&engine, world.users.len() as u64);
        let found = report.shadow.unwrap();
        assert_eq!((found.failed, found.recipe.as_str(), report.arms.len()), (0, recipe, 0));
        assert!(found.lists > 0, "{found:?}");
        let (overlap, biased) = (found.overlap.unwrap(), found.rank_biased_overlap.unwrap());
        if is_same {
            assert_eq!((found.same, overlap), (found.lists, 1.0), "{found:?}");
            assert!((biased - 1.0).abs() < 1e-9, "{found:?}");
        } else {
            assert!(overlap < 0.9 && biased < 0.9 && found.same < found.lists, "{found:?}");
        }
        asked += found.lists;
    }
    assert!(asked > 0);
    // A request that names its recipe is not shadowed, and a shadow that cannot answer fails nobody.
    let named =
        requests().map(|request| RecommendRequest { recipe: Some("daily_mix".to_owned()), ..request });
    assert_eq!(ask(&mut named.into_iter()), before);
    assert_eq!(settled(&engine, 60).experiment.version, 2, "nothing was added");
}

#[test]
fn more_than_the_shadow_can_bear_is_dropped_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, world) = loaded(dir.path(), 40);
    let shadowed = Experiment { arms: Vec::new(), shadow: shadow("top_mixes@1", 1.0), ..experiment() };
    engine.put_experiment(shadowed).unwrap();
    // Four ask, and one thread makes the shadow's lists.
    let requests = 400;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (engine, users) = (&engine, &world.users);
            scope.spawn(move || {
                for number in 0..requests / 4 {
                    let user = &users[number % users.len()].user_id;
                    let request = RecommendRequest {
                        request_id: Some(format!("{thread}/{number}")),
                        n: Some(1),
                        ..request(user)
                    };
                    engine.recommend(request).unwrap();
                }
            });
        }
    });
    let found = settled(&engine, requests as u64).shadow.unwrap();
    assert!(found.failed == 0 && found.lists >= 64 && found.dropped > 0, "{found:?}");
    // Stopping does not wait for what is left.
    let start = Instant::now();
    for number in 0..60 {
        let request = RecommendRequest {
            request_id: Some(format!("late/{number}")),
            ..request(&world.users[0].user_id)
        };
        engine.recommend(request).unwrap();
    }
    engine.shutdown().unwrap();
    assert!(start.elapsed() < Duration::from_secs(30));
    drop(engine);
    Segue::open(dir.path(), small_segments()).unwrap();
}

#[test]
fn a_server_takes_experiments_over_grpc_and_by_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (engine, world) = loaded(&data, 60);
    engine.shutdown().unwrap();
    drop(engine);
    let server = Running::start(&data, &[]);
    let (client, at) = (server.client(), server.endpoint.clone());
    let file = dir.path().join("arc.json");
    let tried = Experiment { shadow: shadow("radio@1", 1.0), ..experiment() };
    std::fs::write(&file, serde_json::to_vec(&tried).unwrap()).unwrap();
    let file = file.display().to_string();
    for _ in 0..2 {
        let put = document(&["experiment", "put", &file, "--json", "--endpoint", &at]);
        assert_eq!((&put["version"], &put["name"]), (&1.into(), &"arc".into()), "{put}");
    }
    let mut lists = Vec::new();
    for user in &world.users {
        let list = client.recommend(request(&user.user_id)).unwrap();
        assert_eq!(list.recipe, tried.arm_of(&user.user_id).unwrap().recipe);
        lists.push(list);
    }
    let user = world.users[1].user_id.to_string();
    let asked = ["recommend", "--user", &user, "--surface", SURFACE, "--json", "--endpoint", &at];
    let asked = document(&[&asked[..], &["--as-of", "2026-11-01T00:00:00Z"]].concat());
    assert_eq!(asked["experiment"]["experiment"], "arc@1", "{asked}");
    let said = run(&["recommend", "--user", &user, "--surface", SURFACE, "--endpoint", &at]);
    assert!(String::from_utf8_lossy(&said.stdout).contains("of arc@1"));
    let start = Instant::now();
    let report = loop {
        let report = document(&["experiment", "show", SURFACE, "--json", "--endpoint", &at]);
        let shadow = &report["shadow"];
        if shadow["lists"].as_u64().unwrap() + shadow["dropped"].as_u64().unwrap() == 62 {
            break report;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{report}");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(report["arms"].as_array().unwrap().len(), 2);
    assert!(report["is_running"] == true && report["is_sound"] == true, "{report}");
    assert_eq!(
        client.experiment_report(&id::<Surface>(SURFACE)).unwrap(),
        serde_json::from_value(report).unwrap()
    );
    let metrics = server.get("/metrics");
    for name in [
        "segue_experiment_requests_total{surface=\"daily_mix\",experiment=\"arc@1\",arm=\"new\"}",
        "segue_shadow_lists_total{surface=\"daily_mix\",recipe=\"radio@1\"}",
        "segue_shadow_overlap_ratio_bucket{surface=\"daily_mix\",recipe=\"radio@1\",le=\"1\"}",
        "segue_shadow_rank_biased_overlap_ratio_count{surface=\"daily_mix\",recipe=\"radio@1\"}",
    ] {
        assert!(metrics.contains(name), "{name} is not in {metrics}");
    }
    let shown = run(&["experiment", "show", SURFACE, "--endpoint", &at]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("arc@1 on daily_mix: runs"));
    // What is wrong is refused by its field, before it is stored.
    let wrong = Experiment { arms: vec![arm("one", "radio@1")], ..experiment() };
    assert!(client.put_experiment(wrong).unwrap_err().to_string().starts_with("arms: "));
    // The same lists after a restart.
    server.terminate();
    assert!(server.wait().0.success());
    let server = Running::start(&data, &[]);
    let (client, at) = (server.client(), server.endpoint.clone());
    for before in lists {
        let mut after = client.recommend(request(before.user_id.as_ref().unwrap())).unwrap();
        after.applied.clone_from(&before.applied);
        assert_eq!(bytes(&after), bytes(&before));
    }
    let stopped = document(&["experiment", "stop", SURFACE, "--json", "--endpoint", &at]);
    assert_eq!(stopped["version"], 1, "{stopped}");
    assert_eq!(client.recommend(request(&world.users[0].user_id)).unwrap().experiment, None);
    let listed = document(&["experiment", "list", "--json", "--endpoint", &at]);
    assert_eq!(listed["experiments"][0]["running"], false, "{listed}");
}
