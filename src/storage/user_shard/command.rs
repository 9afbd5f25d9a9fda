//! What the log of a user shard says, and what is answered.
//!
//! An entry is a [`UserCommand`] in the envelope of [`codec`]. A newer version stops the replica: an entry must never
//! be skipped. What earlier programs know is written as they wrote it.

mod lists;

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use super::decisions::is_decision;
use super::error::{Result, UserShardError};
use super::split_op::SplitOp;
use crate::storage::codec;
use crate::types::{
    Action, ArtistId, EventId, GenerationId, PlayAction, SpaceName, Timestamp, TrackId, TrackRef, User,
    UserId,
};

pub use lists::{EventOrigin, ListOrigin, ServedList, ServedTrack, ShownSlot, SlotChoice};

/// Since what lists were made by is kept.
const LISTS_VERSION: u16 = 4;
/// Since what is decided counts by its time.
const BY_TIME_VERSION: u16 = 3;
/// Since there are splits.
const SPLIT_VERSION: u16 = 2;

/// One log entry of a user shard.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct UserCommand {
    /// The step of a bulk load this entry is, kept in the same atomic write as its rows.
    pub load: Option<LoadStep>,
    /// What to do.
    pub op: UserOp,
}

impl From<UserOp> for UserCommand {
    fn from(op: UserOp) -> Self {
        Self { load: None, op }
    }
}

/// What an entry does.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub enum UserOp {
    /// Nothing but the load step (the end of a load, or a batch without rows for this shard).
    Nothing,
    /// Adds or replaces users. The whole record is replaced: blocks, follows and friends included.
    UpsertUsers(Vec<User>),
    /// Removes users and every trace of them; counts per day, region and track stay, nobody is named there.
    DeleteUsers(Vec<UserId>),
    /// Records events; unknown users are created.
    Record(Vec<ResolvedEvent>),
    /// Records listening events in bulk; unknown users are created.
    RecordPlays(PlayBatch),
    /// Adds or replaces vectors of users. All rows or none.
    UpsertVectors {
        /// The space.
        space: SpaceName,
        /// The generation.
        generation: GenerationId,
        /// User and components; all of the generation's dimension, all finite.
        rows: Vec<(UserId, Vec<f32>)>,
    },
    /// Removes vectors.
    DeleteVectors {
        /// The space.
        space: SpaceName,
        /// The generation.
        generation: GenerationId,
        /// Whose.
        users: Vec<UserId>,
    },
    /// Drops a generation of a space for ever: its rows are unreadable from here on and removed bit by bit.
    DropGeneration {
        /// The space.
        space: SpaceName,
        /// The generation.
        generation: GenerationId,
    },
    /// Moves events that waited for tracks into the histories.
    ResolveTracks(Vec<(TrackId, TrackRef)>),
    /// Replaces the statistics derived from all listeners. Opaque here; bounded by [`STATISTICS_BYTES_MAX`].
    PutStatistics(Vec<u8>),
    /// Records events, and of the explored slots of their served lists how each was chosen.
    RecordShown(Vec<ResolvedEvent>, Vec<ShownSlot>),
    /// A step of a split. Since version 2. In a box: the other entries are written as before only while no step is larger or
    /// aligned otherwise than they are.
    Split(Box<SplitOp>),
    /// Records events some of which hide, block or follow: the newest of them holds by the time it happened. Since version 3. In
    /// a box as above.
    RecordByTime(Box<TimedEvents>),
    /// Records events, and of their served lists what they were made by. Since version 4. In a box as above.
    RecordLists(Box<ListedEvents>),
}

/// Events among which there are served lists.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct ListedEvents {
    /// The events, when they came in, how slots were chosen.
    pub timed: TimedEvents,
    /// What served lists were made by, each of another event.
    pub origins: Vec<EventOrigin>,
}

/// Events whose order in time counts.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct TimedEvents {
    /// When they came in, by the clock of the node that took them. A later time of an event counts as this.
    pub received: Timestamp,
    /// The events; unknown users are created.
    pub events: Vec<ResolvedEvent>,
    /// Of the explored slots of their served lists, how each was chosen.
    pub slots: Vec<ShownSlot>,
}

/// A step of a named load. Steps of one load come in row order.
#[derive(Debug, Clone, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct LoadStep {
    /// The load, at most 256 bytes.
    pub load_id: String,
    /// The first row of the file that this entry covers.
    pub first_row: u64,
    /// The row after the last one it covers.
    pub rows_done: u64,
    /// Whether the load ends here.
    pub finished: bool,
}

/// How far a load has come in this shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct LoadState {
    /// The next row to send.
    pub rows_done: u64,
    /// Whether the load has ended.
    pub finished: bool,
}

/// The track of an event, looked up once by the writer.
#[derive(Debug, Clone, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub enum EventTrack {
    /// A known track.
    Resolved(TrackRef),
    /// No such track yet: the event waits for [`UserOp::ResolveTracks`].
    Unknown(TrackId),
}

/// One event, ready to be applied.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct ResolvedEvent {
    /// Who.
    pub user: UserId,
    /// What.
    pub action: Action,
    /// On which track; for the actions on tracks.
    pub track: Option<EventTrack>,
    /// The track as the caller names it; needed for `hide_track` and `unhide_track`, which edit
    /// [`User::blocked_tracks`].
    pub track_id: Option<TrackId>,
    /// On which artist; needed for the actions on artists.
    pub artist: Option<ArtistId>,
    /// When.
    pub at: Timestamp,
    /// How long, in milliseconds.
    pub listened_ms: u32,
    /// Whether at least 80 % of the track was heard; with 30 s it decides whether a play is counted.
    pub completed: bool,
    /// [`event_key`] of the event's own id; without it the event is known by its content.
    pub event_key: Option<u128>,
    /// What was searched for, with `search`.
    pub query: Option<String>,
    /// What was shown, with `served`.
    pub served: Option<ServedList>,
}

