//! Snapshots, out of band: Raft carries a small offer, the files are pulled beside it.
//!
//! ```text
//! leader                                        follower
//! machine.snapshot(): pins files
//! MsgSnapshot {offer: id, members, manifest} -> not stepped yet: the offer goes to `transfer`
//!            <- Fetch {file, offset}            only files it lacks, from where it stopped before
//! Chunk {<= 1 MiB, crc32c}                   -> appended; a whole file is compared with its blake3
//!                                               all there: MsgSnapshot is stepped; the intent is logged, the
//!                                               machine installs, the log is reset; then Raft goes on
//!            <- Fetched {ok}                    always, also on failure; a silent follower's lease ends
//! ```
//!
//! * [`manifest`]: what a snapshot consists of, and the offer.
//! * [`files`]: the files on either side, as traits; a directory for incoming files.
//! * [`transfer`]: one node's transfers, both directions, without threads or a clock.
//! * [`packet`]: what goes between nodes.
//! * [`words`]: snapshots without files.
//!
//! Raft's storage never waits for a snapshot: it answers "temporarily unavailable" and the machine is asked.

pub(crate) mod files;
pub(crate) mod manifest;
pub(crate) mod packet;
pub(crate) mod transfer;
mod words;

pub use files::{DirStaging, SnapshotFiles, Staging};
pub use manifest::{SnapshotFile, SnapshotManifest};
pub use words::{NoFiles, Words};

#[cfg(test)]
mod tests;
