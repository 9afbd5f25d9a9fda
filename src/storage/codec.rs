//! Versioned envelopes of log entries and replies: `[version u16 LE][14 zero bytes][rkyv]`, checked when read.

use rkyv::api::high::{HighDeserializer, HighSerializer, HighValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Error as RkyvError;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};

use crate::error::{Error, Result};

/// Bytes before the payload: keeps it 16-byte aligned in a 16-byte aligned buffer.
const HEADER_BYTES: usize = 16;

/// How [`decode`] calls bytes that are no such value.
const UNREADABLE: &str = "a log entry cannot be read: ";

/// Whether an error says that [`decode`] could not read bytes: to a node of before, what it does not know is unreadable.
#[must_use]
pub fn is_unreadable(error: &Error) -> bool {
    matches!(error, Error::Corrupt(reason) if reason.starts_with(UNREADABLE))
}

/// Writes a value behind its version.
pub fn encode<T>(version: u16, value: &T) -> Result<Vec<u8>>
where
    T: for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, RkyvError>>,
{
    let payload = rkyv::to_bytes::<RkyvError>(value)
        .map_err(|error| Error::Internal(format!("a log entry cannot be written: {error}")))?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.resize(HEADER_BYTES, 0);
    bytes.extend_from_slice(&payload);
    Ok(bytes)
}

/// The version that bytes say they are of.
///
/// # Errors
/// `Corrupt` when they are too short to say.
pub fn version(bytes: &[u8]) -> Result<u16> {
    let header = bytes.first_chunk::<HEADER_BYTES>();
    let header =
        header.ok_or_else(|| Error::Corrupt(format!("a log entry is too short. bytes=`{}`", bytes.len())))?;
    Ok(u16::from_le_bytes([header[0], header[1]]))
}

/// Reads a value of at most version `known`.
///
/// # Errors
/// `Unavailable` for a newer version (upgrade this program), `Corrupt` for bytes that are not such a value.
pub fn decode<T>(known: u16, bytes: &[u8]) -> Result<T>
where
    T: Archive,
    T::Archived:
        for<'a> CheckBytes<HighValidator<'a, RkyvError>> + Deserialize<T, HighDeserializer<RkyvError>>,
{
    let (version, payload) = (version(bytes)?, &bytes[HEADER_BYTES..]);
    if version > known {
        return Err(Error::Unavailable(format!(
            "a log entry was written by a newer program: upgrade this one. version=`{version}`, known=`{known}`"
        )));
    }
    let mut aligned = AlignedVec::<16>::with_capacity(payload.len());
    aligned.extend_from_slice(payload);
    rkyv::from_bytes::<T, RkyvError>(&aligned).map_err(|error| Error::Corrupt(format!("{UNREADABLE}{error}")))
}
