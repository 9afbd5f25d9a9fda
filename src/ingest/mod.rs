//! Bulk files: catalogue, listeners, plays and vectors in Parquet (schemas: `docs/DATA.md`), read with every
//! column and cell checked, written whole or not at all.
//!
//! Invariants: a file whose columns are missing or of the wrong type is refused when it is opened, by
//! column name; a wrong cell makes one bad row, with its number, column, value and reason, and never stops
//! or panics the reader; rows keep the numbers they have in the file, so a load can resume at any row.
//!
//! Absent on purpose: the database. Readers and writers know files and the shared nouns only.

mod cell;
mod columns;
mod file;
mod list;
pub mod npy;
mod play;
mod rows;
mod scan;
mod track;
mod user;
mod vector;
mod write;

mod pairs;

pub use cell::RowError;
pub(crate) use columns::{Column, ColumnSpec, Kind, column_names};
pub use file::content_id;
pub(crate) use file::{BATCH_ROWS, open_parquet};
pub use list::{ListRow, ListTable};
pub use pairs::read_pairs;
pub use play::{PlayRows, PlayTable, PlayWriter};
pub use rows::{RowOutcome, Rows, Table};
pub(crate) use scan::scan;
pub use track::{MARKETS_MIN, TrackRows, TrackTable, TrackWriter};
pub use user::{UserRows, UserTable, UserWriter};
pub use vector::{VectorRows, VectorTable, VectorWriter, write_vectors};
pub use write::{Encode, TableWriter, remove_half_written, write_atomically};

#[cfg(test)]
mod tests;
