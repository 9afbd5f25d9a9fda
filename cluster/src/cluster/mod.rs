//! A node among others: the map, the network, requests that find their leader, and members that become what the map says.
//!
//! * [`start`]: how a node comes to be one of a cluster, and comes back after a stop.
//! * [`placed`]: groups that are on some of the nodes.
//! * [`shared`]: proposals from anywhere, calls to other nodes.
//! * [`intent`]: what is wanted of a node, and what that would stop.
//! * [`keeper`]: a thread that steps the groups this node leads towards the map.
//! * [`silence`]: who was not heard of for how long.
//! * [`status`]: what an operator sees, and asks for.

mod intent;
mod keeper;
mod placed;
mod shared;
mod silence;
mod start;
mod status;

pub use intent::{Danger, IntentChange};
pub use shared::Call;
pub use start::{Cluster, ClusterOptions, ClusterStartError, Entry};
pub use status::{ClusterStatus, NodeStatus};
