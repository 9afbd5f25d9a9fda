//! Scanning the codes of all allowed rows.

use super::allowed::Allowed;
use super::scratch::Scratch;
use super::view::IndexView;

/// Rows whose codes are looked at together, while those of the next so many are on their way.
const STRETCH: usize = 32;

/// Estimates every allowed row and leaves the best `keep` in `scratch.found`, best first.
pub(super) fn scan(view: &IndexView<'_>, keep: usize, allowed: &Allowed<'_>, scratch: &mut Scratch) {
    let Scratch { query, top, fresh, found, counts, .. } = scratch;
    top.reset(keep);
    fresh.clear();
    let mut look = |stretch: &mut Vec<u32>, rows: usize| {
        counts.estimates += rows as u64;
        view.estimate(query, &stretch[..rows], |score, node| top.push(score, node));
        stretch.drain(..rows);
    };
    allowed.for_each(view.len(), |node| {
        view.prefetch_code(node);
        fresh.push(node);
        if fresh.len() == 2 * STRETCH {
            look(fresh, STRETCH);
        }
    });
    let rest = fresh.len();
    look(fresh, rest);
    top.drain_into(found);
}
