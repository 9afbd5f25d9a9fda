//! Walking the graph.

use super::allowed::Allowed;
use super::graph::beam::Beam;
use super::kernels::BATCH;
use super::scratch::Scratch;
use super::top::Scored;
use super::view::IndexView;

/// Walks with no filter: afterwards `scratch.beam` holds the best `ef` nodes that were found.
pub(super) fn plain(view: &IndexView<'_>, ef: usize, scratch: &mut Scratch) {
    start(view, ef, scratch);
    for _ in 0..(ef / 8).clamp(2, 16) {
        if let Some(entry) = scratch.open.pop() {
            scratch.beam.insert(entry.score, entry.node);
        }
    }
    while let Some((score, node)) = scratch.beam.pop() {
        if let Some(next) = scratch.beam.peek() {
            view.prefetch_row(next);
        }
        gather(view, node, score, scratch.beam.threshold(), scratch);
        for &next in &scratch.fresh {
            let score = view.estimate(&scratch.query, next);
            if score > scratch.beam.threshold() {
                scratch.beam.insert(score, next);
                if scratch.beam.peek() == Some(next) {
                    view.prefetch_row(next);
                }
            }
        }
    }
}

/// Walks through all nodes but keeps allowed ones in `scratch.beam`. Returns false when it gave up after `hops_max`.
pub(super) fn filtered(
    view: &IndexView<'_>,
    ef: usize,
    allowed: &Allowed<'_>,
    hops_max: u64,
    scratch: &mut Scratch,
) -> bool {
    start(view, ef, scratch);
    let entries: Vec<Scored> = scratch.open.drain().collect();
    for entry in entries {
        offer(&mut scratch.beam, allowed, entry);
        scratch.open.push(entry);
    }
    let first = scratch.counts.hops;
    while let Some(Scored { score, node }) = scratch.open.pop() {
        if score < scratch.beam.threshold() {
            return true;
        }
        if scratch.counts.hops - first >= hops_max {
            return false;
        }
        if let Some(next) = scratch.open.peek() {
            view.prefetch_row(next.node);
        }
        gather(view, node, score, scratch.beam.threshold(), scratch);
        for &next in &scratch.fresh {
            let entry = Scored { score: view.estimate(&scratch.query, next), node: next };
            if entry.score > scratch.beam.threshold() {
                scratch.open.push(entry);
                offer(&mut scratch.beam, allowed, entry);
            }
        }
    }
    true
}

/// Keeps a node that is good enough and allowed.
fn offer(beam: &mut Beam, allowed: &Allowed<'_>, entry: Scored) {
    if entry.score > beam.threshold() && allowed.contains(entry.node) {
        beam.insert(entry.score, entry.node);
    }
}

/// Empties the working memory and puts all entry nodes into `scratch.open`.
fn start(view: &IndexView<'_>, ef: usize, scratch: &mut Scratch) {
    scratch.visited.reset(view.len());
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

/// Collects into `scratch.fresh` the neighbours of `node` that were not seen yet and may exceed `threshold`.
///
/// In the fast profile the codes beside the links decide; a neighbour they turn down stays unseen and may be
/// proposed again by another node.
#[inline(always)]
fn gather(view: &IndexView<'_>, node: u32, score: f32, threshold: f32, scratch: &mut Scratch) {
    scratch.counts.hops += 1;
    scratch.fresh.clear();
    let row = view.row(node);
    if view.layout.with_signs {
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
                visit(view, u32::from_le_bytes(link), scratch);
            }
        }
    } else {
        for next in view.links(node) {
            visit(view, next, scratch);
        }
    }
    scratch.counts.estimates += scratch.fresh.len() as u64;
}

/// Marks a node as seen and asks for its code, unless it was seen before or a damaged link leads nowhere.
#[inline(always)]
fn visit(view: &IndexView<'_>, node: u32, scratch: &mut Scratch) {
    if (node as usize) < view.meta.n && scratch.visited.insert(node) {
        view.prefetch_code(node);
        scratch.fresh.push(node);
    }
}
