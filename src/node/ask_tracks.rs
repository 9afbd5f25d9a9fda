//! Questions about track shards between nodes, as they travel, and how this node answers for the shards it holds.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rkyv::{Archive, Deserialize, Serialize};
use segue_cluster::{Call, Cluster, StoreId};

use super::current::catch_up_group;
use super::engine::Inner;
use super::holders::{Said, read_said};
use super::open_tracks::group_id;
use super::pace::Kind;
use super::rests::FirstPiece;
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::tracks::{Answering, TrackQuestion};
use crate::storage::codec;
use crate::types::Deadline;

/// The calls between nodes, and the version of what they carry.
pub(super) const ASK_TRACKS: u32 = 11;
pub(super) const REST_OF_TRACKS: u32 = 12;
const VERSION: u16 = 1;
/// How long a node may take to say whether it knows such questions.
const KNOWS_TIMEOUT: Duration = Duration::from_secs(2);

/// A question on its way.
#[derive(Debug, Archive, Serialize, Deserialize)]
pub(super) struct Asked {
    shard: u16,
    /// The version that the request began with; `None`: the newest is meant, with everything that was acknowledged before.
    seen: Option<Seen>,
    /// What is left of the time whoever asks waits.
    left_ms: u64,
    /// A [`TrackQuestion`].
    question: Vec<u8>,
}

/// What a request knows of a shard's version: it is answered from this one or a newer one with the same slots.
#[derive(Debug, Clone, Copy, Archive, Serialize, Deserialize)]
pub(super) struct Seen {
    /// The last entry in it.
    pub index: u64,
    /// Its slots: the first, and one past the last.
    pub slots: (u16, u16),
}

impl Asked {
    /// A question of a request that began with a version, or that asks what is newest.
    pub(super) fn new(shard: u16, seen: Option<Seen>, question: Vec<u8>) -> Self {
        Self { shard, seen, left_ms: 0, question }
    }

    /// Its bytes for whoever waits so long.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn encode(&self, left: Duration) -> Result<Bytes> {
        let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let asked = Self { left_ms, question: self.question.clone(), ..*self };
        Ok(codec::encode(VERSION, &asked)?.into())
    }
}

/// The question for the next piece of an answer.
///
/// # Errors
/// None in practice.
pub(super) fn rest_question(name: u64, offset: u64) -> Result<Bytes> {
    Ok(codec::encode(VERSION, &(name, offset))?.into())
}

/// Reads the first piece of an answer.
///
/// # Errors
/// As [`codec::decode`].
pub(super) fn read_first_piece(bytes: &[u8]) -> Result<FirstPiece> {
    codec::decode(VERSION, bytes)
}

/// Whether a node knows how track shards on other nodes are asked.
///
/// # Errors
/// A sentence: it does not answer, or is a program of before.
pub(super) fn knows_far_tracks(cluster: &Cluster, to: StoreId) -> std::result::Result<(), String> {
    // About a shard that there is not: a node that knows the question says that it is not there.
    let asked = Asked::new(u16::MAX, None, Vec::new());
    let request = asked.encode(KNOWS_TIMEOUT).map_err(|error| error.to_string())?;
    let call = Call { to, topic: ASK_TRACKS, request, timeout: KNOWS_TIMEOUT };
    cluster.call(call).and_then(|reply| read_said(&reply)).map(drop)
}

/// How long a question may take: whether its answer is a page of many rows, or takes a look through the shard.
pub(super) fn kind_of(question: &TrackQuestion) -> Kind {
    match question {
        TrackQuestion::Outline
        | TrackQuestion::Briefs(_)
        | TrackQuestion::Find(_)
        | TrackQuestion::Locations { .. }
        | TrackQuestion::Middle { .. }
        | TrackQuestion::Load(_) => Kind::Small,
        TrackQuestion::Facts(_)
        | TrackQuestion::Rows(_)
        | TrackQuestion::Versions { .. }
        | TrackQuestion::Vectors { .. }
        | TrackQuestion::FactsAndVectors { .. }
        | TrackQuestion::Genres
        | TrackQuestion::Postings { .. }
        | TrackQuestion::Posted { .. }
        | TrackQuestion::New { .. }
        | TrackQuestion::Allowed { .. } => Kind::Page,
        TrackQuestion::Words { .. } | TrackQuestion::Nearest { .. } | TrackQuestion::Popular { .. } => {
            Kind::Search
        }
    }
}

impl Inner {
    /// Answers another node's question to a track shard. Asks nobody but the shard's leader, so that nodes never wait for each
    /// other in a circle.
    pub(super) fn answer_track_question(&self, request: &[u8]) -> Result<Bytes> {
        let asked: Asked = codec::decode(VERSION, request)?;
        Said::encode(self.answer_of_tracks(&asked))
    }

    fn answer_of_tracks(&self, asked: &Asked) -> Result<Option<Vec<u8>>> {
        let group = group_id(asked.shard);
        let Some(part) = self.tracks.of_group(group) else { return Ok(None) };
        let _guest = self.track_guests.admit()?;
        let left = Duration::from_millis(asked.left_ms);
        let deadline = Deadline::after(left);
        let question = TrackQuestion::decode(&asked.question)?;
        let is_new_enough = |seen: Seen| part.shard.view().applied_index >= seen.index;
        if !asked.seen.is_some_and(is_new_enough)
            && let Err(error) = catch_up_group(&part.group, left)
        {
            // It may just have been moved.
            return if self.tracks.of_group(group).is_some() { Err(elsewhere(error)) } else { Ok(None) };
        }
        let view = match asked.seen {
            None => part.shard.view(),
            Some(seen) => part.shard.version_of(seen.slots).ok_or_else(given_away)?,
        };
        let answer = Answering { view: &view, caches: &self.caches, deadline }.answer(&question);
        let answer = answer.and_then(|answer| self.sound().map(|()| answer)).map_err(elsewhere)?;
        let first = self.rests.first_piece(answer.encode(), Instant::now())?;
        Ok(Some(codec::encode(VERSION, &first)?))
    }

    /// Gives another node the next piece of an answer.
    pub(super) fn answer_rest(&self, request: &[u8]) -> Result<Bytes> {
        let (name, offset): (u64, u64) = codec::decode(VERSION, request)?;
        self.rests.piece(name, offset, Instant::now())
    }
}

/// A request began before slots were given away, and this replica has no version of then.
fn given_away() -> Error {
    Error::Unavailable("a track shard was split since the request began: send it again".to_owned())
}

/// Trouble of this replica as its asker should see it: the files of another holder may be whole.
fn elsewhere(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Corrupt | ErrorKind::Io | ErrorKind::Internal => {
            tracing::warn!(%error, "a question about tracks is left to other holders");
            Error::Unavailable(format!("this replica cannot answer: {error}"))
        }
        _ => error,
    }
}
