//! Opens a checked file and gives typed views of its blocks.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytemuck::AnyBitPattern;

use crate::{
    checksum::Checksum,
    codec::Decoder,
    container::{
        Block, FileKind,
        header::{HEADER_BYTES, Header, Trailer},
        image::{Image, Residence},
        lazy::OnUse,
        table::{CHECKSUM_BYTES, ENTRY_BYTES, decode_directory},
    },
    error::FormatError,
    mmap::Access,
};

/// How much is checked when a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Every byte of the file against its checksum. Reads the whole file.
    Full,
    /// Header, directory and trailer with their checksums, and everything structural, but not the chunks:
    /// for files verified when they arrived. [`SegmentFile::check_chunks`] checks the rest later.
    Structure,
}

/// An open, immutable file, mapped or in memory. Cheap to clone and share between threads; its bytes live as long as a
/// clone.
#[derive(Debug, Clone)]
pub struct SegmentFile(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    path: PathBuf,
    header: Header,
    kind: FileKind,
    pub(super) blocks: Vec<Block>,
    directory: Range<u64>,
    image: Image,
    /// For files that are checked as they are used.
    pub(super) on_use: Option<OnUse>,
}

impl Inner {
    fn bytes(&self) -> &[u8] {
        let resident = self.on_use.as_ref().and_then(OnUse::resident);
        resident.unwrap_or_else(|| self.image.bytes())
    }
}

impl SegmentFile {
    /// Opens and checks a file of a given kind.
    ///
    /// # Errors
    /// Every [`FormatError`] that is about bytes, and [`FormatError::Io`]. Never panics, whatever the bytes.
    pub fn open(path: &Path, kind: FileKind, verify: Verify) -> Result<Self, FormatError> {
        Self::open_in(Residence::Mapped, path, kind, verify)
    }

    /// As [`Self::open`], with a say in where the bytes are.
    ///
    /// # Errors
    /// As [`Self::open`]; [`FormatError::Io`] also when the system refuses the memory.
    pub fn open_in(
        residence: Residence,
        path: &Path,
        kind: FileKind,
        verify: Verify,
    ) -> Result<Self, FormatError> {
        Self::check(path, Image::open(path, residence)?, Some(kind), verify)
    }

