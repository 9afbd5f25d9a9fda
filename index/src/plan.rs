//! Which way of searching suits a filter.
//!
//! Costs are in nanoseconds, and mostly those of fetching cache lines; only their ratios decide. They are constants, not
//! measured on the machine, so that replicas answer the same request in the same way.

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;
/// Fetching one line that was asked for early, among many.
const LINE_NS: f64 = 5.0;
/// Fetching one line of a graph row, which is known only shortly before it is needed.
const ROW_LINE_NS: f64 = 15.0;
/// The rest of scanning a row, of asking whether a row is allowed (one by one, or 64 of them by one word), and of a hop.
const SCAN_NS: f64 = 3.0;
const ASK_NS: f64 = 1.0;
const ASK_WORD_NS: f64 = 1.0;
const HOP_NS: f64 = 150.0;
/// Scanning through the sieve: what the centre of a block costs, reading a block, and the rows that are looked at then.
const CENTER_NS: f64 = 9.0;
const BLOCK_NS: f64 = 110.0;
const SIFTED_NS: f64 = 8000.0;
/// Allowed rows of a block that is read, where the share of all rows that is allowed is 1: in proportion to the root of that share, since
/// what is allowed lies together.
const BLOCK_SIFTED: f64 = 36.0;
/// What walks far from what is allowed cost beside the most hops they may take: margins stop most of them earlier.
const FAR_HOP: f64 = 0.55;
/// Plain walks whose hops are enough: where as many nodes are allowed around the query as elsewhere, and where fewer.
const WALKS_ENOUGH: f64 = 2.0;
const WALKS_ENOUGH_FAR: f64 = 5.0;
/// How much of what the longest walk takes beyond one of average effort walks under a filter take on average.
const LONGER: f64 = 0.45;
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
    /// Blocks of the sieve; none without one.
    pub(super) blocks: usize,
    /// Allowed rows that a scan through the sieve reads.
    pub(super) sifted: usize,
}

impl Sizes {
    fn scan_row_ns(&self) -> f64 {
        SCAN_NS + LINE_NS * self.code_bytes.div_ceil(LINE_BYTES) as f64
    }

    /// Cost of scanning so many rows, and whether the sieve is what makes it that cheap.
    fn scan_ns(&self, allowed: usize) -> (f64, bool) {
        let plain = allowed as f64 * self.scan_row_ns();
        let share = (allowed.max(1) as f64 / self.n as f64).min(1.0);
        let read = (self.sifted as f64 / (BLOCK_SIFTED * share.sqrt())).min(self.blocks as f64);
        let sifted = read * BLOCK_NS + self.blocks as f64 * CENTER_NS + SIFTED_NS;
        if self.blocks > 0 && allowed < self.n && sifted < plain { (sifted, true) } else { (plain, false) }
    }

    /// Whether that many allowed rows are scanned through the sieve.
    pub(super) fn sifts(&self, allowed: usize) -> bool {
        self.scan_ns(allowed).1
    }

    fn hop_ns(&self) -> f64 {
        let lines = self.row_bytes.div_ceil(LINE_BYTES) as f64;
        // Rows of links alone are short.
        let looks = if self.row_bytes > 4 * LINE_BYTES { LOOKS.0 } else { LOOKS.1 };
        HOP_NS + ROW_LINE_NS * lines + looks * self.scan_row_ns()
    }
}

/// How allowed rows are found for a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    /// All are.
    Nothing,
    /// By the words of a bitset.
    Words,
    /// One by one.
    Rows,
}

/// How a search starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Plan {
    /// Walk the graph; every row is allowed.
    Plain,
    /// Walk the graph and keep allowed rows.
    Filtered(Hops),
    /// Scan the codes of all allowed rows.
    Scan,
}

/// When a walk under a filter may stop, and when it should give up for a scan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hops {
    /// Enough where about as many nodes are allowed around the query as elsewhere.
    pub(super) enough: u64,
    /// Enough where fewer are; `None` when that many cost more than a scan.
    pub(super) enough_far: Option<u64>,
    /// As many as cost what a scan does.
    pub(super) max: u64,
    /// Share of all nodes that is allowed.
    pub(super) share: f64,
}

