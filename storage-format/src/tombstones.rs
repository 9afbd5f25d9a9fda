//! Deleted rows of a segment, with the log index they are true for.
//!
//! Blocks: `meta` = log index u64; `bitmap` = roaring bitmap, portable serialisation. Small: decoded at open.

use std::path::Path;

use roaring::RoaringBitmap;

use crate::{
    codec::Encoder,
    container::{FileKind, SegmentFile, SegmentFileWriter, Verify},
    error::FormatError,
    manifest::FileEntry,
    postings::bitmap::{decode_bitmap, encode_bitmap},
};

const META: &str = "meta";
const BITMAP: &str = "bitmap";

/// Publishes the deleted rows as they are after the log entry `log_index`.
///
/// # Errors
/// As [`SegmentFileWriter::finish`].
pub fn write_tombstones(
    folder: &Path,
    name: &str,
    deleted: &RoaringBitmap,
    log_index: u64,
) -> Result<FileEntry, FormatError> {
    let mut file = SegmentFileWriter::create(folder, name, FileKind::Tombstones)?;
    let mut meta = Encoder::new();
    meta.u64(log_index);
    file.put_slice(META, &meta.finish())?;
    file.put_slice(BITMAP, &encode_bitmap(deleted))?;
    file.finish()
}

/// Deleted rows, in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Tombstones {
    /// The rows.
    pub deleted: RoaringBitmap,
    /// The log entry after which they were so.
    pub log_index: u64,
}

impl Tombstones {
    /// Reads a file of deleted rows; always checks every byte.
    ///
    /// # Errors
    /// As [`SegmentFile::open`].
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        Self::from_file(&SegmentFile::open(path, FileKind::Tombstones, Verify::Full)?)
    }

    /// Decodes an open file.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] when the bitmap is not one.
    pub fn from_file(file: &SegmentFile) -> Result<Self, FormatError> {
        file.require(FileKind::Tombstones)?;
        let log_index = file.decode(META, |input| input.u64())?;
        let block = file.required(BITMAP)?;
        let deleted = decode_bitmap(file.block_bytes(&block))
            .ok_or_else(|| file.malformed(&block, "tombstones are not a roaring bitmap"))?;
        Ok(Self { deleted, log_index })
    }
}
