//! Opens a file of columns and gives views of them.

use std::{path::Path, sync::Arc};

use bytemuck::AnyBitPattern;

use crate::{
    columns::{
        ColumnType, FixedValue, ListValue,
        writer::{COLUMNS_MAX, META, offsets_tag, values_tag},
    },
    container::{Block, FileKind, Health, SegmentFile, Verify},
    error::FormatError,
    ids::check_offsets,
};

/// One column of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ColumnInfo {
    /// Name, unique in the file.
    pub name: String,
    /// Type.
    pub kind: ColumnType,
    values: Block,
    /// Present unless the width is fixed.
    offsets: Option<Block>,
}

/// A mapped file of columns.
#[derive(Debug, Clone)]
pub struct ColumnFile {
    file: SegmentFile,
    columns: Vec<ColumnInfo>,
    rows: u64,
}

impl ColumnFile {
    /// Opens and checks a file of columns. Reads every offset array once.
    ///
    /// # Errors
    /// As [`SegmentFile::open`].
    pub fn open(path: &Path, verify: Verify) -> Result<Self, FormatError> {
        Self::from_file(SegmentFile::open(path, FileKind::Columns, verify)?)
    }

    /// As [`Self::open`], for a file that is checked as it is used: a column when it is asked for, a row by
    /// [`Self::payload_row`].
    ///
    /// # Errors
    /// As [`SegmentFile::open_on_use`].
    pub fn open_on_use(path: &Path, health: &Arc<Health>) -> Result<Self, FormatError> {
        Self::from_file(SegmentFile::open_on_use(path, FileKind::Columns, health)?)
    }

    /// Checks what is particular to columns.
    ///
    /// # Errors
    /// Errors about bytes.
    pub fn from_file(file: SegmentFile) -> Result<Self, FormatError> {
        file.require(FileKind::Columns)?;
        let (rows, named) = file.decode(META, |input| {
            let (rows, count) = (input.u64()?, input.u32()? as usize);
            if count > COLUMNS_MAX {
                return Err(input.bad_value("too many columns"));
            }
            let mut named: Vec<(String, ColumnType)> = Vec::new();
            for _ in 0..count {
                let kind = ColumnType::from_raw(input.u8()?)
                    .ok_or_else(|| input.bad_value("unknown column type"))?;
                let name = input.text()?;
                if named.iter().any(|(other, _)| other == name) {
                    return Err(input.bad_value("two columns have the same name"));
                }
                named.push((name.to_owned(), kind));
            }
            Ok((rows, named))
        })?;
        let columns = named.into_iter().enumerate();
        let columns = columns.map(|(index, (name, kind))| open_column(&file, rows, index, name, kind));
        Ok(Self { columns: columns.collect::<Result<_, _>>()?, rows, file })
    }

    /// Number of rows, the same in every column.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Every column, in the order they were written.
    pub fn columns(&self) -> &[ColumnInfo] {
        &self.columns
    }

