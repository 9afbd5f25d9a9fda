//! Which rows the last few filters allow, by place.
//!
//! Filters speak ordinals, blocks are places: bringing one to the other costs some nanoseconds for each allowed row, which is most of a
//! scan. The bases of filters come again: one request asks for several vectors, and rules without a listener are the same for many.

use std::sync::{Arc, PoisonError, RwLock};

use crate::allowed::Allowed;
use crate::kernels::Kernels;

/// Filters remembered. Each takes a bit an ordinal of the base, and one a row.
const KEPT: usize = 2;

/// The filters remembered, the newest first. A copy starts empty.
#[derive(Debug, Default)]
pub(super) struct MarkCache(RwLock<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    /// The base itself: a filter is the same when all its words are.
    base: Box<[u64]>,
    /// Where the column of places lies, and how long it is.
    places: (usize, usize),
    /// None of a filter that was seen once.
    marks: Option<Arc<[u64]>>,
}

impl Entry {
    fn is_of(&self, base: &[u64], places: &[u32]) -> bool {
        self.places == (places.as_ptr().addr(), places.len()) && *self.base == *base
    }
}

impl Clone for MarkCache {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl MarkCache {
    /// Returns the rows below `n` that the base of a filter allows, a bit each; none where a filter has no base or no way back from
    /// ordinals, and, if it `may_wait`, where it was not seen before.
    ///
    /// Cost: a comparison with the bases remembered; for a new one its words, and some nanoseconds for each row it allows.
    pub(super) fn get(
        &self,
        kernels: &Kernels,
        allowed: &Allowed<'_>,
        n: usize,
        may_wait: bool,
    ) -> Option<Arc<[u64]>> {
        let (base, places) = allowed.translated_base()?;
        // Whoever panicked while it held the lock left entries that are whole.
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = entries.iter().find(|entry| entry.is_of(base, places));
        if let Some(marks) = known.and_then(|entry| entry.marks.as_ref()) {
            return Some(Arc::clone(marks));
        }
        let is_known = known.is_some();
        drop(entries);
        // Without the lock: others need not wait, at most they do the same.
        let marks = (is_known || !may_wait).then(|| -> Arc<[u64]> {
            let mut marks = vec![0; n.div_ceil(64)];
            allowed.mark_base(kernels, n, &mut marks);
            marks.into()
        });
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|entry| !entry.is_of(base, places));
        entries.truncate(KEPT - 1);
        let places = (places.as_ptr().addr(), places.len());
        entries.insert(0, Entry { base: base.into(), places, marks: marks.clone() });
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_told_apart_by_their_bits_and_dense_ones_are_marked_the_second_time() {
        let (n, kernels, cache) = (200_usize, Kernels::get(), MarkCache::default());
        let ordinals: Vec<u32> = (0..n as u32).rev().collect();
        let places = ordinals.clone();
        let get = |bits: &[u64], may_wait| {
            let allowed = Allowed::all().with_base(bits).with_ordinals(&ordinals).with_places(&places);
            let marks = cache.get(kernels, &allowed, n, may_wait);
            if let Some(marks) = &marks {
                assert!((0..n as u32).all(
                    |row| marks[row as usize / 64] >> (row % 64) & 1 == u64::from(allowed.contains(row))
                ));
            }
            marks
        };
        let (one, two, three) = (vec![0b1011_u64, 0, 0, 1], vec![0b1011_u64, 0, 1, 1], vec![u64::MAX; 4]);
        assert!(get(&one, true).is_none(), "seen once");
        let marks = get(&one, true).expect("seen twice");
        assert!(
            Arc::ptr_eq(&marks, &get(&one.clone(), true).expect("remembered")),
            "the same bits elsewhere"
        );
        assert!(get(&two, false).is_some_and(|other| other != marks), "sparse filters are marked at once");
        assert!(get(&three, false).is_some());
        assert!(get(&one, true).is_none(), "two newer filters were remembered since");
        let no_way_back = Allowed::all().with_base(&one).with_ordinals(&ordinals);
        assert!(cache.get(kernels, &no_way_back, n, false).is_none());
    }
}
