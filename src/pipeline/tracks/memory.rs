//! What a shard elsewhere said of tracks, kept until the request ends.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use parking_lot::Mutex;

use crate::storage::track_shard::KeyMap;
use crate::types::{GenerationId, SpaceName};

/// Something of each track, by ordinal.
pub(super) struct Heard<T>(Mutex<KeyMap<T>>);

impl<T> Default for Heard<T> {
    fn default() -> Self {
        Self(Mutex::new(KeyMap::default()))
    }
}

/// Ordinals follow each other; the map wants keys that are spread.
fn spread(ordinal: u32) -> u64 {
    u64::from(ordinal).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl<T: Clone> Heard<T> {
    pub(super) fn has(&self, ordinal: u32) -> bool {
        self.0.lock().contains_key(&spread(ordinal))
    }

    pub(super) fn get(&self, ordinal: u32) -> Option<T> {
        self.0.lock().get(&spread(ordinal)).cloned()
    }

    pub(super) fn extend(&self, all: impl IntoIterator<Item = (u32, T)>) {
        self.0.lock().extend(all.into_iter().map(|(ordinal, it)| (spread(ordinal), it)));
    }
}

/// Vectors that were fetched: a list of what each answer brought. Nothing in it moves or goes before all of it does, so that
/// vectors are lent as those of mapped files are.
#[derive(Default)]
pub(super) struct FetchedVectors {
    first: OnceLock<Box<Fetched>>,
}

/// What one answer brought.
struct Fetched {
    space: SpaceName,
    generation: GenerationId,
    /// `None` of a track that has no vector.
    vectors: BTreeMap<u32, Option<Vec<f32>>>,
    next: OnceLock<Box<Self>>,
}

impl FetchedVectors {
    /// A track's vector: `None` if it was not asked for, `Some(None)` if there is none. Cost: a look-up an answer so far.
    pub(super) fn get(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        ordinal: u32,
    ) -> Option<Option<&[f32]>> {
        let mut next = self.first.get();
        while let Some(fetched) = next {
            if fetched.generation == generation
                && fetched.space == *space
                && let Some(vector) = fetched.vectors.get(&ordinal)
            {
                return Some(vector.as_deref());
            }
            next = fetched.next.get();
        }
        None
    }

    /// Keeps what an answer brought, behind what is there.
    pub(super) fn add(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        vectors: impl IntoIterator<Item = (u32, Option<Vec<f32>>)>,
    ) {
        let vectors = vectors.into_iter().collect();
        let mut new = Box::new(Fetched { space: space.clone(), generation, vectors, next: OnceLock::new() });
        let mut end = &self.first;
        loop {
            match end.set(new) {
                Ok(()) => return,
                Err(back) => new = back,
            }
            // It is set, or setting it would not have failed.
            let Some(taken) = end.get() else { return };
            end = &taken.next;
        }
    }
}

impl Drop for FetchedVectors {
    /// One after the other: a list of many answers would need as many calls in each other.
    fn drop(&mut self) {
        let mut next = self.first.take();
        while let Some(mut fetched) = next {
            next = fetched.next.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_stay_where_they_are_while_more_come_and_a_long_list_goes_without_harm() {
        let space = |name: &str| SpaceName::new(name).expect("a valid name");
        let (audio, other, generation) = (space("audio"), space("other"), GenerationId(1));
        let fetched = FetchedVectors::default();
        assert_eq!(fetched.get(&audio, generation, 0), None);
        fetched.add(&audio, generation, [(0, Some(vec![1.0, 2.0])), (1, None)]);
        let first = fetched.get(&audio, generation, 0).flatten();
        for ordinal in 2..60 {
            fetched.add(&audio, generation, [(ordinal, Some(vec![ordinal as f32]))]);
        }
        assert_eq!(first, Some(&[1.0, 2.0][..]));
        assert_eq!(fetched.get(&audio, generation, 1), Some(None));
        assert_eq!(fetched.get(&audio, generation, 50), Some(Some(&[50.0][..])));
        assert_eq!(fetched.get(&audio, GenerationId(2), 50), None);
        assert_eq!(fetched.get(&other, generation, 50), None);
        let long = FetchedVectors::default();
        let mut last = &long.first;
        for _ in 0..300_000 {
            let next = OnceLock::new();
            let fetched = Fetched { space: audio.clone(), generation, vectors: BTreeMap::new(), next };
            last = &last.get_or_init(|| Box::new(fetched)).next;
        }
        drop(long);
    }
}
