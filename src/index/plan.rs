//! Which way of searching suits a filter.
//!
//! Costs are in nanoseconds, and mostly those of fetching cache lines; only their ratios decide. They are constants, not
//! measured on the machine, so that replicas answer the same request in the same way.

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;
/// Fetching one line that was asked for early, among many.
const LINE_NS: f64 = 3.5;
/// Fetching one line of a graph row, which is known only shortly before it is needed.
const ROW_LINE_NS: f64 = 15.0;
/// The rest of scanning a row, of asking whether a row is allowed, and of a hop.
const SCAN_NS: f64 = 3.0;
const ASK_NS: f64 = 1.0;
const HOP_NS: f64 = 150.0;
/// Neighbours of a node that are looked at by their own codes, where codes beside the links choose them and where not.
const LOOKS: (f64, f64) = (3.0, 15.0);

/// What the cost of a search depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Vectors.
    pub(super) n: usize,
    /// Bytes of a graph row.
    pub(super) row_bytes: usize,
    /// Bytes of a vector's own code and factors.
    pub(super) code_bytes: usize,
}

impl Sizes {
    fn scan_row_ns(&self) -> f64 {
        SCAN_NS + LINE_NS * self.code_bytes.div_ceil(LINE_BYTES) as f64
    }

    fn hop_ns(&self) -> f64 {
        let lines = self.row_bytes.div_ceil(LINE_BYTES) as f64;
        // Rows of links alone are short.
        let looks = if self.row_bytes > 4 * LINE_BYTES { LOOKS.0 } else { LOOKS.1 };
        HOP_NS + ROW_LINE_NS * lines + looks * self.scan_row_ns()
    }
}

/// How a search starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Plan {
    /// Walk the graph; every row is allowed.
    Plain,
    /// Walk the graph, keep allowed rows, give up after so many hops.
    Filtered {
        /// Hops that are enough, in multiples of what a plain walk takes.
        hops_enough: u64,
        /// Hops that cost as much as scanning the allowed rows.
        hops_max: u64,
    },
    /// Scan the codes of all allowed rows.
    Scan,
}

/// Chooses by estimated cost.
pub(super) fn choose(sizes: &Sizes, allowed: usize, ef: usize, everything: bool) -> Plan {
    let asked = if everything { 0.0 } else { sizes.n as f64 * ASK_NS };
    let scan = allowed as f64 * sizes.scan_row_ns() + asked;
    // A walk sees `1 / share` nodes for each allowed one. That is also more choice, so it may stop earlier than a plain
    // walk, of all whose nodes it has expanded: three plain walks are enough down to a share of an eighth.
    let per_allowed = sizes.n as f64 / allowed.max(1) as f64;
    let enough = (0.4 * per_allowed).max(3.0);
    let hops = 30.0 + ef as f64 * per_allowed.min(enough);
    if allowed <= ef || scan <= hops * sizes.hop_ns() {
        Plan::Scan
    } else if everything {
        Plan::Plain
    } else {
        let hops_max = (scan / sizes.hop_ns()) as u64 + ef as u64 / 4;
        Plan::Filtered { hops_enough: 30 + (ef as f64 * enough) as u64, hops_max }
    }
}
