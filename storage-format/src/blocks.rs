//! Codes and graph of an index: its own small meta and any number of named blocks of fixed-stride rows.
//!
//! The index decides what the blocks mean; this layer knows one thing about a graph: where its links are, when
//! the writer declares it. A link is a u32 below the number of nodes, or [`NO_LINK`]. Blocks: `meta` (opaque),
//! `linkmap` (declared layouts: count u32, then block tag text, links offset u32, links per row u32, nodes u64),
//! and the index's own. A graph opened with [`Verify::Full`] has all declared links checked.

use std::{path::Path, sync::Arc};

use bytemuck::{AnyBitPattern, NoUninit};

use crate::{
    codec::Encoder,
    container::{Block, FileKind, Health, Residence, SegmentFile, SegmentFileWriter, Verify},
    error::FormatError,
    manifest::FileEntry,
};

/// The value of an empty link.
pub const NO_LINK: u32 = u32::MAX;

const META: &str = "meta";
const LINKS: &str = "linkmap";

/// Which of the two files of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IndexPart {
    /// Quantized codes.
    Codes,
    /// Links.
    Graph,
}

impl IndexPart {
    /// The kind of file it is stored as.
    pub const fn kind(self) -> FileKind {
        match self {
            Self::Codes => FileKind::Codes,
            Self::Graph => FileKind::Graph,
        }
    }
}

/// Where the links are in the rows of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkLayout {
    /// Tag of the block.
    pub block: String,
    /// Offset of the first link in a row, in bytes: a multiple of 4.
    pub links_offset: u32,
    /// Number of links in a row.
    pub links_per_row: u32,
    /// Every link is below this, or [`NO_LINK`].
    pub nodes: u64,
}

/// Writes the codes or the graph of an index.
#[derive(Debug)]
pub struct BlockFileWriter {
    inner: SegmentFileWriter,
    layouts: Vec<LinkLayout>,
}

impl BlockFileWriter {
    /// Starts a file.
    ///
    /// # Errors
    /// As [`SegmentFileWriter::create`].
    pub fn create(folder: &Path, name: &str, part: IndexPart) -> Result<Self, FormatError> {
        Ok(Self { inner: SegmentFileWriter::create(folder, name, part.kind())?, layouts: Vec::new() })
    }

    /// Ends the block before and starts one. `tag` is 1 to 8 printable ASCII characters other than `meta` and
    /// `linkmap`; rows are `stride` bytes of elements of `width` bytes (1 for mixed records).
    ///
    /// # Errors
    /// As [`SegmentFileWriter::begin_block`].
    pub fn begin_block(&mut self, tag: &str, width: usize, stride: usize) -> Result<(), FormatError> {
        if [META, LINKS].contains(&tag) {
            return Err(self.inner.usage("block tags meta and linkmap are taken"));
        }
        self.inner.begin_block(tag, width, stride)
    }

    /// Appends bytes to the open block.
    ///
    /// # Errors
    /// As [`SegmentFileWriter::append_bytes`].
    pub fn append_bytes(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        self.inner.append_bytes(bytes)
    }

    /// Appends elements to the open block.
    ///
    /// # Errors
    /// As [`SegmentFileWriter::append`].
    pub fn append<T: NoUninit>(&mut self, elements: &[T]) -> Result<(), FormatError> {
        self.inner.append(elements)
    }

    /// Appends one row, filled up with zeroes to the stride.
    ///
    /// # Errors
    /// As [`SegmentFileWriter::append_row`].
    pub fn append_row(&mut self, row: &[u8]) -> Result<(), FormatError> {
        self.inner.append_row(row)
    }

    /// Writes a whole block of elements, one to a row.
    ///
    /// # Errors
    /// As [`SegmentFileWriter::put_slice`].
    pub fn put_slice<T: NoUninit>(&mut self, tag: &str, elements: &[T]) -> Result<(), FormatError> {
        self.begin_block(tag, size_of::<T>(), size_of::<T>())?;
        self.append(elements)
    }

    /// Says where the links of a block are, so that they are checked without knowing the index.
    pub fn declare_links(&mut self, layout: LinkLayout) {
        self.layouts.push(layout);
    }

    /// Publishes the file with the index's own meta, opaque here.
    ///
    /// # Errors
    /// As [`SegmentFileWriter::finish`].
    pub fn finish(mut self, meta: &[u8]) -> Result<FileEntry, FormatError> {
        self.inner.put_slice(META, meta)?;
        let mut out = Encoder::new();
        out.u32(self.layouts.len() as u32);
        for layout in &self.layouts {
            out.text(&layout.block).map_err(|_| self.inner.usage("block tag is too long"))?;
            out.u32(layout.links_offset).u32(layout.links_per_row).u64(layout.nodes);
        }
        self.inner.put_slice(LINKS, &out.finish())?;
        self.inner.finish()
    }
}

/// The codes or the graph of an index.
#[derive(Debug, Clone)]
pub struct BlockFile {
    file: SegmentFile,
    meta: Block,
    layouts: Vec<LinkLayout>,
}

impl BlockFile {
    /// Opens and checks a file; with [`Verify::Full`] also every declared link.
    ///
    /// # Errors
    /// As [`SegmentFile::open`]; [`FormatError::OutOfRange`] for a link to no node.
    pub fn open(
        path: &Path,
        part: IndexPart,
        residence: Residence,
        verify: Verify,
    ) -> Result<Self, FormatError> {
        Self::from_file(SegmentFile::open_in(residence, path, part.kind(), verify)?, verify)
    }

