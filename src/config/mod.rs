//! Settings: plain data with units, ranges and trade-offs, validated once at start.
//!
//! [`Settings`] is what the program runs with; [`FIELDS`] describes every field of it (the reference
//! `docs/CONFIG.md` and the range checks come from that one table); [`load()`] puts file, environment and flags
//! together. Components such as clocks and disks are not settings: they are arguments of constructors.

mod fields;
mod load;
mod reference;
mod settings;

pub use fields::{FIELDS, Field, Range};
pub use load::{ENVIRONMENT_PREFIX, Loaded, Overrides, load};
pub use reference::reference;
pub use settings::{ClusterTls, Limits, Log, LogFormat, Settings, Storage};
