//! A user shard: everything known of the listeners of a range of slots, as a deterministic state machine.
//!
//! What it keeps: records, histories by day, served lists, searches, events waiting for their tracks, vectors, play
//! counts by day, region and track, and how far bulk loads have come.
//!
//! Invariants:
//! * State and replies are functions of the log entries alone. Times come with events; nothing reads a clock.
//! * An entry is applied whole or not at all, and its index is written with it. The log is the write-ahead log: the
//!   files hold the state after some entry ([`UserShard::durable_index`]), the rest is replayed.
//! * **Precedence**: a user has one record; an upsert replaces all of it, feedback (block, follow, hide and their
//!   opposites) edits it, and the last in the log holds, whatever the event times.
//! * **Order of events**: histories are by event time, whatever the order of arrival. So is the library: the newest
//!   of save and unsave holds; at the same millisecond, save.
//! * **Idempotence**: an event with an id of its own is recognised on the days around its time (so a repetition that
//!   was stamped later is, too); one without is recognised for ever by user, track or artist or query or impression,
//!   time and action. The window is the history itself; nothing expires and nothing is kept beside it. Ids are kept as
//!   64 bits: two events of one user within three days collide with a chance of 2⁻⁶⁴ a pair.
//! * **Served lists** leave 84 days before the user's newest one, counts 35 days before the newest counted day.
//!
//! Absent on purpose: taste profiles, windows and scores (the pipeline derives them), names of tracks (a track is a
//! [`TrackRef`](crate::types::TrackRef) here), consensus.

mod answer;
mod apply;
mod asking;
mod cache;
mod check;
mod command;
mod counted;
mod decisions;
mod digest;
mod divide;
mod elsewhere;
mod engine;
mod error;
mod garbage;
mod gathered;
mod history;
mod keys;
mod list;
mod older;
mod options;
mod outgoing;
mod parting;
mod question;
mod recording;
mod rows;
mod scan;
mod served;
mod shard;
mod shards;
mod split;
mod split_op;
mod trends;
mod validate;
mod value;
mod vectors;
mod view;
mod work;

#[cfg(test)]
mod tests;

pub use command::{
    EventOrigin, EventTrack, ListOrigin, ListedEvents, LoadState, LoadStep, NewEvents, PlayBatch, PlayRow,
    ResolvedEvent, STATISTICS_BYTES_MAX, ServedList, ServedTrack, ShownSlot, SlotChoice, TimedEvents,
    UserCommand, UserOp, UserReply, event_key,
};
pub use elsewhere::{Elsewhere, Missing};
pub use engine::{KnownTables, table_number};
pub use error::{Result, UserShardError};
pub use options::UserShardOptions;
pub use outgoing::Outgoing;
pub use question::{Figures, FriendPlays, Sampled, UserAnswer, UserQuestion};
pub use served::StoredList;
pub use shard::UserShard;
pub use shards::UserShards;
pub use split::{Import, ImportPlace, Parting, PartingStage, SplitRole, SplitState};
pub use split_op::SplitOp;

pub use crate::storage::entry::{AppliedAt, LogEntry};
pub use trends::TREND_DAYS;
pub use view::{
    EXPLORED_MAX, ExploredOutcome, Heard, PLAYS_DAYS, PLAYS_MAX, PlayRecord, ServedRecord, UserView,
};
