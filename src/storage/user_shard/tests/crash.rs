//! kill -9 while entries are applied, memory is flushed and files are merged.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use super::*;
use crate::{
    storage::user_shard::tests::model::{check_against, log, replay, seed, small_memory},
    types::SplitMix64,
};

const DIR: &str = "SEGUE_TEST_USER_SHARD_DIR";
const ENTRIES: usize = 4_000;

/// Not a test by itself: the child that is killed.
#[test]
fn child_that_applies_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let (log, replies) = log(seed(), ENTRIES);
    let (shard, _) = UserShard::open(Path::new(&dir), &small_memory()).unwrap();
    replay(&shard, &log, &replies, ENTRIES as u64);
}

#[test]
fn a_killed_process_leaves_the_state_after_some_entry() {
    let seed = seed();
    let (log, replies) = log(seed, ENTRIES);
    let mut rng = SplitMix64::new(seed ^ 2);
    let dir = tempfile::tempdir().unwrap();
    let mut indexes = Vec::new();
    for _ in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "storage::user_shard::tests::crash::child_that_applies_until_it_is_killed"])
            .env(DIR, dir.path())
            .env("SEED", format!("{seed:#x}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(150 + rng.below(400)));
        child.kill().unwrap();
        child.wait().unwrap();
        let (shard, applied) = UserShard::open(dir.path(), &small_memory()).unwrap();
        check_against(&shard, seed, applied.index, "after kill -9");
        indexes.push(applied.index);
    }
    assert!(indexes.is_sorted() && indexes[5] > 0, "files only move on: {indexes:?}");
    let (shard, applied) = UserShard::open(dir.path(), &small_memory()).unwrap();
    let until = (applied.index + 200).min(ENTRIES as u64);
    replay(&shard, &log, &replies, until);
    check_against(&shard, seed, until, "after the replay");
}
