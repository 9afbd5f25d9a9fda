//! Track shards: the catalogue and the vectors of tracks (DESIGN: one growing segment in memory, sealed segments in
//! mapped files, tombstones, a manifest).
//!
//! | step | file |
//! |---|---|
//! | what log entries say | [`command`] |
//! | applying them, the only place that changes state | `apply` |
//! | what readers hold: an immutable version | [`view`] |
//! | catalogue rows and their postings | [`segment`], [`row`] |
//! | the columns that stages read, and all of them side by side | [`columns`], `record` |
//! | vectors, one set a space and generation; which of their rows are dead | [`vectors`], [`dead`] |
//! | the state at a `Seal` entry as files | `checkpoint` |
//! | files in the making, and the moment they take their place | `workshop` |
//! | opening those files again | `recover` |
//! | those files as a snapshot for another replica, and becoming one | `snapshot` |
//! | checking what checksums cannot | `check` |
//! | comparing with another replica | `digest` |
//! | versions of a recording in other shards | `versions` |
//! | a shard that was split: its slots, whose numbers it has | `lineage` |
//! | what a version is, for nodes that have no rows of it | `outline` |
//! | the steps of a split; a new shard's first files | `splitting`, `nearby` |
//!
//! Invariants: an ordinal, once given to an id, is that id's for ever; of all rows of an ordinal exactly one is not
//! dead; a version never changes after it was published; offsets of a segment are the same in memory and in files.
//! Absent on purpose: building graphs (maintenance does, from the frozen rows), deciding when to seal or merge.

mod apply;
mod check;
mod checkpoint;
pub mod columns;
pub mod command;
mod cow;
pub mod dead;
mod digest;
mod growing;
mod ids;
mod lineage;
mod nearby;
mod outline;
mod record;
mod recover;
pub mod row;
pub mod segment;
mod shard;
mod snapshot;
mod splitting;
pub mod vectors;
mod versions;
pub mod view;
mod workshop;

pub use apply::OpenedSegment;
pub use ids::{KeyMap, KeySet};
pub use lineage::{Lineage, Parting, are_whole, holder, owners};
pub use outline::{Outline, OutlineSet};
pub use record::RECORD_BYTES;
pub use shard::{FetchSegment, Opening, TrackShard, TrackStateMachine, decode_reply, encode};
pub use versions::{home, home_place, versions_in};
pub use view::TrackView;
pub use workshop::Workshop;