impl ResolvedEvent {
    /// An event with nothing but who, what and when.
    #[must_use]
    pub fn new(user: UserId, action: Action, at: Timestamp) -> Self {
        Self {
            user,
            action,
            track: None,
            track_id: None,
            artist: None,
            at,
            listened_ms: 0,
            completed: false,
            event_key: None,
            query: None,
            served: None,
        }
    }
}

/// The 128-bit key of an event's own id: the first half of BLAKE3.
#[must_use]
pub fn event_key(id: &EventId) -> u128 {
    let mut first = [0; 16];
    first.copy_from_slice(&blake3::hash(id.as_str().as_bytes()).as_bytes()[..16]);
    u128::from_le_bytes(first)
}

/// The most bytes of [`UserOp::PutStatistics`]: they have to fit one log entry.
pub const STATISTICS_BYTES_MAX: usize = 6 << 20;

/// Events to be recorded, and what is known of the lists among them.
#[derive(Debug, Clone, Default)]
pub struct NewEvents {
    /// The events; unknown users are created.
    pub events: Vec<ResolvedEvent>,
    /// How slots of their lists were chosen.
    pub slots: Vec<ShownSlot>,
    /// What their lists were made by.
    pub origins: Vec<EventOrigin>,
}

/// Listening events by the thousand; a user's id is written once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct PlayBatch {
    /// The listeners; rows name them by position.
    pub users: Vec<UserId>,
    /// Events on known tracks.
    pub plays: Vec<PlayRow>,
    /// Events on tracks not known yet.
    pub unknown: Vec<(TrackId, PlayRow)>,
}

/// One listening event of a [`PlayBatch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub struct PlayRow {
    /// Position in [`PlayBatch::users`].
    pub user: u32,
    /// The track; ignored in [`PlayBatch::unknown`].
    pub track: TrackRef,
    /// How long, in milliseconds.
    pub listened_ms: u32,
    /// When.
    pub at: Timestamp,
    /// What kind of event.
    pub action: PlayAction,
    /// Whether at least 80 % of the track was heard.
    pub completed: bool,
}

/// The answer to an entry, the same on every replica.
#[derive(Debug, Clone, PartialEq, Eq, Archive, RkyvSerialize, RkyvDeserialize)]
pub enum UserReply {
    /// Done, and how many rows it was about: users new or removed, vectors new or removed, plays new, events
    /// resolved.
    Done(u64),
    /// One outcome an event: `true` = new, `false` = seen before.
    Recorded(Vec<bool>),
    /// Rows of a load that had been applied before: nothing was done. Continue from here.
    AlreadyLoaded(LoadState),
    /// A mistake of the caller; nothing was done.
    Refused(String),
    /// Something of it belongs to another shard, now or in a moment; nothing was done. Since version 2.
    Moved {
        /// Which.
        shard: u16,
    },
}

impl UserOp {
    /// The operation that records events: what earlier programs know wherever it says the same.
    ///
    /// * `known`: the newest version of entries that every replica reads. Before 4 what lists were made by is not kept; before 3
    ///   what hides, blocks and follows counts by the order of the log.
    /// * `received`: when they came in.
    #[must_use]
    pub fn record(of: NewEvents, (known, received): (u16, Timestamp)) -> Self {
        let NewEvents { events, slots, origins } = of;
        let has_decisions = events.iter().any(|event| is_decision(event.action));
        if known >= LISTS_VERSION && !origins.is_empty() {
            let timed = TimedEvents { received, events, slots };
            return Self::RecordLists(Box::new(ListedEvents { timed, origins }));
        }
        if known >= BY_TIME_VERSION && has_decisions {
            return Self::RecordByTime(Box::new(TimedEvents { received, events, slots }));
        }
        if slots.is_empty() { Self::Record(events) } else { Self::RecordShown(events, slots) }
    }
}

impl UserCommand {
    /// The newest version of entries that is known here.
    pub const VERSION: u16 = LISTS_VERSION;
    /// The first one, which every program reads.
    pub const FIRST_VERSION: u16 = 1;

    /// Why every replica would refuse the command, whatever its state; `None` when it would not.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        super::validate::command(self)
    }

    /// The bytes of a log entry.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let version = match self.op {
            UserOp::RecordLists(_) => LISTS_VERSION,
            UserOp::RecordByTime(_) => BY_TIME_VERSION,
            UserOp::Split(_) => SPLIT_VERSION,
            _ => Self::FIRST_VERSION,
        };
        codec::encode(version, self).expect("plain data serialises into memory")
    }

    /// Reads a log entry, checking every byte of its structure.
    ///
    /// # Errors
    /// [`UserShardError::Command`]; it stops the replica.
    pub fn decode(index: u64, entry: &[u8]) -> Result<Self> {
        codec::decode(Self::VERSION, entry)
            .map_err(|error| UserShardError::Command { index, source: Box::new(error) })
    }
}

impl UserReply {
    /// The bytes of a reply.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let version =
            if matches!(self, Self::Moved { .. }) { SPLIT_VERSION } else { UserCommand::FIRST_VERSION };
        codec::encode(version, self).expect("plain data serialises into memory")
    }

    /// Reads a reply.
    ///
    /// # Errors
    /// As [`codec::decode`].
    pub fn decode(reply: &[u8]) -> crate::Result<Self> {
        codec::decode(SPLIT_VERSION, reply)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
