//! Which tree a store's directory holds, and how a snapshot of another replica becomes that tree.
//!
//! ```text
//! DIR/tree            the tree of a store that never took a snapshot over
//! DIR/TREE            names the tree in force otherwise; replaced whole: the moment a snapshot is taken over
//! DIR/tree-<number>   that tree, and while a snapshot is taken over the next one
//! ```
//!
//! Trees that are not in force are removed when their last reader is gone, and at the next open.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use segue_storage_format::{Checksum, publish};

use super::{
    files,
    store::{Engine, EngineOptions},
};
use crate::storage::pinned::{PinnedFile, PinnedFiles, hash_file};
use crate::storage::user_shard::error::{Result, UserShardError};

/// The file that names the tree in force.
const POINTER: &str = "TREE";
/// The tree without such a file.
const FIRST: &str = "tree";
/// What the names of pinned tables start with; the table's number follows.
const TABLE: &str = "table-";
/// Times a version is read anew because a merge removed its tables meanwhile.
const PIN_TRIES: u32 = 100;

/// Content ids of tables that were hashed before, for one tree.
#[derive(Debug, Default)]
pub struct KnownTables {
    tree: PathBuf,
    by_id: HashMap<u64, PinnedFile>,
}

/// The number of a table that was pinned under this name.
#[must_use]
pub fn table_number(name: &str) -> Option<u64> {
    name.strip_prefix(TABLE)?.parse().ok()
}

/// The folder of a tree; removed when this is dropped after it was given up.
#[derive(Debug)]
pub(super) struct TreeFolder {
    pub(super) path: PathBuf,
    given_up: Mutex<bool>,
}

impl TreeFolder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, given_up: Mutex::new(false) }
    }
}

impl Drop for TreeFolder {
    fn drop(&mut self) {
        if *self.given_up.lock()
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "an old tree was not removed; the next start does");
        }
    }
}

/// Where the tree in force of the store in `dir` is.
///
/// # Errors
/// `CorruptFiles` when the file that says so is damaged; I/O.
pub(in crate::storage::user_shard) fn tree_of(dir: &Path) -> Result<PathBuf> {
    let path = dir.join(POINTER);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(dir.join(FIRST)),
        text => text.map_err(|e| UserShardError::io("read", &path, e))?,
    };
    let whole = text.split_once('\n').filter(|(name, sum)| *sum == Checksum::of(name.as_bytes()).to_string());
    let name = whole.map(|(name, _)| name).filter(|name| name.starts_with(FIRST) && !name.contains('/'));
    match name {
        Some(name) => Ok(dir.join(name)),
        None => Err(UserShardError::CorruptFiles { path, reason: "it is damaged".to_owned() }),
    }
}

/// Removes trees that are not in force.
pub(super) fn remove_others(dir: &Path, tree: &Path) -> Result<()> {
    let error = |e| UserShardError::io("remove an old tree", dir, e);
    for entry in fs::read_dir(dir).map_err(error)? {
        let path = entry.map_err(error)?.path();
        let is_tree = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(FIRST));
        if is_tree && path.is_dir() && path != tree {
            fs::remove_dir_all(&path).map_err(error)?;
        }
    }
    Ok(())
}

impl Engine {
    /// Pins the files in force. Everything applied must be in them, and stay so meanwhile.
    pub(in crate::storage::user_shard) fn pin(
        &self,
        root: &Path,
        known: &mut KnownTables,
    ) -> Result<PinnedFiles> {
        let tree = &self.folder().path;
        let error = |e| UserShardError::io("pin the user store's files", tree, e);
        if known.tree != *tree {
            *known = KnownTables { tree: tree.clone(), by_id: HashMap::new() };
        }
        for _ in 0..PIN_TRIES {
            match pin_once(tree, root, known) {
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
                outcome => return outcome.map_err(error),
            }
        }
        Err(error(io::ErrorKind::ResourceBusy.into()))
    }

