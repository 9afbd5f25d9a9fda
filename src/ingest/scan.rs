//! Reading a few columns of a whole file.

use std::path::Path;

use parquet::arrow::ProjectionMask;

use super::columns::{Batch, ColumnSpec, check_columns};
use super::file::{BATCH_ROWS, open_parquet, read_failed};
use crate::error::Result;

/// Calls `take` with each batch of the columns `specs`, and the number of its first row.
///
/// # Errors
/// As [`super::Rows::open`], and what `take` returns.
pub(crate) fn scan(
    path: &Path,
    specs: &[ColumnSpec],
    mut take: impl FnMut(&Batch<'_>, u64) -> Result<()>,
) -> Result<()> {
    let builder = open_parquet(path)?;
    let columns = check_columns(builder.schema(), specs)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
    let reader = builder
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(|error| read_failed(path, error))?;
    let mut first_row = 0;
    for batch in reader {
        let batch = batch.map_err(|error| read_failed(path, error))?;
        take(&Batch(&batch), first_row)?;
        first_row += batch.num_rows() as u64;
    }
    Ok(())
}
