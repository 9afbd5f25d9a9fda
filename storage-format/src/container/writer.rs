//! Writes a checked file front to back, without ever holding a whole block in memory.

use std::path::{Path, PathBuf};

use bytemuck::NoUninit;

use crate::{
    checksum::{Checksum, ContentHasher},
    container::{
        ALIGNMENT_BYTES, Block, CHUNK_BYTES, FileKind, Tag,
        header::{HEADER_BYTES, Header, Trailer},
        padded,
        table::{BLOCKS_MAX, encode_directory},
    },
    error::FormatError,
    manifest::FileEntry,
    publish::TemporaryFile,
};

/// Bytes that go to the file in one call, at a multiple of their number. Linux keeps what was written at once in large
/// pages where the file system has them (ext4 from 6.16 on, XFS), and maps those as one: random reads of a mapped file
/// take two thirds of the time then.
const BUFFER_BYTES: usize = 4 << 20;

/// Writes one file: blocks one after another, rows in as many calls as the caller likes.
///
/// Nothing is visible under the final name before [`SegmentFileWriter::finish`]; a writer that is dropped
/// earlier, or that fails, removes its temporary file. After an error the writer is of no further use.
#[derive(Debug)]
pub struct SegmentFileWriter {
    temporary: TemporaryFile,
    name: String,
    header: Vec<u8>,
    output: Output,
    blocks: Vec<Block>,
    checksums: Vec<Vec<Checksum>>,
    open: Option<OpenBlock>,
}

/// The bytes on their way to the file.
struct Output {
    buffer: Vec<u8>,
    hasher: ContentHasher,
    written_bytes: u64,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("written_bytes", &self.written_bytes).finish_non_exhaustive()
    }
}

/// The block that rows go to.
#[derive(Debug)]
struct OpenBlock {
    tag: Tag,
    width: u32,
    stride: u64,
    offset: u64,
    length: u64,
    chunks: ChunkChecksums,
}

impl SegmentFileWriter {
    /// Starts a file that will be called `name` in `folder`, replacing one of that name.
    ///
    /// # Errors
    /// [`FormatError::Io`]; [`FormatError::Usage`] when the name is not allowed
    /// ([`crate::publish::is_file_name`]).
    pub fn create(folder: &Path, name: &str, kind: FileKind) -> Result<Self, FormatError> {
        let mut writer = Self {
            temporary: TemporaryFile::create(folder, name)?,
            name: name.to_owned(),
            header: Header::new(kind).encode(),
            output: Output { buffer: Vec::new(), hasher: ContentHasher::new(), written_bytes: 0 },
            blocks: Vec::new(),
            checksums: Vec::new(),
            open: None,
        };
        let header = writer.header.clone();
        writer.put(&header)?;
        Ok(writer)
    }

    /// Ends the block before, if any, and starts one whose rows are `stride` bytes of elements of `width`.
    ///
    /// `tag`: 1 to 8 printable ASCII characters, unique in the file; `width`: 1, 2, 4 or 8; `stride`: a multiple
    /// of it.
    ///
    /// # Errors
    /// [`FormatError::Usage`] when one of these does not hold or the block before ends inside a row;
    /// [`FormatError::Io`].
    pub fn begin_block(&mut self, tag: &str, width: usize, stride: usize) -> Result<(), FormatError> {
        self.end_block()?;
        let tag =
            Tag::new(tag).ok_or_else(|| self.usage("block tag is not 1 to 8 printable ascii characters"))?;
        if self.blocks.iter().any(|block| block.tag == tag) {
            return Err(self.usage("two blocks have the same tag"));
        }
        if self.blocks.len() >= BLOCKS_MAX {
            return Err(self.usage("more than 4096 blocks"));
        }
        if !matches!(width, 1 | 2 | 4 | 8) || stride == 0 || !stride.is_multiple_of(width) {
            return Err(self.usage("impossible element width or row stride"));
        }
        self.open = Some(OpenBlock {
            tag,
            width: width as u32,
            stride: stride as u64,
            offset: self.output.position(),
            length: 0,
            chunks: ChunkChecksums::default(),
        });
        Ok(())
    }

    /// Appends bytes to the open block: whole rows, parts of rows, anything.
    ///
    /// # Errors
    /// [`FormatError::Io`]; [`FormatError::Usage`] without an open block.
    pub fn append_bytes(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        let Some(open) = &mut self.open else {
            return Err(self.usage("no block was begun"));
        };
        open.length += bytes.len() as u64;
        open.chunks.add(bytes);
        self.put(bytes)
    }

    /// Appends elements to the open block.
    ///
    /// # Errors
    /// As [`Self::append_bytes`]; [`FormatError::Usage`] when `T` is not as wide as the block's elements.
    pub fn append<T: NoUninit>(&mut self, elements: &[T]) -> Result<(), FormatError> {
        match &self.open {
            Some(open) if open.width as usize != size_of::<T>() => {
                Err(self.usage("elements are not as wide as the block says"))
            }
            _ => self.append_bytes(bytemuck::cast_slice(elements)),
        }
    }

