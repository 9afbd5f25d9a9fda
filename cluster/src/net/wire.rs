//! A connection of its own between two nodes, beside gRPC: frames one after another, each behind its length.
//!
//! ```text
//! who connects    "SEGUE-L1", then a frame that has only a header
//! who listens     one byte, 1; it says nothing else, ever
//! who connects    frames: length (4 bytes, little-endian), then a `RaftFrame`
//! ```
//!
//! The sockets do not block. What the system does not take at once waits in a buffer, up to a limit.

use std::io::{self, Read, Write};

use bytes::{Buf, BytesMut};
use mio::net::TcpStream;
use prost::Message as _;

use super::frame::WIRE_BYTES_MAX;
use super::proto as pb;
use crate::edge::Refused;

/// What a connection of this kind begins with. HTTP/2 begins with another letter.
pub(super) const PREFACE: [u8; 8] = *b"SEGUE-L1";
/// The listener's only byte.
pub(super) const ACCEPTED: u8 = 1;
/// Bytes that may wait for a socket; a frame more may be in them.
const UNSENT_BYTES_MAX: usize = 32 << 20;
/// Bytes taken from one socket in one turn; the rest is taken in the next.
const TURN_BYTES: usize = 8 << 20;
/// Bytes asked of the system at once.
pub(super) const READ_BYTES: usize = 256 << 10;

/// A frame behind its length.
pub(super) fn encode(frame: &pb::RaftFrame) -> Vec<u8> {
    let length = frame.encoded_len();
    let mut bytes = Vec::with_capacity(4 + length);
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    frame.encode_raw(&mut bytes);
    bytes
}

/// The end that is written to.
pub(super) struct Writing {
    stream: TcpStream,
    unsent: BytesMut,
}

impl Writing {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, unsent: BytesMut::new() }
    }

    /// Sends a frame behind those before it; `false`: it was not taken, because too much waits.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn push(&mut self, frame: &[u8]) -> io::Result<bool> {
        if self.unsent.len() >= UNSENT_BYTES_MAX {
            return Ok(false);
        }
        let sent = if self.unsent.is_empty() { write_some(&mut self.stream, frame)? } else { 0 };
        self.unsent.extend_from_slice(&frame[sent..]);
        Ok(true)
    }

    /// Sends what waits, as far as the system takes it.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn flush(&mut self) -> io::Result<()> {
        let sent = write_some(&mut self.stream, &self.unsent)?;
        self.unsent.advance(sent);
        Ok(())
    }

    /// Whether the other end still listens. It never says anything.
    pub fn is_open(&mut self) -> bool {
        let mut byte = [0];
        matches!(self.stream.read(&mut byte), Err(error) if would_block(&error))
    }

    /// Ends the connection; whoever polls it is told.
    pub fn end(&self) {
        // It may be broken already.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if would_block(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// What a look at a socket found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// All there was.
    All,
    /// A turn's worth; there may be more.
    Some,
    /// The end of the connection, after what was read.
    End,
}

/// The end that is read from.
pub(super) struct Reading {
    stream: TcpStream,
    bytes: BytesMut,
}

impl Reading {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, bytes: BytesMut::new() }
    }

    /// Takes what has come, by way of `scratch`.
    pub fn take(&mut self, scratch: &mut [u8]) -> Found {
        let mut taken = 0;
        while taken < TURN_BYTES {
            match self.stream.read(scratch) {
                Ok(0) => return Found::End,
                Ok(count) => {
                    self.bytes.extend_from_slice(&scratch[..count]);
                    taken += count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if would_block(&error) => return Found::All,
                Err(_) => return Found::End,
            }
        }
        Found::Some
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// What cannot be one: the connection is of no use any more.
    pub fn next_frame(&mut self) -> Result<Option<pb::RaftFrame>, Refused> {
        next_frame(&mut self.bytes)
    }
}

fn next_frame(bytes: &mut BytesMut) -> Result<Option<pb::RaftFrame>, Refused> {
    let Some(length) = bytes.first_chunk::<4>().map(|length| u32::from_le_bytes(*length) as usize) else {
        return Ok(None);
    };
    if length > WIRE_BYTES_MAX {
        return Err(Refused::TooLarge(length));
    }
    if bytes.len() < 4 + length {
        return Ok(None);
    }
    bytes.advance(4);
    let frame = bytes.split_to(length).freeze();
    pb::RaftFrame::decode(frame).map(Some).map_err(|_| Refused::Malformed("a frame that is no protobuf"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use bytes::Bytes;

    use super::*;

    fn frame(number: u64, bytes: usize) -> pb::RaftFrame {
        let message = pb::RaftMessage { group: number, message: Bytes::from(vec![7; bytes]) };
        pb::RaftFrame { messages: vec![message], ..pb::RaftFrame::default() }
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let frames = [frame(1, 0), frame(2, 10), pb::RaftFrame::default(), frame(3, 5_000)];
        let all: Vec<u8> = frames.iter().flat_map(encode).collect();
        for piece in [1, 3, 4, 5, 64, all.len()] {
            let (mut bytes, mut out) = (BytesMut::new(), Vec::new());
            for piece in all.chunks(piece) {
                bytes.extend_from_slice(piece);
                while let Some(frame) = next_frame(&mut bytes).unwrap() {
                    out.push(frame);
                }
            }
            assert_eq!(out, frames);
            assert!(bytes.is_empty());
        }
    }

    #[test]
    fn lengths_that_no_frame_has_and_bytes_that_are_none_are_refused() {
        let mut long = BytesMut::from(&u32::MAX.to_le_bytes()[..]);
        assert!(matches!(next_frame(&mut long), Err(Refused::TooLarge(_))));
        let mut wrong = BytesMut::from(&[2, 0, 0, 0, 0xff, 0xff][..]);
        assert!(matches!(next_frame(&mut wrong), Err(Refused::Malformed(_))));
    }

    #[test]
    fn what_the_system_does_not_take_waits_and_is_sent_later_in_order() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        near.set_nonblocking(true).unwrap();
        far.set_nonblocking(true).unwrap();
        let mut writing = Writing::new(TcpStream::from_std(near));
        let mut reading = Reading::new(TcpStream::from_std(far));
        let mut pushed = 0;
        while writing.push(&encode(&frame(pushed, 1 << 20))).unwrap() {
            pushed += 1;
        }
        assert!(pushed >= 32, "{pushed} MiB fit");
        let (mut scratch, mut next) = (vec![0; READ_BYTES], 0);
        while next < pushed {
            assert_ne!(reading.take(&mut scratch), Found::End);
            while let Some(frame) = reading.next_frame().unwrap() {
                assert_eq!(frame.messages[0].group, next);
                next += 1;
            }
            writing.flush().unwrap();
        }
        assert!(writing.is_open());
        drop(reading);
        let begun = std::time::Instant::now();
        while writing.is_open() {
            assert!(begun.elapsed().as_secs() < 10, "the end was never noticed");
        }
    }
}
