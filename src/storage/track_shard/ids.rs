//! Names to numbers, shared by every version of the shard's state: a number once given never changes.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use parking_lot::RwLock;

use crate::types::key_of;

/// Keys are BLAKE3 already: their own bits are the hash.
#[derive(Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// A hash map keyed by [`key_of`] of a name.
pub type KeyMap<V> = HashMap<u64, V, BuildHasherDefault<KeyHasher>>;
/// A set of such keys.
pub type KeySet = HashSet<u64, BuildHasherDefault<KeyHasher>>;

/// Append-only map of names to numbers. Two names with one 64-bit key (about one pair in 10⁴ catalogues of 100 M) are
/// told apart by the caller's `is` check and kept by name.
#[derive(Default)]
pub struct IdMap {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    by_key: KeyMap<u32>,
    collided: HashMap<String, u32>,
    /// Numbers of the names in `collided`, by key.
    more: KeyMap<Vec<u32>>,
}

impl Inner {
    fn collide(&mut self, key: u64, name: String, number: u32) {
        self.collided.insert(name, number);
        self.more.entry(key).or_default().push(number);
    }
}

impl IdMap {
    /// The number of `name`; `is(number)` says whether a number's name is `name` indeed.
    pub fn find(&self, name: &str, is: impl Fn(u32) -> bool) -> Option<u32> {
        let inner = self.inner.read();
        if let Some(&number) = inner.by_key.get(&key_of(name))
            && is(number)
        {
            return Some(number);
        }
        inner.collided.get(name).copied().filter(|number| is(*number))
    }

    /// Gives `name` a number. The name must not have one yet.
    pub fn insert(&self, name: &str, number: u32) {
        let mut inner = self.inner.write();
        let key = key_of(name);
        if let std::collections::hash_map::Entry::Vacant(entry) = inner.by_key.entry(key) {
            entry.insert(number);
        } else {
            inner.collide(key, name.to_owned(), number);
        }
    }

    /// Every number that was given to a name with this key: one, but for names that collide and numbers given anew.
    pub fn numbers_of_key(&self, key: u64, mut each: impl FnMut(u32)) {
        let inner = self.inner.read();
        inner
            .by_key
            .get(&key)
            .into_iter()
            .chain(inner.more.get(&key).into_iter().flatten())
            .for_each(|number| each(*number));
    }

    /// Gives the name with this key a number, when reading files that hold keys; `name` is asked for only when the key
    /// is taken.
    ///
    /// # Errors
    /// That of `name`.
    pub fn insert_key<E>(
        &self,
        key: u64,
        number: u32,
        name: impl FnOnce() -> Result<String, E>,
    ) -> Result<(), E> {
        let mut inner = self.inner.write();
        match inner.by_key.entry(key) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(number);
            }
            std::collections::hash_map::Entry::Occupied(taken) => {
                if *taken.get() != number {
                    let name = name()?;
                    inner.collide(key, name, number);
                }
            }
        }
        Ok(())
    }

    /// Makes room ahead of many inserts.
    pub fn reserve(&self, more: usize) {
        self.inner.write().by_key.reserve(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_one_key_are_told_apart() {
        let map = IdMap::default();
        map.insert("a", 0);
        map.inner.write().by_key.insert(key_of("b"), 0);
        map.insert("b", 1);
        let names = ["a", "b"];
        let find = |name: &str| map.find(name, |number| names[number as usize] == name);
        assert_eq!((find("a"), find("b"), find("c")), (Some(0), Some(1), None));
        let mut of_b = Vec::new();
        map.numbers_of_key(key_of("b"), |number| of_b.push(number));
        assert_eq!(of_b, [0, 1]);
    }
}
