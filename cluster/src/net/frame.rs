//! Between the crate's own types and those that go over the wire.

use bytes::Bytes;
use raft::eraftpb::Message;

use super::proto as pb;
use crate::edge::{self, Address, Refused};
use crate::ids::{ClusterId, GroupId, PeerId, StoreId};
use crate::snapshot::packet::{CHUNK_BYTES, Chunk, Fetch, Outgoing, Packet};

/// The protocol both ends must speak. A node refuses any other.
pub(crate) const VERSION: u32 = 1;
/// Bytes of messages after which a frame is full; one message more may be in it.
pub(super) const FRAME_BYTES: usize = 4 << 20;
/// Largest message of any call or stream: a full frame and the largest Raft message.
pub(super) const WIRE_BYTES_MAX: usize = FRAME_BYTES + edge::MESSAGE_BYTES_MAX + (1 << 20);

/// Who this node is to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Local {
    pub cluster: ClusterId,
    pub store: StoreId,
}

impl Local {
    pub(super) fn header(self, to: StoreId) -> pb::Header {
        pb::Header {
            version: VERSION,
            cluster: Bytes::copy_from_slice(&self.cluster.0.to_be_bytes()),
            from_store: self.store.0,
            to_store: to.0,
        }
    }

    /// Checks that a frame is of this cluster, this protocol and for this store; returns whom it is from.
    ///
    /// # Errors
    /// What does not fit.
    pub(super) fn check(self, header: Option<&pb::Header>) -> Result<StoreId, Refused> {
        let header = header.ok_or(Refused::Malformed("it has no header"))?;
        if header.version != VERSION {
            return Err(Refused::Malformed("it is of another version of the protocol"));
        }
        let cluster = <[u8; 16]>::try_from(&header.cluster[..]);
        let cluster = cluster.map_err(|_| Refused::Malformed("a cluster id"))?;
        let address = Address {
            cluster: ClusterId(u128::from_be_bytes(cluster)),
            from: StoreId(header.from_store),
            to: StoreId(header.to_store),
        };
        address.check(self.cluster, self.store)?;
        if address.from == self.store {
            return Err(Refused::Malformed("it says it is from this very store"));
        }
        Ok(address.from)
    }
}

/// Reads the messages of a frame, each checked.
///
/// # Errors
/// The first that is refused.
pub(super) fn read_raft(messages: &[pb::RaftMessage]) -> Result<Vec<(GroupId, Message)>, Refused> {
    messages.iter().map(|one| Ok((GroupId(one.group), edge::read_message(&one.message)?))).collect()
}

/// Writes a packet of the files' stream.
pub(super) fn write_packet(local: Local, what: &Outgoing) -> Option<pb::FilesFrame> {
    use pb::files_frame::Packet as Wire;
    let fetch =
        |fetch: &Fetch| pb::Fetch { snapshot: fetch.snapshot, file: fetch.file, offset: fetch.offset };
    let packet = match &what.packet {
        Packet::Raft(_) => return None,
        Packet::Fetch(wanted) => Wire::Fetch(fetch(wanted)),
        Packet::Chunk(chunk) => Wire::Chunk(pb::Chunk {
            fetch: Some(fetch(&chunk.fetch)),
            has_content: chunk.content.is_some(),
            content: chunk.content.clone().unwrap_or_default(),
            crc: chunk.crc,
        }),
        Packet::Fetched { snapshot, ok } => Wire::Fetched(pb::Fetched { snapshot: *snapshot, ok: *ok }),
    };
    Some(pb::FilesFrame {
        header: Some(local.header(what.to_store)),
        group: what.group.0,
        from_peer: what.from.0,
        to_peer: what.to.0,
        packet: Some(packet),
    })
}

/// Reads a packet of the files' stream; it is for `to_store`.
///
/// # Errors
/// What is missing or too large.
pub(super) fn read_packet(frame: pb::FilesFrame, to_store: StoreId) -> Result<Outgoing, Refused> {
    use pb::files_frame::Packet as Wire;
    let fetch =
        |wanted: pb::Fetch| Fetch { snapshot: wanted.snapshot, file: wanted.file, offset: wanted.offset };
    let packet = match frame.packet.ok_or(Refused::Malformed("a frame without a packet"))? {
        Wire::Fetch(wanted) => Packet::Fetch(fetch(wanted)),
        Wire::Chunk(chunk) => {
            if chunk.content.len() as u64 > CHUNK_BYTES {
                return Err(Refused::Malformed("a piece of a file that is too large"));
            }
            Packet::Chunk(Chunk {
                fetch: fetch(chunk.fetch.ok_or(Refused::Malformed("a piece of no file"))?),
                content: chunk.has_content.then_some(chunk.content),
                crc: chunk.crc,
            })
        }
        Wire::Fetched(done) => Packet::Fetched { snapshot: done.snapshot, ok: done.ok },
    };
    let (from, to) = (PeerId(frame.from_peer), PeerId(frame.to_peer));
    Ok(Outgoing { group: GroupId(frame.group), from, to, to_store, packet })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const HERE: Local = Local { cluster: ClusterId(7), store: StoreId(2) };

    #[test]
    fn only_what_is_meant_for_this_store_of_this_cluster_in_this_version_passes() {
        let there = Local { store: StoreId(1), ..HERE };
        let good = there.header(StoreId(2));
        assert_eq!(HERE.check(Some(&good)), Ok(StoreId(1)));
        assert!(HERE.check(None).is_err());
        assert!(HERE.check(Some(&pb::Header { version: 2, ..good.clone() })).is_err());
        assert!(
            HERE.check(Some(&pb::Header { cluster: Bytes::from_static(b"short"), ..good.clone() })).is_err()
        );
        let other = Local { cluster: ClusterId(8), ..there };
        assert_eq!(HERE.check(Some(&other.header(StoreId(2)))), Err(Refused::OtherCluster(ClusterId(8))));
        assert_eq!(HERE.check(Some(&there.header(StoreId(3)))), Err(Refused::OtherStore(StoreId(3))));
        assert!(HERE.check(Some(&HERE.header(StoreId(2)))).is_err());
    }

    #[test]
    fn packets_are_read_back_as_they_were_written_and_large_pieces_are_refused() {
        let fetch = Fetch { snapshot: 9, file: 1, offset: 77 };
        let content = Some(Bytes::from_static(b"abc"));
        let packets = [
            Packet::Fetch(fetch.clone()),
            Packet::Chunk(Chunk { fetch: fetch.clone(), content, crc: 5 }),
            Packet::Chunk(Chunk { fetch: fetch.clone(), content: None, crc: 0 }),
            Packet::Fetched { snapshot: 9, ok: true },
        ];
        for packet in packets {
            let (from, to) = (PeerId(1), PeerId(2));
            let what = Outgoing { group: GroupId(3), from, to, to_store: StoreId(2), packet };
            let read = read_packet(write_packet(HERE, &what).unwrap(), StoreId(2)).unwrap();
            assert_eq!(format!("{read:?}"), format!("{what:?}"));
        }
        let content = Some(Bytes::from(vec![0; CHUNK_BYTES as usize + 1]));
        let packet = Packet::Chunk(Chunk { fetch, content, crc: 0 });
        let (from, to) = (PeerId(1), PeerId(2));
        let what = Outgoing { group: GroupId(3), from, to, to_store: StoreId(2), packet };
        assert!(read_packet(write_packet(HERE, &what).unwrap(), StoreId(2)).is_err());
    }
}
