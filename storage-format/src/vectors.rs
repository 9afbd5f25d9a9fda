//! Full-precision vectors: `[rows, dim]` f32, one row every `stride` bytes.
//!
//! Blocks: `meta` = rows u64, dim u32, stride bytes u32; `vectors` = the rows, each filled with zeroes up to the
//! stride. A padded row starts on a cache line. Values are not judged here: NaN is the caller's business.

use std::{path::Path, sync::Arc};

use crate::{
    codec::Encoder,
    container::{ALIGNMENT_BYTES, Block, FileKind, Health, SegmentFile, SegmentFileWriter, Verify},
    error::FormatError,
    manifest::FileEntry,
};

/// Largest dimension a file can have.
pub const DIM_MAX: usize = 65_536;

const META: &str = "meta";
const ROWS: &str = "vectors";

/// Writes a file of vectors, row by row.
#[derive(Debug)]
pub struct VectorFileWriter {
    inner: SegmentFileWriter,
    dim: usize,
    stride_bytes: usize,
}

impl VectorFileWriter {
    /// Starts a file of vectors of `dim` elements, 1 to 65,536. `padded` rows start on a cache line.
    ///
    /// # Errors
    /// [`FormatError::Usage`] for an impossible dimension; otherwise as [`SegmentFileWriter::create`].
    pub fn create(folder: &Path, name: &str, dim: usize, padded: bool) -> Result<Self, FormatError> {
        let mut inner = SegmentFileWriter::create(folder, name, FileKind::Vectors)?;
        if !(1..=DIM_MAX).contains(&dim) {
            return Err(inner.usage("dimension is not 1 to 65536"));
        }
        let stride_bytes = stride_bytes(dim, padded);
        inner.begin_block(ROWS, size_of::<f32>(), stride_bytes)?;
        Ok(Self { inner, dim, stride_bytes })
    }

    /// Appends one row of `dim` elements.
    ///
    /// # Errors
    /// [`FormatError::Usage`] for another number of elements; [`FormatError::Io`].
    pub fn push(&mut self, row: &[f32]) -> Result<(), FormatError> {
        if row.len() != self.dim {
            return Err(self.inner.usage("row does not have the dimension of the file"));
        }
        self.inner.append_row(bytemuck::cast_slice(row))
    }

    /// Appends rows that lie one after another without padding.
    ///
    /// # Errors
    /// [`FormatError::Usage`] when the number of elements is not a multiple of `dim`; [`FormatError::Io`].
    pub fn push_rows(&mut self, rows: &[f32]) -> Result<(), FormatError> {
        if !rows.len().is_multiple_of(self.dim) {
            return Err(self.inner.usage("elements are not whole rows"));
        }
        if self.stride_bytes == self.dim * size_of::<f32>() {
            return self.inner.append(rows);
        }
        rows.chunks_exact(self.dim).try_for_each(|row| self.push(row))
    }

    /// Number of rows so far.
    pub fn rows(&self) -> u64 {
        self.inner.open_rows()
    }

    /// Publishes the file.
    ///
    /// # Errors
    /// As [`SegmentFileWriter::finish`].
    pub fn finish(mut self) -> Result<FileEntry, FormatError> {
        let mut meta = Encoder::new();
        meta.u64(self.rows()).u32(self.dim as u32).u32(self.stride_bytes as u32);
        self.inner.put_slice(META, &meta.finish())?;
        self.inner.finish()
    }
}

/// A mapped file of vectors.
#[derive(Debug, Clone)]
pub struct VectorFile {
    file: SegmentFile,
    block: Block,
    rows: usize,
    dim: usize,
    stride: usize,
}

impl VectorFile {
    /// Opens and checks a file of vectors.
    ///
    /// # Errors
    /// As [`SegmentFile::open`].
    pub fn open(path: &Path, verify: Verify) -> Result<Self, FormatError> {
        Self::from_file(SegmentFile::open(path, FileKind::Vectors, verify)?)
    }

    /// As [`Self::open`], for a file whose rows are checked as they are used: by [`Self::get`] and [`Self::row`], but not by
    /// [`Self::raw`], see [`Self::ensure`].
    ///
    /// # Errors
    /// As [`SegmentFile::open_on_use`].
    pub fn open_on_use(path: &Path, health: &Arc<Health>) -> Result<Self, FormatError> {
        Self::from_file(SegmentFile::open_on_use(path, FileKind::Vectors, health)?)
    }

    /// Checks what is particular to vectors.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] and other errors about bytes.
    pub fn from_file(file: SegmentFile) -> Result<Self, FormatError> {
        file.require(FileKind::Vectors)?;
        let block = file.required(ROWS)?;
        let (rows, dim, stride) =
            file.decode(META, |input| Ok((input.u64()?, input.u32()?, input.u32()?)))?;
        let (dim, stride) = (dim as usize, stride as usize);
        let possible = [false, true].map(|padded| stride_bytes(dim, padded));
        if !(1..=DIM_MAX).contains(&dim) || !possible.contains(&stride) {
            return Err(file.malformed(&block, "impossible dimension or stride of vectors"));
        }
        if block.rows != rows || block.stride != stride as u64 || block.width as usize != size_of::<f32>() {
            return Err(file.malformed(&block, "vectors do not have the shape their meta says"));
        }
        file.elements::<f32>(&block)?;
        Ok(Self { file, block, rows: rows as usize, dim, stride: stride / size_of::<f32>() })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Returns row `row`: `dim` elements.
    ///
    /// # Panics
    /// When `row` is not below [`Self::rows`], as indexing a slice does; see [`Self::get`].
    pub fn row(&self, row: usize) -> &[f32] {
        self.get(row).expect("the row is below the number of rows")
    }

    /// Returns row `row`, or `None` when there is no such row, or it is damaged in a file that is checked as it is used: its
    /// [`Health`] knows which.
    pub fn get(&self, row: usize) -> Option<&[f32]> {
        if !self.file.is_whole() {
            self.ensure(row).ok()?;
        }
        let (elements, stride) = self.raw();
        elements.get(row.checked_mul(stride)?..)?.get(..self.dim)
    }

    /// Checks a row that will be read from [`Self::raw`], unless it was.
    ///
    /// # Errors
    /// As [`SegmentFile::ensure`].
    pub fn ensure(&self, row: usize) -> Result<(), FormatError> {
        let row = row.min(self.rows) as u64;
        self.file.ensure(&self.block, row * self.block.stride..(row + 1) * self.block.stride)
    }

    /// Returns all rows, and the distance from one to the next in elements. For inner loops: call once.
    pub fn raw(&self) -> (&[f32], usize) {
        (self.file.block_slice(&self.block).unwrap_or_default(), self.stride)
    }

    /// The file below, to advise, pin or check.
    pub fn file(&self) -> &SegmentFile {
        &self.file
    }
}

fn stride_bytes(dim: usize, padded: bool) -> usize {
    let bytes = dim * size_of::<f32>();
    if padded { bytes.next_multiple_of(ALIGNMENT_BYTES) } else { bytes }
}
