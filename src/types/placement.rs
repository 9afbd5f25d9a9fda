//! Where things live: slots, shards, ordinals, offsets.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

/// The number of virtual slots; a shard owns a range of them.
pub const SLOTS: u16 = 4096;
/// The most user shards a database may have.
pub const USER_SHARDS_MAX: u16 = 64;
/// The most track shards a database may have.
pub const TRACK_SHARDS_MAX: u16 = 64;

/// Which of `shards` shards owns a slot. Each owns a contiguous range; ranges differ in length by one slot at most.
#[must_use]
pub fn shard_of_slot(slot: Slot, shards: u16) -> usize {
    usize::from(slot.0) * usize::from(shards) / usize::from(SLOTS)
}

/// The slots that one of `shards` shards owns: the first, and one past the last.
#[must_use]
pub fn slots_of_shard(shard: usize, shards: u16) -> (u16, u16) {
    let (slots, shards) = (usize::from(SLOTS), usize::from(shards.max(1)));
    let first = |shard: usize| (shard * slots).div_ceil(shards).min(slots) as u16;
    (first(shard), first(shard + 1))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_shards_divides_the_slots_into_even_ranges_in_order() {
        for shards in 1..=USER_SHARDS_MAX {
            let owners: Vec<usize> = (0..SLOTS).map(|slot| shard_of_slot(Slot(slot), shards)).collect();
            assert!(owners.is_sorted(), "shards=`{shards}`");
            let counts: Vec<usize> = (0..usize::from(shards))
                .map(|shard| owners.iter().filter(|owner| **owner == shard).count())
                .collect();
            assert_eq!(counts.iter().sum::<usize>(), usize::from(SLOTS), "shards=`{shards}`");
            for (shard, count) in counts.iter().enumerate() {
                let (first, end) = slots_of_shard(shard, shards);
                assert_eq!(usize::from(end - first), *count, "shards=`{shards}`");
                assert_eq!(owners[usize::from(first)], shard, "shards=`{shards}`");
            }
            let (least, most) = (counts.iter().min(), counts.iter().max());
            assert!(least.zip(most).is_some_and(|(least, most)| most - least <= 1), "shards=`{shards}`");
        }
    }
}
