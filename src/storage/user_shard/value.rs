//! The envelope of stored values: version byte, CRC32C, payload.
//!
//! The store below checks its blocks too; this checksum catches what happens between the blocks and us, and it
//! names the row.

use super::{
    error::{Result, UserShardError},
    keys,
};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 5;

/// Wraps a payload.
pub(super) fn seal(payload: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(HEADER_BYTES + payload.len());
    value.push(VERSION);
    value.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    value.extend_from_slice(payload);
    value
}

/// Checks a value and returns its payload.
///
/// # Errors
/// What is wrong, to be completed with [`damaged`].
pub(super) fn open(value: &[u8]) -> std::result::Result<&[u8], &'static str> {
    let (header, payload) = value.split_at_checked(HEADER_BYTES).ok_or("value is too short")?;
    if header[0] != VERSION {
        return Err("value has an unknown version");
    }
    if header[1..] != crc32c::crc32c(payload).to_le_bytes() {
        return Err("checksum mismatch");
    }
    Ok(payload)
}

/// Checks a value whose payload has exactly `N` bytes.
pub(super) fn open_fixed<const N: usize>(value: &[u8]) -> std::result::Result<[u8; N], &'static str> {
    open(value)?.try_into().map_err(|_| "value has a wrong length")
}

/// The error for a damaged value, naming the row by its key.
pub(super) fn damaged(key: &[u8], what: &'static str) -> UserShardError {
    UserShardError::CorruptValue { row: keys::describe(key), what }
}

/// [`open`], with the row named.
pub(super) fn open_row<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8]> {
    open(value).map_err(|what| damaged(key, what))
}

/// A little-endian reader over a checked payload; running out is an error, never a panic.
pub(super) struct Reader<'a>(pub &'a [u8]);

macro_rules! number {
    ($($name:ident: $type:ty),*) => {
        $(pub(super) fn $name(&mut self) -> std::result::Result<$type, &'static str> {
            Ok(<$type>::from_le_bytes(self.array()?))
        })*
    };
}

impl<'a> Reader<'a> {
    pub(super) fn array<const N: usize>(&mut self) -> std::result::Result<[u8; N], &'static str> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or("value ends early")?;
        self.0 = tail;
        Ok(*head)
    }

    pub(super) fn bytes(&mut self, count: usize) -> std::result::Result<&'a [u8], &'static str> {
        let (head, tail) = self.0.split_at_checked(count).ok_or("value ends early")?;
        self.0 = tail;
        Ok(head)
    }

    number!(u8: u8, u16: u16, u32: u32, u64: u64, i32: i32);

    /// A string with its length in a `u16` before it.
    pub(super) fn text(&mut self) -> std::result::Result<&'a str, &'static str> {
        let length = self.u16()?;
        std::str::from_utf8(self.bytes(length.into())?).map_err(|_| "text is not UTF-8")
    }

    pub(super) fn end(self) -> std::result::Result<(), &'static str> {
        if self.0.is_empty() { Ok(()) } else { Err("value is too long") }
    }
}

/// Appends what [`Reader::text`] reads; longer strings are cut at a character.
pub(super) fn put_text(payload: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(usize::from(u16::MAX))];
    let length = u16::try_from(text.len()).expect("cut to fit");
    payload.extend_from_slice(&length.to_le_bytes());
    payload.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_value_is_noticed() {
        let value = seal(b"history");
        assert_eq!(open(&value), Ok(b"history".as_slice()));
        for bit in 0..value.len() * 8 {
            let mut damaged = value.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&damaged).is_err(), "bit {bit}");
        }
        for length in 0..value.len() {
            assert!(open(&value[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn a_reader_reports_the_end_instead_of_panicking() {
        let mut payload = Vec::new();
        put_text(&mut payload, "täglich");
        let mut reader = Reader(&payload);
        assert_eq!(reader.text(), Ok("täglich"));
        assert_eq!(reader.u8(), Err("value ends early"));
        assert_eq!(Reader(&payload[..4]).text(), Err("value ends early"));
    }
}
