//! Vectors of an `.npy` file with the ids of its rows in a text file, one a line.

use std::path::Path;

use super::args::read_text;
use crate::error::{Error, Result};
use crate::ingest::npy::{NpyArray, read_floats};
use crate::ingest::{RowError, RowOutcome};
use crate::node::VectorRow;
use crate::types::TrackId;

/// The rows of both files together; held in memory.
pub struct NpyRows {
    ids: Vec<String>,
    vectors: NpyArray<f32>,
    next: usize,
}

impl NpyRows {
    /// Reads both files.
    ///
    /// # Errors
    /// `Io` when one cannot be read; `InvalidField` when the vectors are none, or the numbers of rows differ.
    pub fn open(vectors: &Path, ids: &Path) -> Result<Self> {
        let array = read_floats(vectors)?;
        let ids: Vec<String> = read_text(ids)?.lines().map(str::to_owned).collect();
        if ids.len() != array.rows {
            let reason = format!("must have one line a row. lines=`{}`, rows=`{}`", ids.len(), array.rows);
            return Err(Error::invalid("ids", reason));
        }
        Ok(Self { ids, vectors: array, next: 0 })
    }

    /// Rows in the file.
    pub fn total_rows(&self) -> u64 {
        self.ids.len() as u64
    }

    /// Components of a vector.
    pub fn dim(&self) -> usize {
        self.vectors.columns
    }

    /// The next rows in order; none at the end.
    pub fn next_batch(&mut self, rows_max: usize) -> Vec<RowOutcome<VectorRow>> {
        let end = self.ids.len().min(self.next + rows_max);
        let rows = (self.next..end).map(|row| (row as u64, self.row(row))).collect();
        self.next = end;
        rows
    }

    fn row(&self, row: usize) -> std::result::Result<VectorRow, RowError> {
        let id = &self.ids[row];
        let bad = |field, value: String, reason: String| RowError { row: row as u64, field, value, reason };
        // Track ids and user ids follow the same rules.
        TrackId::new(id.clone()).map_err(|why| bad("id", id.chars().take(80).collect(), why.to_string()))?;
        let dim = self.vectors.columns;
        let vector = self.vectors.data[row * dim..(row + 1) * dim].to_vec();
        match vector.iter().position(|x| !x.is_finite()) {
            None => Ok(VectorRow { id: id.clone(), vector }),
            Some(at) => {
                let reason = format!("must be finite numbers; component {at} is not");
                Err(bad("vector", vector[at].to_string(), reason))
            }
        }
    }
}
