//! What lies in a shard's folder that no kept manifest names.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, DirEntry, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    error::FormatError,
    manifest::{
        store::{list, sequence_of},
        types::{segment_folder, segment_id},
    },
    publish::TEMPORARY_SUFFIX,
};

/// Files and folders nothing refers to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unreferenced {
    /// Files, sorted by path.
    pub files: Vec<PathBuf>,
    /// Folders of segments no manifest names: empty once their files are removed. Sorted by path.
    pub folders: Vec<PathBuf>,
    /// Length of all the files.
    pub bytes: u64,
}

/// Lists what can be removed from a shard's folder: files of segments that no kept manifest names, files this
/// crate wrote beside them that none names, and temporary files a crash left behind. Files of other programs are
/// never listed. Removes nothing.
///
/// `building`: segments being written or fetched now; their folders are left alone. Must not run while a file of
/// the shard itself or a manifest is being published.
///
/// # Errors
/// The error of a kept manifest that cannot be read: publish a new one first, which drops the damaged one.
/// [`FormatError::Io`].
pub fn unreferenced(shard: &Path, building: &[u64]) -> Result<Unreferenced, FormatError> {
    let mut referenced = BTreeSet::new();
    for found in list(shard)? {
        let manifest = found.read()?;
        referenced.extend(manifest.all_files().map(|(path, _)| shard.join(path)));
        referenced.extend(manifest.segments.iter().map(|segment| segment_folder(shard, segment.id)));
    }
    let mut result = Unreferenced::default();
    for entry in entries(shard)? {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if let Some(id) = segment_id(&name).filter(|_| path.is_dir()) {
            if !building.contains(&id) {
                add_segment(&path, &referenced, &mut result)?;
            }
        } else if path.is_file()
            && !referenced.contains(&path)
            && sequence_of(&name).is_none()
            && (is_temporary(&path) || is_ours(&path)?)
        {
            result.add(&entry)?;
        }
    }
    result.files.sort_unstable();
    result.folders.sort_unstable();
    Ok(result)
}

fn add_segment(
    folder: &Path,
    referenced: &BTreeSet<PathBuf>,
    result: &mut Unreferenced,
) -> Result<(), FormatError> {
    for entry in entries(folder)? {
        if !referenced.contains(&entry.path()) {
            result.add(&entry)?;
        }
    }
    if !referenced.contains(folder) {
        result.folders.push(folder.to_path_buf());
    }
    Ok(())
}

impl Unreferenced {
    fn add(&mut self, entry: &DirEntry) -> Result<(), FormatError> {
        let path = entry.path();
        self.bytes += entry.metadata().map_err(|e| FormatError::io(&path, "look at", e))?.len();
        self.files.push(path);
        Ok(())
    }
}

/// The entries of a folder; none when it does not exist.
fn entries(folder: &Path) -> Result<Vec<DirEntry>, FormatError> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries.and_then(Iterator::collect).map_err(|e| FormatError::io(folder, "list folder", e)),
    }
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.ends_with(TEMPORARY_SUFFIX))
}

/// True when the file starts as the files of this crate do.
fn is_ours(path: &Path) -> Result<bool, FormatError> {
    let mut magic = [0; 8];
    match File::open(path).and_then(|mut file| file.read_exact(&mut magic)) {
        Ok(()) => Ok(magic == crate::container::MAGIC),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(FormatError::io(path, "read", error)),
    }
}
