//! Writes columns one after another.

use std::path::Path;

use bytemuck::NoUninit;

use crate::{
    codec::Encoder,
    columns::{ColumnType, FixedValue, ListValue},
    container::{FileKind, SegmentFileWriter},
    error::FormatError,
    manifest::FileEntry,
};

pub(super) const META: &str = "meta";

/// Most columns a file can have.
pub(super) const COLUMNS_MAX: usize = 1024;

/// Tag of the values of column `index`.
pub(super) fn values_tag(index: usize) -> String {
    format!("c{index:04x}val")
}

/// Tag of the offsets of column `index`.
pub(super) fn offsets_tag(index: usize) -> String {
    format!("c{index:04x}off")
}

/// Writes a file of columns. Every column has the same number of rows; values are taken from an iterator and go
/// straight to the file. Columns of lists and payloads keep 8 bytes per row in memory while they are written.
#[derive(Debug)]
pub struct ColumnFileWriter {
    inner: SegmentFileWriter,
    columns: Vec<(String, ColumnType)>,
    rows: Option<u64>,
}

impl ColumnFileWriter {
    /// Starts a file of columns.
    ///
    /// # Errors
    /// As [`SegmentFileWriter::create`].
    pub fn create(folder: &Path, name: &str) -> Result<Self, FormatError> {
        let inner = SegmentFileWriter::create(folder, name, FileKind::Columns)?;
        Ok(Self { inner, columns: Vec::new(), rows: None })
    }

    /// Writes a column of one number per row.
    ///
    /// # Errors
    /// [`FormatError::Usage`] when the name was used before, is longer than 65,535 bytes, or the column has
    /// another number of rows than the ones before; [`FormatError::Io`].
    pub fn fixed<T: FixedValue>(&mut self, name: &str, values: &[T]) -> Result<(), FormatError> {
        self.begin(name, T::TYPE)?;
        self.inner.append(values)?;
        self.end(values.len() as u64)
    }

    /// Writes a column of one number per row from an iterator.
    ///
    /// # Errors
    /// As [`Self::fixed`].
    pub fn fixed_from<T: FixedValue>(
        &mut self,
        name: &str,
        values: impl IntoIterator<Item = T>,
    ) -> Result<(), FormatError> {
        self.begin(name, T::TYPE)?;
        values.into_iter().try_for_each(|value| self.inner.append(&[value]))?;
        self.end(self.inner.open_rows())
    }

    /// Writes a column of any number of numbers per row.
    ///
    /// # Errors
    /// As [`Self::fixed`].
    pub fn lists<T: ListValue, L: AsRef<[T]>>(
        &mut self,
        name: &str,
        lists: impl IntoIterator<Item = L>,
    ) -> Result<(), FormatError> {
        self.begin(name, T::LIST_TYPE)?;
        self.variable(lists)
    }

    /// Writes a column of any number of bytes per row.
    ///
    /// # Errors
    /// As [`Self::fixed`].
    pub fn payload<B: AsRef<[u8]>>(
        &mut self,
        name: &str,
        payloads: impl IntoIterator<Item = B>,
    ) -> Result<(), FormatError> {
        self.begin(name, ColumnType::Payload)?;
        self.variable(payloads)
    }

    /// Publishes the file.
    ///
    /// # Errors
    /// As [`SegmentFileWriter::finish`].
    pub fn finish(mut self) -> Result<FileEntry, FormatError> {
        let mut meta = Encoder::new();
        meta.u64(self.rows.unwrap_or(0)).u32(self.columns.len() as u32);
        for (name, kind) in &self.columns {
            meta.u8(kind.raw());
            meta.text(name).map_err(|_| self.inner.usage("column name is too long"))?;
        }
        self.inner.put_slice(META, &meta.finish())?;
        self.inner.finish()
    }

    fn begin(&mut self, name: &str, kind: ColumnType) -> Result<(), FormatError> {
        if self.columns.iter().any(|(other, _)| other == name) {
            return Err(self.inner.usage("two columns have the same name"));
        }
        if self.columns.len() >= COLUMNS_MAX {
            return Err(self.inner.usage("more than 1024 columns"));
        }
        let tag = values_tag(self.columns.len());
        self.columns.push((name.to_owned(), kind));
        self.inner.begin_block(&tag, kind.width(), kind.width())
    }

    fn variable<T: NoUninit, L: AsRef<[T]>>(
        &mut self,
        rows: impl IntoIterator<Item = L>,
    ) -> Result<(), FormatError> {
        let mut offsets = vec![0];
        for row in rows {
            self.inner.append(row.as_ref())?;
            offsets.push(self.inner.open_rows());
        }
        self.inner.put_slice(&offsets_tag(self.columns.len() - 1), &offsets)?;
        self.end(offsets.len() as u64 - 1)
    }

    fn end(&mut self, rows: u64) -> Result<(), FormatError> {
        if *self.rows.get_or_insert(rows) != rows {
            return Err(self.inner.usage("columns differ in their number of rows"));
        }
        Ok(())
    }
}
