//! The directory of a store: its lock, and a check of the version file before the tree trusts it.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
};

use xxhash_rust::xxh3::xxh3_128;

use crate::storage::user_shard::error::{Result, UserShardError};

const LOCK: &str = "LOCK";
const CURRENT: &str = "current";
/// `current`: version id u64, XXH3-128 of the version file, checksum kind u8 (0 = XXH3).
const CURRENT_BYTES: usize = 25;

/// Locks the directory for this handle; the lock goes with the returned file.
pub(super) fn lock(dir: &Path) -> Result<File> {
    fs::create_dir_all(dir).map_err(|e| UserShardError::io("create directory", dir, e))?;
    let path = dir.join(LOCK);
    let file = File::create(&path).map_err(|e| UserShardError::io("create lock file", &path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(UserShardError::Locked { path: dir.to_path_buf() }),
        Err(TryLockError::Error(e)) => Err(UserShardError::io("lock", &path, e)),
    }
}

/// Checks the version file against the checksum in `current`: the tree does not, and would delete the tables a
/// damaged version file no longer names. A new store has neither.
pub(super) fn check_version_file(tree: &Path) -> Result<()> {
    let path = tree.join(CURRENT);
    let current = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return refuse_headless(tree),
        Err(e) => return Err(UserShardError::io("read", &path, e)),
    };
    let damaged = |reason: String| UserShardError::CorruptFiles { path: tree.to_path_buf(), reason };
    let current: [u8; CURRENT_BYTES] =
        current.try_into().map_err(|_| damaged("`current` has a wrong length".to_owned()))?;
    let (id, rest) = current.split_first_chunk::<8>().expect("25 bytes");
    let (expected, kind) = rest.split_first_chunk::<16>().expect("17 bytes");
    let name = format!("v{}", u64::from_le_bytes(*id));
    let version = fs::read(tree.join(&name)).map_err(|e| damaged(format!("{name}: {e}")))?;
    if kind != [0] || xxh3_128(&version) != u128::from_le_bytes(*expected) {
        return Err(damaged(format!("checksum mismatch in {name}")));
    }
    Ok(())
}

/// Without `current` the tree would start empty; with tables there, that would lose them.
fn refuse_headless(tree: &Path) -> Result<()> {
    let has_tables = fs::read_dir(tree.join("tables")).is_ok_and(|mut entries| entries.next().is_some());
    if has_tables {
        let reason = "`current` is missing but tables exist".to_owned();
        return Err(UserShardError::CorruptFiles { path: tree.to_path_buf(), reason });
    }
    Ok(())
}
