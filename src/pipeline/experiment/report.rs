//! What nodes have counted of an experiment.

use serde::{Deserialize, Serialize};

use super::document::Experiment;

/// An experiment, and what all nodes have counted of its newest version since each began to serve it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExperimentReport {
    /// The document.
    pub experiment: Experiment,
    /// Whether requests are given its arms.
    pub is_running: bool,
    /// By arm, in the document's order.
    pub arms: Vec<ArmReport>,
    /// Which part of the listeners was counted, 0 to 1: of very many, an even sample.
    pub listener_share: f64,
    /// Probability that the arms' listeners are as far from the weights by chance.
    pub ratio_p: f64,
    /// Whether that is likely enough; if not, something loses listeners of an arm: do not compare the arms.
    pub is_sound: bool,
    /// How the shadow compares, if there is one.
    pub shadow: Option<ShadowReport>,
    /// Nodes whose counts are missing since they did not answer, with the reason.
    pub missing_nodes: Vec<String>,
}

/// What one arm served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmReport {
    /// The arm.
    pub arm: String,
    /// Its recipe.
    pub recipe: String,
    /// Its part of the weights, 0 to 1.
    pub share: f64,
    /// Lists that were answered in it.
    pub requests: u64,
    /// Different listeners among them; of [`ExperimentReport::listener_share`] of all.
    pub listeners: u64,
}

/// How the lists of a shadow compare with those that were served.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ShadowReport {
    /// Its recipe.
    pub recipe: String,
    /// Places from the top that are compared.
    pub k: u32,
    /// Lists it made.
    pub lists: u64,
    /// Requests it was not asked since too many waited.
    pub dropped: u64,
    /// Requests it was asked and failed.
    pub failed: u64,
    /// Lists that were the same as served, from first to last of `k`.
    pub same: u64,
    /// Mean share of the first `k` tracks that both have, in whatever order; absent without a list.
    pub overlap: Option<f64>,
    /// Mean rank-biased overlap of the whole lists; absent without a list.
    pub rank_biased_overlap: Option<f64>,
}
