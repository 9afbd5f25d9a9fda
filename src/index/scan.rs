//! Scanning the codes of all allowed rows.

use super::allowed::Allowed;
use super::scratch::Scratch;
use super::view::IndexView;

/// Rows whose codes are asked for together.
const STRETCH: usize = 32;

/// Estimates every allowed row and leaves the best `keep` in `scratch.found`, best first.
pub(super) fn scan(view: &IndexView<'_>, keep: usize, allowed: &Allowed<'_>, scratch: &mut Scratch) {
    let Scratch { query, top, fresh, found, counts, .. } = scratch;
    top.reset(keep);
    fresh.clear();
    let mut flush = |stretch: &mut Vec<u32>| {
        counts.estimates += stretch.len() as u64;
        for node in stretch.drain(..) {
            top.push(view.estimate(query, node), node);
        }
    };
    allowed.for_each(view.len(), |node| {
        view.prefetch_code(node);
        fresh.push(node);
        if fresh.len() == STRETCH {
            flush(fresh);
        }
    });
    flush(fresh);
    top.drain_into(found);
}
