//! The track shards as a request reads them: those that are here in place, those that are on other nodes by questions.
//!
//! | step | file |
//! |---|---|
//! | the shards of one request, by the order of their slots | `shards` |
//! | a shard that is elsewhere, and what it said so far | `far`, `memory` |
//! | looks at one track: key, facts in memory, record, vector, id | `reads` |
//! | vectors of several tracks, to be compared | `rows` |
//! | saying which tracks will be looked at, so that they are asked for together | `expect` |
//! | sets of tracks: versions, postings, what may be shown | `sets` |
//! | the first, the best, the new ones of many | `bests`, of one shard `picks` |
//! | the nearest to some vectors | `nearest` |
//! | by id, page by page, how many: what is no list | `looks` |
//! | questions and answers as plain data | `question`, `plain` |
//! | answering them | `answer`, `answer_sets` |
//!
//! Invariants: what a request gets does not depend on where a shard is; a look at a track that nobody expected asks for it
//! alone, so expecting decides how soon an answer comes and never what it is; what other nodes say is checked. A shard that
//! cannot be asked is missing from then on: nothing of it is offered, and whoever keeps what was derived looks at
//! [`Reader::is_whole`](super::reader::Reader::is_whole) first.

mod answer;
mod answer_sets;
mod bests;
mod expect;
mod far;
mod looks;
mod memory;
mod nearest;
mod picks;
mod plain;
mod question;
mod reads;
mod rows;
mod sets;
mod shards;

pub use answer::Answering;
pub use bests::Picked;
pub use far::TracksElsewhere;
pub use looks::KnownTrack;
pub use nearest::Nearest;
pub(in crate::pipeline) use picks::best_known;
#[cfg(test)]
pub(crate) use plain::bitmap_bytes;
pub use plain::{Brief, PlainFacts, PlainRow, Posted};
pub use question::{AllowedQuestion, Pick, TrackAnswer, TrackQuestion};
pub use sets::{Base, Told};
pub use shards::{ShardVersion, TrackShards};
