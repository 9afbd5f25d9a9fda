//! Walking the graph.
//!
//! Two fetches a hop would wait for each other: the row, then the codes of the neighbours the row recommends. So
//! those codes are asked for at once but looked at one hop later, while the next row is on its way.

use super::allowed::Allowed;
use super::kernels::BATCH;
use super::plan::Hops;
use super::scratch::Scratch;
use super::top::Scored;
use super::view::IndexView;

/// Marks a node that may not be returned and is only walked through.
const REJECTED: u32 = 1 << 31;
/// Hops through rejected nodes that may lead to further rejected ones; see [`filtered`].
const DETOURS: u64 = 32;
/// Where less than this part of what the filter allows elsewhere is allowed among the nodes a walk meets, it is far from
/// what is allowed.
const FAR_SHARE: f64 = 0.5;
/// Hops after which a walk knows where it is.
const HOPS_TO_KNOW: u64 = 64;

/// Walks with no filter: afterwards `scratch.beam` holds the best `ef` nodes that were found.
pub(super) fn plain(view: &IndexView<'_>, ef: usize, scratch: &mut Scratch) {
    start(view, ef, scratch);
    for _ in 0..(ef / 8).clamp(2, 16) {
        if let Some(entry) = scratch.open.pop() {
            scratch.beam.insert(entry.score, entry.node);
        }
    }
    scratch.fresh.clear();
    loop {
        let popped = scratch.beam.pop();
        for &next in &scratch.fresh {
            let score = view.estimate(&scratch.query, next);
            if score > scratch.beam.threshold() {
                scratch.beam.insert(score, next);
            }
        }
        if let Some(next) = scratch.beam.peek() {
            view.prefetch_row(next);
        }
        match popped {
            Some((score, node)) => {
                propose(view, node, score, scratch);
                see_all(view, scratch);
            }
            None if scratch.beam.peek().is_none() => return,
            None => scratch.fresh.clear(),
        }
    }
}

/// Walks through allowed nodes and one step through others; `scratch.beam` keeps allowed ones. Stops after enough
/// hops if the beam is full by then; returns false when it gave up after the most.
///
/// The idea is ACORN's (arXiv:2403.04871): search the graph that the allowed nodes induce, and bridge its gaps by nodes
/// that may not be returned. Bridges are walked in the order of their scores. After a few dozen of them they are only
/// one node long, and none is built around nodes whose own neighbours are mostly allowed: a filter far from the query
/// would otherwise have the walk visit everything nearer than the first allowed node. How many hops are enough depends on
/// how many of the nodes it meets are allowed.
pub(super) fn filtered(
    view: &IndexView<'_>,
    ef: usize,
    allowed: &Allowed<'_>,
    hops: Hops,
    scratch: &mut Scratch,
) -> bool {
    start(view, ef, scratch);
    let entries: Vec<Scored> = scratch.open.drain().collect();
    for entry in entries {
        meet(entry.score, entry.node, allowed.contains(entry.node), scratch);
    }
    scratch.fresh.clear();
    // Hops through rejected nodes that may lead to further rejected ones: what a listener has heard lies around the
    // query, and the best of the rest inside and just behind it.
    let mut detours = DETOURS;
    let mut met = Met::default();
    loop {
        let popped = scratch.open.pop().filter(|best| best.score >= scratch.beam.threshold());
        let pending = std::mem::take(&mut scratch.fresh);
        for &next in &pending {
            let node = next & !REJECTED;
            meet(view.estimate(&scratch.query, node), node, next & REJECTED == 0, scratch);
        }
        scratch.fresh = pending;
        if let Some(next) = scratch.open.peek() {
            view.prefetch_row(next.node & !REJECTED);
        }
        let Some(Scored { score, node }) = popped else {
            if scratch.open.peek().is_none_or(|best| best.score < scratch.beam.threshold()) {
                return true;
            }
            scratch.fresh.clear();
            continue;
        };
        // A detour is none of the hops that are meant for finding allowed nodes.
        let done = scratch.counts.hops - (DETOURS - detours);
        let far = met.share() < FAR_SHARE * hops.share;
        let enough = if far { hops.enough_far } else { Some(hops.enough) };
        if enough.is_some_and(|enough| done >= enough) && scratch.beam.threshold() > f32::NEG_INFINITY {
            return true;
        }
        if scratch.counts.hops >= hops.max || (enough.is_none() && done >= HOPS_TO_KNOW) {
            return false;
        }
        propose(view, node & !REJECTED, score, scratch);
        let is_bridge = node & REJECTED != 0;
        if is_bridge && detours > 0 {
            detours -= 1;
        }
        see_some(view, allowed, (is_bridge, detours > 0), &mut met, scratch);
    }
}

