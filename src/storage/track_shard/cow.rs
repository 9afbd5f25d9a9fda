//! An append-and-replace vector whose clones share chunks: readers keep a version, the writer changes the next.

use std::sync::Arc;

/// Elements a chunk holds; a write copies one chunk.
const CHUNK: usize = 512;

/// A vector in shared chunks. Cloning costs one pointer a chunk; `set` and `push` copy only the chunk they touch
/// (and not even that when no clone shares it).
#[derive(Debug, Clone)]
pub struct CowVec<T> {
    chunks: Vec<Arc<Vec<T>>>,
    len: usize,
}

impl<T> Default for CowVec<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T: Clone> CowVec<T> {
    /// How many elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The element at `at`.
    pub fn get(&self, at: usize) -> Option<&T> {
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    /// Appends.
    pub fn push(&mut self, value: T) {
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Arc::new(Vec::with_capacity(CHUNK.min(16))));
        }
        let last = self.chunks.last_mut().expect("a chunk was just made sure of");
        Arc::make_mut(last).push(value);
        self.len += 1;
    }

    /// Replaces the element at `at`; grows with `filler` up to it.
    pub fn set(&mut self, at: usize, value: T, filler: &T) {
        while self.len < at {
            self.push(filler.clone());
        }
        if at == self.len {
            self.push(value);
        } else {
            Arc::make_mut(&mut self.chunks[at / CHUNK])[at % CHUNK] = value;
        }
    }

    /// All elements in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// Elements from `start` on.
    pub fn iter_from(&self, start: usize) -> impl Iterator<Item = &T> {
        self.chunks.iter().skip(start / CHUNK).flat_map(|chunk| chunk.iter()).skip(start % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_its_version() {
        let mut vector = CowVec::default();
        (0..2_000_u32).for_each(|i| vector.push(i));
        let old = vector.clone();
        vector.set(700, 9, &0);
        vector.set(2_500, 8, &1);
        assert_eq!((old.len(), old.get(700), old.get(2_000)), (2_000, Some(&700), None));
        assert_eq!(
            (vector.len(), vector.get(700), vector.get(2_499), vector.get(2_500)),
            (2_501, Some(&9), Some(&1), Some(&8))
        );
        assert!(old.iter().copied().eq(0..2_000));
        assert!(old.iter_from(1_999).copied().eq([1_999]));
    }
}
