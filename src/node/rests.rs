//! Answers to other nodes that are larger than a message should be: the first piece is the reply, the rest is kept for a moment
//! and fetched piece by piece from the node that has it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::Mutex;
use rkyv::{Archive, Deserialize, Serialize};

use crate::error::{Error, Result};

/// Bytes of one piece: far below what a message may have.
pub(super) const PIECE_BYTES: usize = 4 << 20;
/// The largest answer that is believed: sets of some billion tracks are smaller.
pub(super) const ANSWER_BYTES_MAX: usize = 512 << 20;
/// Bytes of answers that are kept at a time.
const KEPT_BYTES_MAX: usize = 256 << 20;
/// How long nobody may have asked for the next piece.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// The first piece of an answer, or all of it.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(super) struct FirstPiece {
    pub bytes: Vec<u8>,
    /// Bytes of the whole answer.
    pub len: u64,
    /// What the rest is asked for by.
    pub name: u64,
}

/// Answers of which the rest is still to be fetched.
pub(super) struct Rests(Mutex<Kept>);

struct Kept {
    next: u64,
    answers: BTreeMap<u64, (Instant, Bytes)>,
}

impl Default for Rests {
    fn default() -> Self {
        // Names of the process before shall not be taken for ones of this.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let next = u64::try_from(since.as_nanos()).unwrap_or(0);
        Self(Mutex::new(Kept { next, answers: BTreeMap::new() }))
    }
}

impl Rests {
    /// The first piece of an answer; the rest of a large one is kept.
    ///
    /// # Errors
    /// `Exhausted` while too much is kept.
    pub(super) fn first_piece(&self, answer: Vec<u8>, now: Instant) -> Result<FirstPiece> {
        let len = answer.len();
        if len <= PIECE_BYTES {
            return Ok(FirstPiece { bytes: answer, len: len as u64, name: 0 });
        }
        let mut kept = self.0.lock();
        kept.answers.retain(|_, (since, _)| now.saturating_duration_since(*since) < KEPT_FOR);
        let all: usize = kept.answers.values().map(|(_, answer)| answer.len()).sum();
        if all + len > KEPT_BYTES_MAX {
            return Err(Error::Exhausted(format!(
                "the node keeps too many large answers for other nodes. bytes=`{all}`"
            )));
        }
        let (name, answer) = (kept.next, Bytes::from(answer));
        kept.next += 1;
        let bytes = answer[..PIECE_BYTES].to_vec();
        kept.answers.insert(name, (now, answer));
        Ok(FirstPiece { bytes, len: len as u64, name })
    }

    /// The piece of a kept answer from an offset on; with the last one it is forgotten.
    ///
    /// # Errors
    /// `NotFound` for what is not kept, or not any more.
    pub(super) fn piece(&self, name: u64, offset: u64, now: Instant) -> Result<Bytes> {
        let gone = || Error::not_found("rest of an answer", name);
        let mut kept = self.0.lock();
        let (since, answer) = kept.answers.get_mut(&name).ok_or_else(gone)?;
        *since = now;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(answer.len());
        let end = from.saturating_add(PIECE_BYTES).min(answer.len());
        let piece = answer.slice(from..end);
        if end == answer.len() {
            kept.answers.remove(&name);
        }
        Ok(piece)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_large_answer_comes_in_pieces_and_is_forgotten_behind_the_last_or_when_nobody_fetches_it() {
        let (rests, now) = (Rests::default(), Instant::now());
        let small = rests.first_piece(vec![1; 10], now).unwrap();
        assert_eq!((small.bytes.len(), small.len), (10, 10));
        let answer: Vec<u8> = (0..2 * PIECE_BYTES + 5).map(|at| at as u8).collect();
        let first = rests.first_piece(answer.clone(), now).unwrap();
        assert_eq!((first.bytes.len(), first.len), (PIECE_BYTES, answer.len() as u64));
        let mut all = first.bytes;
        while (all.len() as u64) < first.len {
            all.extend_from_slice(&rests.piece(first.name, all.len() as u64, now).unwrap());
        }
        assert!(all == answer);
        assert!(rests.piece(first.name, 0, now).is_err(), "it was fetched");
        let left = rests.first_piece(answer.clone(), now).unwrap();
        assert_ne!(left.name, first.name);
        assert_eq!(rests.piece(left.name, u64::MAX, now).unwrap().len(), 0, "a wrong offset");
        let left = rests.first_piece(answer.clone(), now).unwrap();
        let later = rests.first_piece(answer, now + KEPT_FOR).unwrap();
        assert!(rests.piece(left.name, 0, now).is_err() && rests.piece(later.name, 0, now).is_ok());
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let (rests, now) = (Rests::default(), Instant::now());
        let large = || vec![0; KEPT_BYTES_MAX / 3];
        let kept = (0..3).filter(|_| rests.first_piece(large(), now).is_ok()).count();
        assert_eq!(kept, 3);
        let refused = rests.first_piece(large(), now).unwrap_err();
        assert_eq!(refused.kind(), crate::ErrorKind::Exhausted);
        assert!(rests.first_piece(large(), now + KEPT_FOR).is_ok());
    }
}
