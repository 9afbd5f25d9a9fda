//! Stable hashes: placement slots and 64-bit keys of names. Part of the data format: never change them.

use super::placement::{SLOTS, Slot};
use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

/// The first eight bytes of BLAKE3 over `name`, little-endian.
#[must_use]
pub fn key_of(name: &str) -> u64 {
    let digest = blake3::hash(name.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// The virtual slot of a track, recording or user id: the top 12 bits of [`key_of`].
#[must_use]
pub fn slot_of(id: &str) -> Slot {
    slot_of_key(key_of(id))
}

/// The same of a key.
#[must_use]
pub fn slot_of_key(key: u64) -> Slot {
    let slot = key >> (64 - SLOTS.trailing_zeros());
    Slot(u16::try_from(slot).expect("a slot has 12 bits"))
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord,
            Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize,
        )]
        pub struct $name(pub u64);

        impl $name {
            /// The key of a name; equal names have equal keys on every shard and machine.
            #[must_use]
            pub fn of(name: &str) -> Self {
                Self(key_of(name))
            }
        }
    };
}

key!(
    /// An artist id's 64-bit key, the same on every shard.
    ArtistKey
);
key!(
    /// An album id's 64-bit key.
    AlbumKey
);
key!(
    /// A genre name's 64-bit key.
    GenreKey
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_and_keys_never_change() {
        assert_eq!(key_of("u1"), 9_509_899_421_402_044_330);
        assert_eq!((slot_of("u1").0, slot_of("r_692a80b22ef5").0), (FROZEN.0, FROZEN.1));
    }

    const FROZEN: (u16, u16) = (2111, 3506);

    #[test]
    fn slots_are_spread_evenly() {
        let mut counts = vec![0_u32; usize::from(SLOTS)];
        for i in 0..409_600 {
            counts[usize::from(slot_of(&format!("id{i}")).0)] += 1;
        }
        let (min, max) = (counts.iter().min().copied(), counts.iter().max().copied());
        assert!(min > Some(55) && max < Some(150), "min={min:?} max={max:?}");
    }
}
