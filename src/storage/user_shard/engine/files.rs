//! The directory of a store: its lock, and a check of the version file before the tree trusts it.

use std::{
    fs::{self, File, TryLockError},
    io::Read,
    path::{Path, PathBuf},
};

use segue_storage_format::{Damage, VerifyReport};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::storage::user_shard::error::{Result, UserShardError};

const LOCK: &str = "LOCK";
pub(super) const CURRENT: &str = "current";
/// `current`: version id u64, XXH3-128 of the version file, checksum kind u8 (0 = XXH3).
const CURRENT_BYTES: usize = 25;

/// The lock on a store's directory. Given up by name when dropped: closing the file is not enough while a process
/// that this one starts still holds a copy of it, between `fork` and `exec`.
pub(super) struct DirLock(File);

impl Drop for DirLock {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the lock of a user store was not given up by name");
        }
    }
}

/// Locks the directory for this handle.
pub(super) fn lock(dir: &Path) -> Result<DirLock> {
    fs::create_dir_all(dir).map_err(|e| UserShardError::io("create directory", dir, e))?;
    let path = dir.join(LOCK);
    let file = File::create(&path).map_err(|e| UserShardError::io("create lock file", &path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(DirLock(file)),
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

/// Checks `current`, the version file it names, and every table the version file names, without opening the tree (which
/// would remove what it does not know). The tree gives a checksum for each file as a whole: there are no offsets.
pub(in crate::storage::user_shard) fn check_tree(tree: &Path, report: &mut VerifyReport) {
    let mut add = |file: PathBuf, what: String| report.damage.push(Damage { file, offset: None, what });
    if let Err(error) = check_version_file(tree) {
        let current = tree.join(CURRENT);
        let named = fs::read(&current).ok().filter(|bytes| bytes.len() == CURRENT_BYTES);
        // `current` has number and checksum of the version file: when they do not fit, either can be the damaged one.
        if let Some(bytes) = named {
            let version = tree.join(version_name(&bytes));
            let missing = !version.exists();
            add(version, if missing { "file is missing".to_owned() } else { error.to_string() });
        }
        return add(current, error.to_string());
    }
    let Ok(current) = fs::read(tree.join(CURRENT)) else { return };
    let version = tree.join(version_name(&current));
    let tables = match read_tables(&version) {
        Ok(tables) => tables,
        Err(error) => return add(version, format!("version file cannot be read: {error}")),
    };
    let mut read = vec![current.len() as u64, fs::metadata(&version).map_or(0, |metadata| metadata.len())];
    for (id, expected) in tables {
        let path = tree.join("tables").join(id.to_string());
        match checksum(&path) {
            Ok((found, bytes)) => {
                read.push(bytes);
                if found != expected {
                    add(path, "checksum mismatch: the file is not as it was written".to_owned());
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                add(path, "file is missing".to_owned())
            }
            Err(error) => add(path, format!("cannot be read: {error}")),
        }
    }
    report.files += read.len() as u64;
    report.bytes += read.iter().sum::<u64>();
}

/// The tables of a tree with their checksums; none when that cannot be read.
pub(in crate::storage::user_shard) fn tables(tree: &Path) -> Vec<(u64, u128)> {
    let current = fs::read(tree.join(CURRENT)).unwrap_or_default();
    read_tables(&tree.join(version_name(&current))).unwrap_or_default()
}

/// Makes a directory in which the tree may write and remove without touching `tree`: its version is copied, its tables
/// are linked.
pub(in crate::storage::user_shard) fn overlay(tree: &Path, target: &Path) -> std::io::Result<()> {
    fs::create_dir_all(target.join("tables"))?;
    let Ok(current) = fs::read(tree.join(CURRENT)) else { return Ok(()) };
    let version = version_name(&current);
    fs::write(target.join(CURRENT), &current)?;
    fs::copy(tree.join(&version), target.join(&version))?;
    for table in fs::read_dir(fs::canonicalize(tree)?.join("tables"))? {
        let table = table?;
        std::os::unix::fs::symlink(table.path(), target.join("tables").join(table.file_name()))?;
    }
    Ok(())
}

pub(super) fn version_name(current: &[u8]) -> String {
    let id = current.first_chunk::<8>().map_or(0, |id| u64::from_le_bytes(*id));
    format!("v{id}")
}

/// The tables a version file names, with their checksums: `lsm-tree` 3's section `tables`.
fn read_tables(version: &Path) -> std::io::Result<Vec<(u64, u128)>> {
    let bad = |what: String| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
    let reader = sfa::Reader::new(version).map_err(|error| bad(format!("{error:?}")))?;
    let section =
        reader.toc().section(b"tables").ok_or_else(|| bad("it has no list of tables".to_owned()))?;
    let mut input = section.buf_reader(version)?;
    let mut tables = Vec::new();
    let [levels] = number(&mut input)?;
    for _ in 0..levels {
        let [runs] = number(&mut input)?;
        for _ in 0..runs {
            for _ in 0..u32::from_le_bytes(number(&mut input)?) {
                let id = u64::from_le_bytes(number(&mut input)?);
                let [kind] = number(&mut input)?;
                if kind != 0 {
                    return Err(bad(format!("unknown kind of checksum. kind=`{kind}`")));
                }
                tables.push((id, u128::from_le_bytes(number(&mut input)?)));
                let _first_sequence_number: [u8; 8] = number(&mut input)?;
            }
        }
    }
    Ok(tables)
}

fn number<const N: usize>(input: &mut impl Read) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// XXH3-128 of a file, and its length.
fn checksum(path: &Path) -> std::io::Result<(u128, u64)> {
    let (mut file, mut hash) = (File::open(path)?, Xxh3::new());
    let (mut buffer, mut total) = (vec![0; 1 << 20], 0);
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok((hash.digest128(), total));
        }
        hash.update(&buffer[..length]);
        total += length as u64;
    }
}
