//! Ordinals that a request must not show, quick to take out of a copy of the bits it may.

use roaring::RoaringBitmap;

/// One ordinal in so many of the shard, from which on a set has its bits beside it: then taking it out reads a word where it
/// would take out two bits or more, and the bits are no larger than the set itself.
const WORTH_BITS: u64 = 32;

/// A set of ordinals of one shard. Large ones have their bits beside them, so that leaving out the 50,000 tracks a listener has
/// heard is one pass over words.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Exclusions {
    ordinals: RoaringBitmap,
    /// One bit an ordinal, least significant first; none while the set is small.
    words: Vec<u64>,
}

impl Exclusions {
    /// Takes over a set of ordinals below `universe`.
    #[must_use]
    pub fn new(ordinals: RoaringBitmap, universe: u32) -> Self {
        let mut words = Vec::new();
        if ordinals.len().saturating_mul(WORTH_BITS) > u64::from(universe) {
            words.resize((universe as usize).div_ceil(64), 0_u64);
            for ordinal in ordinals.iter().take_while(|&ordinal| ordinal < universe) {
                words[ordinal as usize / 64] |= 1 << (ordinal % 64);
            }
        }
        Self { ordinals, words }
    }

    /// The set.
    #[must_use]
    pub fn ordinals(&self) -> &RoaringBitmap {
        &self.ordinals
    }

    /// Whether nothing is left out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ordinals.is_empty()
    }

    /// Whether it is so many that taking them out of bits is worth doing once for several requests.
    #[must_use]
    pub fn is_large(&self) -> bool {
        !self.words.is_empty()
    }

    /// Whether an ordinal is left out.
    #[must_use]
    pub fn contains(&self, ordinal: u32) -> bool {
        match self.words.get(ordinal as usize / 64) {
            Some(word) => word >> (ordinal % 64) & 1 == 1,
            None => self.ordinals.contains(ordinal),
        }
    }

    /// Takes the set out of bits.
    ///
    /// Cost: a word each 64 ordinals of the shard where the set is large, else a bit a member.
    pub fn take_out_of(&self, bits: &mut [u64]) {
        if !self.words.is_empty() {
            bits.iter_mut().zip(&self.words).for_each(|(word, out)| *word &= !out);
            return;
        }
        for ordinal in &self.ordinals {
            if let Some(word) = bits.get_mut(ordinal as usize / 64) {
                *word &= !(1 << (ordinal % 64));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_sets_take_out_the_same() {
        let universe = 64 * 40 + 7;
        for step in [3, 31, 64, 500] {
            let members: RoaringBitmap = (0..universe + 100).step_by(step).collect();
            let set = Exclusions::new(members.clone(), universe);
            assert_eq!(set.words.is_empty(), step > 32, "step {step}");
            assert!((0..universe).all(|ordinal| set.contains(ordinal) == members.contains(ordinal)));
            // Shorter, as long, and longer than the shard.
            for len in [10, 41, 50] {
                let mut bits = vec![u64::MAX; len];
                set.take_out_of(&mut bits);
                for ordinal in 0..64 * len as u32 {
                    let is_left = bits[ordinal as usize / 64] >> (ordinal % 64) & 1 == 1;
                    // Ordinals beyond the shard are in no bits of a large set, and nobody asks for them.
                    assert!(ordinal >= universe || is_left != members.contains(ordinal), "{step} {ordinal}");
                }
            }
        }
    }
}
