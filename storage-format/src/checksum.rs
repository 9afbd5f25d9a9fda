//! The two checksums: CRC-32C for damage, BLAKE3 for identity.

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};

/// CRC-32C (Castagnoli) of some bytes. Finds damage; says nothing about intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checksum(u32);

impl Checksum {
    /// Returns the checksum of `bytes`. Uses the processor's instruction where it has one.
    pub fn of(bytes: &[u8]) -> Self {
        Self(crc32c::crc32c(bytes))
    }

    /// Returns the checksum of everything so far followed by `bytes`.
    #[must_use]
    pub fn extend(self, bytes: &[u8]) -> Self {
        Self(crc32c::crc32c_append(self.0, bytes))
    }

    /// Makes a checksum from its stored number.
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// Returns the number to store.
    pub const fn raw(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// BLAKE3 of all bytes of a file: what makes two files the same file. Prints as `b3sum` does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub struct ContentId([u8; 32]);

impl ContentId {
    /// Returns the content id of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Makes a content id from its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentId({self})")
    }
}

/// Computes a [`ContentId`] over bytes that arrive in pieces, as when a file comes over the network.
#[derive(Default)]
pub struct ContentHasher(blake3::Hasher);

impl ContentHasher {
    /// Starts with no bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next bytes, in file order.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the id of everything added.
    pub fn finish(&self) -> ContentId {
        ContentId(*self.0.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_is_castagnoli() {
        // The check value of CRC-32C, RFC 3720 B.4 family.
        assert_eq!(Checksum::of(b"123456789").raw(), 0xE306_9283);
        assert_eq!(Checksum::default().extend(b"1234").extend(b"56789"), Checksum::of(b"123456789"));
    }

    #[test]
    fn content_id_prints_as_blake3() {
        let id = ContentId::of(b"");
        assert_eq!(id.to_string(), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
        let mut hasher = ContentHasher::new();
        hasher.update(b"ab");
        hasher.update(b"c");
        assert_eq!(hasher.finish(), ContentId::of(b"abc"));
    }
}
