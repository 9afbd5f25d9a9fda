//! Where walks start: at the most promising of the entries, as far as their one-bit codes tell.

use std::cmp::Ordering;

use super::allowed::Allowed;
use super::finer::FinerEntries;
use super::graph::beam::{pack, unpack};
use super::kernels::prefetch;
use super::scratch::Scratch;
use super::view::IndexView;

/// Where clearly less than this part of what a filter allows elsewhere is allowed among the entries, a scan instead of a walk costs little more.
const FAR_START: f64 = 0.7;
/// Entries that are not allowed, the most promising, which tell where a walk will be: see [`are_far`].
const ENTRIES_TO_KNOW: usize = 32;
/// Stretches of the finer entries that a walk starts in, at one place each.
const STRETCHES: usize = 12;
/// Numbers that are compared side by side.
const LANES: usize = 16;

/// Leaves in `scratch.fresh` the entries a walk without filter starts from, and asks for their codes: the most promising few by their
/// one-bit codes, or all where there are no such codes. `wanted` of them, or some of the finer ones where there are such.
pub(super) fn nearest(view: &IndexView<'_>, wanted: usize, scratch: &mut Scratch) {
    let Scratch { query, entries, fresh, rough, counts, .. } = scratch;
    let nodes = &view.meta.entries;
    fresh.clear();
    if let Some(finer) = view.finer {
        finest(view, finer, scratch);
        return;
    } else if let Some(signs) = &view.meta.entry_signs {
        rough.resize(nodes.len(), 0.0);
        query.signs.estimate(view.kernels, &signs.records, rough);
        best_places(rough, wanted, entries);
        fresh.extend(entries.iter().map(|&entry| nodes[unpack(entry).1 as usize]));
    } else {
        fresh.extend(nodes);
    }
    fresh.iter().for_each(|&node| view.prefetch_code(node));
    counts.estimates += fresh.len() as u64;
}

/// The same of the finer entries: the best of each of a few stretches.
fn finest(view: &IndexView<'_>, finer: &FinerEntries, scratch: &mut Scratch) {
    let Scratch { query, entries, fresh, rough, counts, .. } = scratch;
    rough.resize(finer.stretches(), 0.0);
    query.signs.estimate(view.kernels, finer.means(), rough);
    best_places(rough, STRETCHES, entries);
    let stretches = || entries.iter().map(|&entry| finer.stretch(unpack(entry).1 as usize));
    stretches().for_each(|(_, records)| prefetch(records));
    rough.resize(finer.size(), 0.0);
    for (nodes, records) in stretches() {
        query.signs.estimate(view.kernels, records, rough);
        let mut best = (f32::NEG_INFINITY, nodes[0]);
        for (&score, &node) in rough.iter().zip(nodes) {
            best = if score > best.0 { (score, node) } else { best };
        }
        view.prefetch_code(best.1);
        fresh.push(best.1);
    }
    counts.estimates += fresh.len() as u64;
}

/// Leaves in `out` the places of the best few scores, with these, in any order.
fn best_places(scores: &[f32], wanted: usize, out: &mut Vec<u64>) {
    let least = reached_by(scores, wanted);
    // What is no number counts as enough, so that there are always some.
    let is_less = |score: f32| matches!(score.partial_cmp(&least), Some(Ordering::Less));
    out.clear();
    for (row, scores) in scores.chunks(LANES).enumerate() {
        if scores.iter().fold(true, |all, &score| all & is_less(score)) {
            continue;
        }
        let some = scores.iter().zip(LANES as u32 * row as u32..).filter(|&(&score, _)| !is_less(score));
        out.extend(some.map(|(&score, place)| pack(score, place)));
    }
    keep_best(out, wanted);
}

/// A score that at least `count` of many reach, and not many more; the least there is where they are few.
///
/// The numbers are divided into 64 sets: the largest of `count` of them are as many.
fn reached_by(scores: &[f32], count: usize) -> f32 {
    const SETS: usize = 4 * LANES;
    let (rows, _) = scores.as_chunks::<SETS>();
    let [first, rest @ ..] = rows else { return f32::NEG_INFINITY };
    if count == 0 || count > SETS || rest.is_empty() {
        return f32::NEG_INFINITY;
    }
    let mut largest = *first;
    for row in rest {
        for (largest, &score) in largest.iter_mut().zip(row) {
            *largest = if score > *largest { score } else { *largest };
        }
    }
    *largest.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a)).1
}

