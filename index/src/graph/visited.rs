//! Which nodes a walk has seen: one bit a node, cleared by the list of those nodes.

/// A set of node numbers with a cheap clear.
#[derive(Clone, Debug, Default)]
pub struct Visited {
    words: Vec<u64>,
    /// Every node of the set.
    nodes: Vec<u32>,
}

impl Visited {
    /// Empties the set and makes room for nodes `0..n`. Cost: the nodes added since the last call.
    pub fn reset(&mut self, n: usize) {
        for node in self.nodes.drain(..) {
            self.words[(node / 64) as usize] = 0;
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
        let (word, bit) = (&mut self.words[(node / 64) as usize], 1u64 << (node % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        if is_new {
            self.nodes.push(node);
        }
        is_new
    }

    /// Adds the links whose bits are set in `mask` and appends the new ones to `fresh`; see [`Visited::insert_all`]. Links that
    /// lead to no node below `n` are passed over.
    #[inline(always)]
    pub fn insert_links(&mut self, links: &[[u8; 4]], mut mask: u32, n: usize, fresh: &mut Vec<u32>) {
        let next = || {
            if mask == 0 {
                return None;
            }
            let link = links[mask.trailing_zeros() as usize];
            mask &= mask - 1;
            Some(u32::from_le_bytes(link))
        };
        self.extend(std::iter::from_fn(next).filter(|&node| (node as usize) < n), links.len(), fresh);
    }

    /// Adds `nodes` and appends the new ones to `fresh`.
    ///
    /// Whether a node is new decides no branch: most of those a walk comes upon were seen before, in no order that could
    /// be guessed.
    #[inline(always)]
    pub fn insert_all(&mut self, nodes: &[u32], fresh: &mut Vec<u32>) {
        self.extend(nodes.iter().copied(), nodes.len(), fresh);
    }

    /// As above, for at most `most` nodes.
    #[inline(always)]
    fn extend(&mut self, nodes: impl Iterator<Item = u32>, most: usize, fresh: &mut Vec<u32>) {
        let (start, mut count) = (fresh.len(), 0);
        fresh.resize(start + most, 0);
        for node in nodes {
            let (word, bit) = (&mut self.words[(node / 64) as usize], 1u64 << (node % 64));
            fresh[start + count] = node;
            count += usize::from(*word & bit == 0);
            *word |= bit;
        }
        fresh.truncate(start + count);
        self.nodes.extend_from_slice(&fresh[start..]);
    }
}
