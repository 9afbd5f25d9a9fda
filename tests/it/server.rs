//! The server as a stranger runs it: files in, answers out by every command, and an orderly end in the middle of work.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use segue::api::Batch;
use segue::ingest::{Encode, PlayTable, TableWriter, TrackTable, UserTable, write_vectors};
use segue::node::{LoadKind, LoadProgress, VectorRow};
use segue::pipeline::request::RecommendRequest;
use segue::types::{DAY_MS, Entity, Play, PlayAction, Surface, Timestamp, UserId};
use segue::{ErrorKind, Segue};
use serde_json::Value;

use crate::running::{Running, document, run};
use crate::support::{AS_OF, DIM, World, id, small_segments};

const AT: &str = "2026-11-01T00:00:00Z";

/// Writes one table as a file.
fn write<T: Encode>(folder: &Path, name: &str, table: T, rows: &[T::Row]) -> PathBuf {
    let path = folder.join(format!("{name}.parquet"));
    let mut writer = TableWriter::create(&path, table).unwrap();
    writer.write(rows).unwrap();
    writer.finish().unwrap();
    path
}

fn write_rows(folder: &Path, name: &str, entity: Entity, rows: &[VectorRow]) -> PathBuf {
    let path = folder.join(format!("{name}.parquet"));
    write_vectors(&path, entity, DIM, rows.iter().map(|row| (row.id.as_str(), row.vector.as_slice())))
        .unwrap();
    path
}

/// The files of a world, by the kind and further flags `segue load` wants.
fn files(world: &World, folder: &Path) -> Vec<(&'static str, PathBuf, Vec<&'static str>)> {
    let cf = |name| vec!["--space", name, "--generation", "1"];
    vec![
        ("tracks", write(folder, "tracks", TrackTable::default(), &world.tracks), Vec::new()),
        ("users", write(folder, "users", UserTable, &world.users), Vec::new()),
        ("plays", write(folder, "plays", PlayTable, &world.plays), Vec::new()),
        ("vectors", write_rows(folder, "track_cf", Entity::Track, &world.track_vectors), cf("track_cf")),
        ("vectors", write_rows(folder, "user_cf", Entity::User, &world.user_vectors), cf("user_cf")),
        (
            "vectors",
            write_rows(folder, "audio", Entity::Track, &world.audio_vectors),
            vec!["--space", "audio"],
        ),
    ]
}

/// Asserts that a document has these keys.
fn has(document: &Value, keys: &[&str]) {
    for key in keys {
        assert!(document.get(key).is_some(), "`{key}` is missing in {document}");
    }
}

const LIST: [&str; 6] = ["recipe", "generation", "as_of", "degraded", "relaxed", "tracks"];
const LISTED: [&str; 7] = ["track_id", "title", "artists", "score", "sources", "explored", "reason"];

