//! Checking the bytes of an open file, piece by piece, in file order.

use std::{io, ops::Range};

use crate::{
    checksum::Checksum,
    container::{CHUNK_BYTES, SegmentFile, Tag, header::HEADER_BYTES},
    error::FormatError,
};

/// What is wrong with a chunk.
#[derive(Debug)]
pub enum ChunkFault {
    /// Its bytes do not match their checksum.
    Checksum {
        /// As stored when the file was written.
        stored: Checksum,
        /// Of the bytes as they are now.
        computed: Checksum,
    },
    /// It cannot be read.
    Io(io::Error),
}

/// A piece of at most 64 KiB that is not as it was written.
#[derive(Debug)]
pub struct DamagedChunk {
    /// The block it belongs to; `None` for header, directory and trailer.
    pub tag: Option<Tag>,
    /// Where, from the start of the file.
    pub range: Range<u64>,
    /// What is wrong.
    pub fault: ChunkFault,
}

impl DamagedChunk {
    pub(crate) fn into_error(self, file: &SegmentFile) -> FormatError {
        match self.fault {
            ChunkFault::Io(source) => FormatError::io(file.path(), "read", source),
            ChunkFault::Checksum { .. } => FormatError::Checksum {
                file: file.path().to_path_buf(),
                what: "block",
                offset: self.range.start,
            },
        }
    }
}

/// One piece of a file. All pieces in order are the whole file.
pub(crate) struct Piece {
    pub(crate) range: Range<u64>,
    /// Tag and stored checksum of a chunk; the other pieces are checked at open.
    pub(crate) chunk: Option<(Tag, Checksum)>,
}

impl SegmentFile {
    /// Checks the stored checksum of every chunk that overlaps `range` (file offsets); returns the damaged
    /// ones, in file order. Reads through the file handle. Call with `0..len()` for all, or with slices of that
    /// to verify in the background at a chosen pace.
    pub fn check_chunks(&self, range: Range<u64>) -> Vec<DamagedChunk> {
        let mut buffer = Vec::new();
        let overlaps = |piece: &Piece| piece.range.start < range.end && range.start < piece.range.end;
        self.pieces()
            .filter(overlaps)
            .filter_map(|piece| self.check_piece(&piece, &mut buffer, &mut |_| {}))
            .collect()
    }

    /// Reads one piece, shows its bytes to `seen`, and checks it.
    pub(crate) fn check_piece(
        &self,
        piece: &Piece,
        buffer: &mut Vec<u8>,
        seen: &mut dyn FnMut(&[u8]),
    ) -> Option<DamagedChunk> {
        let tag = piece.chunk.map(|(tag, _)| tag);
        let damaged = |fault| Some(DamagedChunk { tag, range: piece.range.clone(), fault });
        match self.image().read(piece.range.clone(), buffer) {
            Err(source) => damaged(ChunkFault::Io(source)),
            Ok(bytes) => {
                seen(bytes);
                let computed = Checksum::of(bytes);
                match piece.chunk {
                    Some((_, stored)) if stored != computed => {
                        damaged(ChunkFault::Checksum { stored, computed })
                    }
                    _ => None,
                }
            }
        }
    }

    /// Every piece of the file, in order: header, chunks, directory, trailer.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        let plain = |range| Piece { range, chunk: None };
        let directory = self.directory_range();
        let header = plain(0..HEADER_BYTES as u64);
        let end = [plain(directory.clone()), plain(directory.end..self.len())];
        let mut checksums = self.chunk_checksums();
        let chunks = self.blocks().iter().flat_map(move |block| {
            let range = block.padded_range();
            let own: Vec<_> = checksums.by_ref().take(block.chunk_count() as usize).collect();
            let starts = range.clone().step_by(CHUNK_BYTES);
            starts.zip(own).map(move |(start, stored)| Piece {
                range: start..range.end.min(start + CHUNK_BYTES as u64),
                chunk: Some((block.tag, stored)),
            })
        });
        std::iter::once(header).chain(chunks).chain(end)
    }
}
