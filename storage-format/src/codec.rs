//! Bounds-checked little-endian reads and writes for small encoded blocks.
//!
//! Large arrays are never decoded: they are mapped and viewed in place. This is for the few hundred bytes
//! of meta beside them. Text is `u16` length and UTF-8 bytes.

/// Why a small block could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The block ends before the value does.
    #[error("block ends early. offset=`{at}`, needed bytes=`{needed}`, left bytes=`{left}`")]
    Short {
        /// Offset in the block.
        at: usize,
        /// Bytes the value takes.
        needed: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// Text is not UTF-8.
    #[error("text is not utf-8. offset=`{at}`")]
    Utf8 {
        /// Offset in the block.
        at: usize,
    },
    /// Bytes follow the last value.
    #[error("block has bytes after its last value. offset=`{at}`, left bytes=`{left}`")]
    Trailing {
        /// Offset in the block.
        at: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// A value is impossible.
    #[error("{what}. offset=`{at}`")]
    Value {
        /// Offset just after the value.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
}

/// Reads values from the front of a byte slice; every read is checked.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Takes the next `count` bytes.
    ///
    /// # Errors
    /// [`CodecError::Short`] when fewer are left.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let left = self.bytes.len() - self.at;
        let taken = self.bytes.get(self.at..self.at.saturating_add(count)).ok_or(CodecError::Short {
            at: self.at,
            needed: count,
            left,
        })?;
        self.at += count;
        Ok(taken)
    }

    /// Takes the next `N` bytes as an array.
    ///
    /// # Errors
    /// [`CodecError::Short`] when fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    /// Takes one byte.
    ///
    /// # Errors
    /// [`CodecError::Short`] when none is left.
    pub fn u8(&mut self) -> Result<u8, CodecError> {
        Ok(self.array::<1>()?[0])
    }

    /// Takes a `u16`.
    ///
    /// # Errors
    /// [`CodecError::Short`] when fewer than 2 bytes are left.
    pub fn u16(&mut self) -> Result<u16, CodecError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Takes a `u32`.
    ///
    /// # Errors
    /// [`CodecError::Short`] when fewer than 4 bytes are left.
    pub fn u32(&mut self) -> Result<u32, CodecError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Takes a `u64`.
    ///
    /// # Errors
    /// [`CodecError::Short`] when fewer than 8 bytes are left.
    pub fn u64(&mut self) -> Result<u64, CodecError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Takes an `f32`. Any bit pattern is accepted, NaN included.
    ///
    /// # Errors
    /// [`CodecError::Short`] when fewer than 4 bytes are left.
    pub fn f32(&mut self) -> Result<f32, CodecError> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    /// Takes text: `u16` length, then UTF-8.
    ///
    /// # Errors
    /// [`CodecError::Short`] or [`CodecError::Utf8`].
    pub fn text(&mut self) -> Result<&'a str, CodecError> {
        let length = self.u16()?;
        let at = self.at;
        std::str::from_utf8(self.bytes(usize::from(length))?).map_err(|_| CodecError::Utf8 { at })
    }

    /// Makes the error for a value just read that cannot be.
    pub fn bad_value(&self, what: &'static str) -> CodecError {
        CodecError::Value { at: self.at, what }
    }

    /// Ends the decoding.
    ///
    /// # Errors
    /// [`CodecError::Trailing`] when bytes are left.
    pub fn finish(self) -> Result<(), CodecError> {
        let left = self.bytes.len() - self.at;
        if left == 0 { Ok(()) } else { Err(CodecError::Trailing { at: self.at, left }) }
    }
}

/// Writes what [`Decoder`] reads.
#[derive(Debug, Clone, Default)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// Starts empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    /// Appends a `u16`.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends a `u32`.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends a `u64`.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends an `f32`.
    pub fn f32(&mut self, value: f32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends text.
    ///
    /// # Errors
    /// [`CodecError::Value`] when the text is longer than 65,535 bytes.
    pub fn text(&mut self, text: &str) -> Result<&mut Self, CodecError> {
        let length = u16::try_from(text.len())
            .map_err(|_| CodecError::Value { at: self.0.len(), what: "text is longer than 65535 bytes" })?;
        Ok(self.u16(length).bytes(text.as_bytes()))
    }

    /// Returns the bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn values_come_back_and_every_cut_is_short() {
        let mut out = Encoder::new();
        out.u8(7).u16(0x0102).u32(3).u64(u64::MAX).f32(-1.5).text("né").unwrap();
        let bytes = out.finish();
        let mut input = Decoder::new(&bytes);
        assert_eq!(input.u8().unwrap(), 7);
        assert_eq!(input.u16().unwrap(), 0x0102);
        assert_eq!(input.u32().unwrap(), 3);
        assert_eq!(input.u64().unwrap(), u64::MAX);
        assert_eq!(input.f32().unwrap(), -1.5);
        assert_eq!(input.text().unwrap(), "né");
        input.finish().unwrap();

        let mut short = Decoder::new(&bytes[..2]);
        short.u8().unwrap();
        assert_eq!(short.u16(), Err(CodecError::Short { at: 1, needed: 2, left: 1 }));
        assert_eq!(short.bytes(usize::MAX), Err(CodecError::Short { at: 1, needed: usize::MAX, left: 1 }));
        assert_eq!(short.finish(), Err(CodecError::Trailing { at: 1, left: 1 }));
    }

    #[test]
    fn text_that_is_not_utf8_is_refused() {
        assert_eq!(Decoder::new(&[1, 0, 0xff]).text(), Err(CodecError::Utf8 { at: 2 }));
        assert!(Encoder::new().text(&"x".repeat(65_536)).is_err());
    }
}
