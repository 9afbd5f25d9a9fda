//! Where things live: slots, shards, ordinals, offsets.

use std::cmp::Ordering;

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

/// One of several parts of all slots, and so of all listeners: part `number` of `of`. Parts of the same number of parts
/// have no slot in common and leave none out; each is a contiguous range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Part {
    number: u16,
    of: u16,
}

impl Part {
    /// All slots.
    pub const WHOLE: Self = Self { number: 1, of: 1 };

    /// Part `number` (1 and up) of `of` (1 to 4,096).
    ///
    /// # Errors
    /// What is wrong with the numbers.
    pub fn new(number: u32, of: u32) -> Result<Self, String> {
        let narrow = |value| u16::try_from(value).ok().filter(|value| (1..=SLOTS).contains(value));
        match (narrow(number), narrow(of)) {
            (Some(number), Some(of)) if number <= of => Ok(Self { number, of }),
            _ => Err(format!("must be part 1 to n of n, n 1 to {SLOTS}. part=`{number}`, parts=`{of}`")),
        }
    }

    /// Which part, from 1.
    #[must_use]
    pub fn number(self) -> u16 {
        self.number
    }

    /// Of how many.
    #[must_use]
    pub fn of(self) -> u16 {
        self.of
    }

    /// Its first slot.
    #[must_use]
    pub fn first(self) -> Slot {
        let before = u32::from(self.number - 1) * u32::from(SLOTS);
        Slot(u16::try_from(before.div_ceil(u32::from(self.of))).expect("below the number of slots"))
    }

    /// One past its last slot.
    #[must_use]
    pub fn end(self) -> u16 {
        slots_of_shard(usize::from(self.number - 1), self.of).1
    }

    /// Whether a slot is in it.
    #[must_use]
    pub fn contains(self, slot: Slot) -> bool {
        shard_of_slot(slot, self.of) == usize::from(self.number - 1)
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl std::str::FromStr for Part {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let numbers =
            text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        let (number, of) = numbers.ok_or("expected I/N, such as 1/4")?;
        Self::new(number, of)
    }
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
    Debug, Clone, Copy, PartialEq, Eq, Hash, Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize,
)]
pub struct TrackRef {
    /// The track shard.
    pub shard: ShardId,
    /// The ordinal in that shard.
    pub ordinal: TrackOrdinal,
}

impl TrackRef {
    /// Shard and ordinal as one number, in their order.
    #[must_use]
    pub fn packed(self) -> u64 {
        u64::from(self.shard.0) << 32 | u64::from(self.ordinal.0)
    }
}

impl Ord for TrackRef {
    /// By shard, then by ordinal: one comparison, since a request sorts thousands of tracks.
    fn cmp(&self, other: &Self) -> Ordering {
        self.packed().cmp(&other.packed())
    }
}

impl PartialOrd for TrackRef {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_every_slot_once_and_begin_where_they_say() {
        for of in (1..=70).chain([4_095, 4_096]) {
            let parts: Vec<Part> = (1..=of).map(|number| Part::new(number, of).expect("valid")).collect();
            for slot in (0..SLOTS).map(Slot) {
                assert_eq!(parts.iter().filter(|part| part.contains(slot)).count(), 1, "{slot} of {of}");
            }
            for part in parts {
                let first = part.first();
                assert!(
                    part.contains(first) && (first.0 == 0 || !part.contains(Slot(first.0 - 1))),
                    "{part}"
                );
                let end = part.end();
                assert!(
                    part.contains(Slot(end - 1)) && !part.contains(Slot(end)),
                    "{part} ends before {end}"
                );
            }
        }
        for wrong in ["0/4", "5/4", "1/0", "1/4097", "1", "a/b", "1/70000"] {
            assert!(wrong.parse::<Part>().is_err(), "{wrong}");
        }
        assert_eq!("3/4".parse::<Part>().expect("valid").to_string(), "3/4");
        assert!(Part::WHOLE.contains(Slot(4_095)) && Part::WHOLE.first() == Slot(0));
    }

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
