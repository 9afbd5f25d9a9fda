//! Files whose chunks are checked when they are first used, and all of them by and by: a start need not read everything, and still
//! no byte is used that is not as it was written.

use std::{
    ops::Range,
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::{
    checksum::Checksum,
    container::{
        Block, CHUNK_BYTES, FileKind, Residence, SegmentFile,
        image::Image,
        scan::Piece,
        table::{CHECKSUM_BYTES, ENTRY_BYTES},
    },
    error::FormatError,
    resident::ResidentBytes,
};

/// What was found damaged in the files that share it. Readers that cannot return an error report here, and whoever gives their
/// answer away asks first.
#[derive(Debug, Default)]
pub struct Health(OnceLock<String>);

impl Health {
    /// The first damage that was found.
    pub fn damage(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// Notes damage; the first stays.
    pub fn note(&self, what: String) {
        self.0.get_or_init(|| what);
    }
}

/// What is known of the chunks of a file that is checked as it is used.
#[derive(Debug)]
pub(super) struct OnUse {
    health: Arc<Health>,
    /// A bit for each chunk, in file order: it was read, and is as it was written.
    good: Box<[AtomicU64]>,
    /// Chunks without their bit.
    left: AtomicU64,
    whole: AtomicBool,
    /// The whole file in memory of the process's own, once it was brought there.
    resident: OnceLock<ResidentBytes>,
}

impl OnUse {
    fn is_good(&self, chunk: usize) -> bool {
        self.good.get(chunk / 64).is_some_and(|word| word.load(Ordering::Acquire) >> (chunk % 64) & 1 == 1)
    }

    fn set_good(&self, chunk: usize) {
        let bit = 1 << (chunk % 64);
        let before = self.good.get(chunk / 64).map_or(bit, |word| word.fetch_or(bit, Ordering::AcqRel));
        if before & bit == 0 && self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.whole.store(true, Ordering::Release);
        }
    }

    pub(super) fn resident(&self) -> Option<&[u8]> {
        self.resident.get().map(ResidentBytes::bytes)
    }
}

impl SegmentFile {
    /// Opens and maps a file and checks its structure, as with [`super::Verify::Structure`]. Each chunk is checked when it is first asked for
    /// through [`Self::ensure`]; what the readers of the kinds of files do, where their own documentation does not say
    /// otherwise. Damage is also reported to `health`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on_use(path: &Path, kind: FileKind, health: &Arc<Health>) -> Result<Self, FormatError> {
        let image = Image::open(path, Residence::Mapped)?;
        let mut inner = Self::check_structure(path, image, Some(kind))?;
        let chunks: u64 = inner.blocks.iter().map(Block::chunk_count).sum();
        inner.on_use = Some(OnUse {
            health: Arc::clone(health),
            good: (0..chunks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            left: AtomicU64::new(chunks),
            whole: AtomicBool::new(chunks == 0),
            resident: OnceLock::new(),
        });
        Ok(Self::from_inner(inner))
    }

    /// Whether nothing is left to be checked by [`Self::ensure`]: always, unless the file was opened by [`Self::open_on_use`].
    #[inline]
    pub fn is_whole(&self) -> bool {
        self.inner().on_use.as_ref().is_none_or(|on_use| on_use.whole.load(Ordering::Acquire))
    }

    /// Checks the chunks that hold `bytes` of a block, unless they were. Cost: two loads once the file is whole.
    ///
    /// # Errors
    /// [`FormatError::Checksum`]; [`FormatError::Io`].
    #[inline]
    pub fn ensure(&self, block: &Block, bytes: Range<u64>) -> Result<(), FormatError> {
        if self.is_whole() { Ok(()) } else { self.ensure_chunks(block, bytes) }
    }

    /// As [`Self::ensure`], of a whole block.
    ///
    /// # Errors
    /// As [`Self::ensure`].
    pub fn ensure_block(&self, block: &Block) -> Result<(), FormatError> {
        self.ensure(block, 0..block.length)
    }

    /// As [`Self::ensure`], of the whole file.
    ///
    /// # Errors
    /// As [`Self::ensure`].
    pub fn ensure_all(&self) -> Result<(), FormatError> {
        self.blocks().iter().try_for_each(|block| self.ensure_block(block))
    }

    fn ensure_chunks(&self, block: &Block, bytes: Range<u64>) -> Result<(), FormatError> {
        let Some(on_use) = &self.inner().on_use else { return Ok(()) };
        let before = self.blocks().iter().take_while(|other| other.offset < block.offset);
        let first = before.map(Block::chunk_count).sum::<u64>() as usize;
        let chunk = CHUNK_BYTES as u64;
        let mut buffer = Vec::new();
        for at in bytes.start / chunk..bytes.end.min(block.length).div_ceil(chunk) {
            let index = first + at as usize;
            if on_use.is_good(index) {
                continue;
            }
            let (range, start) = (block.padded_range(), block.offset + at * chunk);
            let stored = self.chunk_checksum(index);
            let piece =
                Piece { range: start..range.end.min(start + chunk), chunk: Some((block.tag, stored)) };
            if let Some(damaged) = self.check_piece(&piece, &mut buffer, &mut |_| {}) {
                return Err(self.report(damaged.into_error(self)));
            }
            on_use.set_good(index);
        }
        Ok(())
    }

    /// Has the health that the file was opened with know of an error of it.
    pub fn report(&self, error: FormatError) -> FormatError {
        let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        self.note(format!("{error}{cause}"));
        error
    }

    /// The same of damage that only whoever knows the content sees.
    pub fn note(&self, what: String) {
        if let Some(on_use) = &self.inner().on_use {
            on_use.health.note(what);
        }
    }

    /// Reads a file that was opened by [`Self::open_on_use`] from front to back, checks it, and with [`Residence::Memory`] keeps it in
    /// memory; readers use that from then on. `goes_on` is called with the bytes of each piece, 64 KiB at most, and says whether to go
    /// on. Returns whether it came to the end. Does nothing for other files.
    ///
    /// # Errors
    /// As [`Self::ensure`]; [`FormatError::Io`] also when the system refuses the memory.
    pub fn bring_in(
        &self,
        residence: Residence,
        goes_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<bool, FormatError> {
        let Some(on_use) = &self.inner().on_use else { return Ok(true) };
        let mut memory = match residence {
            Residence::Mapped => None,
            Residence::Memory => Some(ResidentBytes::zeroed(self.path(), self.len())?),
        };
        let (mut buffer, mut chunk) = (Vec::new(), 0);
        for piece in self.pieces() {
            let range = piece.range.start as usize..piece.range.end as usize;
            let mut keep = |bytes: &[u8]| {
                if let Some(memory) = &mut memory {
                    memory.bytes_mut()[range.clone()].copy_from_slice(bytes);
                }
            };
            if let Some(damaged) = self.check_piece(&piece, &mut buffer, &mut keep) {
                return Err(self.report(damaged.into_error(self)));
            }
            if piece.chunk.is_some() {
                on_use.set_good(chunk);
                chunk += 1;
            }
            if !goes_on(piece.range.end - piece.range.start) {
                return Ok(false);
            }
        }
        if let Some(memory) = memory {
            on_use.resident.get_or_init(|| memory);
            if let Image::Mapped(file) = self.image() {
                // What was searched meanwhile would be in memory twice. Where the system does not want to, it is.
                let _ = file.give_back();
            }
        }
        Ok(true)
    }

    /// The stored checksum of a chunk, counted in file order.
    fn chunk_checksum(&self, chunk: usize) -> Checksum {
        let directory = self.directory_range();
        let at = directory.start as usize + self.blocks().len() * ENTRY_BYTES + chunk * CHECKSUM_BYTES;
        let raw = self.image().bytes().get(at..).and_then(|bytes| bytes.first_chunk());
        Checksum::from_raw(raw.map_or(0, |raw| u32::from_le_bytes(*raw)))
    }
}