/// Waits until the worker has checked some of the searches exactly, and found nearly all of what it wanted. A page may be
/// made in the middle of a check, when what was wanted is counted and what was found is not: it is asked for again.
fn recall_is_counted(server: &Running) {
    let start = std::time::Instant::now();
    loop {
        let page = server.get("/metrics");
        let counted = |name: &str| -> f64 {
            let lines = page.lines().filter(|line| line.starts_with(name) && line.contains("space=\""));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        let checks = counted("segue_search_checks_total{");
        let found = counted("segue_search_checked_found_total{");
        let wanted = counted("segue_search_checked_results_total{");
        assert!(found <= wanted, "{found} of {wanted}");
        if checks >= 1.0 && wanted >= 1.0 && found >= 0.95 * wanted {
            return;
        }
        assert!(start.elapsed().as_secs() < 60, "{checks} checks found {found} of {wanted}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn every_command_works_against_a_server_and_prints_what_scripts_rely_on() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::generate(11, 600, 20);
    let server = Running::start(&folder.path().join("data"), &["storage.seal_rows=1000"]);
    let at = ["--endpoint", server.endpoint.as_str(), "--json"];
    let ask = |arguments: &[&str]| document(&[arguments, &at].concat());

    let created = ask(&["generation", "create", "--dim", &DIM.to_string()]);
    assert_eq!(created["id"], 1);
    for (kind, file, flags) in files(&world, folder.path()) {
        let file = file.display().to_string();
        let line = [&["load", kind, file.as_str()], flags.as_slice()].concat();
        let first = ask(&line);
        assert_eq!(first["bad_rows"], 0);
        let again = ask(&line);
        assert_eq!((&again["rows"], &again["rows_before"]), (&first["rows"], &first["rows"]), "{kind}");
    }
    ask(&["generation", "activate", "1"]);
    assert_eq!(ask(&["generation", "list"])["generations"][0]["state"], "active");

    let list =
        ask(&["recommend", "--user", "u2", "--surface", "daily_mix", "--n", "7", "--as-of", AT, "--explain"]);
    has(&list, &LIST);
    assert_eq!((&list["user_id"], &list["as_of"]), (&Value::from("u2"), &Value::from(AT)));
    assert_eq!(list["tracks"].as_array().map(Vec::len), Some(7));
    has(&list["tracks"][0], &LISTED);
    has(&list["tracks"][0], &["explanation"]);
    has(&list["funnel"], &["sources", "candidates", "filled", "capped", "listed", "explored"]);
    let shown = list["tracks"][0]["track_id"].as_str().unwrap().to_owned();
    let similar = ask(&["similar", "--track", "t1", "--as-of", AT]);
    has(&similar, &LIST);
    has(&similar["tracks"][0], &LISTED);
    assert_eq!(similar["tracks"].as_array().map(Vec::len), Some(10));
    assert_eq!(ask(&["search", "--genre", "jazz", "--k", "3"])["tracks"].as_array().map(Vec::len), Some(3));
    let why = ask(&["explain", "--user", "u2", "--surface", "daily_mix", "--track", &shown, "--as-of", AT]);
    has(&why, &["track_id", "listed", "position", "stage", "reason", "scores"]);
    let picture = folder.path().join("list.html").display().to_string();
    let drawn =
        ["explain", "--user", "u2", "--surface", "daily_mix", "--as-of", AT, "--html", picture.as_str()];
    assert!(run(&[&drawn[..], &at[..2]].concat()).status.success());
    let page = std::fs::read_to_string(&picture).unwrap();
    assert!(page.contains("From candidates to list") && page.contains("<td>audio<td>"), "{page}");

    let token = list["impression"].as_str().unwrap();
    ask(&["feedback", "--user", "u2", "--action", "served", "--impression", token, "--at", AT]);
    let logged = ask(&["user", "lists", "u2", "--until", AT]);
    let made_by = &logged[0]["made_by"];
    assert_eq!((&made_by["recipe"], &made_by["seed"]), (&list["recipe"], &list["seed"]));
    assert_eq!(logged[0]["slots"][0]["track_id"], shown.as_str());
    has(made_by, &["experiment", "generation", "candidates_hash", "as_of"]);
    has(&logged[0]["slots"][6], &["position", "title", "source", "explored", "arm", "propensity", "draw"]);
    let told = run(&["user", "lists", "u2", "--until", AT, at[0], at[1]]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("  by daily_mix@1, generation 1, seed ") && told.contains(" 7. "), "{told}");

    let said = ask(&["feedback", "--user", "u2", "--action", "hide_track", "--track", &shown, "--at", AT]);
    assert_eq!(said["accepted"], true);
    let token = said["token"].to_string();
    let after =
        ask(&["recommend", "--user", "u2", "--surface", "daily_mix", "--as-of", AT, "--min-token", &token]);
    assert!(after["tracks"].as_array().unwrap().iter().all(|listed| listed["track_id"] != shown.as_str()));

    let portrait = ask(&["user", "show", "u2", "--as-of", AT, "--utc-offset", "-60"]);
    has(&portrait, &["genres", "hours", "tempo_bpm", "plays_total", "explored"]);

    let page = ask(&["list", "vectors", "--space", "user_cf", "--limit", "5"]);
    assert!(
        page["next_page"].is_string() && page["vectors"][0]["vector"].as_array().map(Vec::len) == Some(DIM)
    );
    let next = page["next_page"].as_str().unwrap();
    let second = ask(&["list", "vectors", "--space", "user_cf", "--limit", "5", "--page", next]);
    assert_ne!(page["vectors"][0]["id"], second["vectors"][0]["id"]);
    assert_eq!(ask(&["list", "tracks", "--limit", "3"])["tracks"].as_array().map(Vec::len), Some(3));
    assert_eq!(ask(&["list", "users", "--limit", "3"])["users"].as_array().map(Vec::len), Some(3));

    has(&ask(&["recipe", "list"]), &["recipes"]);
    assert_eq!(ask(&["recipe", "show", "radio"])["name"], "radio");
    let bench = ask(&[
        "bench",
        "recommend",
        "--surface",
        "radio",
        "--concurrency",
        "2",
        "--seconds",
        "1",
        "--as-of",
        AT,
    ]);
    has(&bench, &["qps", "p50_ms", "p95_ms", "p99_ms", "errors", "short_lists"]);
    assert_eq!(bench["errors"], 0);

    assert!(server.get("/livez").starts_with("HTTP/1.1 200"));
    let metrics = server.get("/metrics");
    for name in
        ["segue_grpc_requests_total", "method=\"Recommend\"", "segue_grpc_request_duration_seconds_bucket"]
    {
        assert!(metrics.contains(name), "{metrics}");
    }
    recall_is_counted(&server);
    server.terminate();
    let (status, log) = server.wait();
    assert!(status.success(), "{status}: {log}");

    let data = folder.path().join("data").display().to_string();
    let same =
        document(&["user", "show", "u2", "--as-of", AT, "--utc-offset", "-60", "--data", &data, "--json"]);
    assert_eq!(portrait, same, "a server's portrait is the one made in-process");
    let pairs = write_test(folder.path(), &world);
    let judged = document(&[
        "eval",
        "--data",
        &data,
        "--test",
        &pairs,
        "--recipe",
        "collaborative_only",
        "--k",
        "10",
        "--as-of",
        AT,
        "--json",
    ]);
    has(&judged, &["users", "ndcg", "precision", "recall", "coverage", "violations", "short_lists"]);
    assert_eq!(judged["violations"], 0);
    every_mean_has_an_interval(&judged, &data, &pairs);
    let unknown = run(&["eval", "--data", &data, "--test", &pairs, "--recipe", "no-such-recipe"]);
    let said = String::from_utf8_lossy(&unknown.stderr);
    assert!(!unknown.status.success() && said.contains("no-such-recipe"), "{said}");
    let rules = document(&["eval", "rules", "--data", &data, "--as-of", AT, "--probe-blocks", "5", "--json"]);
    assert_eq!(
        (&rules["users"], &rules["lists"], &rules["wrong"]),
        (&20.into(), &160.into(), &0.into()),
        "{rules}"
    );
    assert!(rules["probes"].as_u64() > Some(0) && rules["tracks"].as_u64() > Some(2_000), "{rules}");
    document(&["verify", &data, "--json"]);
}

/// Intervals hold the means they are of, differences are those of the two reports, and tables show both.
fn every_mean_has_an_interval(judged: &Value, data: &str, pairs: &str) {
    let intervals = judged["intervals"].as_object().unwrap();
    for name in
        ["ndcg", "precision", "recall", "intra_list_distance", "novelty", "artist_repeats", "explored"]
    {
        let (mean, interval) = (judged[name].as_f64().unwrap(), &intervals[name]);
        let (low, high) = (interval[0].as_f64().unwrap(), interval[1].as_f64().unwrap());
        assert!(low <= mean + 1e-12 && mean <= high + 1e-12, "{name} {low} {mean} {high}");
    }
    let asked = ["eval", "--data", data, "--test", pairs, "--recipe", "collaborative_only", "--as-of", AT];
    let against = ["--against", "default"];
    let compared = document(&[&asked[..], &against, &["--json"]].concat());
    let difference = |name: &str| {
        let of = |report: &str| compared[report][name].as_f64().unwrap();
        of("other") - of("base")
    };
    for (name, told) in compared["differences"].as_object().unwrap() {
        assert!((told["mean"].as_f64().unwrap() - difference(name)).abs() < 1e-9, "{name}: {compared}");
    }
    let interval = &compared["differences"]["intra_list_distance"]["interval"];
    assert!(interval[0].as_f64().unwrap() < interval[1].as_f64().unwrap(), "{compared}");
    for (command, heading) in
        [(&asked[..], "95 % interval"), (&[&asked[..], &against].concat(), "difference (95 %")]
    {
        let table = run(command).stdout;
        let table = String::from_utf8_lossy(&table);
        assert!(table.contains(heading) && table.contains("energy-curve error"), "{table}");
    }
}

/// Plays as pairs: what a listener of the test set would have heard next.
fn write_test(folder: &Path, world: &World) -> String {
    let plays: Vec<Play> = world
        .users
        .iter()
        .map(|user| Play {
            user_id: user.user_id.clone(),
            track_id: id("t3"),
            played_at: AS_OF,
            listened_ms: 1,
            action: PlayAction::Play,
        })
        .collect();
    write(folder, "test", PlayTable, &plays).display().to_string()
}

/// Plays of one listener, each of its own second.
fn plays(first: u64, count: u64) -> Vec<Play> {
    let play = |number: u64| Play {
        user_id: id(format!("u{}", number % 8)),
        track_id: id(format!("t{}", number % 100)),
        played_at: Timestamp(AS_OF.0 - 40 * DAY_MS + 1_000 * number.cast_signed()),
        listened_ms: 60_000,
        action: PlayAction::Play,
    };
    (first..first + count).map(play).collect()
}

/// SIGTERM while a load pushes and queries run: exit status 0, every query answered whole or refused as unavailable, every
/// acknowledged row kept, and the load goes on where it stood.
#[test]
fn a_server_that_is_told_to_stop_finishes_what_it_began_and_loses_nothing() {
    const ROWS: u64 = 60_000;
    const STEP: u64 = 500;
    let folder = tempfile::tempdir().unwrap();
    let world = World::generate(12, 300, 8);
    {
        let (engine, _) = Segue::open(folder.path(), small_segments()).unwrap();
        world.load(&engine);
        engine.shutdown().unwrap();
    }
    let server = Running::start(folder.path(), &["storage.seal_rows=1000"]);
    let (stopping, answered, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (client, asking) = (server.client(), server.client());
        let (acknowledged, answered, stopping) = (&acknowledged, &answered, &stopping);
        scope.spawn(move || {
            let mut loader = client.loader("long", LoadProgress::default());
            for first in (0..ROWS).step_by(STEP as usize) {
                match loader.push(first, Batch::Plays(plays(first, STEP))) {
                    Ok(done) => acknowledged.store(done.rows_done, Ordering::Release),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                        assert!(stopping.load(Ordering::Acquire), "refused before the stop: {error}");
                        return;
                    }
                }
            }
        });
        scope.spawn(move || {
            for number in 0.. {
                let user = id::<UserId>(format!("u{}", number % 8));
                let request = RecommendRequest::new(user, id::<Surface>("radio"));
                match asking.recommend(RecommendRequest { as_of: Some(AS_OF), ..request }) {
                    Ok(list) => assert!(list.tracks.len() == 10 || !list.degraded.is_empty()),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                        assert!(stopping.load(Ordering::Acquire), "refused before the stop: {error}");
                        return;
                    }
                }
                answered.fetch_add(1, Ordering::Release);
            }
        });
        while acknowledged.load(Ordering::Acquire) < 4 * STEP || answered.load(Ordering::Acquire) < 20 {
            std::thread::sleep(Duration::from_millis(1));
        }
        stopping.store(true, Ordering::Release);
        server.terminate();
    });
    let (status, log) = server.wait();
    assert!(status.success() && log.contains("stopped") && !log.contains("dropped"), "{status}: {log}");
    let kept = acknowledged.into_inner();
    assert!((4 * STEP..ROWS).contains(&kept), "the stop came in the middle: {kept}");

    let server = Running::start(folder.path(), &["storage.seal_rows=1000"]);
    let client = server.client();
    let done = client.load_progress("long").unwrap();
    assert!(done.rows_done >= kept && done.rows_done < ROWS && !done.finished, "{done:?} {kept}");
    let mut loader = client.loader("long", done);
    for first in (done.rows_done..ROWS).step_by(5_000) {
        loader.push(first, Batch::Plays(plays(first, 5_000.min(ROWS - first)))).unwrap();
    }
    loader.flush().unwrap();
    let (finished, _) = client.finish_load("long", LoadKind::Plays, &|_| {}).unwrap();
    assert_eq!(finished, LoadProgress { rows_done: ROWS, finished: true });
    server.terminate();
    assert!(server.wait().0.success());
    let (engine, report) = Segue::open(folder.path(), small_segments()).unwrap();
    assert_eq!(report.repairs, Vec::<String>::new());
    assert_eq!(engine.load_progress("long").unwrap().rows_done, ROWS);
    engine.shutdown().unwrap();
}
