//! Which way of searching suits a filter.
//!
//! Costs are in nanoseconds of the machine the index was tuned on; only their ratios decide.

use super::params::Profile;

/// Scanning the code of one allowed row.
const SCAN_ROW_NS: f64 = 8.0;
/// Asking whether one row is allowed, where rows must be asked one by one.
const ASK_ROW_NS: f64 = 1.0;
/// Following the links of one node.
const HOP_NS: f64 = 250.0;

/// How a search starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Plan {
    /// Walk the graph; every row is allowed.
    Plain,
    /// Walk the graph through all rows, keep allowed ones, give up after so many hops.
    Filtered {
        /// Hops that cost as much as scanning the allowed rows.
        hops_max: u64,
    },
    /// Scan the codes of all allowed rows.
    Scan,
}

/// Chooses by estimated cost.
pub(super) fn choose(profile: Profile, n: usize, allowed: usize, ef: usize, everything: bool) -> Plan {
    let scan = allowed as f64 * SCAN_ROW_NS + if everything { 0.0 } else { n as f64 * ASK_ROW_NS };
    let hop = if profile == Profile::Fast { HOP_NS } else { 2.0 * HOP_NS };
    let hops = 30.0 + ef as f64 * n as f64 / allowed.max(1) as f64;
    if allowed <= ef || scan <= hops * hop {
        Plan::Scan
    } else if everything {
        Plan::Plain
    } else {
        Plan::Filtered { hops_max: (scan / hop) as u64 + ef as u64 / 4 }
    }
}
