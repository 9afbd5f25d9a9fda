//! Publishing and loading manifests.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rkyv::{rancor, util::AlignedVec};

use crate::{
    codec::Encoder,
    container::{FileKind, SegmentFile, SegmentFileWriter, Verify},
    error::FormatError,
    manifest::{FileEntry, Manifest, SHARD_FORMAT},
    publish::sync_folder,
};

const PREFIX: &str = "MANIFEST-";
const META: &str = "meta";
const BODY: &str = "manifest";

/// The newest readable manifest of a shard.
#[derive(Debug)]
pub struct LoadedManifest {
    /// The manifest.
    pub manifest: Manifest,
    /// Its place in the sequence of publications.
    pub sequence: u64,
    /// Why newer manifests, newest first, could not be read; empty when the newest was.
    pub fell_back: Vec<FormatError>,
}

/// A manifest file in a shard's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) sequence: u64,
    pub(crate) path: PathBuf,
}

impl Found {
    /// Reads and checks the manifest.
    pub(crate) fn read(&self) -> Result<Manifest, FormatError> {
        let (sequence, manifest) = decode(&SegmentFile::open(&self.path, FileKind::Manifest, Verify::Full)?)?;
        if sequence != self.sequence {
            let what = "manifest has another sequence number than its name";
            return Err(FormatError::Malformed { file: self.path.clone(), what, offset: 0 });
        }
        Ok(manifest)
    }
}

/// Publishes a manifest as the newest of the shard: when this returns, it is durable and will be loaded. The files
/// it names must be durable before. Keeps it and the newest readable one before it; removes the other manifests.
/// One caller at a time per folder.
///
/// # Errors
/// [`FormatError::Usage`] when the manifest contradicts itself; otherwise as [`SegmentFileWriter::finish`]. After
/// an error the manifest before is still the newest, with two exceptions: after `cannot fsync folder` either may be,
/// and after `cannot remove` the new one is, and the next publication removes what this one could not.
pub fn publish(shard: &Path, manifest: &Manifest) -> Result<FileEntry, FormatError> {
    if let Some(what) = manifest.flaw() {
        return Err(FormatError::Usage { file: shard.to_path_buf(), what });
    }
    let found = list(shard)?;
    let sequence = found.first().map_or(0, |newest| newest.sequence).checked_add(1);
    let sequence = sequence.ok_or_else(|| FormatError::Usage {
        file: shard.to_path_buf(),
        what: "the sequence of manifests is used up: a file in the folder has the last number",
    })?;
    let mut file = SegmentFileWriter::create(shard, &manifest_name(sequence), FileKind::Manifest)?;
    let mut meta = Encoder::new();
    meta.u64(sequence);
    file.put_slice(META, &meta.finish())?;
    file.put_slice(BODY, &encode(manifest).map_err(|_| file.usage("manifest is too large"))?)?;
    let entry = file.finish()?;
    remove_old(shard, &found)?;
    Ok(entry)
}

/// Loads the newest readable manifest; `None` when the folder has none at all (or does not exist).
///
/// # Errors
/// The error of the newest when there are manifests and none is readable; [`FormatError::NewerVersion`] when the
/// newest was written by a newer program (falling back would lose what it knew); [`FormatError::Io`].
pub fn load(shard: &Path) -> Result<Option<LoadedManifest>, FormatError> {
    let mut fell_back = Vec::new();
    for found in list(shard)? {
        match found.read() {
            Ok(manifest) => {
                return Ok(Some(LoadedManifest { manifest, sequence: found.sequence, fell_back }));
            }
            Err(error) if error.is_damage() => fell_back.push(error),
            Err(error) => return Err(error),
        }
    }
    fell_back.into_iter().next().map_or(Ok(None), Err)
}

/// Every manifest in the folder, newest first. A folder that does not exist has none.
pub(crate) fn list(shard: &Path) -> Result<Vec<Found>, FormatError> {
    let entries = match fs::read_dir(shard) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| FormatError::io(shard, "list folder", e))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| FormatError::io(shard, "list folder", e))?;
        if let Some(sequence) = entry.file_name().to_str().and_then(sequence_of) {
            found.push(Found { sequence, path: entry.path() });
        }
    }
    found.sort_unstable_by_key(|manifest| std::cmp::Reverse(manifest.sequence));
    Ok(found)
}

/// Removes all of `older` (newest first) but the newest readable one.
fn remove_old(shard: &Path, older: &[Found]) -> Result<(), FormatError> {
    let kept = older.iter().find(|found| found.read().is_ok());
    let mut removed = false;
    for found in older.iter().filter(|found| Some(*found) != kept) {
        fs::remove_file(&found.path).map_err(|e| FormatError::io(&found.path, "remove", e))?;
        removed = true;
    }
    if removed { sync_folder(shard) } else { Ok(()) }
}

fn manifest_name(sequence: u64) -> String {
    format!("{PREFIX}{sequence:016x}")
}

/// The sequence number in the name of a manifest.
pub(super) fn sequence_of(name: &str) -> Option<u64> {
    let sequence = u64::from_str_radix(name.strip_prefix(PREFIX)?, 16).ok()?;
    (manifest_name(sequence) == name).then_some(sequence)
}

fn encode(manifest: &Manifest) -> Result<AlignedVec, rancor::Error> {
    rkyv::to_bytes(manifest)
}

/// Decodes an open manifest file: its sequence number and the manifest.
///
/// # Errors
/// Errors about bytes; [`FormatError::NewerVersion`].
pub fn decode(file: &SegmentFile) -> Result<(u64, Manifest), FormatError> {
    let sequence = file.decode(META, |input| input.u64())?;
    let block = file.required(BODY)?;
    let manifest = rkyv::from_bytes::<Manifest, rancor::Error>(file.block_bytes(&block))
        .map_err(|_| file.malformed(&block, "manifest does not decode"))?;
    if manifest.format > SHARD_FORMAT {
        return Err(FormatError::NewerVersion {
            file: file.path().to_path_buf(),
            what: "format of this shard",
            found: u32::from(manifest.format),
            known: u32::from(SHARD_FORMAT),
        });
    }
    match manifest.flaw() {
        Some(what) => Err(file.malformed(&block, what)),
        None => Ok((sequence, manifest)),
    }
}
