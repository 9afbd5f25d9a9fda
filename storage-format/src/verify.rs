//! Checks a whole shard: every checksum, every content id, every cross-reference. Continues after damage.

mod content;
mod file;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use crate::{
    error::FormatError,
    manifest::{FileEntry, Found, Manifest, SegmentEntry, list, segment_folder},
};

/// Something in a shard's folder that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file, or the folder when a manifest is missing altogether.
    pub file: PathBuf,
    /// Where in the file; the first byte of the damaged 64 KiB chunk for a checksum. `None`: the file as a whole.
    pub offset: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(offset) = self.offset {
            write!(f, " at {offset}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// What a verification read and found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Files that were looked at, manifests included.
    pub files: u64,
    /// Bytes that were read and checked.
    pub bytes: u64,
    /// Everything that is wrong, in the order it was found: manifests newest first, then files by path.
    pub damage: Vec<Damage>,
}

impl VerifyReport {
    /// True when nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.damage.is_empty()
    }

    fn add(&mut self, file: &Path, offset: Option<u64>, what: impl Into<String>) {
        self.damage.push(Damage { file: file.to_path_buf(), offset, what: what.into() });
    }

    fn add_error(&mut self, file: &Path, error: &FormatError) {
        let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
        self.add(file, error.offset(), format!("{error}{cause}"));
    }
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Bytes read so far.
    pub done_bytes: u64,
    /// Bytes the manifests say there are.
    pub total_bytes: u64,
}

/// Verifies the kept manifests of a shard and every file they name. Never panics; what cannot be checked because of
/// damage is said once, as that damage.
pub fn verify_shard(shard: &Path) -> VerifyReport {
    verify_shard_with(shard, &mut |_| {})
}

/// As [`verify_shard`], telling `progress` after every piece of at most 64 KiB.
pub fn verify_shard_with(shard: &Path, progress: &mut dyn FnMut(VerifyProgress)) -> VerifyReport {
    let mut report = VerifyReport::default();
    let manifests = read_manifests(shard, &mut report);
    let mut expected = BTreeMap::new();
    for manifest in &manifests {
        expect_files(shard, manifest, &mut expected, &mut report);
    }
    let total_bytes =
        report.bytes + expected.values().map(|file| file.entry.len).fold(0, u64::saturating_add);
    for (path, file) in &expected {
        report.files += 1;
        let mut on_read = |bytes: usize, report: &mut VerifyReport| {
            report.bytes += bytes as u64;
            progress(VerifyProgress { done_bytes: report.bytes, total_bytes });
        };
        file::verify_file(path, file, &mut report, &mut on_read);
    }
    report
}

/// A file that a manifest names, and what it is named for.
struct Expected<'a> {
    entry: &'a FileEntry,
    segment: Option<&'a SegmentEntry>,
    manifest: &'a Manifest,
}

fn read_manifests(shard: &Path, report: &mut VerifyReport) -> Vec<Manifest> {
    let found = match list(shard) {
        Ok(found) => found,
        Err(error) => {
            report.add_error(shard, &error);
            return Vec::new();
        }
    };
    if found.is_empty() {
        report.add(shard, None, "no manifest: this is not the folder of a shard, or it was never published");
    }
    let mut read = |found: &Found| {
        report.files += 1;
        report.bytes += found.path.metadata().map_or(0, |metadata| metadata.len());
        found.read().map_err(|error| report.add_error(&found.path, &error)).ok()
    };
    found.iter().filter_map(&mut read).collect()
}

/// Adds the files of one manifest; newer manifests come first and win.
fn expect_files<'a>(
    shard: &Path,
    manifest: &'a Manifest,
    expected: &mut BTreeMap<PathBuf, Expected<'a>>,
    report: &mut VerifyReport,
) {
    let own = manifest.files.iter().map(|entry| (shard.join(&entry.name), entry, None));
    let of_segments = manifest.segments.iter().flat_map(|segment| {
        let folder = segment_folder(shard, segment.id);
        segment.all_files().map(move |entry| (folder.join(&entry.name), entry, Some(segment)))
    });
    for (path, entry, segment) in own.chain(of_segments) {
        match expected.get(&path) {
            Some(newer) if newer.entry != entry => {
                report.add(&path, None, "the two kept manifests name different contents for this file");
            }
            Some(_) => {}
            None => {
                expected.insert(path, Expected { entry, segment, manifest });
            }
        }
    }
}
