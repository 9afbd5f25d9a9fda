//! An append-and-replace vector whose clones share chunks: readers keep a version, the writer changes the next.

use std::sync::Arc;

/// Elements a chunk holds; a write copies one chunk.
const CHUNK: usize = 512;

/// A vector in shared chunks. Cloning costs one pointer a chunk; `set` and `push` copy only the chunk they touch
/// (and not even that when no clone shares it). An element is two steps away, its chunk's place and itself: requests look
/// at thousands of tracks in no order, and each further step would be a place in memory of its own.
#[derive(Debug, Clone)]
pub struct CowVec<T> {
    /// Of [`CHUNK`] elements each.
    full: Vec<Arc<[T]>>,
    /// The elements behind them, fewer than a chunk.
    rest: Arc<Vec<T>>,
}

impl<T> Default for CowVec<T> {
    fn default() -> Self {
        Self { full: Vec::new(), rest: Arc::default() }
    }
}

impl<T: Clone> CowVec<T> {
    /// How many elements.
    pub fn len(&self) -> usize {
        self.full.len() * CHUNK + self.rest.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `at`.
    pub fn get(&self, at: usize) -> Option<&T> {
        match self.full.get(at / CHUNK) {
            Some(chunk) => chunk.get(at % CHUNK),
            None => self.rest.get(at - self.full.len() * CHUNK),
        }
    }

    /// Appends.
    pub fn push(&mut self, value: T) {
        let rest = Arc::make_mut(&mut self.rest);
        rest.push(value);
        if rest.len() == CHUNK {
            self.full.push(Arc::from(std::mem::take(rest)));
        }
    }

    /// Replaces the element at `at`; grows with `filler` up to it.
    pub fn set(&mut self, at: usize, value: T, filler: &T) {
        while self.len() < at {
            self.push(filler.clone());
        }
        if at == self.len() {
            self.push(value);
        } else if let Some(chunk) = self.full.get_mut(at / CHUNK) {
            Arc::make_mut(chunk)[at % CHUNK] = value;
        } else {
            Arc::make_mut(&mut self.rest)[at % CHUNK] = value;
        }
    }

    /// All elements in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.iter_from(0)
    }

    /// Elements from `start` on.
    pub fn iter_from(&self, start: usize) -> impl Iterator<Item = &T> {
        let chunks = self.full.iter().map(|chunk| &chunk[..]).chain([&self.rest[..]]);
        chunks.skip(start / CHUNK).flatten().skip(start % CHUNK)
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

    /// Around the ends of chunks, against a plain vector.
    #[test]
    fn every_length_reads_as_a_plain_vector() {
        let (mut vector, mut plain) = (CowVec::default(), Vec::new());
        for value in 0..3 * CHUNK + 2 {
            assert_eq!((vector.len(), vector.is_empty(), vector.get(value)), (value, value == 0, None));
            let kept = vector.clone();
            vector.push(value);
            plain.push(value);
            for at in [0, value / 2, value] {
                vector.set(at, at + 7, &0);
                plain[at] = at + 7;
            }
            if value % CHUNK < 3 || value % CHUNK > CHUNK - 3 {
                assert!(vector.iter().eq(&plain) && kept.len() == value);
                assert!((0..=value).all(|start| vector.iter_from(start).eq(&plain[start..])));
                assert!((0..=value).all(|at| vector.get(at) == plain.get(at)));
            }
        }
        assert_eq!(vector.iter_from(9 * CHUNK).next(), None);
    }
}
