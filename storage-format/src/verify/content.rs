//! What a file holds, against what its segment and manifest say.

use crate::{
    blob::BlobFile,
    blocks::BlockFile,
    columns::ColumnFile,
    container::{FileKind, SegmentFile, Verify},
    error::FormatError,
    ids::IdFile,
    postings::PostingsFile,
    tombstones::Tombstones,
    vectors::VectorFile,
    verify::Expected,
};

/// Checks the content of a file whose bytes are as they were written.
pub(super) fn check_content(file: &SegmentFile, expected: &Expected<'_>) -> Result<(), FormatError> {
    let owned = file.clone();
    match file.kind() {
        FileKind::Vectors => check_rows(file, expected, VectorFile::from_file(owned)?.rows() as u64),
        FileKind::Codes | FileKind::Graph => BlockFile::from_file(owned, Verify::Full).map(|_| ()),
        FileKind::Columns => check_rows(file, expected, ColumnFile::from_file(owned)?.rows()),
        FileKind::Postings => check_postings(file, expected, &PostingsFile::from_file(owned)?),
        FileKind::Ids => {
            let ids = IdFile::from_file(owned)?;
            ids.check_ids()?;
            check_rows(file, expected, ids.rows() as u64)
        }
        FileKind::Tombstones => check_tombstones(file, expected, &Tombstones::from_file(file)?),
        FileKind::Blob => BlobFile::from_file(owned).map(|_| ()),
        FileKind::Manifest => Err(whole(file, "a manifest is named as a file of the shard")),
    }
}

/// Vectors, columns and ids of a segment have one row per row of the segment.
fn check_rows(file: &SegmentFile, expected: &Expected<'_>, rows: u64) -> Result<(), FormatError> {
    match expected.segment {
        Some(segment) if segment.rows != rows => {
            Err(whole(file, "file has another number of rows than its segment"))
        }
        _ => Ok(()),
    }
}

/// Postings speak offsets of their segment or ordinals of the shard.
fn check_postings(
    file: &SegmentFile,
    expected: &Expected<'_>,
    postings: &PostingsFile,
) -> Result<(), FormatError> {
    let limit =
        expected.segment.map_or(0, |segment| segment.rows).max(u64::from(expected.manifest.next_ordinal));
    if postings.universe() > limit {
        return Err(file.out_of_range("universe of postings", postings.universe(), limit.saturating_add(1)));
    }
    postings.check_bitmaps()
}

fn check_tombstones(
    file: &SegmentFile,
    expected: &Expected<'_>,
    found: &Tombstones,
) -> Result<(), FormatError> {
    let applied = expected.manifest.applied_index;
    if found.log_index > applied {
        return Err(file.out_of_range("log index of tombstones", found.log_index, applied.saturating_add(1)));
    }
    match (expected.segment, found.deleted.max()) {
        (Some(segment), Some(row)) if u64::from(row) >= segment.rows => {
            Err(file.out_of_range("deleted row", u64::from(row), segment.rows))
        }
        _ => Ok(()),
    }
}

fn whole(file: &SegmentFile, what: &'static str) -> FormatError {
    FormatError::Malformed { file: file.path().to_path_buf(), what, offset: 0 }
}
