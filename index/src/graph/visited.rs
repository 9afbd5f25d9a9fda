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

    /// Appends those links to `fresh` whose bits are set in `mask`, that lead to a node below `n` and that were not seen. They stay so.
    ///
    /// Whether they were decides no branch, as in [`Visited::insert_all`].
    #[inline(always)]
    pub fn unseen_links(&self, links: &[[u8; 4]], mut mask: u32, n: usize, fresh: &mut Vec<u32>) {
        let mut end = fresh.len();
        fresh.resize(end + links.len(), 0);
        while mask != 0 {
            let node = u32::from_le_bytes(links[mask.trailing_zeros() as usize]);
            mask &= mask - 1;
            // A damaged link leads nowhere.
            if (node as usize) < n {
                fresh[end] = node;
                end += usize::from(!self.contains(node));
            }
        }
        fresh.truncate(end);
    }

    /// Adds the nodes that are new, and of those with the bits of `mark` only if `with_marked`; drops the others from `nodes`.
    #[inline(always)]
    pub fn keep_new(&mut self, nodes: &mut Vec<u32>, mark: u32, with_marked: bool) {
        let mut kept = 0;
        for at in 0..nodes.len() {
            let (marked, node) = (nodes[at], nodes[at] & !mark);
            let (word, place) = (&mut self.words[(node / 64) as usize], node % 64);
            let keep = (with_marked | (marked & mark == 0)) & (*word >> place & 1 == 0);
            *word |= u64::from(keep) << place;
            nodes[kept] = marked;
            kept += usize::from(keep);
        }
        nodes.truncate(kept);
        self.nodes.extend(nodes.iter().map(|node| node & !mark));
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

#[cfg(test)]
mod filter_tests {
    use std::collections::HashSet;

    use super::*;
    use crate::SplitMix64;

    #[test]
    fn links_are_kept_as_one_by_one_whether_seen_or_marked() {
        const MARK: u32 = 1 << 31;
        let seed = 12;
        let mut random = SplitMix64::new(seed);
        let (mut visited, mut seen) = (Visited::default(), HashSet::new());
        visited.reset(500);
        for round in 0..300 {
            // Some lead to no node.
            let links: Vec<[u8; 4]> = (0..32).map(|_| (random.below(520) as u32).to_le_bytes()).collect();
            let mask = random.next_u64() as u32;
            let chosen = (0..32).filter(|at| mask >> at & 1 == 1).map(|at| u32::from_le_bytes(links[at]));
            let unseen: Vec<u32> = chosen.filter(|node| *node < 500 && !seen.contains(node)).collect();
            let mut nodes = vec![];
            visited.unseen_links(&links, mask, 500, &mut nodes);
            assert_eq!(nodes, unseen, "seed {seed}");
            let with_marked = round % 3 == 0;
            nodes.iter_mut().for_each(|node| *node |= if *node % 4 == 0 { MARK } else { 0 });
            let mut expected = nodes.clone();
            expected.retain(|node| (with_marked || node & MARK == 0) && seen.insert(node & !MARK));
            visited.keep_new(&mut nodes, MARK, with_marked);
            assert_eq!(nodes, expected, "seed {seed}");
            if round % 40 == 39 {
                visited.reset(500);
                seen.clear();
            }
        }
    }
}
