//! The first and the last 64 bytes of a file.
//!
//! ```text
//! header    0 magic "SEGUEFMT"   8 container version u16   10 kind u16   12 kind version u16   14 zero u16
//!          16 chunk bytes u32   20 zero [40]   60 crc of bytes 0..60 u32
//! trailer   0 magic "SEGUEEND"   8 block count u32   12 zero u32   16 file length u64
//!          24 directory offset u64   32 directory length u64   40 zero [16]
//!          56 crc of header and directory u32   60 crc of bytes 0..60 u32
//! ```

use std::path::Path;

use crate::{
    checksum::Checksum,
    codec::{Decoder, Encoder},
    container::{CHUNK_BYTES, CONTAINER_VERSION, FileKind},
    error::FormatError,
};

/// Length of the header and of the trailer.
pub(crate) const HEADER_BYTES: usize = 64;
/// Length of a file with no block: header and trailer.
pub(crate) const FILE_BYTES_MIN: u64 = 2 * HEADER_BYTES as u64;

/// The first eight bytes of every file.
pub(crate) const MAGIC: [u8; 8] = *b"SEGUEFMT";
const TRAILER_MAGIC: [u8; 8] = *b"SEGUEEND";
const CHECKED_BYTES: usize = HEADER_BYTES - size_of::<u32>();

/// What a file says it is. Its place in the file and its checksum are the same in every container version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) container_version: u16,
    pub(crate) kind: u16,
    pub(crate) kind_version: u16,
}

impl Header {
    pub(crate) fn new(kind: FileKind) -> Self {
        Self { container_version: CONTAINER_VERSION, kind: kind.raw(), kind_version: kind.version() }
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.bytes(&MAGIC).u16(self.container_version).u16(self.kind).u16(self.kind_version).u16(0);
        out.u32(CHUNK_BYTES as u32).bytes(&[0; 40]);
        seal(out)
    }

    /// Reads the header and decides whether this program can read the rest.
    ///
    /// `expected`: the kind the caller wants, or any.
    pub(crate) fn decode(file: &Path, bytes: &[u8], expected: Option<FileKind>) -> Result<Self, FormatError> {
        let owned = || file.to_path_buf();
        let decode = |source| FormatError::Decode { file: owned(), block: "header".to_owned(), source };
        let start = &bytes[..bytes.len().min(MAGIC.len())];
        if !MAGIC.starts_with(start) {
            let mut found = [0; MAGIC.len()];
            found[..start.len()].copy_from_slice(start);
            return Err(FormatError::Magic { file: owned(), found });
        }
        let bytes = bytes.get(..HEADER_BYTES).ok_or_else(|| FormatError::Truncated {
            file: owned(),
            needed: FILE_BYTES_MIN,
            found: bytes.len() as u64,
        })?;
        let mut input = Decoder::new(&bytes[MAGIC.len()..]);
        check_seal(bytes).ok_or_else(|| FormatError::Checksum {
            file: owned(),
            what: "header",
            offset: 0,
        })?;
        let header = Self {
            container_version: input.u16().map_err(decode)?,
            kind: input.u16().map_err(decode)?,
            kind_version: input.u16().map_err(decode)?,
        };
        header.check_known(file, expected)?;
        if header.encode() != bytes {
            return Err(FormatError::Malformed {
                file: owned(),
                what: "header has unknown bits",
                offset: 14,
            });
        }
        Ok(header)
    }

