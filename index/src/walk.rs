//! Walking the graph.
//!
//! Two fetches a hop would wait for each other: the row, then the codes of the neighbours the row recommends. So
//! those codes are asked for at once but looked at one hop later, while the next row is on its way. Memory gives more the more it
//! is asked for at a time: once a walk is where the query is, it follows several nodes together.

use std::collections::BinaryHeap;

use super::allowed::Allowed;
use super::descent;
use super::graph::beam::{Beam, pack, unpack};
use super::kernels::BATCH;
use super::plan::Hops;
use super::query::Query;
use super::reach::{self, Reach};
use super::scratch::Scratch;
use super::search::AHEAD;
use super::starts;
use super::top::Scored;
use super::view::IndexView;

/// Marks a node that may not be returned and is only walked through.
const REJECTED: u32 = 1 << 31;
/// Hops through rejected nodes that may lead to further rejected ones; see [`filtered`].
const DETOURS: u64 = 32;
/// Where less than this part of what the filter allows elsewhere is allowed among the nodes a walk meets, it is far from
/// what is allowed.
const FAR_SHARE: f64 = 0.5;
/// Nodes a walk under a filter starts from, of the allowed and of the others.
const STARTS_FILTERED: (usize, usize) = (64, 16);
/// Least part of all nodes, and of those that the way down comes to, that has to be allowed where a walk under a filter goes down as one
/// without. Where less is allowed, it starts at more places instead, some of them among what is allowed.
const DESCENT_SHARE: f64 = 0.25;
/// Hops after which a walk knows where it is.
const HOPS_TO_KNOW: u64 = 40;

/// Nodes a walk follows together behind its descent. Their order among each other matters little there, and what they lead to is
/// asked for, estimated and sorted in at once.
const TOGETHER: usize = 3;

/// Walks with no filter: afterwards `scratch.beam` holds the best nodes that were found.
///
/// Three steps are under way at a time: nodes whose rows were asked for, nodes whose rows are there and are read, and
/// nodes whose neighbours' codes are there and are looked at. A step is one node on the way down, then [`TOGETHER`].
pub(super) fn plain(view: &IndexView<'_>, reach: &Reach, scratch: &mut Scratch) {
    start(view, reach.keep, scratch);
    let best = (reach.keep / 8).clamp(2, 16);
    starts::nearest(view, 3 * best, scratch);
    let is_down = view.layout.with_signs;
    if is_down {
        descent::descend(view, scratch)
    } else {
        enter(view, best, scratch)
    }
    let mut read = [None; TOGETHER];
    loop {
        let hops = if is_down { u64::MAX } else { scratch.counts.hops };
        let bounds = reach.bounds(&scratch.beam, &scratch.query, hops);
        let asked = ask_for_rows(view, scratch, hops, |scratch| {
            scratch.beam.pop().filter(|best| best.0 >= bounds.follow)
        });
        let Scratch { query, fresh, pending, visited, counts, beam, entries, .. } = scratch;
        fresh.clear();
        for (score, node) in read.into_iter().flatten() {
            counts.hops += 1;
            let before = fresh.len();
            recommended(view, query, (score, node), bounds.look, |links, mask, _| {
                visited.insert_links(links, mask, view.meta.n, fresh);
            });
            fresh[before..].iter().for_each(|&node| view.prefetch_code(node));
        }
        counts.estimates += fresh.len() as u64;
        entries.clear();
        view.estimate(query, pending, |score, node| {
            if score > bounds.follow {
                entries.push(pack(score, node));
            }
        });
        beam.insert_all(entries);
        std::mem::swap(fresh, pending);
        read = asked;
        if read[0].is_none() && pending.is_empty() {
            return;
        }
    }
}

/// Puts the best of the starts into the beam.
fn enter(view: &IndexView<'_>, best: usize, scratch: &mut Scratch) {
    let Scratch { query, visited, beam, entries, fresh, pending, .. } = scratch;
    entries.clear();
    view.estimate(query, fresh, |score, node| {
        if visited.insert(node) {
            entries.push(pack(score, node));
        }
    });
    starts::keep_best(entries, best);
    beam.insert_all(entries);
    pending.clear();
}

