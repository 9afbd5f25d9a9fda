//! Retrieval from one track shard: the nearest allowed rows of a vector set, over all its segments.
//!
//! Sealed segments are walked through their index (or scanned when they have none), growing ones are scanned; scores have
//! the same bits either way, so the lists merge. Absent on purpose: which vectors to ask with (the sources decide).

mod allowed;
mod heads;
mod live;
mod nearest;
mod searchers;

pub use allowed::AllowedTracks;
pub use heads::{IndexHeads, open_head, open_view, rows_of};
pub use live::{Checked, LiveRecall};
pub use nearest::{Effort, Found, Search};
pub use searchers::Searchers;