    fn check_known(self, file: &Path, expected: Option<FileKind>) -> Result<(), FormatError> {
        let newer = |what, found: u16, known: u16| {
            Err(FormatError::NewerVersion {
                file: file.to_path_buf(),
                what,
                found: u32::from(found),
                known: u32::from(known),
            })
        };
        if self.container_version > CONTAINER_VERSION {
            return newer("container", self.container_version, CONTAINER_VERSION);
        }
        let found = FileKind::from_raw(self.kind);
        match (expected, found) {
            (Some(expected), found) if found != Some(expected) => {
                return Err(FormatError::WrongKind { file: file.to_path_buf(), expected, found: self.kind });
            }
            (None, None) => return newer("kind of file", self.kind, FileKind::Manifest.raw()),
            _ => {}
        }
        let known = found.map_or(0, FileKind::version);
        if self.kind_version > known {
            return newer("layout of this kind of file", self.kind_version, known);
        }
        if self.container_version == 0 || self.kind_version == 0 {
            return Err(FormatError::Malformed {
                file: file.to_path_buf(),
                what: "version 0 never existed",
                offset: 8,
            });
        }
        Ok(())
    }
}

/// Where everything is. Written last: a file without it was never finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) block_count: u32,
    pub(crate) file_bytes: u64,
    pub(crate) directory_offset: u64,
    pub(crate) directory_bytes: u64,
    /// Of the header followed by the directory.
    pub(crate) checksum: Checksum,
}

impl Trailer {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.bytes(&TRAILER_MAGIC).u32(self.block_count).u32(0).u64(self.file_bytes);
        out.u64(self.directory_offset).u64(self.directory_bytes).bytes(&[0; 16]).u32(self.checksum.raw());
        seal(out)
    }

    /// Reads the last 64 bytes of `bytes`, the whole file.
    pub(crate) fn decode(file: &Path, bytes: &[u8]) -> Result<Self, FormatError> {
        let owned = || file.to_path_buf();
        let found = bytes.len() as u64;
        let decode = |source| FormatError::Decode { file: owned(), block: "trailer".to_owned(), source };
        let short = || FormatError::Truncated { file: owned(), needed: FILE_BYTES_MIN, found };
        let offset =
            bytes.len().checked_sub(HEADER_BYTES).filter(|&at| at >= HEADER_BYTES).ok_or_else(short)?;
        let bytes = &bytes[offset..];
        let mut input = Decoder::new(bytes);
        if input.array::<8>().map_err(decode)? != TRAILER_MAGIC {
            return Err(FormatError::Truncated { file: owned(), needed: found + HEADER_BYTES as u64, found });
        }
        let wrong = || FormatError::Checksum { file: owned(), what: "trailer", offset: offset as u64 };
        check_seal(bytes).ok_or_else(wrong)?;
        let block_count = input.u32().map_err(decode)?;
        input.u32().map_err(decode)?;
        let trailer = Self {
            block_count,
            file_bytes: input.u64().map_err(decode)?,
            directory_offset: input.u64().map_err(decode)?,
            directory_bytes: input.u64().map_err(decode)?,
            checksum: Checksum::from_raw({
                input.bytes(16).map_err(decode)?;
                input.u32().map_err(decode)?
            }),
        };
        let malformed = |what| FormatError::Malformed { file: owned(), what, offset: offset as u64 };
        if trailer.encode() != bytes {
            return Err(malformed("trailer has unknown bits"));
        }
        if trailer.file_bytes != found {
            return Err(FormatError::Truncated { file: owned(), needed: trailer.file_bytes, found });
        }
        let directory_end = trailer.directory_offset.checked_add(trailer.directory_bytes);
        if trailer.directory_offset < HEADER_BYTES as u64 || directory_end != Some(offset as u64) {
            return Err(malformed("directory does not end where the trailer starts"));
        }
        Ok(trailer)
    }
}

/// Appends the checksum of the 60 bytes so far.
fn seal(mut out: Encoder) -> Vec<u8> {
    let body = out.clone().finish();
    debug_assert_eq!(body.len(), CHECKED_BYTES);
    out.u32(Checksum::of(&body).raw());
    out.finish()
}

/// True (`Some`) when the last four of 64 bytes are the checksum of the others.
fn check_seal(bytes: &[u8]) -> Option<()> {
    let (body, stored) = bytes.split_at_checked(CHECKED_BYTES)?;
    (Checksum::of(body).raw().to_le_bytes() == stored).then_some(())
}
