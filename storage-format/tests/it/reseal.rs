//! A second, independent reading of FORMAT.md: recomputes every checksum of a file whose bytes were changed, so that
//! readers meet wrong content behind right checksums.

use segue_storage_format::{Checksum, container::CHUNK_BYTES};

const HEADER: usize = 64;
const ENTRY: usize = 64;

fn u64_at(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
}

fn put(bytes: &mut [u8], at: usize, checksum: Checksum) {
    bytes[at..at + 4].copy_from_slice(&checksum.raw().to_le_bytes());
}

/// Where blocks (with their padding) and their checksums are.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Per block: offset, padded length, offset of its checksums.
    pub blocks: Vec<(usize, usize, usize)>,
    /// Where the directory starts.
    pub directory: usize,
    /// Where the trailer starts.
    pub trailer: usize,
}

impl Layout {
    /// Reads the layout of a sound file.
    pub fn of(bytes: &[u8]) -> Self {
        let trailer = bytes.len() - HEADER;
        let count = u32::from_le_bytes(bytes[trailer + 8..trailer + 12].try_into().unwrap()) as usize;
        let directory = u64_at(bytes, trailer + 24);
        let block = |index| {
            let entry = directory + index * ENTRY;
            (
                u64_at(bytes, entry + 32),
                u64_at(bytes, entry + 40).next_multiple_of(64),
                u64_at(bytes, entry + 48),
            )
        };
        Self { blocks: (0..count).map(block).collect(), directory, trailer }
    }

    /// Makes every checksum right for the bytes as they are.
    pub fn reseal(&self, bytes: &mut [u8]) {
        for &(offset, length, checksums) in &self.blocks {
            for (index, start) in (offset..offset + length).step_by(CHUNK_BYTES).enumerate() {
                let end = (offset + length).min(start + CHUNK_BYTES);
                let checksum = Checksum::of(&bytes[start..end]);
                put(bytes, checksums + index * 4, checksum);
            }
        }
        self.reseal_ends(bytes);
    }

    /// Makes the checksums of header, directory and trailer right.
    pub fn reseal_ends(&self, bytes: &mut [u8]) {
        let header = Checksum::of(&bytes[..HEADER - 4]);
        put(bytes, HEADER - 4, header);
        let directory = Checksum::of(&bytes[..HEADER]).extend(&bytes[self.directory..self.trailer]);
        put(bytes, self.trailer + 56, directory);
        let trailer = Checksum::of(&bytes[self.trailer..self.trailer + 60]);
        put(bytes, self.trailer + 60, trailer);
    }
}
