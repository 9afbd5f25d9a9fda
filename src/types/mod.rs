//! The nouns of Segue, shared by every layer: identifiers, placement, time, tracks, users, events,
//! generations. Plain data with validation at the border; no behaviour of any layer lives here.

mod deadline;
mod event;
mod hash;
mod ids;
mod placement;
mod ranges;
mod space;
mod time;
mod track;
mod user;
mod validate;
mod words;

pub use deadline::Deadline;
pub use event::{Action, FeedbackEvent, Play, PlayAction};
pub use hash::{AlbumKey, ArtistKey, GenreKey, key_of, slot_of, slot_of_key};
pub use ids::{
    AlbumId, ArtistId, EventId, GenerationId, InvalidId, RecordingId, SpaceName, Surface, TrackId, UserId,
};
pub use placement::{
    Part, SLOTS, ShardId, Slot, TRACK_SHARDS_MAX, TrackOrdinal, TrackRef, USER_SHARDS_MAX, shard_of_slot,
    slots_of_shard,
};
pub use ranges::{SlotRange, SlotRanges};
pub use segue_index::{Metric, SplitMix64};
pub use space::{Entity, SpaceSpec, VectorRow};
pub use time::{DAY_MS, Date, HOUR_MS, InvalidTime, Timestamp};
pub use track::{Artist, AudioFeatures, GenreTag, Region, RegionSet, Track};
pub use user::User;
pub use validate::{
    IMPRESSION_BYTES_MAX, POSITIONS_MAX, QUERY_BYTES_MAX, TEXT_BYTES_MAX, TRACK_LIST_MAX, USER_LIST_MAX,
    WORD_BYTES_MAX,
};
pub(crate) use validate::{length, text, word};
pub use words::counted;
