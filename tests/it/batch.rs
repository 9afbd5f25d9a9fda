//! Lists for all listeners: killed at any moment and started again, nobody is missed or doubled.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use segue::Segue;
use segue::api::Client;
use segue::pipeline::batch::BatchRequest;
use segue::pipeline::request::Recommendation;
use segue::types::{Part, Surface, Timestamp, UserId, slot_of};

use crate::running::{Running, document};
use crate::support::{AS_OF, World, small_segments};

const PARTITIONS: usize = 32;

fn batch(data: &Path, out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_segue"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SEGUE_")) {
        command.env_remove(name);
    }
    command
        .args(["batch", "--surface", "discover_weekly", "--partitions", &PARTITIONS.to_string()])
        .args(["--as-of", "2026-11-01T00:00:00Z", "--json"])
        .arg("--out")
        .arg(out)
        .arg("--data")
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn files(out: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(out) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "parquet")).collect();
    files.sort();
    files
}

/// Every list, as `position track impression`; fails when a place of a listener comes twice.
fn lists(out: &Path) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in files(out) {
        let file = std::fs::File::open(&path).unwrap();
        for rows in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let rows = rows.unwrap();
            let text = |name: &str| rows.column_by_name(name).unwrap().as_string::<i32>().clone();
            let (users, tracks, tokens) = (text("user_id"), text("track_id"), text("impression"));
            let places = rows.column_by_name("position").unwrap().as_primitive::<UInt32Type>().clone();
            for row in 0..rows.num_rows() {
                let list = all.entry(users.value(row).to_owned()).or_default();
                assert_eq!(
                    places.value(row) as usize,
                    list.len(),
                    "a list is written twice: {}",
                    users.value(row)
                );
                list.push(format!("{} {}", tracks.value(row), tokens.value(row)));
            }
        }
    }
    all
}

#[test]
fn a_stream_of_all_lists_goes_on_after_any_listener_and_gives_what_single_requests_give() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (engine, _) = Segue::open(&data, small_segments()).unwrap();
    World::generate(0xA11, 800, 300).load(&engine);
    let mut order: Vec<UserId> = Vec::new();
    while let (users, Some(_)) = engine.list_users(order.last().cloned(), 50).unwrap() {
        order.extend(users.into_iter().map(|user| user.user_id));
    }
    let (rest, _) = engine.list_users(order.last().cloned(), 300).unwrap();
    order.extend(rest.into_iter().map(|user| user.user_id));
    engine.shutdown().unwrap();
    drop(engine);

    let server = Running::start(&data, &[]);
    let client = Client::connect(&server.endpoint).unwrap();
    let surface = Surface::new("daily_mix").unwrap();
    let lists = BatchRequest { surface, as_of: AS_OF, recipe: None, part: Part::WHOLE };
    let mut got: Vec<Recommendation> = Vec::new();
    // Each stream is left after 113 lists; the next goes on after the last one.
    while got.len() < order.len() {
        let (after, before) = (got.last().and_then(|list| list.user_id.clone()), got.len());
        let take = |list| {
            got.push(list);
            Ok(got.len() < before + 113)
        };
        client.recommend_all(&lists, after.as_ref(), take).unwrap();
        assert!(got.len() > before, "the stream ended before the last listener");
    }
    let users: Vec<UserId> = got.iter().filter_map(|list| list.user_id.clone()).collect();
    assert_eq!(users, order, "everybody once, in order");
    for list in got.iter().step_by(17) {
        let user = list.user_id.as_ref().unwrap();
        assert_eq!(client.recommend(lists.request_for(user)).unwrap().tracks, list.tracks, "{user}");
    }
    let (mut after_the_last, last) = (0, order.last());
    client.recommend_all(&lists, last, |_| Ok(std::mem::replace(&mut after_the_last, 1) == 0)).unwrap();
    assert_eq!(after_the_last, 0, "nobody comes after the last");
    in_parts(&client, &lists, &order);
    let late = BatchRequest { as_of: Timestamp(i64::MAX), ..lists };
    let refused = client.recommend_all(&late, None, |_| Ok(true)).unwrap_err();
    assert!(refused.to_string().contains("as_of"), "{refused}");
}

