//! Opaque bytes of an upper layer, with its schema version: small state that has no file kind of its own.
//!
//! Blocks: `meta` = schema u32, zero u32; `payload` = the bytes, 64-byte aligned (enough for rkyv).

use std::path::Path;

use crate::{
    codec::Encoder,
    container::{Block, FileKind, SegmentFile, SegmentFileWriter, Verify},
    error::FormatError,
    manifest::FileEntry,
};

const META: &str = "meta";
const PAYLOAD: &str = "payload";

/// Publishes bytes with the caller's schema version.
///
/// # Errors
/// As [`SegmentFileWriter::finish`].
pub fn write_blob(folder: &Path, name: &str, schema: u32, payload: &[u8]) -> Result<FileEntry, FormatError> {
    let mut file = SegmentFileWriter::create(folder, name, FileKind::Blob)?;
    let mut meta = Encoder::new();
    meta.u32(schema).u32(0);
    file.put_slice(META, &meta.finish())?;
    file.put_slice(PAYLOAD, payload)?;
    file.finish()
}

/// A mapped blob.
#[derive(Debug, Clone)]
pub struct BlobFile {
    file: SegmentFile,
    schema: u32,
    payload: Block,
}

impl BlobFile {
    /// Opens and checks a blob.
    ///
    /// # Errors
    /// As [`SegmentFile::open`].
    pub fn open(path: &Path, verify: Verify) -> Result<Self, FormatError> {
        Self::from_file(SegmentFile::open(path, FileKind::Blob, verify)?)
    }

    /// Checks what is particular to blobs.
    ///
    /// # Errors
    /// Errors about bytes.
    pub fn from_file(file: SegmentFile) -> Result<Self, FormatError> {
        file.require(FileKind::Blob)?;
        let (schema, zero) = file.decode(META, |input| Ok((input.u32()?, input.u32()?)))?;
        let payload = file.required(PAYLOAD)?;
        if zero != 0 || payload.width != 1 {
            return Err(file.malformed(&payload, "blob has unknown bits"));
        }
        Ok(Self { file, schema, payload })
    }

    /// The caller's schema version.
    pub fn schema(&self) -> u32 {
        self.schema
    }

    /// The bytes, when their schema is not newer than the caller's.
    ///
    /// # Errors
    /// [`FormatError::NewerVersion`].
    pub fn payload_up_to(&self, known_schema: u32) -> Result<&[u8], FormatError> {
        if self.schema > known_schema {
            return Err(FormatError::NewerVersion {
                file: self.file.path().to_path_buf(),
                what: "schema of this blob",
                found: self.schema,
                known: known_schema,
            });
        }
        Ok(self.payload())
    }

    /// The bytes, whatever their schema.
    pub fn payload(&self) -> &[u8] {
        self.file.block_bytes(&self.payload)
    }

    /// The file below.
    pub fn file(&self) -> &SegmentFile {
        &self.file
    }
}
