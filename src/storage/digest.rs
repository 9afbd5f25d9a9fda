//! What tells replicas that should be equal from replicas that are: for each kind of record and each of 16 ranges of
//! slots, how many records there are and the sum of their hashes. Sums do not depend on the order of a pass, nor on which
//! files hold what.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::Xxh3;

use crate::types::{SLOTS, Slot};

/// Ranges of slots that are told apart.
const RANGES: u16 = 16;

/// A state in short.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Digest {
    /// The last entry of the state.
    pub index: u64,
    /// Records and the sum of their hashes, by kind and range.
    pub parts: BTreeMap<(String, u16), (u64, u128)>,
}

impl Digest {
    /// Begins one of the state after `index`.
    #[must_use]
    pub fn at(index: u64) -> Self {
        Self { index, parts: BTreeMap::new() }
    }

    /// Adds a record. Where its pieces end counts.
    pub fn add(&mut self, kind: &str, slot: Slot, pieces: &[&[u8]]) {
        let mut hasher = Xxh3::new();
        for piece in pieces {
            hasher.update(&(piece.len() as u64).to_le_bytes());
            hasher.update(piece);
        }
        let range = slot.0 / (SLOTS / RANGES);
        let (records, sum) = self.parts.entry((kind.to_owned(), range)).or_default();
        *records += 1;
        *sum = sum.wrapping_add(hasher.digest128());
    }

    /// The slots of a range, the last one included.
    #[must_use]
    pub fn slots(range: u16) -> (u16, u16) {
        let width = SLOTS / RANGES;
        (range * width, range * width + width - 1)
    }

    /// How many records there are.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.parts.values().map(|(records, _)| records).sum()
    }

    /// Everything as one number.
    #[must_use]
    pub fn hash(&self) -> u128 {
        let mut hasher = Xxh3::new();
        for ((kind, range), (records, sum)) in &self.parts {
            hasher.update(kind.as_bytes());
            hasher.update(&range.to_le_bytes());
            hasher.update(&records.to_le_bytes());
            hasher.update(&sum.to_le_bytes());
        }
        hasher.digest128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_count_and_everything_else_does() {
        let digest = |records: &[(u16, &[&[u8]])]| {
            let mut digest = Digest::at(7);
            records.iter().for_each(|(slot, pieces)| digest.add("rows", Slot(*slot), pieces));
            digest
        };
        let (a, b): (&[&[u8]], &[&[u8]]) = (&[b"ab", b"c"], &[b"a", b"bc"]);
        assert_eq!(digest(&[(1, a), (300, b)]), digest(&[(300, b), (1, a)]));
        assert_ne!(digest(&[(1, a)]), digest(&[(1, b)]), "pieces are told apart");
        assert_ne!(digest(&[(1, a)]), digest(&[(300, a)]), "ranges are told apart");
        assert_ne!(digest(&[(1, a), (1, a)]).hash(), digest(&[]).hash(), "the same twice is not nothing");
        assert_eq!((digest(&[(4_095, a)]).records(), Digest::slots(15)), (1, (3_840, 4_095)));
    }
}
