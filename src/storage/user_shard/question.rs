//! What is asked of a user shard, and its answer, as plain data: a shard that is on another node is asked the same as one
//! that is here.
//!
//! Long answers come in pages: each says where the next one begins. A page has about [`PAGE_BYTES`] at most, and one row
//! more; one of plays, a listener's day more.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use super::command::LoadState;
use super::error::UserShardError;
use super::view::{PlayRecord, UserView};
use crate::storage::codec;
use crate::types::{GenerationId, Region, Slot, SpaceName, Timestamp, TrackId, TrackRef, User, UserId};

const VERSION: u16 = 1;
/// Bytes after which a page is full.
pub(super) const PAGE_BYTES: usize = 4 << 20;

/// A question to one shard.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub enum UserQuestion {
    /// A listener's record.
    User(UserId),
    /// Which of these listeners there are.
    Known(Vec<UserId>),
    /// Everything about a listener.
    View(UserId),
    /// Everything about the listeners of every `stride`-th slot, in key order.
    Views {
        /// Those behind this one; all when absent.
        after: Option<UserId>,
        /// At least 1.
        stride: u64,
    },
    /// Vectors of listeners.
    Vectors {
        /// The space.
        space: SpaceName,
        /// The generation.
        generation: GenerationId,
        /// Whose.
        users: Vec<UserId>,
    },
    /// Records in key order.
    List {
        /// Those behind this one; all when absent.
        after: Option<UserId>,
        /// At most so many.
        limit: u32,
    },
    /// For which of these tracks events wait.
    Waiting(Vec<TrackId>),
    /// Tracks that events wait for, by id.
    WaitedFor {
        /// Those behind this one; all when absent.
        after: Option<TrackId>,
        /// At most so many.
        limit: u32,
    },
    /// How far a load has come.
    Load(String),
    /// How much there is.
    Figures,
    /// The statistics derived from all listeners, if this shard keeps them.
    Statistics,
    /// Listeners with a vector, in key order, with what means are taken by.
    Sample {
        /// The space.
        space: SpaceName,
        /// The generation.
        generation: GenerationId,
        /// So many of the first ones are left out.
        skip: u32,
        /// At most so many.
        limit: u32,
    },
    /// Listeners whose vectors are nearest to one.
    Similar {
        /// The space.
        space: SpaceName,
        /// The generation.
        generation: GenerationId,
        /// The vector.
        query: Vec<f32>,
        /// How many.
        k: u32,
        /// Who is left out.
        except: Option<UserId>,
    },
    /// Counted plays by track.
    Trends {
        /// Of listeners in this region; of all when absent.
        region: Option<Region>,
        /// The first day.
        from_day: i32,
        /// The last day.
        to_day: i32,
        /// Tracks behind this one; all when absent.
        after: Option<TrackRef>,
    },
    /// What friends of a listener played.
    Friends {
        /// The listener.
        of: UserId,
        /// The friends.
        friends: Vec<UserId>,
        /// Plays after this moment,
        since: Timestamp,
        /// and until this one.
        until: Timestamp,
    },
    /// Records in key order, from a slot on; answered as [`UserQuestion::List`] is. Not known to the first programs.
    ListFrom {
        /// The first slot.
        slot: Slot,
        /// At most so many.
        limit: u32,
    },
    /// A question about listeners in slots before one, and no others. Not known to programs that know nothing of splits.
    Within {
        /// One past the last slot.
        end: u16,
        /// The encoded question.
        question: Vec<u8>,
    },
    /// What a listener played until a moment. Not known to programs whose views were all that was read of a listener.
    PlaysUntil {
        /// The listener.
        of: UserId,
        /// The moment, which is included.
        until: Timestamp,
        /// Days (since the epoch) before this one are left out.
        from_day: i32,
    },
}

/// The answer to a [`UserQuestion`] of the same name.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub enum UserAnswer {
    /// The record, if there is one.
    User(Option<User>),
    /// One answer each, in the order of the question.
    Flags(Vec<bool>),
    /// The listener, if there is one.
    View(Option<Box<UserView>>),
    /// A page, and the last listener that was looked at if there are more.
    Views(Vec<UserView>, Option<UserId>),
    /// One each, in the order of the question.
    Vectors(Vec<Option<Vec<f32>>>),
    /// A page, and its last listener if there are more.
    Users(Vec<User>, Option<UserId>),
    /// Tracks.
    Tracks(Vec<TrackId>),
    /// A load.
    Load(LoadState),
    /// Numbers.
    Figures(Figures),
    /// The bytes of the statistics.
    Statistics(Option<Vec<u8>>),
    /// A page; an empty one is the last.
    Sample(Vec<Sampled>),
    /// Nearest first.
    Similar(Vec<(UserId, f32)>),
    /// A page, and its last track if there are more.
    Trends(Vec<(TrackRef, u64)>, Option<TrackRef>),
    /// One each, in the order of the question: `None` for who does not consent, or is not there.
    Friends(Vec<Option<FriendPlays>>),
    /// A page by day, and the day the next one begins with if there are more.
    Plays(Vec<PlayRecord>, Option<i32>),
}

/// How much a shard holds, as of one moment.
#[derive(Debug, Clone, PartialEq, Default, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct Figures {
    /// Entries applied.
    pub applied: u64,
    /// Listeners.
    pub users: u64,
    /// The newest day (since the epoch) with a counted play.
    pub newest_day: Option<i32>,
    /// Vectors there are: space, generation, dimension, rows.
    pub generations: Vec<(SpaceName, GenerationId, u32, u64)>,
    /// What tells one version of the statistics from another; 0 when the shard has none.
    pub statistics: u64,
    /// Bytes of its files.
    pub bytes: u64,
}

/// A listener with a vector, and what means are taken by.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct Sampled {
    /// Where they live.
    pub region: Option<Region>,
    /// How old they are.
    pub age_band: Option<String>,
    /// Their vector; empty for a listener without a record, who counts for nobody.
    pub vector: Vec<f32>,
}

/// What a friend who consents played.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct FriendPlays {
    /// The friend names the listener back.
    pub is_close: bool,
    /// Newest first.
    pub plays: Vec<PlayRecord>,
}

impl UserQuestion {
    /// The same about listeners in slots before `end` only.
    #[must_use]
    pub fn within(&self, end: u16) -> Self {
        Self::Within { end, question: self.encode() }
    }

    /// The bytes of a question.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(VERSION, self).expect("plain data serialises into memory")
    }

    /// Reads a question.
    ///
    /// # Errors
    /// As [`codec::decode`].
    pub fn decode(bytes: &[u8]) -> crate::Result<Self> {
        codec::decode(VERSION, bytes)
    }
}

impl UserAnswer {
    /// The bytes of an answer.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(VERSION, self).expect("plain data serialises into memory")
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// As [`codec::decode`].
    pub fn decode(bytes: &[u8]) -> crate::Result<Self> {
        codec::decode(VERSION, bytes)
    }
}

/// An answer of another kind than was asked for.
pub(super) fn unexpected(answer: &UserAnswer) -> UserShardError {
    let kind = format!("{answer:?}");
    let kind = kind.split(['(', ' ']).next().unwrap_or_default();
    UserShardError::Elsewhere {
        source: Box::new(crate::Error::Internal(format!(
            "a user shard answered something else. answer=`{kind}`"
        ))),
    }
}