/// Nodes a walk came upon, and how many of them were allowed.
#[derive(Default)]
struct Met {
    allowed: u64,
    all: u64,
}

impl Met {
    /// Share of the nodes that was allowed; 1 before there are any.
    fn share(&self) -> f64 {
        if self.all == 0 { 1.0 } else { self.allowed as f64 / self.all as f64 }
    }
}

/// Puts a node that was estimated where it belongs.
#[inline(always)]
fn meet(score: f32, node: u32, is_allowed: bool, scratch: &mut Scratch) {
    if score > scratch.beam.threshold() {
        scratch.open.push(Scored { score, node: if is_allowed { node } else { node | REJECTED } });
        if is_allowed {
            scratch.beam.insert(score, node);
        }
    }
}

/// Empties the working memory and puts all entry nodes into `scratch.open`.
fn start(view: &IndexView<'_>, ef: usize, scratch: &mut Scratch) {
    scratch.visited.reset(view.len());
    if let Some(node) = scratch.hidden {
        scratch.visited.insert(node);
    }
    scratch.beam.reset(ef);
    scratch.open.clear();
    view.meta.entries.iter().for_each(|&entry| view.prefetch_code(entry));
    for &node in &view.meta.entries {
        if scratch.visited.insert(node) {
            scratch.open.push(Scored { score: view.estimate(&scratch.query, node), node });
        }
    }
    scratch.counts.estimates += view.meta.entries.len() as u64;
    if let Some(best) = scratch.open.peek() {
        view.prefetch_row(best.node);
    }
}

/// Collects into `scratch.fresh` the neighbours of `node` that were not seen yet and may enter the beam.
///
/// In the fast profile the codes beside the links decide; a neighbour they turn down stays unseen and may be
/// proposed again by another node.
#[inline(always)]
fn propose(view: &IndexView<'_>, node: u32, score: f32, scratch: &mut Scratch) {
    scratch.counts.hops += 1;
    scratch.fresh.clear();
    let row = view.row(node);
    if !view.layout.with_signs {
        for next in view.links(node) {
            propose_one(view, next, scratch);
        }
        return;
    }
    let threshold = scratch.beam.threshold();
    let mut estimates = [0.0f32; BATCH];
    for block in 0..view.layout.degree / BATCH {
        let links = row[4 * BATCH * block..4 * BATCH * (block + 1)].as_chunks::<4>().0;
        let beside = (&row[view.layout.signs(block)], &row[view.layout.factors(block)]);
        let query = &scratch.query.table;
        let mut mask =
            query.scan(view.kernels, beside, score, view.meta.factor_scale, threshold, &mut estimates);
        while mask != 0 {
            let link = links[mask.trailing_zeros() as usize];
            mask &= mask - 1;
            propose_one(view, u32::from_le_bytes(link), scratch);
        }
    }
}

/// Takes a link up unless its node was seen before, or the link is damaged and leads nowhere.
#[inline(always)]
fn propose_one(view: &IndexView<'_>, node: u32, scratch: &mut Scratch) {
    if (node as usize) < view.meta.n && !scratch.visited.contains(node) {
        scratch.fresh.push(node);
    }
}

/// Marks what was proposed as seen and asks for its codes.
#[inline(always)]
fn see_all(view: &IndexView<'_>, scratch: &mut Scratch) {
    let Scratch { fresh, visited, counts, .. } = scratch;
    // A damaged row may name a node twice.
    fresh.retain(|&node| visited.insert(node));
    fresh.iter().for_each(|&node| view.prefetch_code(node));
    counts.estimates += fresh.len() as u64;
}

/// The same under a filter: drops what may only be walked through where no bridge is wanted, and marks the rest.
#[inline(always)]
fn see_some(
    view: &IndexView<'_>,
    allowed: &Allowed<'_>,
    (is_bridge, may_detour): (bool, bool),
    met: &mut Met,
    scratch: &mut Scratch,
) {
    let Scratch { fresh, visited, counts, .. } = scratch;
    let mut kept = 0;
    for node in fresh.iter_mut() {
        if allowed.contains(*node) {
            kept += 1;
        } else {
            *node |= REJECTED;
        }
    }
    met.allowed += kept as u64;
    met.all += fresh.len() as u64;
    // A bridge leads to allowed nodes only, and none is built where at least half of the neighbours are allowed.
    let bridges = may_detour || (!is_bridge && 2 * kept < fresh.len());
    fresh.retain(|&node| (bridges || node & REJECTED == 0) && visited.insert(node & !REJECTED));
    fresh.iter().for_each(|&node| view.prefetch_code(node & !REJECTED));
    counts.estimates += fresh.len() as u64;
}
