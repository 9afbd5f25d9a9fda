//! Writing Parquet files whole or not at all: rows go to a temporary file beside the target, which is synced and renamed
//! into place by [`TableWriter::finish`]; a writer dropped before that leaves nothing behind.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// Rows of a row group, which is held in memory until it is full.
const ROW_GROUP_ROWS: usize = 1 << 17;

/// A kind of file that can be written: its columns and how rows become them.
pub trait Encode {
    /// What a row is.
    type Row;

    /// The columns.
    fn schema(&self) -> SchemaRef;

    /// Some rows as columns.
    ///
    /// # Errors
    /// [`Error::InvalidField`] when rows do not fit the schema (vectors of different lengths).
    fn encode(&self, rows: &[Self::Row]) -> Result<RecordBatch>;

    /// Rows that are held in memory and written together.
    fn row_group_rows(&self) -> usize {
        ROW_GROUP_ROWS
    }

    /// Whether the columns hold numbers that do not compress.
    fn incompressible(&self) -> bool {
        false
    }
}

/// Writes one table to one file.
pub struct TableWriter<T: Encode> {
    path: PathBuf,
    table: T,
    writer: ArrowWriter<NamedTempFile>,
    rows: u64,
}

impl<T: Encode> TableWriter<T> {
    /// Starts a file that will stand at `path` once [`TableWriter::finish`] returns, replacing what is there.
    ///
    /// # Errors
    /// [`Error::Io`] when its folder cannot be written.
    pub fn create(path: &Path, table: T) -> Result<Self> {
        let file = temporary(path)?;
        let properties =
            WriterProperties::builder().set_max_row_group_row_count(Some(table.row_group_rows()));
        let properties = if table.incompressible() {
            properties.set_dictionary_enabled(false).set_compression(Compression::UNCOMPRESSED)
        } else {
            properties.set_compression(Compression::ZSTD(ZstdLevel::default()))
        };
        let writer = ArrowWriter::try_new(file, table.schema(), Some(properties.build()))
            .map_err(|error| write_failed(path, error))?;
        Ok(Self { path: path.to_owned(), table, writer, rows: 0 })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses, [`Error::InvalidField`] when rows do not fit the schema.
    pub fn write(&mut self, rows: &[T::Row]) -> Result<()> {
        let batch = self.table.encode(rows)?;
        self.writer.write(&batch).map_err(|error| write_failed(&self.path, error))?;
        self.rows += rows.len() as u64;
        Ok(())
    }

    /// Makes the file whole and durable; the number of rows in it.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses; then the target is as it was.
    pub fn finish(self) -> Result<u64> {
        let file = self.writer.into_inner().map_err(|error| write_failed(&self.path, error))?;
        publish(file, &self.path)?;
        Ok(self.rows)
    }
}

/// Writes a small file whole or not at all, durably.
///
/// # Errors
/// [`Error::Io`] when the disk refuses; then the target is as it was.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = temporary(path)?;
    file.write_all(bytes).map_err(|source| failed(path, source))?;
    publish(file, path)
}

/// What the names of files that are being written start with.
const TEMPORARY: &str = ".segue-writing-";

fn temporary(path: &Path) -> Result<NamedTempFile> {
    let file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder_of(path));
    file.map_err(|source| failed(path, source))
}

/// Removes from a folder the files that writers which were killed have begun; nobody may be writing there.
///
/// # Errors
/// [`Error::Io`].
pub fn remove_half_written(folder: &Path) -> Result<()> {
    let failed = |error| Error::io("tidy up the folder", folder, error);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            std::fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}

fn publish(file: NamedTempFile, path: &Path) -> Result<()> {
    file.as_file().sync_all().map_err(|source| failed(path, source))?;
    let file = file.persist(path).map_err(|error| failed(path, error.error))?;
    set_readable(&file).map_err(|source| failed(path, source))?;
    File::open(folder_of(path)).and_then(|folder| folder.sync_all()).map_err(|source| failed(path, source))
}

/// Temporary files are private to their owner; a published file is as readable as any other.
#[cfg(unix)]
fn set_readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn set_readable(_file: &File) -> std::io::Result<()> {
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::Io { action: "writing the file".into(), path: path.to_owned(), source }
}

fn write_failed(path: &Path, error: ParquetError) -> Error {
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(source) => failed(path, *source),
            Err(other) => failed(path, std::io::Error::other(other)),
        },
        other => failed(path, std::io::Error::other(other)),
    }
}

/// A column of lists of text.
pub(super) fn text_list(name: &str) -> Field {
    Field::new(name, DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))), true)
}

/// Lists of texts, one a row; `None` is null.
pub(super) fn text_lists<'a, S: AsRef<str> + 'a>(rows: impl Iterator<Item = Option<&'a [S]>>) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in rows {
        for text in row.unwrap_or_default() {
            lists.values().append_value(text);
        }
        lists.append(row.is_some());
    }
    Arc::new(lists.finish())
}
