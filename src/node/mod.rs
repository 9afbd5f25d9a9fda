//! Wiring: the only folder that knows every layer. [`Segue`] is the database in one process.

mod ask_tracks;
mod audit;
mod awaited_files;
mod catalog;
mod compare;
mod counts;
mod current;
mod engine;
mod entries;
mod everyone;
mod experiments;
mod far;
mod far_tracks;
#[cfg(test)]
mod first_start_tests;
#[cfg(test)]
mod fold_in_tests;
mod forward;
mod frames;
mod group;
mod holders;
mod inspect;
mod judge;
mod listeners;
mod load;
mod meta;
mod metrics;
mod moving;
#[cfg(test)]
mod newer_entries_tests;
mod node_change;
mod open;
mod open_tracks;
mod open_users;
mod pace;
mod peers;
mod place;
mod placing;
mod progress;
mod race;
#[cfg(test)]
mod race_tests;
mod read;
mod recovery;
mod replica;
#[cfg(test)]
mod replica_tests;
mod report;
mod rests;
mod segment_files;
mod shadow;
mod shard_count;
mod split;
mod split_places;
mod split_plan;
#[cfg(test)]
mod split_tests;
mod stage;
mod statistics;
#[cfg(test)]
mod statistics_tests;
mod stop_points;
mod tally;
mod tend;
#[cfg(test)]
pub(crate) mod tests;
mod track_book;
mod track_load;
mod track_owners;
mod track_places;
#[cfg(test)]
mod track_question_tests;
mod track_send;
mod track_split;
#[cfg(test)]
mod track_split_tests;
#[cfg(test)]
mod track_tests;
mod tracks;
mod user_load;
mod user_places;
mod users;
mod verify;
mod waiting;
mod warm_up;
mod wire;
mod worker;

pub use crate::types::VectorRow;
pub use compare::{CheckReport, Difference, GroupCheck};
pub use engine::{LoadKind, LoadProgress, OpenReport, Segue};
pub use inspect::{FileText, describe};
pub use node_change::NodeChange;
pub use peers::{Membership, Ports};
pub use placing::{Placing, PlacingReport, ShardMove};
pub use recovery::{GroupOutlook, RecoveryReport, recover};
pub use report::{ClusterReport, NodeReport, NodeState, ReplicaReport};
pub use segue_cluster::TlsFiles;
pub use split_plan::{SplitReport, SplitRequest, SplitState};
pub use verify::{DirectoryReport, verify};
