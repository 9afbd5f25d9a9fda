//! A dense set of ordinals: one bit each, so that a graph walk asks about a node in one load.

use roaring::RoaringBitmap;

/// A set of ordinals of one shard as bits, with its size.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DenseBits {
    words: Vec<u64>,
    count: u64,
}

impl DenseBits {
    /// The members of `set`, as bits up to `universe`.
    #[must_use]
    pub fn from_roaring(set: &RoaringBitmap, universe: u32) -> Self {
        let mut bits = Self { words: vec![0; (universe as usize).div_ceil(64)], count: 0 };
        for ordinal in set {
            bits.set(ordinal, true);
        }
        bits
    }

    /// The bits, least significant first; ordinals past the end are absent.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// How many members.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether `ordinal` is a member.
    #[must_use]
    pub fn contains(&self, ordinal: u32) -> bool {
        self.words.get(ordinal as usize / 64).is_some_and(|word| word >> (ordinal % 64) & 1 == 1)
    }

    /// Adds or removes one.
    pub fn set(&mut self, ordinal: u32, member: bool) {
        let (at, bit) = (ordinal as usize / 64, 1_u64 << (ordinal % 64));
        if at >= self.words.len() {
            if !member {
                return;
            }
            self.words.resize(at + 1, 0);
        }
        let was = self.words[at] & bit != 0;
        if was != member {
            self.words[at] ^= bit;
            self.count = if member { self.count + 1 } else { self.count - 1 };
        }
    }

    /// Keeps what is also in `other`.
    pub fn intersect(&mut self, other: &Self) {
        self.words.truncate(other.words.len());
        for (word, with) in self.words.iter_mut().zip(&other.words) {
            *word &= with;
        }
        self.recount();
    }

    /// Keeps what `keep` says yes to.
    pub fn retain(&mut self, mut keep: impl FnMut(u32) -> bool) {
        for at in 0..self.words.len() {
            let mut rest = self.words[at];
            while rest != 0 {
                let bit = rest.trailing_zeros();
                rest &= rest - 1;
                let ordinal = u32::try_from(at * 64).expect("ordinals are u32") + bit;
                if !keep(ordinal) {
                    self.words[at] &= !(1 << bit);
                }
            }
        }
        self.recount();
    }

    /// Removes the members of `other`.
    pub fn subtract_roaring(&mut self, other: &RoaringBitmap) {
        for ordinal in other {
            self.set(ordinal, false);
        }
    }

    /// The members in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        ones(&self.words)
    }

    fn recount(&mut self) {
        self.count = self.words.iter().map(|word| u64::from(word.count_ones())).sum();
    }
}

/// The places of the bits that are set, in ascending order.
pub fn ones(words: &[u64]) -> impl Iterator<Item = u32> + '_ {
    words.iter().enumerate().flat_map(|(at, &word)| {
        let mut rest = word;
        std::iter::from_fn(move || {
            (rest != 0).then(|| {
                let bit = rest.trailing_zeros();
                rest &= rest - 1;
                u32::try_from(at * 64).expect("ordinals are u32") + bit
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_follow_a_model_set() {
        let set: RoaringBitmap = [0_u32, 63, 64, 700].into_iter().collect();
        let mut bits = DenseBits::from_roaring(&set, 701);
        assert!(bits.iter().eq([0, 63, 64, 700]) && bits.count() == 4);
        bits.set(2_000, true);
        bits.set(63, false);
        bits.set(5_000, false);
        assert!(bits.contains(2_000) && !bits.contains(63) && bits.count() == 4);
        bits.retain(|ordinal| ordinal != 64);
        bits.subtract_roaring(&[700].into_iter().collect());
        assert!(bits.iter().eq([0, 2_000]) && bits.count() == 2);
        bits.intersect(&DenseBits::from_roaring(&set, 100));
        assert!(bits.iter().eq([0]) && bits.count() == 1);
    }
}