    /// As [`Self::open`], for a file that is mapped and checked as it is used. The index's own meta is; of the blocks the reader
    /// ensures the rows it uses, see [`SegmentFile::ensure`], until [`Self::bring_in`] has come to the end.
    ///
    /// # Errors
    /// As [`SegmentFile::open_on_use`].
    pub fn open_on_use(path: &Path, part: IndexPart, health: &Arc<Health>) -> Result<Self, FormatError> {
        let file = SegmentFile::open_on_use(path, part.kind(), health)?;
        let opened = Self::from_file(file, Verify::Structure)?;
        opened.file.ensure_block(&opened.meta)?;
        Ok(opened)
    }

    /// As [`SegmentFile::bring_in`]; checks every declared link, too.
    ///
    /// # Errors
    /// As [`SegmentFile::bring_in`] and [`Self::check_declared_links`].
    pub fn bring_in(
        &self,
        residence: Residence,
        goes_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<bool, FormatError> {
        let whole = self.file.bring_in(residence, goes_on)?;
        if whole {
            self.check_declared_links().map_err(|error| self.file.report(error))?;
        }
        Ok(whole)
    }

    /// Checks what is particular to these files.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_file(file: SegmentFile, verify: Verify) -> Result<Self, FormatError> {
        if ![FileKind::Codes, FileKind::Graph].contains(&file.kind()) {
            file.require(FileKind::Graph)?;
        }
        let layouts = file.decode(LINKS, |input| {
            (0..input.u32()?)
                .map(|_| {
                    Ok(LinkLayout {
                        block: input.text()?.to_owned(),
                        links_offset: input.u32()?,
                        links_per_row: input.u32()?,
                        nodes: input.u64()?,
                    })
                })
                .collect::<Result<Vec<_>, _>>()
        })?;
        layouts.iter().try_for_each(|layout| file.required(&layout.block).map(|_| ()))?;
        let opened = Self { meta: file.required(META)?, file, layouts };
        if verify == Verify::Full {
            opened.check_declared_links()?;
        }
        Ok(opened)
    }

    /// The index's own meta.
    pub fn meta(&self) -> &[u8] {
        self.file.block_bytes(&self.meta)
    }

    /// Finds a block once, to be used with [`SegmentFile::block_bytes`] and [`SegmentFile::block_slice`].
    ///
    /// # Errors
    /// [`FormatError::Missing`].
    pub fn block(&self, tag: &str) -> Result<Block, FormatError> {
        self.file.block(tag)
    }

    /// Number of rows of a block.
    ///
    /// # Errors
    /// [`FormatError::Missing`].
    pub fn rows(&self, tag: &str) -> Result<u64, FormatError> {
        self.file.rows(tag)
    }

    /// All elements of a block.
    ///
    /// # Errors
    /// As [`SegmentFile::slice`].
    pub fn slice<T: AnyBitPattern>(&self, tag: &str) -> Result<&[T], FormatError> {
        self.file.slice(tag)
    }

    /// All bytes of a block.
    ///
    /// # Errors
    /// [`FormatError::Missing`].
    pub fn bytes(&self, tag: &str) -> Result<&[u8], FormatError> {
        self.file.bytes(tag)
    }

    /// Where the links are, as the writer declared.
    pub fn link_layouts(&self) -> &[LinkLayout] {
        &self.layouts
    }

    /// Checks every link of every declared layout. Reads those blocks once.
    ///
    /// # Errors
    /// [`FormatError::OutOfRange`] for the first link to no node.
    pub fn check_declared_links(&self) -> Result<(), FormatError> {
        self.layouts.iter().try_for_each(|layout| self.check_links(layout))
    }

    /// Checks that every link of one layout is below `nodes` or [`NO_LINK`]. Reads the block once.
    ///
    /// # Errors
    /// [`FormatError::OutOfRange`] for the first link to no node; [`FormatError::Malformed`] when the links do
    /// not fit into the rows or are not aligned; [`FormatError::Missing`].
    pub fn check_links(&self, layout: &LinkLayout) -> Result<(), FormatError> {
        const LINK_BYTES: u64 = size_of::<u32>() as u64;
        let block = self.file.block(&layout.block)?;
        let start = u64::from(layout.links_offset);
        let end = start + u64::from(layout.links_per_row) * LINK_BYTES;
        if end > block.stride || start % LINK_BYTES != 0 || block.stride % LINK_BYTES != 0 {
            return Err(self.file.malformed(&block, "links do not fit into the rows of their block"));
        }
        let (start, end) = (start as usize, end as usize);
        for row in self.file.block_bytes(&block).chunks_exact(block.stride as usize) {
            let links: &[u32] = bytemuck::try_cast_slice(&row[start..end])
                .map_err(|_| self.file.malformed(&block, "links are not aligned"))?;
            let stray = links.iter().find(|&&link| link != NO_LINK && u64::from(link) >= layout.nodes);
            if let Some(&link) = stray {
                return Err(self.file.out_of_range("link", u64::from(link), layout.nodes));
            }
        }
        Ok(())
    }

    /// The file below, to advise, pin or check.
    pub fn file(&self) -> &SegmentFile {
        &self.file
    }
}
