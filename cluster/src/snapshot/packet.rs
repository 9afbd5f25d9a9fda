//! What goes between two nodes, beside and including Raft's own messages.

use bytes::Bytes;
use raft::eraftpb::Message;

use crate::ids::{GroupId, PeerId, StoreId};

/// Bytes of a file in one chunk.
pub(crate) const CHUNK_BYTES: u64 = 1 << 20;

/// One thing for a replica on another node.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub group: GroupId,
    pub from: PeerId,
    pub to: PeerId,
    pub to_store: StoreId,
    pub packet: Packet,
}

/// What is in it.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    /// Goes on the ordered stream of the two nodes.
    Raft(Box<Message>),
    /// Asks for a piece of a file.
    Fetch(Fetch),
    /// The piece.
    Chunk(Chunk),
    /// The follower has installed the snapshot, or never will.
    Fetched { snapshot: u64, ok: bool },
}

/// Which piece is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fetch {
    pub snapshot: u64,
    /// Place of the file in the manifest.
    pub file: u32,
    pub offset: u64,
}

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub fetch: Fetch,
    /// `None` when the snapshot is not there any more.
    pub content: Option<Bytes>,
    /// crc32c of the content.
    pub crc: u32,
}

impl Chunk {
    /// Bytes of its content.
    pub fn bytes(&self) -> usize {
        self.content.as_ref().map_or(0, Bytes::len)
    }
}
