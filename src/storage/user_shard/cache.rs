//! A cache of things built from snapshots, bounded by bytes, that never keeps what a write has overtaken.
//!
//! A builder leaves a mark, then takes its snapshot. A write becomes visible first and removes marks and values
//! afterwards. So a value is kept only when its mark is still there, and then its snapshot is new enough.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    sync::Arc,
};

use parking_lot::Mutex;

use super::error::Result;

/// See the module.
pub(super) struct SnapshotCache<K, V> {
    state: Mutex<State<K, V>>,
    bytes_max: usize,
}

struct State<K, V> {
    slots: HashMap<K, Slot<V>>,
    by_use: BTreeMap<u64, K>,
    bytes: usize,
    clock: u64,
}

enum Slot<V> {
    Building { mark: u64 },
    Ready { value: Arc<V>, bytes: usize, used: u64 },
}

impl<K: Hash + Eq + Clone, V> SnapshotCache<K, V> {
    pub(super) fn new(bytes_max: usize) -> Self {
        let state = State { slots: HashMap::new(), by_use: BTreeMap::new(), bytes: 0, clock: 0 };
        Self { state: Mutex::new(state), bytes_max }
    }

    /// The cached value, or the one `build` makes with its size in bytes; `None` is not cached. `build` must take
    /// its snapshot itself, after it was called.
    pub(super) fn get_or_build(
        &self,
        key: &K,
        build: impl FnOnce() -> Result<Option<(V, usize)>>,
    ) -> Result<Option<Arc<V>>> {
        let mark = match self.look_up(key) {
            Ok(value) => return Ok(Some(value)),
            Err(mark) => mark,
        };
        let built = build();
        let mut state = self.state.lock();
        let is_current =
            matches!(state.slots.get(key), Some(Slot::Building { mark: found }) if *found == mark);
        if is_current {
            state.slots.remove(key);
        }
        let Some((value, bytes)) = built? else { return Ok(None) };
        let value = Arc::new(value);
        if is_current && bytes <= self.bytes_max {
            state.insert(key.clone(), Arc::clone(&value), bytes);
            state.shrink_to(self.bytes_max);
        }
        Ok(Some(value))
    }

    /// The cached value, if there is one. It does not count as used.
    pub(super) fn get(&self, key: &K) -> Option<Arc<V>> {
        match self.state.lock().slots.get(key) {
            Some(Slot::Ready { value, .. }) => Some(Arc::clone(value)),
            Some(Slot::Building { .. }) | None => None,
        }
    }

    fn look_up(&self, key: &K) -> std::result::Result<Arc<V>, u64> {
        let mut state = self.state.lock();
        state.clock += 1;
        let now = state.clock;
        let State { slots, by_use, .. } = &mut *state;
        if let Some(Slot::Ready { value, used, .. }) = slots.get_mut(key) {
            by_use.remove(used);
            by_use.insert(now, key.clone());
            *used = now;
            return Ok(Arc::clone(value));
        }
        slots.insert(key.clone(), Slot::Building { mark: now });
        Err(now)
    }

    /// Forgets a key; called after the write that changed it became visible.
    pub(super) fn invalidate(&self, key: &K) {
        self.state.lock().remove(key);
    }

    /// Bytes of the values held.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }
}

impl<K: Hash + Eq + Clone, V> State<K, V> {
    fn insert(&mut self, key: K, value: Arc<V>, bytes: usize) {
        self.clock += 1;
        let used = self.clock;
        self.by_use.insert(used, key.clone());
        self.slots.insert(key, Slot::Ready { value, bytes, used });
        self.bytes += bytes;
    }

    fn remove(&mut self, key: &K) {
        if let Some(Slot::Ready { bytes, used, .. }) = self.slots.remove(key) {
            self.by_use.remove(&used);
            self.bytes -= bytes;
        }
    }

    fn shrink_to(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some((_, key)) = self.by_use.pop_first()
        {
            self.remove(&key);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn cached(cache: &SnapshotCache<u8, u8>, key: u8, value: u8) -> u8 {
        *cache.get_or_build(&key, || Ok(Some((value, 10)))).unwrap().unwrap()
    }

    #[test]
    fn the_least_used_goes_first_and_bytes_stay_bounded() {
        let cache = SnapshotCache::new(30);
        for key in 0..3 {
            cached(&cache, key, key);
        }
        assert_eq!(cached(&cache, 0, 99), 0, "still there, and now the newest");
        cached(&cache, 3, 3);
        assert_eq!(cache.bytes(), 30);
        assert_eq!((cached(&cache, 0, 99), cached(&cache, 1, 99)), (0, 99), "1 was dropped");
    }

    #[test]
    fn looking_without_building_neither_counts_nor_leaves_a_mark() {
        let cache = SnapshotCache::new(20);
        assert_eq!(cache.get(&0), None);
        cached(&cache, 0, 0);
        cached(&cache, 1, 1);
        assert_eq!(cache.get(&0).as_deref(), Some(&0));
        cached(&cache, 2, 2);
        assert_eq!((cache.get(&0), cache.get(&1).as_deref()), (None, Some(&1)), "0 is still the oldest");
    }

    #[test]
    fn a_value_overtaken_while_it_was_built_is_not_kept() {
        let cache = SnapshotCache::new(100);
        let built = cache.get_or_build(&1, || {
            cache.invalidate(&1);
            Ok(Some((7, 10)))
        });
        assert_eq!(*built.unwrap().unwrap(), 7);
        assert_eq!(cached(&cache, 1, 8), 8, "built anew");
    }

    #[test]
    fn what_does_not_exist_or_does_not_fit_is_not_kept() {
        let cache = SnapshotCache::new(5);
        assert!(cache.get_or_build(&1, || Ok(None)).unwrap().is_none());
        assert_eq!(cached(&cache, 1, 8), 8);
        assert_eq!(cached(&cache, 1, 9), 9);
        assert_eq!(cache.bytes(), 0);
    }
}
