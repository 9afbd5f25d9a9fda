//! The tracks of one shard that a request may show.

use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::filter::DenseBits;

/// Words of bits up to which exclusions are taken out of a copy of them (two million tracks, 256 KiB): then a search
/// asks about a row in one load, however much the listener has heard. Beyond, copying would cost more than it saves.
const COPIED_WORDS_MAX: usize = 32_768;

/// The tracks of one shard that a request may show: shared bits minus the request's own exclusions.
#[derive(Debug, Clone)]
pub struct AllowedTracks {
    /// Hard rules and the request's filter; without the exclusions already where the shard is small enough.
    base: Arc<DenseBits>,
    /// Ordinals left out on top: blocked, heard, served.
    excluded: Arc<RoaringBitmap>,
}

impl AllowedTracks {
    /// `base` without `excluded`.
    #[must_use]
    pub fn new(base: Arc<DenseBits>, excluded: RoaringBitmap) -> Self {
        if excluded.is_empty() || base.words().len() > COPIED_WORDS_MAX {
            return Self { base, excluded: Arc::new(excluded) };
        }
        let mut bits = DenseBits::clone(&base);
        bits.subtract_roaring(&excluded);
        Self { base: Arc::new(bits), excluded: Arc::default() }
    }

    /// The bits that must be set and the ordinals that must not be named, for a search.
    #[must_use]
    pub fn parts(&self) -> (&[u64], &RoaringBitmap) {
        (self.base.words(), &self.excluded)
    }

    /// Whether a track may be shown.
    #[must_use]
    pub fn contains(&self, ordinal: u32) -> bool {
        self.base.contains(ordinal) && !self.excluded.contains(ordinal)
    }

    /// The tracks in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.base.iter().filter(|&ordinal| !self.excluded.contains(ordinal))
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
            let allowed = AllowedTracks::new(base, excluded);
            assert!(allowed.iter().eq((0..700).filter(|at| at % 3 != 0 && at % 5 != 0)));
            assert!(allowed.contains(1) && !allowed.contains(5) && !allowed.contains(6));
        }
    }
}
