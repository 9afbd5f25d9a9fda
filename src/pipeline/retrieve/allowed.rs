//! The tracks of one shard that a request may show.

use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::filter::DenseBits;

/// The tracks of one shard that a request may show: shared bits minus the request's own exclusions.
#[derive(Debug, Clone)]
pub struct AllowedTracks {
    /// Hard rules and the request's filter.
    pub base: Arc<DenseBits>,
    /// Ordinals left out on top: blocked, heard, served.
    pub excluded: Arc<RoaringBitmap>,
}

impl AllowedTracks {
    /// Whether a track may be shown.
    #[must_use]
    pub fn contains(&self, ordinal: u32) -> bool {
        self.base.contains(ordinal) && !self.excluded.contains(ordinal)
    }

    /// The same with more exclusions.
    #[must_use]
    pub fn without(&self, more: &RoaringBitmap) -> Self {
        if more.is_empty() {
            return self.clone();
        }
        Self { base: Arc::clone(&self.base), excluded: Arc::new(&*self.excluded | more) }
    }

    /// How many tracks may be shown.
    #[must_use]
    pub fn count(&self) -> u64 {
        let left_out = self.excluded.iter().filter(|&ordinal| self.base.contains(ordinal)).count();
        self.base.count() - left_out as u64
    }

    /// The tracks in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.base.iter().filter(|&ordinal| !self.excluded.contains(ordinal))
    }
}
