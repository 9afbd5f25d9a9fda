//! Flipped bytes and truncations of the files: an error, or the whole truth; never a panic, never something else.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

use super::*;
use crate::{
    storage::user_shard::tests::model::{log, replay, seed, small_memory},
    types::SplitMix64,
};

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.file_name().unwrap() != "LOCK" {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, target).unwrap();
    }
}

/// Everything the shard says, as one text.
fn everything(shard: &UserShard) -> Result<String> {
    let rows = shard.verify()?;
    let (users, _) = shard.list_users(None, 100)?;
    let mut text = format!("{rows} {:?} {}", shard.applied(), shard.user_count());
    for user in users {
        text.push_str(&format!("{:?}", shard.view(&user.user_id)?));
    }
    text.push_str(&format!("{:?}{:?}", shard.trend_counts(None, 0, 99)?, shard.generations()?));
    Ok(text)
}

/// Opens a damaged copy and reads everything.
fn read_damaged(original: &Path, file: &Path, bytes: &[u8]) -> Result<String> {
    let dir = tempfile::tempdir().unwrap();
    copy(original, dir.path());
    fs::write(dir.path().join(file.strip_prefix(original).unwrap()), bytes).unwrap();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let (shard, _) = UserShard::open(dir.path(), &small_memory())?;
        everything(&shard)
    }));
    outcome.unwrap_or_else(|_| panic!("a panic came out"))
}

#[test]
fn damage_is_an_error_or_harmless() {
    let seed = seed();
    let (log, replies) = log(seed, 120);
    let original = tempfile::tempdir().unwrap();
    let (shard, _) = UserShard::open(original.path(), &small_memory()).unwrap();
    replay(&shard, &log, &replies, 120);
    shard.persist().unwrap();
    let truth = everything(&shard).unwrap();
    drop(shard);
    let mut rng = SplitMix64::new(seed ^ 3);
    let (mut errors, mut harmless) = (0, 0);
    for file in files(original.path()) {
        let bytes = fs::read(&file).unwrap();
        let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
        for _ in 0..bytes.len().min(60) {
            let place = rng.below(bytes.len() as u64) as usize;
            let mut damaged = bytes.clone();
            damaged[place] ^= 1 << rng.below(8);
            cases.push((format!("flip at {place}"), damaged));
        }
        for _ in 0..4 {
            let length = rng.below(bytes.len() as u64) as usize;
            cases.push((format!("cut to {length}"), bytes[..length].to_vec()));
        }
        for (what, damaged) in cases {
            let name = file.strip_prefix(original.path()).unwrap().display();
            match read_damaged(original.path(), &file, &damaged) {
                Ok(text) if text == truth => harmless += 1,
                Ok(_) => panic!("{name}, {what}: a wrong answer. SEED={seed:#x}"),
                Err(_) => errors += 1,
            }
        }
        let name = file.strip_prefix(original.path()).unwrap().display();
        println!("{name}: {} bytes, so far {errors} errors, {harmless} harmless", bytes.len());
    }
    assert!(errors > 100, "errors={errors}, harmless={harmless}");
}

#[test]
fn a_missing_file_is_an_error() {
    let original = tempfile::tempdir().unwrap();
    let (log, replies) = log(1, 50);
    let (shard, _) = UserShard::open(original.path(), &small_memory()).unwrap();
    replay(&shard, &log, &replies, 50);
    shard.persist().unwrap();
    drop(shard);
    let current = fs::read(original.path().join("tree/current")).unwrap();
    let version = format!("v{}", u64::from_le_bytes(current[..8].try_into().unwrap()));
    for file in files(original.path()) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with('v') && name != version {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        copy(original.path(), dir.path());
        fs::remove_file(dir.path().join(file.strip_prefix(original.path()).unwrap())).unwrap();
        let error = UserShard::open(dir.path(), &small_memory()).err();
        assert!(matches!(error, Some(UserShardError::CorruptFiles { .. })), "{name}: {error:?}");
    }
}