/// Divides the entries into those that are allowed, in `scratch.entries`, and the `others`, by the scores their one-bit codes tell; none where
/// there are no such codes.
pub(super) fn divide(view: &IndexView<'_>, allowed: &Allowed<'_>, scratch: &mut Scratch) {
    let Scratch { query, entries, others, rough, gates, .. } = scratch;
    entries.clear();
    others.clear();
    let Some(signs) = &view.meta.entry_signs else { return };
    let nodes = &view.meta.entries;
    rough.resize(nodes.len(), 0.0);
    query.signs.estimate(view.kernels, &signs.records, rough);
    if gates.is_empty() {
        // Entries lie far apart: each question waits for memory.
        gates.extend(nodes.iter().map(|&node| allowed.contains(node)));
    }
    for ((&score, &node), &is_open) in rough.iter().zip(nodes).zip(gates.iter()) {
        if is_open { entries.push(pack(score, node)) } else { others.push(pack(score, node)) }
    }
}

/// Whether what is allowed lies far from the query, as far as the divided entries tell: among the most promising clearly
/// fewer are allowed than the filter allows elsewhere.
pub(super) fn are_far(share: f64, scratch: &mut Scratch) -> bool {
    let Scratch { entries, others, .. } = scratch;
    if others.len() <= ENTRIES_TO_KNOW {
        return false;
    }
    let (_, last, _) = others.select_nth_unstable_by(ENTRIES_TO_KNOW - 1, |a, b| b.cmp(a));
    let wanted = entries.iter().filter(|&entry| *entry > *last).count() as f64;
    wanted / (wanted + ENTRIES_TO_KNOW as f64) < FAR_START * share
}

/// Leaves in `scratch.fresh` the entries a walk under a filter starts from, and asks for their codes: the most promising few of each of
/// the two parts they were divided into, or all where there are no one-bit codes.
pub(super) fn filtered(
    view: &IndexView<'_>,
    (allowed_count, other_count): (usize, usize),
    scratch: &mut Scratch,
) {
    let Scratch { entries, others, fresh, counts, .. } = scratch;
    fresh.clear();
    if view.meta.entry_signs.is_some() {
        keep_best(entries, allowed_count);
        keep_best(others, other_count);
        fresh.extend(entries.iter().chain(others.iter()).map(|&entry| unpack(entry).1));
    } else {
        fresh.extend(&view.meta.entries);
    }
    fresh.iter().for_each(|&node| view.prefetch_code(node));
    counts.estimates += fresh.len() as u64;
}

/// Leaves the best few, in any order.
pub(super) fn keep_best(entries: &mut Vec<u64>, count: usize) {
    if entries.len() > count {
        entries.select_nth_unstable_by(count, |a, b| b.cmp(a));
        entries.truncate(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SplitMix64;

    #[test]
    fn enough_scores_reach_the_bound_and_not_many_more() {
        let mut random = SplitMix64::new(9);
        for (scores, count) in [(0, 5), (63, 5), (127, 5), (390, 24), (1024, 6), (1024, 48), (1024, 65)] {
            let scores: Vec<f32> = (0..scores).map(|_| random.normal() as f32).collect();
            let least = reached_by(&scores, count);
            let reached = scores.iter().filter(|&&score| score >= least).count();
            let is_bound = (2 * 64..).contains(&scores.len()) && count <= 64;
            let most = if is_bound { 2 * count + 8 } else { scores.len() };
            assert!((count.min(scores.len())..=most).contains(&reached), "{reached} of {count}");
        }
        let equal = [0.5; 640];
        assert_eq!(reached_by(&equal, 10), 0.5);
        let mut damaged = [f32::NAN; 640];
        damaged[7] = 1.0;
        let least = reached_by(&damaged, 10);
        assert!(!damaged.iter().any(|score| score < &least), "what is no number counts as enough");
    }
}