/// Several readers, each taking its part up again and again: everybody once, in order within a part.
fn in_parts(client: &Client, lists: &BatchRequest, order: &[UserId]) {
    for of in [1, 3, 7, 4_096] {
        let mut all: Vec<UserId> = Vec::new();
        // Of very many parts most are empty: those of the first listeners, and one without any, will do.
        let mut numbers: Vec<u32> = (1..=of).collect();
        if of > 7 {
            let slot = |user: &UserId| u32::from(slot_of(user.as_str()).0) + 1;
            let empty = (1..=of).find(|number| !order.iter().any(|user| slot(user) == *number)).unwrap();
            numbers = order.iter().take(5).map(slot).chain([empty]).collect();
            numbers.dedup();
        }
        let mut expected: Vec<UserId> = Vec::new();
        for number in numbers {
            let part = Part::new(number, of).unwrap();
            let asked = BatchRequest { part, ..lists.clone() };
            let mut got: Vec<UserId> = Vec::new();
            loop {
                let (before, after) = (got.len(), got.last().cloned());
                let take = |list: Recommendation| {
                    got.extend(list.user_id);
                    Ok(got.len() < before + 41)
                };
                client.recommend_all(&asked, after.as_ref(), take).unwrap();
                if got.len() == before {
                    break;
                }
            }
            let mine = order.iter().filter(|user| part.contains(slot_of(user.as_str())));
            expected.extend(mine.cloned());
            all.extend(got);
        }
        assert_eq!(all, expected, "{of} parts");
        assert!(of > 7 || all == order, "{of} parts");
    }
    let first = Part::new(1, 2).unwrap();
    let other = order.iter().find(|user| !first.contains(slot_of(user.as_str())));
    let asked = BatchRequest { part: first, ..lists.clone() };
    let refused = client.recommend_all(&asked, other, |_| Ok(true)).unwrap_err();
    assert!(refused.to_string().starts_with("after_user_id: "), "{refused}");
}

#[test]
fn parts_of_a_batch_have_everybody_once_though_one_is_killed_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let world = World::generate(0xBA7D, 900, 400);
    let (engine, _) = Segue::open(&data, small_segments()).unwrap();
    world.load(&engine);
    engine.shutdown().unwrap();
    drop(engine);
    let server = Running::start(&data, &[]);
    let out = |name: &str| folder.path().join(name);
    let arguments = |part: &str, out: &Path| -> Vec<String> {
        let mut all: Vec<&str> = vec!["batch", "--surface", "daily_mix", "--partitions", "32", "--json"];
        all.extend(["--as-of", "2026-11-01T00:00:00Z", "--endpoint", &server.endpoint]);
        if !part.is_empty() {
            all.extend(["--part", part]);
        }
        let out = out.display().to_string();
        all.extend(["--out", &out]);
        all.into_iter().map(str::to_owned).collect()
    };
    let run = |part: &str, out: &Path| {
        let arguments = arguments(part, out);
        document(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert_eq!(run("", &out("whole"))["users"], 400);
    let mut kills = 0;
    for wanted in [1, 3, 5, 8] {
        let mut command = crate::running::program();
        command.args(arguments("2/3", &out("2"))).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let until = std::time::Instant::now() + Duration::from_secs(120);
        while files(&out("2")).len() < wanted && child.try_wait().unwrap().is_none() {
            assert!(std::time::Instant::now() < until, "no progress");
            std::thread::sleep(Duration::from_millis(1));
        }
        // SIGKILL.
        kills += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(kills >= 2, "only {kills} runs were killed under way");
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut users = 0;
    for part in ["1", "2", "3"] {
        users += run(&format!("{part}/3"), &out(part))["users"].as_u64().unwrap();
        for (user, list) in lists(&out(part)) {
            assert_eq!(all.insert(user.clone(), list), None, "{user} is in two parts");
        }
    }
    assert_eq!((users, all == lists(&out("whole"))), (400, true), "the parts are the whole");
    // A folder is of one part.
    let wrong = crate::running::program().args(arguments("1/3", &out("2"))).output().unwrap();
    let error = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(!wrong.status.success() && error.contains("holds other lists"), "{error}");
    for wrong in ["4/3", "1/33"] {
        let refused = crate::running::program().args(arguments(wrong, &out("new"))).output().unwrap();
        assert!(!refused.status.success(), "{wrong}");
    }
}

#[test]
fn a_batch_that_is_killed_again_and_again_misses_and_doubles_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let world = World::generate(0xBA7C, 1_000, 600);
    let (engine, _) = Segue::open(&data, small_segments()).unwrap();
    world.load(&engine);
    engine.shutdown().unwrap();
    drop(engine);
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let done = batch(&data, &whole).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let expected = lists(&whole);
    assert!(expected.len() > 500, "{} listeners", expected.len());
    let mut kills = 0;
    for wanted in [1, 4, 9, 15, 24] {
        let mut child = batch(&data, &broken).spawn().unwrap();
        let until = std::time::Instant::now() + Duration::from_secs(120);
        while files(&broken).len() < wanted && child.try_wait().unwrap().is_none() {
            assert!(std::time::Instant::now() < until, "no progress");
            std::thread::sleep(Duration::from_millis(2));
        }
        // SIGKILL.
        kills += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(kills >= 3, "only {kills} runs were killed under way");
    let before = files(&broken).len();
    let done = batch(&data, &broken).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(summary["users"], 600);
    assert_eq!(summary["partitions_before"].as_u64().unwrap() as usize, before);
    assert_eq!(files(&broken).len(), PARTITIONS);
    assert!(lists(&broken) == expected, "the same lists, whole and once");
    let left: Vec<_> = std::fs::read_dir(&broken).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), PARTITIONS + 1, "nothing half-written stays: {left:?}");
    let other = batch(&data, &broken).args(["--recipe", "radio"]).output().unwrap();
    assert_eq!(other.status.code(), Some(1), "the folder holds other lists");
}
