//! Filters: from what callers ask to one set of bits a shard, which the index consults node by node.
//!
//! Postings answer equality (region, explicit, artist, genre, album), the facts in memory answer ranges. What many
//! listeners share (region, explicit, taken down) is cached; what is one listener's own (heard, served, blocked) never
//! enters the shared bits: it travels beside them as exclusions.

mod bits;
mod compile;
mod exclusions;
mod expr;
mod rules;

pub use bits::{DenseBits, ones};
pub use compile::{any_of, compile};
pub use exclusions::Exclusions;
pub use expr::TrackFilter;
pub use rules::{RuleCache, RuleClass};
