//! One field: sorted keys with their bitmaps.

use roaring::RoaringBitmap;

use crate::{
    container::{Block, SegmentFile},
    error::FormatError,
    ids::check_offsets,
    postings::bitmap::decode_bitmap,
};

/// The blocks of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldBlocks {
    pub(super) keys: Block,
    pub(super) counts: Block,
    pub(super) offsets: Block,
    pub(super) bitmaps: Block,
}

/// A field of a file of postings.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    file: &'a SegmentFile,
    blocks: &'a FieldBlocks,
    universe: u64,
    keys: &'a [u64],
    counts: &'a [u32],
    offsets: &'a [u64],
    bitmaps: &'a [u8],
}

impl<'a> Field<'a> {
    pub(super) fn view(
        file: &'a SegmentFile,
        blocks: &'a FieldBlocks,
        universe: u64,
    ) -> Result<Self, FormatError> {
        Ok(Self {
            file,
            blocks,
            universe,
            keys: file.elements(&blocks.keys)?,
            counts: file.elements(&blocks.counts)?,
            offsets: file.elements(&blocks.offsets)?,
            bitmaps: file.elements(&blocks.bitmaps)?,
        })
    }

    /// Checks keys, counts and offsets; not the bitmaps, which are checked as they are decoded.
    pub(super) fn check(&self) -> Result<(), FormatError> {
        if self.counts.len() != self.keys.len() || self.offsets.len() != self.keys.len() + 1 {
            return Err(self.file.malformed(&self.blocks.keys, "keys, counts and offsets differ in number"));
        }
        if !self.keys.is_sorted_by(|left, right| left < right) {
            return Err(self.file.malformed(&self.blocks.keys, "keys do not ascend"));
        }
        match self.counts.iter().find(|&&count| u64::from(count) >= self.universe) {
            Some(&count) => {
                Err(self.file.out_of_range("cardinality of a key", u64::from(count), self.universe))
            }
            None => check_offsets(self.file, &self.blocks.offsets, self.offsets, self.blocks.bitmaps.length),
        }
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True when there are no keys.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// All keys, ascending.
    pub fn keys(&self) -> &'a [u64] {
        self.keys
    }

    /// Returns the number of rows of a key, 0 when it has none, without decoding its bitmap.
    pub fn cardinality(&self, key: u64) -> u64 {
        self.keys.binary_search(&key).map_or(0, |index| self.cardinality_at(index))
    }

    /// Every key with its number of rows, ascending, without decoding.
    pub fn cardinalities(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.keys.iter().enumerate().map(|(index, key)| (*key, self.cardinality_at(index)))
    }

    /// Decodes the rows of a key; `None` when it has none. Costs a binary search and a copy of the bitmap.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] when the bytes are not a bitmap of the cardinality they should have;
    /// [`FormatError::OutOfRange`] when a row is outside the universe.
    pub fn rows(&self, key: u64) -> Result<Option<RoaringBitmap>, FormatError> {
        self.keys.binary_search(&key).ok().map(|index| self.decode(index)).transpose()
    }

    /// Every key with its decoded rows, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Result<(u64, RoaringBitmap), FormatError>> + '_ {
        self.keys.iter().enumerate().map(|(index, key)| Ok((*key, self.decode(index)?)))
    }

    fn cardinality_at(&self, index: usize) -> u64 {
        self.counts.get(index).map_or(0, |count| u64::from(*count) + 1)
    }

    fn decode(&self, index: usize) -> Result<RoaringBitmap, FormatError> {
        let offset = |at: usize| self.offsets.get(at).map(|offset| *offset as usize);
        let bytes =
            offset(index).zip(offset(index + 1)).and_then(|(start, end)| self.bitmaps.get(start..end));
        let bitmap =
            bytes.and_then(decode_bitmap).filter(|bitmap| bitmap.len() == self.cardinality_at(index));
        let bitmap = bitmap
            .ok_or_else(|| self.file.malformed(&self.blocks.bitmaps, "rows of a key are not a bitmap"))?;
        match bitmap.max() {
            Some(row) if u64::from(row) >= self.universe => {
                Err(self.file.out_of_range("row of a key", u64::from(row), self.universe))
            }
            _ => Ok(bitmap),
        }
    }
}
