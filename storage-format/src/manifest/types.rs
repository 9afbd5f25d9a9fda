//! The manifest as plain data.

use std::path::{Path, PathBuf};

use rkyv::{Archive, Deserialize, Serialize};

use crate::{checksum::ContentId, publish::is_file_name};

/// Newest meaning of a shard's folder as a whole that this program reads, and the one it writes.
pub const SHARD_FORMAT: u16 = 1;

/// A published file: enough to know it is there, whole, and the right one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub struct FileEntry {
    /// Name in its folder; see [`is_file_name`].
    pub name: String,
    /// Length in bytes.
    pub len: u64,
    /// BLAKE3 of all bytes.
    pub content_id: ContentId,
}

/// What the rows of a segment are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub enum SegmentKind {
    /// Tracks with their columns, postings and ids.
    Tracks,
    /// Vectors of one space and generation, with the index over them.
    Vectors,
}

/// One sealed segment.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// Number of the segment, never reused in its shard; names its folder.
    pub id: u64,
    /// What its rows are.
    pub kind: SegmentKind,
    /// Name of the space; empty for tracks.
    pub space: String,
    /// Embedding generation; 0 for tracks.
    pub generation: u32,
    /// The upper layer's description of metric and build, opaque here.
    pub profile: String,
    /// Number of rows, deleted ones included.
    pub rows: u64,
    /// Its immutable files.
    pub files: Vec<FileEntry>,
    /// The newest file of its deleted rows.
    pub tombstones: Option<FileEntry>,
}

impl SegmentEntry {
    /// Every file of the segment, tombstones last.
    pub fn all_files(&self) -> impl Iterator<Item = &FileEntry> {
        self.files.iter().chain(&self.tombstones)
    }
}

/// What a shard consists of after one log entry.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SHARD_FORMAT`].
    pub format: u16,
    /// Name of the shard.
    pub shard: String,
    /// First slot and one past the last slot it owns.
    pub slots: (u16, u16),
    /// Epoch of the shard map it belongs to.
    pub epoch: u64,
    /// Everything up to this log index is in the files.
    pub applied_index: u64,
    /// Term of that log entry.
    pub applied_term: u64,
    /// Membership after that log entry, as the consensus library encodes it.
    pub conf_state: Vec<u8>,
    /// The id the next segment gets.
    pub next_segment: u64,
    /// The ordinal the next new track gets.
    pub next_ordinal: u32,
    /// The number the next new recording gets.
    pub next_recording: u32,
    /// Sealed segments, in order of id.
    pub segments: Vec<SegmentEntry>,
    /// Files of the shard itself.
    pub files: Vec<FileEntry>,
}

impl Manifest {
    /// Every file it names, as a path relative to the shard's folder.
    pub fn all_files(&self) -> impl Iterator<Item = (PathBuf, &FileEntry)> {
        let own = self.files.iter().map(|file| (PathBuf::from(&file.name), file));
        let segments = self.segments.iter().flat_map(|segment| {
            let folder = PathBuf::from(segment_name(segment.id));
            segment.all_files().map(move |file| (folder.join(&file.name), file))
        });
        own.chain(segments)
    }

    /// Says what makes this manifest unfit to be published or trusted; `None` when nothing does.
    pub(crate) fn flaw(&self) -> Option<&'static str> {
        if self.segments.windows(2).any(|pair| pair[0].id >= pair[1].id) {
            return Some("segments are not in order of id");
        }
        if self.segments.last().is_some_and(|last| last.id >= self.next_segment) {
            return Some("a segment has an id that is still to be given");
        }
        if self.slots.0 > self.slots.1 {
            return Some("slots end before they start");
        }
        if self.all_files().any(|(_, file)| !is_file_name(&file.name)) {
            return Some("a file name is not allowed");
        }
        let mut paths: Vec<_> = self.all_files().map(|(path, _)| path).collect();
        paths.sort_unstable();
        paths.windows(2).any(|pair| pair[0] == pair[1]).then_some("a file is named twice")
    }
}

/// The folder of a segment in its shard's folder.
pub fn segment_folder(shard: &Path, id: u64) -> PathBuf {
    shard.join(segment_name(id))
}

fn segment_name(id: u64) -> String {
    format!("segment-{id:016x}")
}

/// The id in the name of a segment's folder.
pub(super) fn segment_id(name: &str) -> Option<u64> {
    let id = u64::from_str_radix(name.strip_prefix("segment-")?, 16).ok()?;
    (segment_name(id) == name).then_some(id)
}
