//! Scanning the codes of all allowed rows.

use super::allowed::{Allowed, STRETCH};
use super::scratch::Scratch;
use super::view::IndexView;

/// Estimates every allowed row and leaves the best `keep` in `scratch.found`, best first.
///
/// * `listed`: the allowed rows are those in `scratch.few`.
pub(super) fn scan(
    view: &IndexView<'_>,
    keep: usize,
    (allowed, listed): (&Allowed<'_>, bool),
    scratch: &mut Scratch,
) {
    let Scratch { query, few, shortlist, found, counts, .. } = scratch;
    shortlist.reset(keep);
    let mut look = |nodes: &[u32]| {
        counts.estimates += nodes.len() as u64;
        let (mut scores, mut at) = ([0.0; STRETCH], 0);
        view.estimate(query, nodes, |score, _| {
            scores[at] = score;
            at += 1;
        });
        shortlist.offer(&scores[..nodes.len()], nodes);
    };
    // A stretch is looked at while the next one is on its way.
    let (mut before, mut len) = ([0u32; STRETCH], 0);
    let mut visit = |nodes: &[u32]| {
        nodes.iter().for_each(|&node| view.prefetch_code(node));
        look(&before[..len]);
        len = nodes.len();
        before[..len].copy_from_slice(nodes);
    };
    if listed {
        few.chunks(STRETCH).for_each(&mut visit);
    } else {
        allowed.for_each_stretch(view.len(), &mut visit);
    }
    look(&before[..len]);
    shortlist.drain_into(found);
}
