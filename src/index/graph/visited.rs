//! Which nodes a walk has seen: one bit a node, cleared by the list of words that were touched.

/// A set of node numbers with a cheap clear.
#[derive(Clone, Debug, Default)]
pub struct Visited {
    words: Vec<u64>,
    touched: Vec<u32>,
}

impl Visited {
    /// Empties the set and makes room for nodes `0..n`. Cost: the words touched since the last call.
    pub fn reset(&mut self, n: usize) {
        for word in self.touched.drain(..) {
            self.words[word as usize] = 0;
        }
        let words = n.div_ceil(64);
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
    }

    /// Whether `node` is in the set.
    #[inline(always)]
    pub fn contains(&self, node: u32) -> bool {
        self.words[(node / 64) as usize] >> (node % 64) & 1 == 1
    }

    /// Adds `node`; returns whether it is new.
    #[inline(always)]
    pub fn insert(&mut self, node: u32) -> bool {
        let at = (node / 64) as usize;
        let (word, bit) = (&mut self.words[at], 1u64 << (node % 64));
        if *word & bit != 0 {
            return false;
        }
        if *word == 0 {
            self.touched.push(at as u32);
        }
        *word |= bit;
        true
    }
}
