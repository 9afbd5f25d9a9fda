//! Named columns of a segment, one value per row: fixed width, lists of numbers, or bytes.
//!
//! Blocks: `meta` = rows u64, count u32, then per column its type u8 and its name; column number `n` (four
//! hexadecimal digits) has `cNNNNval` = its values and, unless of fixed width, `cNNNNoff` = u64 offsets of rows in
//! the values, one more than there are rows. A list column's offsets count elements, a payload column's bytes.
//!
//! Absent on purpose: absent values (a column of flags or a reserved value says so), and any meaning of a name.

mod reader;
mod types;
mod writer;

pub use reader::{ColumnFile, ColumnInfo, Lists, Payload};
pub use types::{ColumnType, FixedValue, ListValue};
pub use writer::ColumnFileWriter;