    /// Opens and checks a file of any kind; for tools.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_any(path: &Path, verify: Verify) -> Result<Self, FormatError> {
        Self::check(path, Image::open(path, Residence::Mapped)?, None, verify)
    }

    /// Checks a file that is in memory, copying it once. `name` stands in for the path in errors.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_bytes(name: &str, bytes: &[u8], kind: FileKind, verify: Verify) -> Result<Self, FormatError> {
        Self::check(Path::new(name), Image::copy(bytes), Some(kind), verify)
    }

    fn check(
        path: &Path,
        image: Image,
        expected: Option<FileKind>,
        verify: Verify,
    ) -> Result<Self, FormatError> {
        let file = Self::from_inner(Self::check_structure(path, image, expected)?);
        if verify == Verify::Full {
            file.check_all()?;
        }
        Ok(file)
    }

    /// Checks everything but the chunks.
    pub(super) fn check_structure(
        path: &Path,
        image: Image,
        expected: Option<FileKind>,
    ) -> Result<Inner, FormatError> {
        let bytes = image.bytes();
        let header = Header::decode(path, bytes, expected)?;
        let trailer = Trailer::decode(path, bytes)?;
        let directory = trailer.directory_offset..trailer.directory_offset + trailer.directory_bytes;
        let directory_bytes = &bytes[directory.start as usize..directory.end as usize];
        if Checksum::of(&bytes[..HEADER_BYTES]).extend(directory_bytes) != trailer.checksum {
            return Err(FormatError::Checksum {
                file: path.to_path_buf(),
                what: "directory",
                offset: trailer.directory_offset,
            });
        }
        let blocks = decode_directory(path, directory_bytes, &trailer)?;
        let kind = FileKind::from_raw(header.kind).expect("decoding the header checked the kind");
        Ok(Inner { path: path.to_path_buf(), header, kind, blocks, directory, image, on_use: None })
    }

    pub(super) fn from_inner(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    fn check_all(&self) -> Result<(), FormatError> {
        let mut buffer = Vec::new();
        let damaged = self.pieces().find_map(|piece| self.check_piece(&piece, &mut buffer, &mut |_| {}));
        damaged.map_or(Ok(()), |chunk| Err(chunk.into_error(self)))
    }

    /// Where the file was opened from.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// What the file is for.
    pub fn kind(&self) -> FileKind {
        self.0.kind
    }

    /// Checks that the file is of one kind.
    ///
    /// # Errors
    /// [`FormatError::WrongKind`].
    pub fn require(&self, kind: FileKind) -> Result<(), FormatError> {
        if self.0.kind == kind {
            return Ok(());
        }
        Err(FormatError::WrongKind { file: self.0.path.clone(), expected: kind, found: self.0.kind.raw() })
    }

    /// Layout version of its kind.
    pub fn version(&self) -> u16 {
        self.0.header.kind_version
    }

    /// Length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a file is never empty: it has a header")]
    pub fn len(&self) -> u64 {
        self.0.image.bytes().len() as u64
    }

    /// Every block, in file order.
    pub fn blocks(&self) -> &[Block] {
        &self.0.blocks
    }

    /// Finds a block by its tag. A reader does this once and keeps the [`Block`].
    ///
    /// # Errors
    /// [`FormatError::Missing`].
    pub fn block(&self, tag: &str) -> Result<Block, FormatError> {
        let found = self.0.blocks.iter().find(|block| block.tag.as_str() == tag);
        found.copied().ok_or_else(|| FormatError::Missing { file: self.0.path.clone(), name: tag.to_owned() })
    }

    /// Number of rows of a block.
    ///
    /// # Errors
    /// [`FormatError::Missing`].
    pub fn rows(&self, tag: &str) -> Result<u64, FormatError> {
        Ok(self.block(tag)?.rows)
    }

    /// All bytes of a block, without the padding that follows it.
    ///
    /// # Errors
    /// [`FormatError::Missing`].
    pub fn bytes(&self, tag: &str) -> Result<&[u8], FormatError> {
        Ok(self.block_bytes(&self.block(tag)?))
    }

    /// All elements of a block, rows one after another, padding of rows included.
    ///
    /// # Errors
    /// [`FormatError::Missing`]; [`FormatError::WrongType`] when the elements are not as wide as `T`.
    pub fn slice<T: AnyBitPattern>(&self, tag: &str) -> Result<&[T], FormatError> {
        self.block_slice(&self.block(tag)?)
    }

    /// All rows of a block as records of type `T`.
    ///
    /// # Errors
    /// [`FormatError::Missing`]; [`FormatError::WrongType`] when the stride is not the size of `T`, or `T` has
    /// an alignment above 64.
    pub fn records<T: AnyBitPattern>(&self, tag: &str) -> Result<&[T], FormatError> {
        let block = self.block(tag)?;
        self.cast(&block, size_of::<T>() as u64 == block.stride)
    }

    /// As [`Self::bytes`], for a block of this file found before; empty for a block of another file.
    pub fn block_bytes(&self, block: &Block) -> &[u8] {
        let range = block.range();
        self.0.bytes().get(range.start as usize..range.end as usize).unwrap_or_default()
    }

    /// As [`Self::slice`], for a block of this file found before.
    ///
    /// # Errors
    /// [`FormatError::WrongType`].
    pub fn block_slice<T: AnyBitPattern>(&self, block: &Block) -> Result<&[T], FormatError> {
        self.cast(block, size_of::<T>() == block.width as usize)
    }

    fn cast<T: AnyBitPattern>(&self, block: &Block, fits: bool) -> Result<&[T], FormatError> {
        let elements = bytemuck::try_cast_slice(self.block_bytes(block)).ok().filter(|_| fits);
        elements.ok_or_else(|| FormatError::WrongType {
            file: self.0.path.clone(),
            name: block.tag.to_string(),
            expected: format!("{} of {} bytes", std::any::type_name::<T>(), size_of::<T>()),
            found: format!("elements of {} bytes, rows of {}", block.width, block.stride),
        })
    }

    /// Tells the kernel how the file is going to be read. A hint; nothing happens for a file in memory.
    ///
    /// # Errors
    /// The kernel's.
    pub fn advise(&self, access: Access) -> io::Result<()> {
        match &self.0.image {
            Image::Mapped(file) => file.advise(access),
            Image::Resident(_) | Image::Copied { .. } => Ok(()),
        }
    }

    /// Reads the file in and keeps it resident (`mlock`) as long as it is open. Best effort: the limit on
    /// locked memory (`ulimit -l`) may refuse; then nothing is pinned and the file reads as before.
    ///
    /// # Errors
    /// The kernel's.
    pub fn pin(&self) -> io::Result<()> {
        match &self.0.image {
            Image::Mapped(file) => file.pin(),
            Image::Resident(_) | Image::Copied { .. } => Ok(()),
        }
    }

    pub(crate) fn image(&self) -> &Image {
        &self.0.image
    }

    pub(crate) fn directory_range(&self) -> Range<u64> {
        self.0.directory.clone()
    }

    /// Stored checksums of all chunks, in file order.
    pub(crate) fn chunk_checksums(&self) -> impl Iterator<Item = Checksum> + '_ {
        let directory = &self.0.directory;
        let start = directory.start as usize + self.0.blocks.len() * ENTRY_BYTES;
        let bytes = self.0.image.bytes().get(start..directory.end as usize).unwrap_or_default();
        let (chunks, _) = bytes.as_chunks::<CHECKSUM_BYTES>();
        chunks.iter().map(|raw| Checksum::from_raw(u32::from_le_bytes(*raw)))
    }

    /// Decodes a small block; every byte must be used.
    pub(crate) fn decode<T>(
        &self,
        tag: &str,
        read: impl FnOnce(&mut Decoder<'_>) -> Result<T, crate::codec::CodecError>,
    ) -> Result<T, FormatError> {
        let block = self.required(tag)?;
        self.ensure_block(&block)?;
        let mut input = Decoder::new(self.block_bytes(&block));
        read(&mut input).and_then(|value| input.finish().map(|()| value)).map_err(|source| {
            FormatError::Decode { file: self.0.path.clone(), block: tag.to_owned(), source }
        })
    }

    /// Finds a block that every file of this kind has; a file without it was not written by a sane program.
    pub(crate) fn required(&self, tag: &str) -> Result<Block, FormatError> {
        self.block(tag).map_err(|_| FormatError::Malformed {
            file: self.0.path.clone(),
            what: "a block that this kind of file must have is missing",
            offset: self.0.directory.start,
        })
    }

    /// Views a block whose type the kind of file decides, not the caller.
    pub(crate) fn elements<T: AnyBitPattern>(&self, block: &Block) -> Result<&[T], FormatError> {
        self.block_slice(block).map_err(|_| self.malformed(block, "block has the wrong width of elements"))
    }

    /// Makes the error for a block whose content cannot be.
    pub(crate) fn malformed(&self, block: &Block, what: &'static str) -> FormatError {
        FormatError::Malformed { file: self.0.path.clone(), what, offset: block.offset }
    }

    /// Makes the error for a number outside its range.
    pub(crate) fn out_of_range(&self, what: &'static str, value: u64, limit: u64) -> FormatError {
        FormatError::OutOfRange { file: self.0.path.clone(), what, value, limit }
    }
}

const _: () = {
    const fn shared_between_threads<T: Send + Sync>() {}
    shared_between_threads::<SegmentFile>();
};