/// Takes the nodes of the next step, each the best that is left, and asks for their rows.
#[inline(always)]
fn ask_for_rows(
    view: &IndexView<'_>,
    scratch: &mut Scratch,
    hops: u64,
    best: impl Fn(&mut Scratch) -> Option<(f32, u32)>,
) -> [Option<(f32, u32)>; TOGETHER] {
    let mut asked = [None; TOGETHER];
    let step = if reach::descends(hops) { 1 } else { TOGETHER };
    for asked in &mut asked[..step] {
        *asked = best(scratch);
        match *asked {
            Some((_, node)) => view.prefetch_row(node & !REJECTED),
            None => {
                foresee(view, &scratch.beam);
                break;
            }
        }
    }
    asked
}

/// Walks through allowed nodes and one step through others; `scratch.beam` keeps allowed ones. Stops after enough
/// hops if the beam is full by then; returns false when it gave up after the most.
///
/// The idea is ACORN's (arXiv:2403.04871): search the graph that the allowed nodes induce, and bridge its gaps by nodes
/// that may not be returned. Bridges are walked in the order of their scores. After a few dozen of them they are only
/// one node long, and none is built around nodes whose own neighbours are mostly allowed: a filter far from the query
/// would otherwise have the walk visit everything nearer than the first allowed node. How many hops are enough depends on
/// how many of the nodes it meets are allowed. Three steps are under way at a time, as in [`plain`].
pub(super) fn filtered(
    view: &IndexView<'_>,
    reach: &Reach,
    allowed: &Allowed<'_>,
    hops: Hops,
    scratch: &mut Scratch,
) -> bool {
    start(view, reach.keep, scratch);
    scratch.open.clear();
    let may_descend = hops.share >= DESCENT_SHARE && hops.enough_far.is_some() && view.layout.with_signs;
    let is_down = may_descend && view.finer.is_some() && descend(view, reach, allowed, scratch);
    if !is_down {
        starts::divide(view, allowed, scratch);
        if hops.enough_far.is_none() && starts::are_far(hops.share, scratch) {
            return false;
        }
        // The nearest may not be allowed, and what is allowed may lie far away.
        starts::filtered(view, STARTS_FILTERED, scratch);
        let Scratch { query, visited, beam, open, fresh, pending, .. } = scratch;
        pending.clear();
        view.estimate(query, fresh, |score, node| {
            if visited.insert(node) {
                meet(score, node, allowed.contains(node), beam, open);
            }
        });
    }
    // Hops through rejected nodes that may lead to further rejected ones: what a listener has heard lies around the
    // query, and the best of the rest inside and just behind it.
    let mut detours = DETOURS;
    let mut met = Met::default();
    let mut read = [None; TOGETHER];
    loop {
        let hops_down = if is_down { u64::MAX } else { scratch.counts.hops };
        let bounds = reach.bounds(&scratch.beam, &scratch.query, hops_down);
        let asked = ask_for_rows(view, scratch, hops_down, |scratch| {
            let best = scratch.open.pop().filter(|best| best.score >= bounds.follow);
            best.map(|best| (best.score, best.node))
        });
        scratch.gathered.clear();
        for (score, node) in read.into_iter().flatten() {
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
            propose(view, node & !REJECTED, score, bounds.look, scratch);
            let is_bridge = node & REJECTED != 0;
            if is_bridge && detours > 0 {
                detours -= 1;
            }
            see_some(view, allowed, (is_bridge, detours > 0), &mut met, scratch);
            scratch.gathered.extend_from_slice(&scratch.fresh);
        }
        let Scratch { query, beam, open, gathered, pending, .. } = scratch;
        view.estimate(query, pending, |score, next| {
            if score > bounds.follow {
                meet(score, next & !REJECTED, next & REJECTED == 0, beam, open);
            }
        });
        std::mem::swap(gathered, pending);
        read = asked;
        if read[0].is_none() && pending.is_empty() {
            return true;
        }
    }
}

