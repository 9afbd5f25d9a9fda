//! What a shard consists of: one small file, replaced atomically; the two newest are kept.
//!
//! A folder of a shard:
//!
//! ```text
//! MANIFEST-<sequence, 16 hex digits>      the two newest; the newest readable one is the truth
//! segment-<id, 16 hex digits>/<file>      files of a segment, its tombstones among them
//! <file>                                  files of the shard itself
//! *.tmp                                   left behind by a crash; never read
//! ```
//!
//! A manifest is a checked file ([`crate::container`]) with the blocks `meta` = sequence u64 and `manifest` = rkyv of
//! [`Manifest`], read with checked access only. The sequence grows by one with each publication; it, not the
//! applied index, decides which is newest, so a restored shard can go back in its log. There is no `CURRENT`
//! file: a second file to keep in step would be a second thing to go wrong.
//!
//! Crash safety: the files a manifest names are durable before it is published; a crash before its rename leaves
//! the old manifest, after it the new one. Old files are removed only when no kept manifest names them.

mod garbage;
mod store;
mod types;

pub(crate) use store::{Found, list};

pub use garbage::{Unreferenced, unreferenced};
pub use store::{LoadedManifest, decode, load, publish};
pub use types::{FileEntry, Manifest, SHARD_FORMAT, SegmentEntry, SegmentKind, segment_folder};