/// Chooses by estimated cost.
///
/// * `effort`: hops of a walk without filter on average; `keep`: hops of the longest, and nodes it keeps.
pub(super) fn choose(sizes: &Sizes, allowed: usize, (effort, keep): (usize, usize), asking: Asking) -> Plan {
    let everything = asking == Asking::Nothing;
    let asked = sizes.n as f64
        * match asking {
            Asking::Nothing => 0.0,
            Asking::Words => ASK_WORD_NS / 64.0,
            Asking::Rows => ASK_NS,
        };
    let scan = sizes.scan_ns(allowed).0 + asked;
    // A walk sees `1 / share` nodes for each allowed one. That is also more choice, so it may stop earlier than a plain
    // walk, of all whose nodes it has expanded: two plain walks are enough down to a share of a fifth.
    let per_allowed = sizes.n as f64 / allowed.max(1) as f64;
    let hops_of = |ef: usize, walks: f64| 30.0 + ef as f64 * (0.4 * per_allowed).max(walks);
    let (few, most) = (hops_of(effort, WALKS_ENOUGH), hops_of(keep, WALKS_ENOUGH));
    let hops = (30.0 + effort as f64 * per_allowed).min(few + LONGER * (most - few));
    if allowed <= keep || scan <= hops * sizes.hop_ns() {
        Plan::Scan
    } else if everything {
        Plan::Plain
    } else {
        let far = hops_of(keep, WALKS_ENOUGH_FAR);
        // The more is allowed the sooner a walk comes to it.
        let walks_far = WALKS_ENOUGH + (WALKS_ENOUGH_FAR - WALKS_ENOUGH) * (1.0 - 1.0 / per_allowed);
        let far_ns = hops_of(keep, walks_far) * FAR_HOP * sizes.hop_ns();
        Plan::Filtered(Hops {
            enough: most as u64,
            enough_far: (far_ns <= scan).then_some(far as u64),
            max: (scan / sizes.hop_ns()) as u64 + keep as u64 / 4,
            share: 1.0 / per_allowed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 190,000 vectors of 128 numbers; a sieve that reads 75 times the root of what is allowed.
    fn sizes(allowed: usize, with_sieve: bool) -> Sizes {
        let sifted = (75.0 * (allowed as f64).sqrt()) as usize;
        let (blocks, sifted) = if with_sieve { (2969, sifted.min(allowed)) } else { (0, 0) };
        Sizes { n: 190_000, row_bytes: 768, code_bytes: 132, blocks, sifted }
    }

    fn plan(allowed: usize, with_sieve: bool) -> Plan {
        choose(&sizes(allowed, with_sieve), allowed, (110, 220), Asking::Words)
    }

    #[test]
    fn few_rows_are_scanned_many_walked_and_a_sieve_moves_the_border_up() {
        for allowed in [20, 1_900, 5_000] {
            assert_eq!([plan(allowed, false), plan(allowed, true)], [Plan::Scan; 2], "{allowed}");
        }
        assert!(!sizes(1_900, true).sifts(1_900) && sizes(19_000, true).sifts(19_000));
        assert!(matches!(plan(19_000, false), Plan::Filtered(_)));
        assert_eq!(plan(19_000, true), Plan::Scan);
        let all = choose(&sizes(190_000, true), 190_000, (110, 220), Asking::Nothing);
        assert_eq!(all, Plan::Plain);
        assert!(!sizes(190_000, true).sifts(190_000), "a sieve does not help where all rows are allowed");
    }

    #[test]
    fn walks_far_from_what_is_allowed_give_up_where_a_scan_is_cheaper() {
        let hops = |allowed, with_sieve| match plan(allowed, with_sieve) {
            Plan::Filtered(hops) => hops,
            other => panic!("{allowed} {other:?}"),
        };
        assert!(hops(95_000, false).enough_far.is_some(), "without a sieve no scan is cheaper");
        assert!(hops(95_000, true).enough_far.is_none());
        assert!(
            hops(171_000, true).enough_far.is_some(),
            "little is not allowed: a walk soon comes to the rest"
        );
        assert!(hops(95_000, true).max < hops(95_000, false).max);
    }
}
