//! The one checked file every kind is built on.
//!
//! ```text
//! 0    header, 64 bytes: magic, container version, kind, kind version, checksum
//! 64   block, block, ...: each starts at a multiple of 64 and is padded to one with zeroes; no gaps
//! .    directory: 64 bytes per block, then one CRC-32C per 64 KiB chunk of each block
//! end  trailer, 64 bytes: file length, where the directory is, checksums
//! ```
//!
//! Invariants, checked at every open: the pieces above cover the file exactly once, in order, with nothing
//! between them; every length and offset is in range. `Verify::Full` also checks every chunk, so that any
//! changed byte of the file is an error; [`SegmentFile::open_on_use`] checks each chunk before it is first used. All numbers are little-endian. Where blocks lie is written last, in
//! the trailer, so a file is produced front to back in one pass and its content id is plain BLAKE3.
//!
//! Absent on purpose: compression, encryption, updates in place, and any opinion about what blocks mean.

mod file;
mod header;
mod image;
mod kind;
mod lazy;
mod scan;
mod table;
mod writer;

pub use file::{SegmentFile, Verify};
pub use image::Residence;
pub use kind::FileKind;
pub use lazy::Health;
pub use scan::{ChunkFault, DamagedChunk};
pub use table::{Block, Tag};
pub use writer::SegmentFileWriter;

pub(crate) use header::MAGIC;

/// Blocks, and rows that ask for it, start at a multiple of this many bytes: one cache line.
pub const ALIGNMENT_BYTES: usize = 64;

/// One checksum covers this many bytes of a block (the last chunk may be shorter).
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Newest version of the container itself that this program reads, and the one it writes.
pub const CONTAINER_VERSION: u16 = 1;

/// Rounds up to a multiple of [`ALIGNMENT_BYTES`]; `None` on overflow.
pub(crate) fn padded(length: u64) -> Option<u64> {
    length.checked_next_multiple_of(ALIGNMENT_BYTES as u64)
}
