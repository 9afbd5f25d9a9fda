//! Servers on loopback that form a cluster, and what may happen to them.
//!
//! Short by default; `SEGUE_CLUSTER_KILLS=N` (leaders and followers killed with -9; 4) and `SEGUE_CLUSTER_STOP_MS=MS` (how
//! long a leader stands still; 3000) make them long.

mod awaited_files;
mod basics;
mod behind;
mod bulk;
mod disks;
mod experiments;
mod five;
mod five_voters;
mod hedged;
mod history;
mod holds;
mod joining;
mod kills;
mod lost;
mod metrics;
mod missing_tracks;
mod move_and_split;
mod namespaces;
mod operators;
mod operators_moves;
mod partitions;
mod pauses;
mod placed;
mod placed_kills;
mod placed_lost;
mod placed_track_splits;
mod placed_tracks;
mod placed_tracks_lost;
mod power;
mod proxy;
mod readers;
mod recall;
mod recovered;
mod restore;
mod rolling;
mod same_bytes;
mod security;
mod servers;
mod splits;
mod spread;
mod stops;
mod targets;
mod track_shards;
mod track_splits;
mod upgrade;
/// The checker of the simulation, on histories of real servers.
#[path = "../../../cluster/src/sim/wgl.rs"]
mod wgl;
mod writers;