/// Walks down as without filter, leaves what was found in the beam and among the open nodes, and returns whether enough of that is allowed to
/// go on from there.
fn descend(view: &IndexView<'_>, reach: &Reach, allowed: &Allowed<'_>, scratch: &mut Scratch) -> bool {
    starts::nearest(view, 0, scratch);
    descent::descend(view, scratch);
    let Scratch { beam, open, entries, .. } = scratch;
    entries.clear();
    entries.extend(beam.iter().map(|(score, node)| pack(score, node)));
    beam.reset(reach.keep);
    let mut kept = 0;
    for (score, node) in entries.iter().map(|&entry| unpack(entry)) {
        let is_allowed = allowed.contains(node);
        kept += usize::from(is_allowed);
        meet(score, node, is_allowed, beam, open);
    }
    kept as f64 >= DESCENT_SHARE * entries.len() as f64
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
fn meet(score: f32, node: u32, is_allowed: bool, beam: &mut Beam, open: &mut BinaryHeap<Scored>) {
    if score > beam.threshold() {
        open.push(Scored { score, node: if is_allowed { node } else { node | REJECTED } });
        if is_allowed {
            beam.insert(score, node);
        }
    }
}

/// Empties the working memory.
fn start(view: &IndexView<'_>, ef: usize, scratch: &mut Scratch) {
    scratch.visited.reset(view.len());
    if let Some(node) = scratch.hidden {
        scratch.visited.insert(node);
    }
    scratch.beam.reset(ef);
}

/// Asks for the vectors that will be scored first, since the walk is about to end: what it still looks at takes as long as they need.
#[inline(always)]
fn foresee(view: &IndexView<'_>, beam: &Beam) {
    beam.iter().take(AHEAD).for_each(|(_, node)| view.prefetch_vector(node));
}

/// Hands over the links of a node, 32 at a time, which of them may lead to something better than `threshold`, and the estimates that say so.
///
/// In the fast profile the codes beside the links decide; a neighbour they turn down stays unseen and may be
/// proposed again by another node.
#[inline(always)]
pub(super) fn recommended(
    view: &IndexView<'_>,
    query: &Query,
    (score, node): (f32, u32),
    threshold: f32,
    mut each: impl FnMut(&[[u8; 4]], u32, &[f32; BATCH]),
) {
    let row = view.row(node);
    let mut estimates = [0.0f32; BATCH];
    for block in 0..view.layout.degree / BATCH {
        let links = row[4 * BATCH * block..4 * BATCH * (block + 1)].as_chunks::<4>().0;
        let mask = if view.layout.with_signs {
            let beside = (&row[view.layout.signs(block)], &row[view.layout.factors(block)]);
            query.table.scan(
                view.kernels,
                beside,
                (score, 0.0),
                view.meta.factor_scale,
                threshold,
                &mut estimates,
            )
        } else {
            u32::MAX
        };
        each(links, mask, &estimates);
    }
}

/// Collects into `scratch.fresh` the neighbours of a node that were not seen yet and may enter the beam.
#[inline(always)]
fn propose(view: &IndexView<'_>, node: u32, score: f32, threshold: f32, scratch: &mut Scratch) {
    let Scratch { query, fresh, visited, counts, .. } = scratch;
    counts.hops += 1;
    fresh.clear();
    recommended(view, query, (score, node), threshold, |links, mask, _| {
        visited.unseen_links(links, mask, view.meta.n, fresh);
    });
}

/// Drops what may only be walked through where no bridge is wanted, marks the rest as seen and asks for its codes.
#[inline(always)]
fn see_some(
    view: &IndexView<'_>,
    allowed: &Allowed<'_>,
    (is_bridge, may_detour): (bool, bool),
    met: &mut Met,
    scratch: &mut Scratch,
) {
    let Scratch { fresh, visited, counts, .. } = scratch;
    let kept = allowed.mark_rejected(fresh, REJECTED);
    met.allowed += kept as u64;
    met.all += fresh.len() as u64;
    // A bridge leads to allowed nodes only, and none is built where at least half of the neighbours are allowed.
    let bridges = may_detour || (!is_bridge && 2 * kept < fresh.len());
    visited.keep_new(fresh, REJECTED, bridges);
    fresh.iter().for_each(|&node| view.prefetch_code(node & !REJECTED));
    counts.estimates += fresh.len() as u64;
}
