//! The cluster's map: which nodes there are, where they are reached, and which replicas they hold. A group of its own, so
//! that it is replicated and snapshotted as everything else is; its file is a page long.
//!
//! * [`state`]: the map, and the commands that change it.
//! * [`encoding`]: both as bytes.
//! * [`machine`]: the map behind its group.

mod encoding;
mod machine;
mod state;
#[cfg(test)]
mod tests;

pub use machine::map_machine;
pub(crate) use machine::{MapMachine, MapReader, read_map};
pub(crate) use state::{FACTOR, MapCommand, MapReply};
pub use state::{MapState, NodeIntent, NodeRecord};

use crate::ids::GroupId;

/// The group of the map. Programs number their own groups differently.
pub const MAP_GROUP: GroupId = GroupId(2);
