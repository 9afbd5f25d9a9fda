//! The directory of a file: one entry per block, then the checksums of all chunks.
//!
//! ```text
//! entry, 64 bytes: 0 tag [8]   8 element width u32   12 zero u32   16 row stride u64   24 rows u64
//!                 32 offset u64   40 length u64   48 offset of its checksums u64   56 zero u64
//! ```

use std::{fmt, ops::Range, path::Path};

use crate::{
    checksum::Checksum,
    codec::{CodecError, Decoder, Encoder},
    container::{CHUNK_BYTES, header::HEADER_BYTES, header::Trailer, padded},
    error::FormatError,
};

/// Length of one entry.
pub(crate) const ENTRY_BYTES: usize = 64;
/// Most blocks a file may have.
pub(crate) const BLOCKS_MAX: usize = 4096;
/// Length of one stored chunk checksum.
pub(crate) const CHECKSUM_BYTES: usize = 4;

/// Name of a block: 1 to 8 printable ASCII characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag([u8; 8]);

impl Tag {
    /// Makes a tag; `None` unless `name` is 1 to 8 printable ASCII characters without spaces.
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; 8];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        Self::from_bytes(bytes)
    }

    fn from_bytes(bytes: [u8; 8]) -> Option<Self> {
        let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        let (name, rest) = bytes.split_at(length);
        let valid = length > 0 && name.iter().all(u8::is_ascii_graphic) && rest.iter().all(|&byte| byte == 0);
        valid.then_some(Self(bytes))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        std::str::from_utf8(&self.0[..length]).unwrap_or_default()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}

/// One block of a file: `rows` rows of `stride` bytes, made of elements of `width` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Block {
    /// Name, unique in the file.
    pub tag: Tag,
    /// Bytes of one element: 1, 2, 4 or 8. Bytes and mixed records have 1.
    pub width: u32,
    /// Bytes from one row to the next: a multiple of `width`, at least 1.
    pub stride: u64,
    /// Number of rows.
    pub rows: u64,
    /// Where the first row is, from the start of the file: a multiple of 64.
    pub offset: u64,
    /// `rows * stride`.
    pub length: u64,
}

impl Block {
    /// Where the rows are in the file.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.length
    }

    /// Rows with the zeroes that pad them: what the chunk checksums cover.
    pub(crate) fn padded_range(&self) -> Range<u64> {
        self.offset..self.offset + padded(self.length).unwrap_or(self.length)
    }

    /// Number of checksums this block has.
    pub(crate) fn chunk_count(&self) -> u64 {
        let padded = self.padded_range();
        (padded.end - padded.start).div_ceil(CHUNK_BYTES as u64)
    }

    fn encode(&self, out: &mut Encoder, checksums_offset: u64) {
        out.bytes(&self.tag.0).u32(self.width).u32(0).u64(self.stride).u64(self.rows);
        out.u64(self.offset).u64(self.length).u64(checksums_offset).u64(0);
    }

    /// Reads an entry; returns the block and where its checksums are.
    fn decode(input: &mut Decoder<'_>) -> Result<(Self, u64), CodecError> {
        let tag = Tag::from_bytes(input.array()?)
            .ok_or_else(|| input.bad_value("block tag is not 1 to 8 ascii"))?;
        let width = input.u32()?;
        let zero = input.u32()?;
        let (stride, rows, offset, length) = (input.u64()?, input.u64()?, input.u64()?, input.u64()?);
        let checksums_offset = input.u64()?;
        if zero != 0 || input.u64()? != 0 {
            return Err(input.bad_value("block entry has unknown bits"));
        }
        if !matches!(width, 1 | 2 | 4 | 8) || stride == 0 || stride % u64::from(width) != 0 {
            return Err(input.bad_value("block has an impossible element width or row stride"));
        }
        if stride.checked_mul(rows) != Some(length) {
            return Err(input.bad_value("block length is not rows times stride"));
        }
        Ok((Self { tag, width, stride, rows, offset, length }, checksums_offset))
    }
}

/// Encodes the directory that starts at `offset`.
pub(crate) fn encode_directory(blocks: &[Block], checksums: &[Vec<Checksum>], offset: u64) -> Vec<u8> {
    let mut out = Encoder::new();
    let mut checksums_offset = offset + (blocks.len() * ENTRY_BYTES) as u64;
    for (block, checksums) in blocks.iter().zip(checksums) {
        debug_assert_eq!(block.chunk_count(), checksums.len() as u64);
        block.encode(&mut out, checksums_offset);
        checksums_offset += (checksums.len() * CHECKSUM_BYTES) as u64;
    }
    for checksum in checksums.iter().flatten() {
        out.u32(checksum.raw());
    }
    out.finish()
}

/// Decodes the directory and checks that header, blocks, directory and trailer cover the file exactly once.
pub(crate) fn decode_directory(
    file: &Path,
    directory: &[u8],
    trailer: &Trailer,
) -> Result<Vec<Block>, FormatError> {
    let malformed = |what, offset| FormatError::Malformed { file: file.to_path_buf(), what, offset };
    let decode =
        |source| FormatError::Decode { file: file.to_path_buf(), block: "directory".to_owned(), source };
    let count = trailer.block_count as usize;
    if count > BLOCKS_MAX || count > directory.len() / ENTRY_BYTES {
        return Err(malformed("impossible number of blocks", trailer.directory_offset));
    }
    let mut input = Decoder::new(directory);
    let mut blocks: Vec<Block> = Vec::with_capacity(count);
    let mut next_block = HEADER_BYTES as u64;
    let mut next_checksum = trailer.directory_offset + (count * ENTRY_BYTES) as u64;
    for index in 0..count {
        let at = trailer.directory_offset + (index * ENTRY_BYTES) as u64;
        let (block, checksums_offset) = Block::decode(&mut input).map_err(decode)?;
        let end = padded(block.length).and_then(|length| block.offset.checked_add(length));
        let end = end.filter(|&end| end <= trailer.directory_offset);
        if block.offset != next_block {
            return Err(malformed("block does not start where the one before ends", at));
        }
        next_block = end.ok_or_else(|| malformed("block reaches past the directory", at))?;
        if checksums_offset != next_checksum {
            return Err(malformed("checksums of a block are not where they must be", at));
        }
        next_checksum += block.chunk_count() * CHECKSUM_BYTES as u64;
        if blocks.iter().any(|other| other.tag == block.tag) {
            return Err(malformed("two blocks have the same tag", at));
        }
        blocks.push(block);
    }
    if next_block != trailer.directory_offset {
        return Err(malformed("bytes between the last block and the directory", next_block));
    }
    if next_checksum != trailer.directory_offset + trailer.directory_bytes {
        return Err(malformed("directory has a wrong number of checksums", trailer.directory_offset));
    }
    Ok(blocks)
}
