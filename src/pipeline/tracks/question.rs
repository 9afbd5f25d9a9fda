//! What a request asks of one track shard, and the answer, as plain data: a shard that is on another node is asked for the same
//! that is read of one that is here.
//!
//! Tracks are ordinals of the shard that is asked; answers about several tracks have one part for each, in the order of the
//! question. Sets of ordinals travel as roaring bitmaps.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use super::plain::{Brief, PlainFacts, PlainRow, Posted};
use crate::error::Result;
use crate::filter::{RuleClass, TrackFilter};
use crate::pipeline::retrieve::Found;
use crate::storage::codec;
use crate::storage::track_shard::Outline;
use crate::storage::track_shard::command::LoadMark;
use crate::storage::track_shard::segment::PostingField;
use crate::types::{GenerationId, Metric, SpaceName, TrackId};

const VERSION: u16 = 1;

/// A question to one track shard.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub enum TrackQuestion {
    /// Which version it is of.
    Outline,
    /// What is kept in memory of tracks.
    Briefs(Vec<u32>),
    /// What the stages need to know of tracks.
    Facts(Vec<u32>),
    /// Full records.
    Rows(Vec<u32>),
    /// The ordinals of ids.
    Find(Vec<TrackId>),
    /// All versions of recordings.
    Versions {
        /// Tracks of this shard, whose recordings are meant: a bitmap.
        own: Vec<u8>,
        /// What further recordings are known by, of tracks of other shards.
        recordings: Vec<u64>,
    },
    /// Vectors of tracks.
    Vectors {
        /// The space.
        space: SpaceName,
        /// The generation.
        generation: GenerationId,
        /// Whose.
        ordinals: Vec<u32>,
    },
    /// Where the vectors of tracks are: another vector is at another place.
    Locations {
        /// The space.
        space: SpaceName,
        /// The generation.
        generation: GenerationId,
        /// Whose.
        ordinals: Vec<u32>,
    },
    /// Every genre that a track names, by key.
    Genres,
    /// All tracks posted under any of these keys.
    Postings {
        /// The field.
        field: PostingField,
        /// The keys.
        keys: Vec<u64>,
    },
    /// Some tracks posted under a key.
    Posted {
        /// The field.
        field: PostingField,
        /// The key.
        key: u64,
        /// Which.
        pick: Pick,
    },
    /// How many tracks of popularity 20 to 80 are posted under a key.
    Middle {
        /// The field.
        field: PostingField,
        /// The key.
        key: u64,
    },
    /// New releases.
    New {
        /// By any of these artists, in any place; all, by primary artist, when absent.
        artists: Option<Vec<u64>>,
        /// The day (since the epoch) they are new on.
        today: i32,
    },
    /// The tracks that listeners may hear and that pass a filter.
    Allowed {
        /// The listeners.
        class: RuleClass,
        /// The filter; tracks that it leaves out by id are not looked at.
        filter: TrackFilter,
    },
    /// Of these, the ones whose title and artist names hold all words.
    Words {
        /// Which.
        allowed: AllowedQuestion,
        /// The words.
        text: String,
    },
    /// The nearest tracks to some vectors.
    Nearest {
        /// The space.
        space: SpaceName,
        /// The generation.
        generation: GenerationId,
        /// How to compare.
        metric: Metric,
        /// With what.
        queries: Vec<Vec<f32>>,
        /// Results wanted for each.
        k: u32,
        /// Nodes a walk follows; chosen from `k` when absent.
        ef: Option<u32>,
        /// Look at every allowed row.
        exact: bool,
        /// Which tracks may be returned.
        allowed: AllowedQuestion,
    },
    /// The most popular tracks.
    Popular {
        /// Which tracks may be returned.
        allowed: AllowedQuestion,
        /// How many.
        k: u32,
    },
    /// How far a bulk load has come.
    Load(String),
    /// [`TrackQuestion::Facts`] and [`TrackQuestion::Vectors`] of the same tracks, at once.
    FactsAndVectors {
        /// The space.
        space: SpaceName,
        /// The generation.
        generation: GenerationId,
        /// Whose.
        ordinals: Vec<u32>,
    },
}

/// The tracks of one shard that a request may show, as a question says it.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct AllowedQuestion {
    /// What these listeners may hear,
    pub class: RuleClass,
    /// and this filter lets pass,
    pub filter: TrackFilter,
    /// of these tracks: a bitmap; of all when absent,
    pub only: Option<Vec<u8>>,
    /// without these: a bitmap.
    pub left_out: Vec<u8>,
}

/// Some of the tracks with a posting.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub enum Pick {
    /// Any of them.
    Any,
    /// The first by key.
    First(u32),
    /// The most popular, ties by key.
    Popular {
        /// Popularity of those of which it is unknown.
        unknown: f32,
        /// How many.
        most: u32,
    },
    /// The most popular of those with a vector, ties by key.
    WithVector {
        /// The space.
        space: SpaceName,
        /// The generation.
        generation: GenerationId,
        /// Popularity of those of which it is unknown.
        unknown: f32,
        /// How many.
        most: u32,
    },
    /// Of those of popularity 20 to 80, by key, every so many.
    Middle {
        /// So many of the first ones are left out.
        skip: u64,
        /// At least 1.
        stride: u64,
    },
}

/// The answer to a [`TrackQuestion`].
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub enum TrackAnswer {
    /// The version.
    Outline(Outline),
    /// One each.
    Briefs(Vec<Brief>),
    /// One each.
    Facts(Vec<PlainFacts>),
    /// One each; `None` of a track without a row.
    Rows(Vec<Option<PlainRow>>),
    /// One each: the ordinal, and whether the track exists.
    Found(Vec<Option<(u32, bool)>>),
    /// A bitmap.
    Ordinals(Vec<u8>),
    /// One each.
    Vectors(Vec<Option<Vec<f32>>>),
    /// One each: segment and row.
    Locations(Vec<Option<(u32, u32)>>),
    /// Keys.
    Keys(Vec<u64>),
    /// In the order of the pick.
    Posted(Vec<Posted>),
    /// A number.
    Count(u64),
    /// Place of the artist in the question (its key, where none was asked for), and the track.
    New(Vec<(u64, u32)>),
    /// One for each query, and what is kept in memory of all that was found.
    Nearest(Vec<Found>, Vec<(u32, Brief)>),
    /// With popularity, best first; below 0 where it is unknown. And what is kept in memory of all of them.
    Popular(Vec<(u32, f32)>, Vec<(u32, Brief)>),
    /// One of both each.
    FactsAndVectors(Vec<PlainFacts>, Vec<Option<Vec<f32>>>),
    /// `None` when it is not known there.
    Load(Option<LoadMark>),
}

impl TrackQuestion {
    /// The bytes of a question.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(VERSION, self).expect("plain data serialises into memory")
    }

    /// Reads a question.
    ///
    /// # Errors
    /// As [`codec::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        codec::decode(VERSION, bytes)
    }
}

impl TrackAnswer {
    /// The bytes of an answer.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(VERSION, self).expect("plain data serialises into memory")
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// As [`codec::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        codec::decode(VERSION, bytes)
    }
}