    /// Appends one row, filled up with zeroes to the stride of the open block.
    ///
    /// # Errors
    /// As [`Self::append_bytes`]; [`FormatError::Usage`] when the row is longer than the stride.
    pub fn append_row(&mut self, row: &[u8]) -> Result<(), FormatError> {
        let stride = self.open.as_ref().map_or(0, |open| open.stride as usize);
        let Some(mut missing) = stride.checked_sub(row.len()) else {
            return Err(self.usage("row is longer than the stride, or no block was begun"));
        };
        self.append_bytes(row)?;
        while missing > 0 {
            let zeroes = [0; ALIGNMENT_BYTES];
            let now = missing.min(zeroes.len());
            self.append_bytes(&zeroes[..now])?;
            missing -= now;
        }
        Ok(())
    }

    /// Writes a whole block of elements of type `T`, one to a row.
    ///
    /// # Errors
    /// As [`Self::begin_block`] and [`Self::append`].
    pub fn put_slice<T: NoUninit>(&mut self, tag: &str, elements: &[T]) -> Result<(), FormatError> {
        self.begin_block(tag, size_of::<T>(), size_of::<T>())?;
        self.append(elements)
    }

    /// Number of rows the open block has so far; 0 without one.
    pub fn open_rows(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.length / open.stride)
    }

    /// Number of bytes written so far, padding included: what a disk reservation is compared with.
    pub fn position_bytes(&self) -> u64 {
        self.output.position()
    }

    /// Ends the file and publishes it: directory, trailer, fsync, rename, fsync of the folder.
    ///
    /// # Errors
    /// [`FormatError::Io`], [`FormatError::Usage`] when the last block ends inside a row. Nothing was published.
    pub fn finish(mut self) -> Result<FileEntry, FormatError> {
        self.end_block()?;
        let directory_offset = self.output.position();
        let directory = encode_directory(&self.blocks, &self.checksums, directory_offset);
        let directory_bytes = directory.len() as u64;
        self.put(&directory)?;
        let trailer = Trailer {
            block_count: self.blocks.len() as u32,
            file_bytes: directory_offset + directory_bytes + HEADER_BYTES as u64,
            directory_offset,
            directory_bytes,
            checksum: Checksum::of(&self.header).extend(&directory),
        };
        self.put(&trailer.encode())?;
        self.output.flush(&mut self.temporary)?;
        // Pair of the check at open: what is published has the length it says.
        assert_eq!(self.output.written_bytes, trailer.file_bytes, "bytes written differ from the trailer");
        self.temporary.publish()?;
        Ok(FileEntry { name: self.name, len: trailer.file_bytes, content_id: self.output.hasher.finish() })
    }

    /// Makes the error for a request that cannot be written.
    pub(crate) fn usage(&self, what: &'static str) -> FormatError {
        FormatError::Usage { file: self.target(), what }
    }

    fn target(&self) -> PathBuf {
        self.temporary.target().to_path_buf()
    }

    fn end_block(&mut self) -> Result<(), FormatError> {
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        if open.length % open.stride != 0 {
            return Err(self.usage("block ends inside a row"));
        }
        let end = padded(open.length).ok_or_else(|| self.usage("block is too long"))?;
        let padding = &[0; ALIGNMENT_BYTES][..(end - open.length) as usize];
        open.chunks.add(padding);
        self.put(padding)?;
        self.blocks.push(Block {
            tag: open.tag,
            width: open.width,
            stride: open.stride,
            rows: open.length / open.stride,
            offset: open.offset,
            length: open.length,
        });
        self.checksums.push(open.chunks.finish());
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        self.output.put(bytes, &mut self.temporary)
    }
}

impl Output {
    fn position(&self) -> u64 {
        self.written_bytes + self.buffer.len() as u64
    }

    /// Takes in any number of bytes; no more than one piece of them is ever held.
    fn put(&mut self, mut bytes: &[u8], temporary: &mut TemporaryFile) -> Result<(), FormatError> {
        while self.buffer.len() + bytes.len() >= BUFFER_BYTES {
            let (now, later) = bytes.split_at(BUFFER_BYTES - self.buffer.len());
            if self.buffer.is_empty() {
                self.write(now, temporary)?;
            } else {
                self.buffer.extend_from_slice(now);
                self.flush(temporary)?;
            }
            bytes = later;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes what is held.
    fn flush(&mut self, temporary: &mut TemporaryFile) -> Result<(), FormatError> {
        let mut held = std::mem::take(&mut self.buffer);
        self.write(&held, temporary)?;
        held.clear();
        self.buffer = held;
        Ok(())
    }

    fn write(&mut self, piece: &[u8], temporary: &mut TemporaryFile) -> Result<(), FormatError> {
        self.hasher.update(piece);
        temporary.write_all(piece)?;
        self.written_bytes += piece.len() as u64;
        Ok(())
    }
}

/// Cuts a stream of bytes into chunks and keeps the checksum of each.
#[derive(Debug, Default)]
struct ChunkChecksums {
    done: Vec<Checksum>,
    current: Checksum,
    current_bytes: usize,
}

impl ChunkChecksums {
    fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.current_bytes));
            self.current = self.current.extend(now);
            self.current_bytes += now.len();
            if self.current_bytes == CHUNK_BYTES {
                self.close();
            }
            bytes = later;
        }
    }

    fn close(&mut self) {
        self.done.push(std::mem::take(&mut self.current));
        self.current_bytes = 0;
    }

    fn finish(mut self) -> Vec<Checksum> {
        if self.current_bytes > 0 {
            self.close();
        }
        self.done
    }
}
