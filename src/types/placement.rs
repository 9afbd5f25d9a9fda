//! Where things live: slots, shards, ordinals, offsets.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

/// The number of virtual slots; a shard owns a range of them.
pub const SLOTS: u16 = 4096;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default,
            Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A virtual slot in `0..4096`, stored in every row.
    Slot(u16)
);
number!(
    /// A shard's number, unique among track shards and, separately, among user shards.
    ShardId(u16)
);
number!(
    /// A track's number in its shard: given when it is first added, never reused.
    TrackOrdinal(u32)
);
number!(
    /// A row's position in one segment.
    SegmentOffset(u32)
);

/// A track anywhere in the database: its shard and its ordinal there.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Archive,
    RkyvSerialize,
    RkyvDeserialize,
    Serialize,
    Deserialize,
)]
pub struct TrackRef {
    /// The track shard.
    pub shard: ShardId,
    /// The ordinal in that shard.
    pub ordinal: TrackOrdinal,
}
