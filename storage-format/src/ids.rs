//! Row to external id and back.
//!
//! Blocks: `offsets` = u64 per row and one more, from 0 to the length of `bytes`; `bytes` = the ids, UTF-8, one
//! after another; `hashes` = [`id_hash`] of every id, ascending; `hashrow` = the row of each hash, ascending among
//! equal hashes. Finding an id costs one search among the hashes and one comparison of strings; two ids with one
//! hash are told apart by their strings. When an id was written twice, the lowest row is found.

use std::path::Path;

use crate::{
    container::{Block, FileKind, SegmentFile, SegmentFileWriter, Verify},
    error::FormatError,
    manifest::FileEntry,
};

const OFFSETS: &str = "offsets";
const BYTES: &str = "bytes";
const HASHES: &str = "hashes";
const HASH_ROWS: &str = "hashrow";

/// Hash of an id: the first 8 bytes of its BLAKE3, as a little-endian number. Stable for ever.
pub fn id_hash(id: &str) -> u64 {
    let hash = blake3::hash(id.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// Writes ids in row order. Keeps 24 bytes per id in memory until it is finished.
#[derive(Debug)]
pub struct IdFileWriter {
    inner: SegmentFileWriter,
    offsets: Vec<u64>,
    hashes: Vec<(u64, u32)>,
}

impl IdFileWriter {
    /// Starts a file of ids.
    ///
    /// # Errors
    /// As [`SegmentFileWriter::create`].
    pub fn create(folder: &Path, name: &str) -> Result<Self, FormatError> {
        let mut inner = SegmentFileWriter::create(folder, name, FileKind::Ids)?;
        inner.begin_block(BYTES, 1, 1)?;
        Ok(Self { inner, offsets: vec![0], hashes: Vec::new() })
    }

    /// Appends the id of the next row; returns the row.
    ///
    /// # Errors
    /// [`FormatError::Usage`] after `u32::MAX` rows; [`FormatError::Io`].
    pub fn push(&mut self, id: &str) -> Result<u32, FormatError> {
        let row = u32::try_from(self.hashes.len()).ok().filter(|&row| row != u32::MAX);
        let row = row.ok_or_else(|| self.inner.usage("too many ids for 32-bit rows"))?;
        self.inner.append_bytes(id.as_bytes())?;
        self.offsets.push(self.inner.open_rows());
        self.hashes.push((id_hash(id), row));
        Ok(row)
    }

    /// Publishes the file.
    ///
    /// # Errors
    /// As [`SegmentFileWriter::finish`].
    pub fn finish(mut self) -> Result<FileEntry, FormatError> {
        self.inner.put_slice(OFFSETS, &self.offsets)?;
        self.hashes.sort_unstable();
        self.inner.begin_block(HASHES, 8, 8)?;
        self.hashes.iter().try_for_each(|(hash, _)| self.inner.append(&[*hash]))?;
        self.inner.begin_block(HASH_ROWS, 4, 4)?;
        self.hashes.iter().try_for_each(|(_, row)| self.inner.append(&[*row]))?;
        self.inner.finish()
    }
}

/// A mapped file of ids.
#[derive(Debug, Clone)]
pub struct IdFile {
    file: SegmentFile,
    offsets: Block,
    bytes: Block,
    hashes: Block,
    hash_rows: Block,
}

impl IdFile {
    /// Opens and checks a file of ids. Reads the offsets, hashes and rows of hashes once.
    ///
    /// # Errors
    /// As [`SegmentFile::open`].
    pub fn open(path: &Path, verify: Verify) -> Result<Self, FormatError> {
        Self::from_file(SegmentFile::open(path, FileKind::Ids, verify)?)
    }

    /// Checks what is particular to ids.
    ///
    /// # Errors
    /// Errors about bytes.
    pub fn from_file(file: SegmentFile) -> Result<Self, FormatError> {
        file.require(FileKind::Ids)?;
        let opened = Self {
            offsets: file.required(OFFSETS)?,
            bytes: file.required(BYTES)?,
            hashes: file.required(HASHES)?,
            hash_rows: file.required(HASH_ROWS)?,
            file,
        };
        opened.check()?;
        Ok(opened)
    }

    fn check(&self) -> Result<(), FormatError> {
        let file = &self.file;
        let offsets = file.elements::<u64>(&self.offsets)?;
        check_offsets(file, &self.offsets, offsets, self.bytes.length)?;
        let hashes = file.elements::<u64>(&self.hashes)?;
        let rows = file.elements::<u32>(&self.hash_rows)?;
        let count = offsets.len() - 1;
        if hashes.len() != count || rows.len() != count {
            return Err(file.malformed(&self.hashes, "ids and their hashes differ in number"));
        }
        let pairs = || hashes.iter().zip(rows);
        if !pairs().is_sorted_by(|left, right| left < right) {
            return Err(file.malformed(&self.hashes, "hashes of ids are not ascending"));
        }
        match rows.iter().find(|&&row| row as usize >= count) {
            Some(&row) => Err(file.out_of_range("row of an id", u64::from(row), count as u64)),
            None => Ok(()),
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.slice::<u64>(&self.offsets).len().saturating_sub(1)
    }

    /// Returns the id of a row.
    ///
    /// # Errors
    /// [`FormatError::OutOfRange`] when there is no such row; [`FormatError::Malformed`] when the bytes are not
    /// UTF-8.
    pub fn id(&self, row: u32) -> Result<&str, FormatError> {
        let missing = || self.file.out_of_range("row", u64::from(row), self.rows() as u64);
        let bytes = self.id_bytes(row).ok_or_else(missing)?;
        std::str::from_utf8(bytes).map_err(|_| self.file.malformed(&self.bytes, "id is not utf-8"))
    }

    /// Finds the row of an id.
    pub fn find(&self, id: &str) -> Option<u32> {
        let hash = id_hash(id);
        let hashes = self.slice::<u64>(&self.hashes);
        let rows = self.slice::<u32>(&self.hash_rows);
        let first = lower_bound(hashes, hash);
        let (hashes, rows) = (hashes.get(first..)?, rows.get(first..)?);
        let same = hashes.iter().zip(rows).take_while(|(found, _)| **found == hash);
        same.map(|(_, row)| *row).find(|&row| self.id_bytes(row) == Some(id.as_bytes()))
    }

    /// Checks what opening does not: every id is UTF-8, has the hash it is stored under, and is there once.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] for the first that is not.
    pub fn check_ids(&self) -> Result<(), FormatError> {
        let hashes = self.slice::<u64>(&self.hashes);
        for (hash, row) in hashes.iter().zip(self.slice::<u32>(&self.hash_rows)) {
            let id = self.id(*row)?;
            if id_hash(id) != *hash {
                return Err(self.file.malformed(&self.hashes, "an id is stored under the hash of another"));
            }
            if self.find(id) != Some(*row) {
                return Err(self.file.malformed(&self.bytes, "an id has two rows"));
            }
        }
        Ok(())
    }

    /// The file below, to advise, pin or check.
    pub fn file(&self) -> &SegmentFile {
        &self.file
    }

    fn id_bytes(&self, row: u32) -> Option<&[u8]> {
        let offsets = self.slice::<u64>(&self.offsets);
        let row = row as usize;
        let (start, end) = (*offsets.get(row)?, *offsets.get(row + 1)?);
        self.file.block_bytes(&self.bytes).get(start as usize..end as usize)
    }

    fn slice<T: bytemuck::AnyBitPattern>(&self, block: &Block) -> &[T] {
        self.file.block_slice(block).unwrap_or_default()
    }
}

/// Index of the first of the ascending `hashes` that is not below `hash`. Hashes are spread evenly, so the place is
/// guessed and then bracketed: a few cache lines near each other instead of a bisection of the whole array.
fn lower_bound(hashes: &[u64], hash: u64) -> usize {
    let guess = ((u128::from(hash) * hashes.len() as u128) >> u64::BITS) as usize;
    let below = |at: usize| hashes.get(at).is_some_and(|found| *found < hash);
    let (mut low, mut high, mut step) = (guess, guess, 8);
    while low > 0 && !below(low - 1) {
        low = low.saturating_sub(step);
        step *= 2;
    }
    step = 8;
    while high < hashes.len() && below(high) {
        high = hashes.len().min(high + step);
        step *= 2;
    }
    low + hashes[low..high].partition_point(|found| *found < hash)
}

/// Checks an offset array: starts at 0, never falls, ends at `length`.
pub(crate) fn check_offsets(
    file: &SegmentFile,
    block: &Block,
    offsets: &[u64],
    length: u64,
) -> Result<(), FormatError> {
    if offsets.first() != Some(&0) || offsets.last() != Some(&length) {
        return Err(file.malformed(block, "offsets do not span the values"));
    }
    if !offsets.is_sorted() {
        return Err(file.malformed(block, "offsets fall"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_hash_of_an_id_never_changes() {
        // First 8 bytes of BLAKE3 of the empty string: af 13 49 b9 f5 f9 a1 a6.
        assert_eq!(id_hash(""), 0xa6a1_f9f5_b949_13af);
        assert_eq!(id_hash("track:1"), id_hash("track:1"));
        assert_ne!(id_hash("track:1"), id_hash("track:2"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The guess may be anywhere; the answer is that of a bisection, with equal, clustered and extreme hashes.
        #[test]
        fn lower_bound_is_a_bisection(
            mut hashes in proptest::collection::vec(prop_oneof![any::<u64>(), 0..9u64, (u64::MAX - 9)..], 0..200),
            wanted in prop_oneof![any::<u64>(), 0..9u64, (u64::MAX - 9)..],
        ) {
            hashes.sort_unstable();
            for hash in hashes.iter().copied().chain([wanted, 0, u64::MAX]) {
                prop_assert_eq!(lower_bound(&hashes, hash), hashes.partition_point(|found| *found < hash));
            }
        }
    }
}
