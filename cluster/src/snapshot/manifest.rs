//! What a snapshot consists of, and how it is offered.

use bytes::Bytes;

use crate::codec::{Malformed, Reader, Writer};
use crate::members::Members;

/// Files one snapshot may have.
const FILES_MAX: usize = 65_536;
/// Bytes of a file's name.
const NAME_BYTES_MAX: usize = 255;
/// Version of the offer's encoding.
const OFFER_VERSION: u32 = 1;

/// One immutable file of a snapshot. Two files with the same hash are the same file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotFile {
    /// Its name: one component of a path, no separator; unique in the snapshot.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// blake3 of its content.
    pub hash: [u8; 32],
}

/// What a snapshot consists of: the state machine's own words, and files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotManifest {
    /// Index of the last entry in it; 0 when the machine is new.
    pub index: u64,
    /// Term of that entry; 0 when the machine is new.
    pub term: u64,
    /// Whatever the machine needs beside the files; at most a few hundred kilobytes.
    pub data: Bytes,
    /// Its files.
    pub files: Vec<SnapshotFile>,
}

/// A snapshot offered to a follower; the data of a `MsgSnapshot`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Offer {
    /// Names the pinned files at the sender.
    pub id: u64,
    /// The membership to go on with. May be newer than the snapshot, never older.
    pub members: Members,
    pub manifest: SnapshotManifest,
}

impl Offer {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u32(OFFER_VERSION);
        out.u64(self.id);
        self.members.encode(&mut out);
        self.manifest.encode(&mut out);
        out.0
    }

    /// Reads only which pinned files an encoded offer names.
    ///
    /// # Errors
    /// When the bytes are no offer.
    pub fn id_of(bytes: &[u8]) -> Result<u64, Malformed> {
        let mut reader = Reader(bytes);
        reader.u32()?;
        reader.u64()
    }

    /// Reads an offer of another node.
    ///
    /// # Errors
    /// When anything about it is not as [`Offer::encode`] writes it.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        if reader.u32()? != OFFER_VERSION {
            return Err(Malformed("a snapshot offer of another version"));
        }
        let id = reader.u64()?;
        let members = Members::decode(&mut reader)?;
        let manifest = SnapshotManifest::decode(&mut reader)?;
        reader.end()?;
        Ok(Self { id, members, manifest })
    }
}

impl SnapshotManifest {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.index);
        out.u64(self.term);
        out.bytes(&self.data);
        out.u32(self.files.len() as u32);
        for file in &self.files {
            out.bytes(file.name.as_bytes());
            out.u64(file.bytes);
            out.0.extend(file.hash);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (index, term) = (reader.u64()?, reader.u64()?);
        let data = Bytes::copy_from_slice(reader.bytes()?);
        let count = reader.count(FILES_MAX)?;
        let files: Vec<SnapshotFile> =
            (0..count).map(|_| SnapshotFile::decode(reader)).collect::<Result<_, _>>()?;
        let mut names: Vec<_> = files.iter().map(|file| &file.name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Malformed("a snapshot with two files of one name"));
        }
        Ok(Self { index, term, data, files })
    }
}

impl SnapshotFile {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let name = std::str::from_utf8(reader.bytes()?).map_err(|_| Malformed("a file name"))?;
        // A name becomes part of a path at the receiver: it must not lead anywhere else.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || name.len() > NAME_BYTES_MAX || !name.chars().all(plain)
        {
            return Err(Malformed("a file name"));
        }
        Ok(Self { name: name.to_owned(), bytes: reader.u64()?, hash: reader.array()? })
    }
}
