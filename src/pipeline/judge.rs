//! What evaluation asks for one listener, and gets.

use super::quality::ListNumbers;
use crate::types::{Timestamp, TrackId};

/// What to evaluate.
#[derive(Debug, Clone)]
pub struct EvalRequest {
    /// A recipe by `name` or `name@version`.
    pub recipe: String,
    /// List length that is judged.
    pub k: u32,
    /// The time of the requests.
    pub as_of: Timestamp,
    /// Whether the listeners' hard rules hold, heard *recordings* are masked, and disallowed items leave the test set.
    /// Without: exactly the heard tracks are masked and nothing else.
    pub rules: bool,
    /// Whether the recipe explores as it says, or not at all.
    pub explore: bool,
}

/// One listener's list and what it is judged by.
#[derive(Debug, Clone)]
pub struct JudgedList {
    /// The list, best first.
    pub listed: Vec<TrackId>,
    /// Held-out items the listener may hear (all of them with rules off).
    pub allowed_items: Vec<TrackId>,
    /// Listed tracks that break a hard rule.
    pub violations: u64,
    /// Places that explore.
    pub explored: u64,
    /// Whether the list says that something was relaxed.
    pub relaxed: bool,
    /// The list in numbers.
    pub numbers: ListNumbers,
    /// Plays the listener had: their maturity.
    pub plays: u64,
}
