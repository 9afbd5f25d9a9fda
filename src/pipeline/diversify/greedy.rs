//! Choosing one track after the other, each the best as of those before it.

use super::mmr::{MmrParams, Pick, Selection, diversify};
use super::similarity::PairSimilarity;
use crate::pipeline::candidate::Candidate;

/// How good the open rows are beside the chosen ones.
pub(super) trait Greedy {
    /// Looks at the rows once more, behind those that were chosen before and are not to be picked.
    fn begin(&mut self) {}
    /// The best open row that no cap keeps out; the earlier of equals.
    fn best(&self) -> Option<Pick>;
    /// Adds a row to the chosen, once.
    fn take(&mut self, row: usize);
}

/// Picks until the list is full or nothing fits.
pub(super) fn pick(greedy: &mut impl Greedy, rows: usize, chosen: &[usize], params: &MmrParams) -> Vec<Pick> {
    chosen.iter().filter(|row| **row < rows).for_each(|row| greedy.take(*row));
    greedy.begin();
    let wanted = params.n.saturating_sub(chosen.len());
    let mut picks = Vec::new();
    while picks.len() < wanted
        && let Some(pick) = greedy.best()
    {
        greedy.take(pick.row);
        picks.push(pick);
    }
    picks
}

/// The picks, and what [`diversify`] fills the list up with where they are too few.
pub(super) fn filled_up(
    mut picks: Vec<Pick>,
    candidates: &[Candidate<'_>],
    similarity: &PairSimilarity<'_>,
    chosen: &[usize],
    params: &MmrParams,
) -> Selection {
    let all: Vec<usize> = chosen.iter().copied().chain(picks.iter().map(|pick| pick.row)).collect();
    let mut rest = diversify(candidates, similarity, &all, params);
    picks.append(&mut rest.picks);
    Selection { picks, ..rest }
}
