//! What a newcomer does first: the demo, and generate, train and load by hand.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn segue(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_segue"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SEGUE_")) {
        command.env_remove(name);
    }
    // Small temporary disks must do for small databases.
    command.env("SEGUE_STORAGE_DISK_RESERVE_BYTES", "0");
    let output = command.args(arguments).output().expect("the program starts");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "segue {}: {error}", arguments.join(" "));
    output
}

fn json(arguments: &[&str]) -> Value {
    let output = segue(&[arguments, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}

/// Standard output of a demo without the seconds it took.
fn demo(arguments: &[&str]) -> String {
    let output = segue(&[&["demo", "--tracks", "1500", "--listeners", "150"], arguments].concat());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let timed = |line: &str| {
        let start = line.trim_end_matches(" s").trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        if line.ends_with(" s") { start.trim_end().to_owned() } else { line.to_owned() }
    };
    text.lines().filter(|line| !line.starts_with("Done in ")).map(timed).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_demo_shows_three_listeners_and_is_the_same_for_the_same_seed() {
    let first = demo(&["--seed", "3"]);
    assert_eq!(first.matches("\nListener u").count(), 3, "{first}");
    assert_eq!(first.matches("  checked: 8 tracks, nothing blocked").count(), 3, "{first}");
    assert!(first.matches("  artist blocked\n").count() >= 3, "{first}");
    assert_eq!(first.matches("  skipped\n").count(), 6, "{first}");
    for line in first.lines() {
        assert!(console::measure_text_width(line) <= 80, "{line}");
    }
    assert_eq!(first, demo(&["--seed", "3"]));
    assert_ne!(first, demo(&["--seed", "4"]));
}

#[test]
fn a_kept_demo_can_be_asked_and_is_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("kept demo");
    let dir = dir.to_str().unwrap();
    let shown = demo(&["--keep", dir]);
    assert!(shown.contains(&format!("serve --data '{dir}'")), "{shown}");
    let user = shown.split("Listener ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let list =
        json(&["recommend", "--user", user, "--surface", "discover_weekly", "--n", "5", "--data", dir]);
    assert_eq!(list["tracks"].as_array().map(Vec::len), Some(5));
    let again = Command::new(env!("CARGO_BIN_EXE_segue")).args(["demo", "--keep", dir]).output().unwrap();
    assert_eq!((again.status.code(), again.stdout.as_slice()), (Some(1), &[][..]));
    assert!(String::from_utf8_lossy(&again.stderr).contains("keep: must be a new or an empty directory"));
}

/// A small made-up catalogue in `folder`, loaded into a database there.
fn loaded(folder: &Path) -> (String, String) {
    let path = |name: &str| folder.join(name).display().to_string();
    let (files, data) = (path("files"), path("data"));
    let made =
        json(&["generate", "--tracks", "600", "--listeners", "60", "--audio-dim", "16", "--out", &files]);
    assert_eq!(made["plays"], 12_000);
    let names: Vec<&str> =
        made["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["tracks", "users", "plays", "track_audio"]);
    for (kind, rows) in [("tracks", 600), ("users", 60), ("plays", 12_000)] {
        let summary = json(&["load", kind, &format!("{files}/{kind}.parquet"), "--data", &data]);
        assert_eq!((&summary["rows"], &summary["bad_rows"]), (&rows.into(), &0.into()), "{kind}");
    }
    let audio = format!("{files}/track_audio.parquet");
    let summary = json(&["load", "vectors", &audio, "--space", "audio", "--data", &data]);
    assert_eq!(summary["rows"], 600);
    (files, data)
}

fn train(files: &str, out: &str, seed: &str) -> Value {
    let (plays, tracks) = (format!("{files}/plays.parquet"), format!("{files}/tracks.parquet"));
    json(&[
        "train", "als", "--plays", &plays, "--tracks", &tracks, "--out", out, "--dim", "8", "--sweeps", "3",
        "--seed", seed,
    ])
}

#[test]
fn what_generate_writes_is_trained_on_loaded_and_recommended_from() {
    let folder = tempfile::tempdir().unwrap();
    let (files, data) = loaded(folder.path());
    let model = folder.path().join("model").display().to_string();
    let trained = train(&files, &model, "1");
    let loss: Vec<f64> = trained["loss"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    assert!(loss.len() == 3 && loss[2] <= loss[1] && loss[1] <= loss[0], "{loss:?}");
    let generation = json(&["generation", "load", &model, "--activate", "--data", &data]);
    assert_eq!((&generation["state"], &generation["fold_in"]), (&"active".into(), &true.into()));
    let vectors = (&trained["user_vectors"], &trained["track_vectors"]);
    assert_eq!((&generation["users"], &generation["tracks"]), vectors);
    let request = ["--user", "u000000", "--surface", "discover_weekly", "--as-of", "2026-11-01T00:00:00Z"];
    let list = json(&[&["recommend"], &request[..], &["--data", &data]].concat());
    assert_eq!(list["cold_start"], "user_vector");
    assert!(!list["tracks"].as_array().unwrap().is_empty());
}

#[test]
fn two_training_runs_never_share_a_generation_and_the_same_run_is_loaded_once() {
    let folder = tempfile::tempdir().unwrap();
    let (files, data) = loaded(folder.path());
    let models = ["one", "two"].map(|name| folder.path().join(name).display().to_string());
    train(&files, &models[0], "1");
    train(&files, &models[1], "2");
    // Neither is activated, so the first is still being built when the second comes with the same dimension.
    let ids = [0, 1, 0].map(|run| json(&["generation", "load", &models[run], "--data", &data])["id"].clone());
    assert_eq!(ids, [1, 2, 1].map(Value::from));
    let all = json(&["generation", "list", "--data", &data]);
    let all = all["generations"].as_array().unwrap();
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|info| info["state"] == "building" && info["tracks"] == all[0]["tracks"]));
    json(&["generation", "activate", "1", "--data", &data]);
    json(&["generation", "activate", "2", "--data", &data]);
    assert_eq!(json(&["generation", "rollback", "--data", &data])["id"], 1);
}

#[test]
fn a_hold_out_writes_nothing_and_judges_the_tastes_that_were_planted() {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("files").display().to_string();
    let made = ["generate", "--tracks", "1000", "--listeners", "300", "--audio-dim", "16", "--out", &files];
    json(&made);
    let plays = format!("{files}/plays.parquet");
    let judged = json(&["train", "als", "--plays", &plays, "--dim", "16", "--sweeps", "4", "--hold-out"]);
    let (ndcg, users) = (judged["held_out"]["ndcg"].as_f64(), judged["held_out"]["users"].as_u64());
    // By chance it would be near 0.01.
    assert!(ndcg > Some(0.1) && users > Some(250), "{judged}");
    let mut left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["files"]);
}
