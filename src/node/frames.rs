//! Frames of an append-only file: what was pushed, whole, or a torn end.
//!
//! ```text
//! frame: "SGST" | payload bytes u32 | crc32c of payload u32 | crc32c of (position u64, the 12 bytes before) u32 | payload
//! ```
//!
//! Numbers are little-endian. Every frame is durable before the next one is begun, so a bad frame with the head of a good
//! one behind it is damage; a bad frame with none behind it is a write that a crash cut short. (Damage in the very last
//! frame looks the same: it is dropped, too, and said.)

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

const MAGIC: [u8; 4] = *b"SGST";
const HEAD_BYTES: usize = 16;

/// Turns an error of the system into the library's.
pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| match source.kind() {
        std::io::ErrorKind::StorageFull => Error::DiskFull { path },
        _ => Error::Io { action: action.into(), path, source },
    }
}

/// Whether a file starts as these files do.
pub(super) fn is_framed(start: &[u8]) -> bool {
    start.starts_with(&MAGIC)
}

fn head(at: u64, payload: &[u8], length: u32) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(&MAGIC);
    head[4..8].copy_from_slice(&length.to_le_bytes());
    head[8..12].copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    let check = head_check(at, &head);
    head[12..].copy_from_slice(&check);
    head
}

fn head_check(at: u64, head: &[u8; HEAD_BYTES]) -> [u8; 4] {
    crc32c::crc32c_append(crc32c::crc32c(&at.to_le_bytes()), &head[..12]).to_le_bytes()
}

/// Payload bytes and checksum of the head at a position; `None` when it is not one.
fn parse_head(at: u64, head: &[u8; HEAD_BYTES]) -> Option<(u32, u32)> {
    let number =
        |from: usize| u32::from_le_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]]);
    (head[..4] == MAGIC && head[12..] == head_check(at, head)).then(|| (number(4), number(8)))
}

/// Appends a frame at the position of `file`, which is its end, and makes it durable.
///
/// # Errors
/// Disk errors; some of it may be written then.
pub(super) fn append(file: &mut File, path: &Path, payload: &[u8]) -> Result<()> {
    let length = u32::try_from(payload.len())
        .map_err(|_| Error::invalid("batch", "too many rows at once: send fewer"))?;
    let mut write = || {
        let at = file.stream_position()?;
        file.write_all(&head(at, payload, length))?;
        file.write_all(payload)?;
        file.sync_data()
    };
    write().map_err(io("writing staged rows", path))
}

/// Reads frames until the end or the first bad one.
pub(super) struct Frames {
    path: PathBuf,
    file: BufReader<File>,
    /// Bytes of whole frames read so far.
    pub good_bytes: u64,
    /// Where the newest frame began, whole or not.
    pub last_start: u64,
    /// Bytes of the file when it was opened.
    pub file_bytes: u64,
}

impl Frames {
    /// Starts at the first frame of `file`.
    pub fn new(path: &Path, file: File) -> Result<Self> {
        let file_bytes = file.metadata().map_err(io("reading staged rows", path))?.len();
        let mut file = BufReader::with_capacity(1 << 20, file);
        file.seek(SeekFrom::Start(0)).map_err(io("reading staged rows", path))?;
        Ok(Self { path: path.to_owned(), file, good_bytes: 0, last_start: 0, file_bytes })
    }

    /// The next payload; `None` at the end, or where a torn frame begins ([`Frames::torn_bytes`] tells).
    ///
    /// # Errors
    /// `Corrupt` with path and offset for a bad frame that a later one follows; disk errors.
    pub fn next_payload(&mut self) -> Result<Option<Vec<u8>>> {
        let failed = io("reading staged rows", &self.path);
        self.last_start = self.good_bytes;
        match self.read_frame() {
            Ok(Some(payload)) => {
                self.good_bytes += (HEAD_BYTES + payload.len()) as u64;
                Ok(Some(payload))
            }
            Ok(None) => {
                if self.is_followed().map_err(failed)? {
                    return Err(damaged(&self.path, self.good_bytes, "frame is damaged, whole ones follow"));
                }
                Ok(None)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Bytes behind the last whole frame.
    pub fn torn_bytes(&self) -> u64 {
        self.file_bytes.saturating_sub(self.good_bytes)
    }

    /// The frame at the current position, `None` when there is no whole one.
    fn read_frame(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let left = self.torn_bytes();
        if left < HEAD_BYTES as u64 {
            return Ok(None);
        }
        let mut head = [0; HEAD_BYTES];
        self.file.read_exact(&mut head)?;
        let Some((length, crc)) = parse_head(self.good_bytes, &head) else { return Ok(None) };
        if u64::from(length) > left - HEAD_BYTES as u64 {
            return Ok(None);
        }
        let mut payload = vec![0; length as usize];
        self.file.read_exact(&mut payload)?;
        Ok((crc32c::crc32c(&payload) == crc).then_some(payload))
    }

    /// Whether the head of a frame lies anywhere behind the bad one.
    fn is_followed(&mut self) -> std::io::Result<bool> {
        let mut at = self.good_bytes + 1;
        self.file.seek(SeekFrom::Start(at))?;
        let mut window = [0; HEAD_BYTES];
        if at + HEAD_BYTES as u64 > self.file_bytes {
            return Ok(false);
        }
        self.file.read_exact(&mut window)?;
        loop {
            if window[..4] == MAGIC && parse_head(at, &window).is_some() {
                return Ok(true);
            }
            if at + HEAD_BYTES as u64 >= self.file_bytes {
                return Ok(false);
            }
            window.copy_within(1.., 0);
            self.file.read_exact(&mut window[HEAD_BYTES - 1..])?;
            at += 1;
        }
    }
}

/// The error for a damaged file.
pub(super) fn damaged(path: &Path, offset: u64, what: &str) -> Error {
    Error::Corrupt(format!(
        "staged rows are damaged ({what}): remove the file and load again. path=`{}`, offset=`{offset}`",
        path.display()
    ))
}
