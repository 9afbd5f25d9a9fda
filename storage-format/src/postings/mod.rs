//! From values to rows: the building blocks of filters.
//!
//! A *field* maps sorted `u64` keys to roaring bitmaps of rows. A *sorted* part holds `(value, row)` pairs in order
//! of value, for ranges. Rows are below `universe`, which the writer states; what they number (offsets of a
//! segment, ordinals of a shard) is the caller's business.
//!
//! Blocks: `meta` = universe u64, count u32, then per part its type u8 (1 field, 2 sorted f32, 3 sorted i32) and
//! its name. Field number `n` has `pNNNNkey` u64 ascending, `pNNNNcnt` u32 cardinalities minus one, `pNNNNoff` u64
//! byte offsets (one more than keys) into `pNNNNmap`, the bitmaps in portable serialisation, run-optimised. A
//! sorted part has `pNNNNval` f32 or i32 ascending and `pNNNNrow` u32, ascending among equal values. No NaN.

pub(crate) mod bitmap;
mod field;
mod reader;
mod sorted;
mod writer;

pub use field::Field;
pub use reader::{PartInfo, PartType, PostingsFile};
pub use sorted::{Sorted, SortedValue};
pub use writer::PostingsFileWriter;
