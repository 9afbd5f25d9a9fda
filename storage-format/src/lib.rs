//! The bytes of Segue: what every file of a shard looks like, and how it is written, opened and checked.
//!
//! One checked container ([`container`]) carries every kind of file. `FORMAT.md` beside this crate has the byte
//! diagrams. Reading order:
//!
//! | module | what |
//! |---|---|
//! | [`error`] | [`FormatError`]: every cause, with file and offset |
//! | [`container`] | [`SegmentFileWriter`], [`SegmentFile`]: header, aligned blocks, checksum per 64 KiB |
//! | [`vectors`] | `[rows, dim]` f32 |
//! | [`blocks`] | codes and graph of an index: its own meta and named blocks; link checks |
//! | [`columns`] | named columns: fixed width, lists, payload |
//! | [`postings`] | `u64` key to roaring bitmap; sorted values for ranges |
//! | [`ids`] | row to external id and back |
//! | [`tombstones`] | deleted rows, with the log index they are true for |
//! | [`blob`] | opaque bytes of an upper layer, with its schema version |
//! | [`manifest`] | what a shard consists of; published atomically, two kept; what nothing refers to |
//! | [`publish`], [`receive`] | making a file appear whole: a small one, one that comes from a peer |
//! | [`ResidentBytes`] | bytes of a file in memory of the process, on huge pages |
//! | [`inspect`] | readable dump of any file |
//! | [`verify`] | every checksum and every cross-reference of a shard |
//!
//! Invariants: a file appears whole under its name or not at all; a published file never changes; every changed
//! byte is found by [`Verify::Full`]; no bytes, however hostile, make a reader panic or give a wrong answer that
//! a check could have caught. Everything is little-endian with explicit widths.
//!
//! Absent on purpose: threads, policy (when to verify, pin, delete), network, logging, the wall clock.

#[cfg(not(all(target_endian = "little", target_pointer_width = "64")))]
compile_error!("segue maps little-endian files of any length: it needs a 64-bit little-endian processor");

pub mod blob;
pub mod blocks;
pub mod checksum;
pub mod codec;
pub mod columns;
pub mod container;
pub mod error;
pub mod ids;
pub mod inspect;
pub mod manifest;
mod mmap;
pub mod postings;
pub mod publish;
pub mod receive;
mod resident;
pub mod tombstones;
pub mod vectors;
pub mod verify;

pub use blob::{BlobFile, write_blob};
pub use blocks::{BlockFile, BlockFileWriter, IndexPart, LinkLayout};
pub use checksum::{Checksum, ContentHasher, ContentId};
pub use columns::{ColumnFile, ColumnFileWriter, ColumnType};
pub use container::{FileKind, Health, Residence, SegmentFile, SegmentFileWriter, Verify};
pub use error::{FormatError, FormatErrorKind};
pub use ids::{IdFile, IdFileWriter, id_hash};
pub use inspect::{Report, inspect_file};
pub use manifest::{FileEntry, LoadedManifest, Manifest, SegmentEntry, SegmentKind};
pub use mmap::Access;
pub use postings::{PostingsFile, PostingsFileWriter};
pub use receive::FileReceiver;
pub use resident::ResidentBytes;
pub use tombstones::{Tombstones, write_tombstones};
pub use vectors::{VectorFile, VectorFileWriter};
pub use verify::{Damage, VerifyReport, verify_shard};
