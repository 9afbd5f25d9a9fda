//! Opening files, and their identity.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::error::{Error, Result};

/// Rows decoded at once.
pub(crate) const BATCH_ROWS: usize = 8_192;

/// Opens a Parquet file for reading.
///
/// # Errors
/// [`Error::Io`] when it cannot be opened, [`Error::InvalidField`] (`file`) when it is not Parquet.
pub(crate) fn open_parquet(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let file = File::open(path).map_err(|source| Error::Io {
        action: "opening the file".into(),
        path: path.to_owned(),
        source,
    })?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| read_failed(path, error))
}

/// The error of a file that is not (or no longer) readable Parquet.
pub(crate) fn read_failed(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::invalid(
        "file",
        format!("not a readable Parquet file ({error}); write it anew. path=`{}`", path.display()),
    )
}

/// The identity of a file's bytes: BLAKE3 as 64 hexadecimal digits. Reads the whole file once, 1 MiB at a time.
///
/// # Errors
/// [`Error::Io`] when it cannot be read.
pub fn content_id(path: &Path) -> Result<String> {
    let failed = |source| Error::Io {
        action: "reading the file for its identity".into(),
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            return Ok(hasher.finalize().to_hex().to_string());
        }
        hasher.update(&buffer[..read]);
    }
}
