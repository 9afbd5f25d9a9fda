//! The tracks of one shard that a request may show.

use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::filter::{DenseBits, Exclusions, ones};
use crate::pipeline::tracks::{AllowedQuestion, Told};

/// Words of bits up to which exclusions are taken out of a copy of them (two million tracks, 256 KiB): then a search
/// asks about a row in one load, however much the listener has heard. Beyond, copying would cost more than it saves.
const COPIED_WORDS_MAX: usize = 32_768;

/// The tracks of one shard that a request may show: shared bits minus the request's own exclusions.
#[derive(Debug, Clone)]
pub struct AllowedTracks {
    words: Words,
    /// Ordinals left out on top: blocked, heard, served; none where the bits are without them.
    excluded: Arc<RoaringBitmap>,
    /// How a shard elsewhere is told of them.
    told: Option<Arc<Told>>,
}

/// One bit an ordinal, least significant first.
#[derive(Debug, Clone)]
enum Words {
    /// Hard rules and the request's filter, shared by many.
    Shared(Arc<DenseBits>),
    /// A copy, without what is excluded.
    Own(Arc<Vec<u64>>),
}

impl AllowedTracks {
    /// `base` without what is in any of `excluded`.
    ///
    /// Cost: one pass over the words of `base` and each large exclusion, and a bit a member of the others; in shards of more than
    /// two million tracks the union of the exclusions instead.
    #[must_use]
    pub fn new(base: Arc<DenseBits>, excluded: &[&Exclusions]) -> Self {
        if base.words().len() > COPIED_WORDS_MAX || excluded.iter().all(|set| set.is_empty()) {
            let mut union = RoaringBitmap::new();
            excluded.iter().for_each(|set| union |= set.ordinals());
            return Self { words: Words::Shared(base), excluded: Arc::new(union), told: None };
        }
        let mut words = base.words().to_vec();
        excluded.iter().for_each(|set| set.take_out_of(&mut words));
        Self { words: Words::Own(Arc::new(words)), excluded: Arc::default(), told: None }
    }

    /// The same tracks, of a shard elsewhere that is told of them so.
    #[must_use]
    pub fn told_as(self, told: Option<Arc<Told>>) -> Self {
        Self { told, ..self }
    }

    /// How a shard elsewhere is asked for tracks among these.
    ///
    /// # Panics
    /// When they are of a shard that is here: nothing would be asked, and the shard's tracks missed without a word.
    #[must_use]
    pub fn question(&self) -> AllowedQuestion {
        self.told.as_ref().expect("the shard is elsewhere").question()
    }

    /// Whether they are of a shard elsewhere.
    #[cfg(test)]
    pub(in crate::pipeline) fn is_told(&self) -> bool {
        self.told.is_some()
    }

    /// The bits that must be set and the ordinals that must not be named, for a search.
    #[must_use]
    pub fn parts(&self) -> (&[u64], &RoaringBitmap) {
        let words = match &self.words {
            Words::Shared(bits) => bits.words(),
            Words::Own(words) => words,
        };
        (words, &self.excluded)
    }

    /// Whether a track may be shown.
    #[must_use]
    pub fn contains(&self, ordinal: u32) -> bool {
        let (words, excluded) = self.parts();
        words.get(ordinal as usize / 64).is_some_and(|word| word >> (ordinal % 64) & 1 == 1)
            && (excluded.is_empty() || !excluded.contains(ordinal))
    }

    /// The tracks in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let (words, excluded) = self.parts();
        ones(words).filter(|&ordinal| !excluded.contains(ordinal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_shards_leave_out_the_same() {
        for universe in [700, 64 * COPIED_WORDS_MAX as u32 + 700] {
            let members: RoaringBitmap = (0..700).filter(|at| at % 3 != 0).collect();
            let base = Arc::new(DenseBits::from_roaring(&members, universe));
            let excluded: RoaringBitmap = (0..700).filter(|at| at % 5 == 0).collect();
            let allowed = AllowedTracks::new(base, &[&Exclusions::new(excluded, universe)]);
            assert!(allowed.iter().eq((0..700).filter(|at| at % 3 != 0 && at % 5 != 0)));
            assert!(allowed.contains(1) && !allowed.contains(5) && !allowed.contains(6));
        }
    }
}
