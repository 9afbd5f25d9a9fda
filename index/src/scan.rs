//! Scanning the codes of all allowed rows.

use super::allowed::{Allowed, STRETCH};
use super::scratch::Scratch;
use super::view::IndexView;

/// Estimates every allowed row and leaves the best `keep` in `scratch.found`, best first.
pub(super) fn scan(view: &IndexView<'_>, keep: usize, allowed: &Allowed<'_>, scratch: &mut Scratch) {
    let Scratch { query, top, found, counts, .. } = scratch;
    top.reset(keep);
    let mut look = |nodes: &[u32]| {
        counts.estimates += nodes.len() as u64;
        view.estimate(query, nodes, |score, node| top.push(score, node));
    };
    // A stretch is looked at while the next one is on its way.
    let (mut before, mut len) = ([0u32; STRETCH], 0);
    allowed.for_each_stretch(view.len(), |nodes| {
        nodes.iter().for_each(|&node| view.prefetch_code(node));
        look(&before[..len]);
        len = nodes.len();
        before[..len].copy_from_slice(nodes);
    });
    look(&before[..len]);
    top.drain_into(found);
}
