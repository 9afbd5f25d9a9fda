//! Memory that searches use again and again.

use std::collections::BinaryHeap;

use super::graph::beam::Beam;
use super::graph::visited::Visited;
use super::query::Query;
use super::sieve::scan::Sifted;
use super::top::{Scored, Shortlist, Top};

/// Working memory of one searching thread; any index and any query may use it, one at a time.
///
/// Holds one bit for each node of the largest index searched, and a few kilobytes.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    pub(super) query: Query,
    pub(super) visited: Visited,
    pub(super) beam: Beam,
    /// Nodes a way down may follow, by the codes beside the links of others.
    pub(super) promising: Beam,
    pub(super) open: BinaryHeap<Scored>,
    pub(super) fresh: Vec<u32>,
    pub(super) pending: Vec<u32>,
    /// What several nodes lead to.
    pub(super) gathered: Vec<u32>,
    /// All allowed nodes where they are few.
    pub(super) few: Vec<u32>,
    /// Nodes about to enter the beam.
    pub(super) entries: Vec<u64>,
    /// Estimates of the entries from their one-bit codes.
    pub(super) rough: Vec<f32>,
    /// Whether each of the entries is allowed: the same for all queries under one filter. Empty before one asks.
    pub(super) gates: Vec<bool>,
    /// Nodes to start from that may not be returned.
    pub(super) others: Vec<u64>,
    /// Rows chosen by their one-bit codes.
    pub(super) sifted: Sifted,
    pub(super) top: Top,
    pub(super) shortlist: Shortlist,
    pub(super) found: Vec<Scored>,
    pub(super) counts: Counts,
    /// A node that walks do not see, as if it were not in the graph; for measuring.
    pub(super) hidden: Option<u32>,
}

/// What a search did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Nodes whose links were followed.
    pub hops: u64,
    /// Nodes estimated by their own code.
    pub estimates: u64,
    /// Nodes scored exactly.
    pub exact: u64,
}

impl Scratch {
    /// Makes empty working memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}
