//! Reading any table row by row, with row numbers.

use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::cell::{CellResult, RowError};
use super::columns::{Batch, ColumnSpec, check_columns};
use super::file::{BATCH_ROWS, open_parquet, read_failed};
use crate::error::Result;

/// A kind of file: its columns and how a row is made of them. Implemented by the tables of this module only
/// (the types of its methods cannot be named outside).
pub trait Table: Sized {
    /// What a row is.
    type Row;

    /// Looks at the file as a whole before its rows are read: which columns it has, what they have in common.
    ///
    /// # Errors
    /// [`crate::Error::InvalidField`] named after a missing or wrong column.
    #[doc(hidden)]
    fn open(path: &Path, schema: &arrow_schema::Schema) -> Result<(Self, Vec<ColumnSpec>)>;

    /// Makes the rows of one batch.
    #[doc(hidden)]
    fn decode(&mut self, batch: &Batch<'_>) -> Result<Vec<CellResult<Self::Row>>>;
}

/// A row's number in the file and the row, or what is wrong with it.
pub type RowOutcome<R> = (u64, std::result::Result<R, RowError>);

/// The rows of one file, read in order and in bounded memory.
pub struct Rows<T: Table> {
    path: PathBuf,
    table: T,
    reader: ParquetRecordBatchReader,
    batch: RecordBatch,
    next_row: u64,
    total_rows: u64,
    unread_columns: Vec<String>,
}

impl<T: Table> Rows<T> {
    /// Opens a file at its first row.
    ///
    /// # Errors
    /// [`crate::Error::Io`] when it cannot be opened, [`crate::Error::InvalidField`] when it is not Parquet (`file`) or a
    /// column is missing or of the wrong type (named after the column).
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_at(path, 0)
    }

    /// Opens a file at row `first_row`, as a resumed load does. Earlier rows are skipped, not checked.
    ///
    /// # Errors
    /// As [`Rows::open`].
    pub fn open_at(path: &Path, first_row: u64) -> Result<Self> {
        let builder = open_parquet(path)?;
        let total_rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let (table, specs) = T::open(path, builder.schema())?;
        let columns = check_columns(builder.schema(), &specs)?;
        let fields = builder.schema().fields().iter().enumerate();
        let unread = fields.filter(|(at, _)| !columns.contains(at));
        let unread_columns = unread.map(|(_, field)| field.name().clone()).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
        let next_row = first_row.min(total_rows);
        let reader = builder
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .with_offset(usize::try_from(next_row).unwrap_or(usize::MAX))
            .build()
            .map_err(|error| read_failed(path, error))?;
        let batch = RecordBatch::new_empty(std::sync::Arc::new(arrow_schema::Schema::empty()));
        Ok(Self { path: path.to_owned(), table, reader, batch, next_row, total_rows, unread_columns })
    }

    /// Rows in the file.
    #[must_use]
    pub fn total_rows(&self) -> u64 {
        self.total_rows
    }

    /// Columns of the file that are not read, because no such file has a column of that name.
    #[must_use]
    pub fn unread_columns(&self) -> &[String] {
        &self.unread_columns
    }

    /// The number of the row that [`Rows::next_batch`] starts with.
    #[must_use]
    pub fn next_row(&self) -> u64 {
        self.next_row
    }

    /// What was found out about the file as a whole.
    #[must_use]
    pub fn table(&self) -> &T {
        &self.table
    }

    /// At least one and at most `max_rows` (and 8,192) rows in file order; none at the end of the file.
    ///
    /// # Errors
    /// [`crate::Error::InvalidField`] (`file`) when the file is damaged from here on.
    pub fn next_batch(&mut self, max_rows: usize) -> Result<Vec<RowOutcome<T::Row>>> {
        if self.batch.num_rows() == 0 {
            match self.reader.next() {
                None => return Ok(Vec::new()),
                Some(batch) => self.batch = batch.map_err(|error| read_failed(&self.path, error))?,
            }
        }
        let rows = self.batch.num_rows().min(max_rows.max(1));
        let part = self.batch.slice(0, rows);
        self.batch = self.batch.slice(rows, self.batch.num_rows() - rows);
        let decoded = self.table.decode(&Batch(&part))?;
        let first = self.next_row;
        self.next_row += rows as u64;
        Ok((first..).zip(decoded).map(|(row, outcome)| (row, outcome.map_err(|cell| cell.at(row)))).collect())
    }
}
