//! What a file is for.

use std::fmt;

/// The kind of a file, stored in its header as a number that is never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum FileKind {
    /// Full-precision vectors: [`crate::vectors`].
    Vectors = 1,
    /// Quantized codes of an index: [`crate::blocks`].
    Codes = 2,
    /// Links of an index: [`crate::blocks`].
    Graph = 3,
    /// Named columns: [`crate::columns`].
    Columns = 4,
    /// Value to rows: [`crate::postings`].
    Postings = 5,
    /// Row to external id and back: [`crate::ids`].
    Ids = 6,
    /// Deleted rows: [`crate::tombstones`].
    Tombstones = 7,
    /// Opaque bytes of an upper layer: [`crate::blob`].
    Blob = 8,
    /// What a shard consists of: [`crate::manifest`].
    Manifest = 9,
}

impl FileKind {
    /// Every kind, in order of its number.
    pub const ALL: [Self; 9] = [
        Self::Vectors,
        Self::Codes,
        Self::Graph,
        Self::Columns,
        Self::Postings,
        Self::Ids,
        Self::Tombstones,
        Self::Blob,
        Self::Manifest,
    ];

    /// The number in the header.
    pub const fn raw(self) -> u16 {
        self as u16
    }

    /// Finds the kind of a number; `None` for a number this program does not know.
    pub fn from_raw(raw: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.raw() == raw)
    }

    /// Newest layout version of this kind that this program reads, and the one it writes.
    pub const fn version(self) -> u16 {
        match self {
            Self::Vectors
            | Self::Codes
            | Self::Graph
            | Self::Columns
            | Self::Postings
            | Self::Ids
            | Self::Tombstones
            | Self::Blob
            | Self::Manifest => 1,
        }
    }

    /// The lowercase name, as in file listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vectors => "vectors",
            Self::Codes => "codes",
            Self::Graph => "graph",
            Self::Columns => "columns",
            Self::Postings => "postings",
            Self::Ids => "ids",
            Self::Tombstones => "tombstones",
            Self::Blob => "blob",
            Self::Manifest => "manifest",
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
