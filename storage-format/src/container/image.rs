//! The bytes of an open file: mapped, read into memory, or copied from bytes that were in memory already.

use std::{io, ops::Range, path::Path};

use bytemuck::{Pod, Zeroable};

use crate::{container::ALIGNMENT_BYTES, error::FormatError, mmap::MappedFile, resident::ResidentBytes};

/// One cache line, for its alignment.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Line([u8; ALIGNMENT_BYTES]);

const _: () = assert!(size_of::<Line>() == ALIGNMENT_BYTES && align_of::<Line>() == ALIGNMENT_BYTES);

/// Where the bytes of an open file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Residence {
    /// Mapped: in memory as far as the kernel has room. For what is larger than memory, or read from front to back.
    #[default]
    Mapped,
    /// Read into memory of the process, on huge pages where there are some. For what every search jumps through.
    Memory,
}

#[derive(Debug)]
pub(crate) enum Image {
    Mapped(MappedFile),
    Resident(ResidentBytes),
    Copied { lines: Vec<Line>, length: usize },
}

impl Image {
    pub(crate) fn open(path: &Path, residence: Residence) -> Result<Self, FormatError> {
        match residence {
            Residence::Mapped => MappedFile::open(path).map(Self::Mapped),
            Residence::Memory => ResidentBytes::read(path).map(Self::Resident),
        }
    }

    pub(crate) fn copy(bytes: &[u8]) -> Self {
        let mut lines = vec![Line::zeroed(); bytes.len().div_ceil(ALIGNMENT_BYTES)];
        bytemuck::cast_slice_mut::<Line, u8>(&mut lines)[..bytes.len()].copy_from_slice(bytes);
        Self::Copied { lines, length: bytes.len() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(file) => file.bytes(),
            Self::Resident(bytes) => bytes.bytes(),
            Self::Copied { lines, length } => &bytemuck::cast_slice(lines)[..*length],
        }
    }

    /// Reads `range` for checking: through the file handle where there is one, so that an error of the
    /// device is an error and not a signal.
    pub(crate) fn read<'a>(&'a self, range: Range<u64>, buffer: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
        match self {
            Self::Mapped(file) => {
                buffer.resize(length, 0);
                file.read_at(range.start, buffer)?;
                Ok(buffer)
            }
            Self::Resident(_) | Self::Copied { .. } => {
                let start = usize::try_from(range.start).map_err(io::Error::other)?;
                let bytes = self.bytes().get(start..start.saturating_add(length));
                bytes.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }
        }
    }
}