    /// Makes a tree of a snapshot's words and tables in `dir`, beside the one in force; its name.
    pub(in crate::storage::user_shard) fn stage_tree(
        dir: &Path,
        data: &[u8],
        tables: &[(u64, PathBuf)],
    ) -> Result<String> {
        let damaged = |reason: &str| UserShardError::CorruptFiles {
            path: dir.to_path_buf(),
            reason: format!("a snapshot {reason}"),
        };
        let (current, version) = split(data).ok_or_else(|| damaged("does not say what its tables are"))?;
        // A name that is taken may be a tree somebody still reads.
        let mut names = (0_u32..).map(|number| format!("{FIRST}-{number}"));
        let name = names.find(|name| !dir.join(name).exists());
        let name = name.ok_or_else(|| damaged("finds no name"))?;
        let tree = dir.join(&name);
        let error = |e| UserShardError::io("lay out a snapshot", &tree, e);
        let folder = tree.join("tables");
        fs::create_dir_all(&folder).map_err(error)?;
        for (number, path) in tables {
            fs::hard_link(path, folder.join(number.to_string())).map_err(error)?;
        }
        for (name, bytes) in [(files::version_name(current), version), (files::CURRENT.to_owned(), current)] {
            let path = tree.join(name);
            fs::write(&path, bytes).and_then(|()| File::open(&path)?.sync_all()).map_err(error)?;
        }
        for folder in [&folder, &tree, dir] {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(error)?;
        }
        files::check_version_file(&tree)?;
        let given: std::collections::BTreeSet<u64> = tables.iter().map(|(number, _)| *number).collect();
        if !files::tables(&tree).iter().all(|(number, _)| given.contains(number)) {
            return Err(damaged("lacks a table it names"));
        }
        Ok(name)
    }

    /// Opens a tree beside this one, under the same lock.
    pub(in crate::storage::user_shard) fn open_beside(
        &self,
        dir: &Path,
        tree: &str,
        options: &EngineOptions,
    ) -> Result<Self> {
        Self::open_tree(dir, dir.join(tree), self.lock(), options)
    }

    /// Makes a tree the one in force, durably.
    pub(in crate::storage::user_shard) fn publish_tree(dir: &Path, tree: &str) -> Result<()> {
        let text = format!("{tree}\n{}", Checksum::of(tree.as_bytes()));
        publish::write_file(dir, POINTER, text.as_bytes())
            .map(drop)
            .map_err(|error| UserShardError::io("name the tree in force", dir, io::Error::other(error)))
    }

    /// The tree is no longer in force: it goes when its last reader does.
    pub(in crate::storage::user_shard) fn give_up(&self) {
        *self.folder().given_up.lock() = true;
    }
}

fn pin_once(tree: &Path, root: &Path, known: &mut KnownTables) -> io::Result<PinnedFiles> {
    let current = fs::read(tree.join(files::CURRENT))?;
    let version = fs::read(tree.join(files::version_name(&current)))?;
    let mut pinned = PinnedFiles::create(root)?;
    for number in files::tables(tree).iter().map(|(number, _)| *number) {
        let path = tree.join("tables").join(number.to_string());
        let file = match known.by_id.get(&number) {
            Some(file) => file.clone(),
            None => {
                let (hash, bytes) = hash_file(&path)?;
                PinnedFile { name: format!("{TABLE}{number}"), bytes, hash }
            }
        };
        known.by_id.insert(number, file.clone());
        pinned.link(&path, file)?;
    }
    // The tables were read from whatever was in force then.
    if fs::read(tree.join(files::CURRENT))? != current {
        return Err(io::ErrorKind::NotFound.into());
    }
    let numbers: Vec<u64> = files::tables(tree).iter().map(|(number, _)| *number).collect();
    known.by_id.retain(|number, _| numbers.contains(number));
    pinned.data = u32::try_from(current.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    pinned.data.extend(current);
    pinned.data.extend(version);
    Ok(pinned)
}

fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}
