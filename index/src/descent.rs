//! The way down of a walk: from where it starts to where the query is, led by the codes beside links alone.
//!
//! Far from the query it matters little which of several promising nodes is followed, but a walk cannot follow the next
//! before it knows which that is. Looking at the own codes of what a node leads to means to wait twice a hop, for the row
//! and then for five codes. So here a node is followed for what the codes beside the links of another say of it, and its own code, which is on its way
//! together with its row, tells what it really scores: the row's codes are relative to that. One node's row is under way while the one before is read.
//!
//! At the bottom the codes of the most promising are looked at together. Nodes that were followed stay in the beam as if they had not been:
//! those near the query are read once more, with all they lead to, which is in the cache by then.

use super::graph::beam::{Beam, pack};
use super::graph::visited::Visited;
use super::scratch::Scratch;
use super::view::IndexView;
use super::walk;

/// Nodes that are followed.
const HOPS: u64 = 6;
/// The most promising nodes that are remembered.
const REMEMBERED: usize = 32;
/// What a node leads to is remembered as long as it is among the best few so far; one more every other hop.
const BEST: usize = 4;
/// Promising nodes whose own codes are looked at in the end: before and after the last row is read.
const LOOKED_AT: (usize, usize) = (12, 4);

/// Walks down from the nodes in `scratch.fresh`, whose codes were asked for; afterwards `scratch.beam` holds what was found. Only where codes
/// lie beside the links.
pub(super) fn descend(view: &IndexView<'_>, scratch: &mut Scratch) {
    let Scratch { query, promising, entries, fresh, pending, .. } = scratch;
    entries.clear();
    view.estimate(query, fresh, |score, node| entries.push(pack(score, node)));
    promising.reset(REMEMBERED);
    promising.insert_all(entries);
    pending.clear();
    let mut read = None;
    for _ in 0..HOPS {
        let asked = next(&mut scratch.promising, &mut scratch.visited);
        if let Some(node) = asked {
            view.prefetch_row(node);
            view.prefetch_code(node);
        }
        if let Some(node) = read {
            follow(view, node, scratch);
        }
        read = asked;
    }
    choose(view, LOOKED_AT.0, scratch);
    if let Some(node) = read {
        follow(view, node, scratch);
    }
    choose(view, LOOKED_AT.1, scratch);
    let Scratch { query, beam, entries, pending, counts, .. } = scratch;
    counts.estimates += pending.len() as u64;
    entries.clear();
    view.estimate(query, pending, |score, node| entries.push(pack(score, node)));
    beam.insert_all(entries);
    pending.clear();
}

/// The most promising node that was not seen yet; it is seen then.
#[inline(always)]
fn next(promising: &mut Beam, visited: &mut Visited) -> Option<u32> {
    // A node may have been remembered more than once, with other estimates.
    while let Some((_, node)) = promising.pop() {
        if visited.insert(node) {
            return Some(node);
        }
    }
    None
}

/// Leaves the most promising nodes in `scratch.pending` and asks for their codes.
#[inline(always)]
fn choose(view: &IndexView<'_>, count: usize, scratch: &mut Scratch) {
    let Scratch { visited, promising, pending, .. } = scratch;
    for _ in 0..count {
        let Some(node) = next(promising, visited) else { return };
        view.prefetch_code(node);
        pending.push(node);
    }
}

/// Scores a node by its own code, reads its row, and remembers what is promising.
#[inline(always)]
fn follow(view: &IndexView<'_>, node: u32, scratch: &mut Scratch) {
    let Scratch { query, visited, beam, promising, entries, counts, .. } = scratch;
    let least = promising.score(BEST + counts.hops as usize / 2).unwrap_or(f32::NEG_INFINITY);
    counts.hops += 1;
    counts.estimates += 1;
    let mut own = 0.0;
    view.estimate(query, &[node], |score, _| own = score);
    beam.insert(own, node);
    entries.clear();
    walk::recommended(view, query, (own, node), least, |links, mut mask, estimates| {
        while mask != 0 {
            let at = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            let link = u32::from_le_bytes(links[at]);
            // A damaged link leads nowhere.
            if (link as usize) < view.meta.n && !visited.contains(link) {
                entries.push(pack(estimates[at], link));
            }
        }
    });
    promising.insert_all(entries);
}
