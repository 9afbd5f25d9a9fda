//! Writes fields and sorted parts one after another.

use std::path::Path;

use roaring::RoaringBitmap;

use crate::{
    codec::Encoder,
    container::{FileKind, SegmentFileWriter},
    error::FormatError,
    manifest::FileEntry,
    postings::{
        PartType, SortedValue,
        bitmap::encode_bitmap,
        reader::{META, PARTS_MAX, tag},
    },
};

/// Writes a file of postings. A field keeps 20 bytes per key in memory while it is written.
#[derive(Debug)]
pub struct PostingsFileWriter {
    inner: SegmentFileWriter,
    universe: u64,
    parts: Vec<(String, PartType)>,
}

impl PostingsFileWriter {
    /// Starts a file of postings of rows below `universe` (at most 2^32): the number of rows of the segment, or the
    /// shard's next ordinal. A larger one is reported by [`crate::verify`].
    ///
    /// # Errors
    /// As [`SegmentFileWriter::create`]; [`FormatError::Usage`] for a larger universe.
    pub fn create(folder: &Path, name: &str, universe: u64) -> Result<Self, FormatError> {
        let inner = SegmentFileWriter::create(folder, name, FileKind::Postings)?;
        if universe > 1 << u32::BITS {
            return Err(inner.usage("more rows than 32 bits number"));
        }
        Ok(Self { inner, universe, parts: Vec::new() })
    }

    /// Writes a field: keys in ascending order with their rows.
    ///
    /// # Errors
    /// [`FormatError::Usage`] when keys do not ascend, a bitmap is empty or holds a row outside the universe, or
    /// the name was used before; [`FormatError::Io`].
    pub fn field<B: std::borrow::Borrow<RoaringBitmap>>(
        &mut self,
        name: &str,
        postings: impl IntoIterator<Item = (u64, B)>,
    ) -> Result<(), FormatError> {
        let index = self.begin(name, PartType::Field)?;
        let (mut keys, mut counts, mut offsets) = (Vec::<u64>::new(), Vec::<u32>::new(), vec![0u64]);
        self.inner.begin_block(&tag(index, "map"), 1, 1)?;
        for (key, bitmap) in postings {
            let bitmap = bitmap.borrow();
            if keys.last().is_some_and(|last| *last >= key) {
                return Err(self.inner.usage("keys of a field do not ascend"));
            }
            let Some(last) = bitmap.max() else {
                return Err(self.inner.usage("a key has no rows"));
            };
            self.check_row(last)?;
            self.inner.append_bytes(&encode_bitmap(bitmap))?;
            keys.push(key);
            counts.push((bitmap.len() - 1) as u32);
            offsets.push(self.inner.open_rows());
        }
        self.inner.put_slice(&tag(index, "key"), &keys)?;
        self.inner.put_slice(&tag(index, "cnt"), &counts)?;
        self.inner.put_slice(&tag(index, "off"), &offsets)
    }

    /// Writes a sorted part. Sorts the pairs by value, then row; a row may have several values.
    ///
    /// # Errors
    /// [`FormatError::Usage`] when a value is NaN, a row is outside the universe, or the name was used before;
    /// [`FormatError::Io`].
    pub fn sorted<V: SortedValue>(
        &mut self,
        name: &str,
        mut pairs: Vec<(V, u32)>,
    ) -> Result<(), FormatError> {
        let index = self.begin(name, V::PART)?;
        if pairs.iter().any(|(value, _)| value.is_nan()) {
            return Err(self.inner.usage("a value is nan"));
        }
        pairs.iter().try_for_each(|(_, row)| self.check_row(*row))?;
        pairs.sort_unstable_by(|left, right| left.0.order(right.0).then(left.1.cmp(&right.1)));
        self.inner.begin_block(&tag(index, "val"), 4, 4)?;
        pairs.iter().try_for_each(|(value, _)| self.inner.append(&[*value]))?;
        self.inner.begin_block(&tag(index, "row"), 4, 4)?;
        pairs.iter().try_for_each(|(_, row)| self.inner.append(&[*row]))
    }

    /// Publishes the file.
    ///
    /// # Errors
    /// As [`SegmentFileWriter::finish`].
    pub fn finish(mut self) -> Result<FileEntry, FormatError> {
        let mut meta = Encoder::new();
        meta.u64(self.universe).u32(self.parts.len() as u32);
        for (name, kind) in &self.parts {
            meta.u8(kind.raw());
            meta.text(name).map_err(|_| self.inner.usage("field name is too long"))?;
        }
        self.inner.put_slice(META, &meta.finish())?;
        self.inner.finish()
    }

    fn begin(&mut self, name: &str, kind: PartType) -> Result<usize, FormatError> {
        if self.parts.iter().any(|(other, _)| other == name) {
            return Err(self.inner.usage("two fields have the same name"));
        }
        if self.parts.len() >= PARTS_MAX {
            return Err(self.inner.usage("more than 512 fields"));
        }
        self.parts.push((name.to_owned(), kind));
        Ok(self.parts.len() - 1)
    }

    fn check_row(&self, row: u32) -> Result<(), FormatError> {
        if u64::from(row) < self.universe {
            Ok(())
        } else {
            Err(self.inner.usage("a row is outside the universe"))
        }
    }
}
