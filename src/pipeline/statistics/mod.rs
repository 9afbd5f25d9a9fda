//! What the database learns from all listeners together: which artists and genres go with which, when genres are
//! heard, what exploration brought in, and how good each source is.
//!
//! [`build`] derives it from histories and served lists alone, in memory bounded by constants of this folder. The node
//! hands the result to the listeners' shard as one log entry, so every replica, and a restarted one, answers from the
//! same bytes; requests read them through [`StatisticsCache`]. It is eventually consistent by declaration: new events
//! count from the next entry on. Statistics whose newest event is [`TIME_TO_LIVE_DAYS`] old say nothing any more.
//!
//! [`colisten`] counts what is heard together, [`document`] is the result and its bytes.

mod build;
pub mod colisten;
pub mod document;
mod near;
pub mod outcomes;

pub use build::build;
pub use outcomes::own_weights;

pub use document::{
    ArtistStatistics, GenreStatistics, Learnt, Statistics, StatisticsCache, TIME_TO_LIVE_DAYS,
};
