//! Lists for all listeners: killed at any moment and started again, nobody is missed or doubled.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::UInt32Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use segue::Segue;

use crate::support::{World, small_segments};

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
