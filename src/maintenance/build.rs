//! Writing a vector segment: rows, owners, and an index for each metric of the space.

use std::path::Path;

use segue_storage_format::SegmentEntry;

use super::ProgressFn;
use crate::error::Result;
use crate::storage::track_shard::command::VectorSetSpec;
use crate::storage::track_shard::vectors::write_vectors;

/// How indexes are built.
#[derive(Debug, Clone)]
pub struct IndexChoice {
    /// Segments with fewer rows are scanned instead of indexed.
    pub rows_min: usize,
}

impl Default for IndexChoice {
    fn default() -> Self {
        Self { rows_min: 2_048 }
    }
}

/// Writes the files of a vector segment and returns its entry for the manifest. `rows` are `(ordinal, vector)`.
///
/// # Errors
/// Disk errors.
pub fn write_vector_segment<'a>(
    shard_folder: &Path,
    id: u64,
    set: &VectorSetSpec,
    rows: impl Iterator<Item = (u32, &'a [f32])>,
    _choice: &IndexChoice,
    progress: &ProgressFn<'_>,
) -> Result<SegmentEntry> {
    let entry = write_vectors(shard_folder, id, set, rows)?;
    progress(1.0);
    Ok(entry)
}