    /// True when there is a column of this name.
    pub fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.name == name)
    }

    /// Returns a column of one number per row, as a slice of them. Costs a search among the names: call it once
    /// per request, not per row.
    ///
    /// # Errors
    /// [`FormatError::Missing`] or [`FormatError::WrongType`].
    pub fn fixed<T: FixedValue>(&self, name: &str) -> Result<&[T], FormatError> {
        let values = &self.column(name, T::TYPE)?.values;
        self.file.ensure_block(values)?;
        self.file.block_slice(values)
    }

    /// Returns a column of lists of numbers.
    ///
    /// # Errors
    /// [`FormatError::Missing`] or [`FormatError::WrongType`].
    pub fn lists<T: ListValue>(&self, name: &str) -> Result<Lists<'_, T>, FormatError> {
        let (offsets, values) = self.variable(name, T::LIST_TYPE)?;
        Ok(Lists { offsets, values })
    }

    /// Returns a column of bytes.
    ///
    /// # Errors
    /// [`FormatError::Missing`] or [`FormatError::WrongType`].
    pub fn payload(&self, name: &str) -> Result<Payload<'_>, FormatError> {
        let (offsets, values) = self.variable(name, ColumnType::Payload)?;
        Ok(Lists { offsets, values })
    }

    /// Returns one row of a column of bytes, or `None` when there is no such row. Of a file that is checked as it is used,
    /// only what the row needs is.
    ///
    /// # Errors
    /// [`FormatError::Missing`], [`FormatError::WrongType`], and those of [`SegmentFile::ensure`].
    pub fn payload_row(&self, name: &str, row: usize) -> Result<Option<&[u8]>, FormatError> {
        let column = self.column(name, ColumnType::Payload)?;
        let offsets = column.offsets.as_ref().map_or(Ok(&[][..]), |block| self.file.block_slice(block))?;
        let rows = Lists { offsets, values: self.file.block_slice::<u8>(&column.values)? };
        if let [start, end] = *rows.bounds(row) {
            self.file.ensure(&column.values, start..end)?;
        }
        Ok(rows.get(row))
    }

    /// The file below, to advise, pin or check.
    pub fn file(&self) -> &SegmentFile {
        &self.file
    }

    fn column(&self, name: &str, kind: ColumnType) -> Result<&ColumnInfo, FormatError> {
        let path = || self.file.path().to_path_buf();
        let found = self.columns.iter().find(|column| column.name == name);
        let found = found.ok_or_else(|| FormatError::Missing { file: path(), name: name.to_owned() })?;
        if found.kind == kind {
            return Ok(found);
        }
        Err(FormatError::WrongType {
            file: path(),
            name: name.to_owned(),
            expected: kind.to_string(),
            found: found.kind.to_string(),
        })
    }

    fn variable<T: AnyBitPattern>(
        &self,
        name: &str,
        kind: ColumnType,
    ) -> Result<(&[u64], &[T]), FormatError> {
        let column = self.column(name, kind)?;
        let offsets = column.offsets.as_ref().map_or(Ok(&[][..]), |block| self.file.block_slice(block))?;
        self.file.ensure_block(&column.values)?;
        Ok((offsets, self.file.block_slice(&column.values)?))
    }
}

fn open_column(
    file: &SegmentFile,
    rows: u64,
    index: usize,
    name: String,
    kind: ColumnType,
) -> Result<ColumnInfo, FormatError> {
    let values = file.required(&values_tag(index))?;
    if values.width as usize != kind.width() || values.stride != u64::from(values.width) {
        return Err(file.malformed(&values, "column is not as wide as its type"));
    }
    if kind.is_fixed() {
        if values.rows != rows {
            return Err(file.malformed(&values, "column has a wrong number of rows"));
        }
        return Ok(ColumnInfo { name, kind, values, offsets: None });
    }
    let block = file.required(&offsets_tag(index))?;
    file.ensure_block(&block)?;
    let offsets = file.elements::<u64>(&block)?;
    if (offsets.len() as u64).checked_sub(1) != Some(rows) {
        return Err(file.malformed(&block, "column has a wrong number of rows"));
    }
    check_offsets(file, &block, offsets, values.rows)?;
    Ok(ColumnInfo { name, kind, values, offsets: Some(block) })
}

/// A column of lists: `rows + 1` offsets into the elements of all rows.
#[derive(Debug, Clone, Copy)]
pub struct Lists<'a, T> {
    offsets: &'a [u64],
    values: &'a [T],
}

/// A column of bytes.
pub type Payload<'a> = Lists<'a, u8>;

impl<'a, T> Lists<'a, T> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// True when there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the elements of a row, or `None` when there is no such row.
    pub fn get(&self, row: usize) -> Option<&'a [T]> {
        let (start, end) = (*self.offsets.get(row)?, *self.offsets.get(row.checked_add(1)?)?);
        self.values.get(start as usize..end as usize)
    }

    /// Where the bounds of a row lie, unread: what to ask memory for before [`Lists::get`].
    pub fn bounds(&self, row: usize) -> &'a [u64] {
        self.offsets.get(row..row.saturating_add(2)).unwrap_or_default()
    }

    /// The rows when all of them have `N` elements, read without their offsets; `None` when there are not `N` a row. Only
    /// for columns whose writer gives every row the same number.
    pub fn uniform<const N: usize>(&self) -> Option<&'a [[T; N]]> {
        let (rows, rest) = self.values.as_chunks::<N>();
        (rest.is_empty() && rows.len() == self.len()).then_some(rows)
    }

    /// Every row, in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [T]> + use<'a, T> {
        let values = self.values;
        self.offsets
            .windows(2)
            .map(move |row| values.get(row[0] as usize..row[1] as usize).unwrap_or_default())
    }
}
