//! A user's history: for each day of event time one small sorted array of everything done on it.
//!
//! Why days and not one row an event: a long history is read faster (docs/adr/0006 has figures), and the row of a
//! day makes events idempotent for ever, for free.
//!
//! A day is stored in parts of at most [`PART_ROWS`] rows so that a listener (or a robot) with thousands of events
//! a day does not rewrite them all for each new one. Part 0 knows how many parts there are.

use super::value::{self, Reader};
use crate::types::{Action, DAY_MS, PlayAction, ShardId, Timestamp, TrackOrdinal, TrackRef};

/// Rows of one stored part.
pub(super) const PART_ROWS: usize = 512;
const ROW_BYTES: usize = 24;
const HEADER_BYTES: usize = 4;

const HAS_TRACK: u8 = 1;
const BY_ID: u8 = 2;
const COMPLETED: u8 = 4;

/// One event of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HistoryRow {
    /// Milliseconds since the start of the day.
    pub time_ms: u32,
    /// Identity: of the event's id, else of its content.
    pub key: u64,
    /// Whether `key` is of the event's own id.
    pub by_id: bool,
    pub action: Action,
    pub track: Option<TrackRef>,
    pub listened_ms: u32,
    pub completed: bool,
}

impl HistoryRow {
    /// Whether both are the same event. One known by its content has its time in its identity.
    fn is_same(&self, other: &Self) -> bool {
        self.key == other.key
            && self.by_id == other.by_id
            && (self.by_id || (self.time_ms == other.time_ms && self.action == other.action))
    }

    /// The kind of listening event it is, if one.
    pub(super) fn play_action(&self) -> Option<PlayAction> {
        match self.action {
            Action::Play => Some(PlayAction::Play),
            Action::Skip => Some(PlayAction::Skip),
            Action::Save => Some(PlayAction::Save),
            Action::Repeat => Some(PlayAction::Repeat),
            Action::Unsave
            | Action::HideTrack
            | Action::UnhideTrack
            | Action::BlockArtist
            | Action::UnblockArtist
            | Action::FollowArtist
            | Action::UnfollowArtist
            | Action::Search
            | Action::Served => None,
        }
    }

    /// Whether it counts as a play in statistics: played, for 30 s or to the end.
    pub(super) fn is_counted(&self) -> bool {
        matches!(self.action, Action::Play | Action::Repeat) && (self.completed || self.listened_ms >= 30_000)
    }

    fn encode_into(&self, payload: &mut Vec<u8>) {
        let track = self.track.unwrap_or(TrackRef { shard: ShardId(0), ordinal: TrackOrdinal(0) });
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let flags =
            flag(self.track.is_some(), HAS_TRACK) | flag(self.by_id, BY_ID) | flag(self.completed, COMPLETED);
        payload.extend_from_slice(&self.time_ms.to_le_bytes());
        payload.extend_from_slice(&self.listened_ms.to_le_bytes());
        payload.extend_from_slice(&self.key.to_le_bytes());
        payload.extend_from_slice(&track.ordinal.0.to_le_bytes());
        payload.extend_from_slice(&track.shard.0.to_le_bytes());
        payload.extend_from_slice(&[action_code(self.action), flags]);
    }

    fn decode(bytes: [u8; ROW_BYTES]) -> Result<Self, &'static str> {
        let mut reader = Reader(&bytes);
        let (time_ms, listened_ms, key) = (reader.u32()?, reader.u32()?, reader.u64()?);
        let track = TrackRef { ordinal: TrackOrdinal(reader.u32()?), shard: ShardId(reader.u16()?) };
        let (action, flags) = (reader.u8()?, reader.u8()?);
        let action = Action::ALL.get(usize::from(action)).copied().ok_or("unknown action")?;
        Ok(Self {
            time_ms,
            key,
            by_id: flags & BY_ID != 0,
            action,
            track: (flags & HAS_TRACK != 0).then_some(track),
            listened_ms,
            completed: flags & COMPLETED != 0,
        })
    }
}

/// The number of an action in stored rows: its place in [`Action::ALL`].
pub(super) fn action_code(action: Action) -> u8 {
    let place = Action::ALL.iter().position(|known| *known == action).expect("ALL holds every action");
    u8::try_from(place).expect("there are few actions")
}

/// Splits a time into day and milliseconds of the day.
pub(super) fn split_time(at: Timestamp) -> (i32, u32) {
    (at.day(), u32::try_from(at.0.rem_euclid(DAY_MS)).expect("a day has fewer milliseconds"))
}

/// Joins what [`split_time`] split.
pub(super) fn join_time(day: i32, time_ms: u32) -> Timestamp {
    Timestamp(i64::from(day) * DAY_MS + i64::from(time_ms))
}

/// One day of one user while it is being written.
#[derive(Debug, Default)]
pub(super) struct Day {
    parts: Vec<Part>,
}

#[derive(Debug, Default)]
struct Part {
    rows: Vec<HistoryRow>,
    changed: bool,
}

impl Day {
    /// Takes a stored part; parts are added in order.
    pub(super) fn push_part(&mut self, rows: Vec<HistoryRow>) {
        self.parts.push(Part { rows, changed: false });
    }

    /// Whether the event is in this day.
    pub(super) fn contains(&self, row: &HistoryRow) -> bool {
        self.parts.iter().any(|part| part.rows.iter().any(|known| known.is_same(row)))
    }

    /// Adds an event; `false` when it is there already.
    pub(super) fn insert(&mut self, row: HistoryRow) -> bool {
        if self.contains(&row) {
            return false;
        }
        if self.parts.last().is_none_or(|part| part.rows.len() >= PART_ROWS)
            && self.parts.len() < usize::from(u16::MAX)
        {
            self.parts.push(Part::default());
            self.parts[0].changed = true;
        }
        let part = self.parts.last_mut().expect("one was pushed if there was none");
        part.rows.push(row);
        part.changed = true;
        true
    }

    /// The parts to be written: number and value.
    pub(super) fn changed_parts(mut self) -> impl Iterator<Item = (u16, Vec<u8>)> {
        let count = u16::try_from(self.parts.len()).expect("parts are limited to u16");
        self.parts.iter_mut().for_each(|part| part.rows.sort_by_key(|row| (row.time_ms, row.key)));
        self.parts.into_iter().enumerate().filter(|(_, part)| part.changed).map(move |(number, part)| {
            let number = u16::try_from(number).expect("parts are limited to u16");
            (number, encode_part(if number == 0 { count } else { 0 }, &part.rows))
        })
    }
}

fn encode_part(parts: u16, rows: &[HistoryRow]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(HEADER_BYTES + rows.len() * ROW_BYTES);
    let count = u16::try_from(rows.len()).expect("a part holds at most 65,535 rows");
    payload.extend_from_slice(&parts.to_le_bytes());
    payload.extend_from_slice(&count.to_le_bytes());
    rows.iter().for_each(|row| row.encode_into(&mut payload));
    value::seal(&payload)
}

/// Reads a part: how many parts the day has (told by part 0 only), and its rows by time.
pub(super) fn decode_part(
    value: &[u8],
) -> Result<(u16, impl ExactSizeIterator<Item = Result<HistoryRow, &'static str>> + '_), &'static str> {
    let mut reader = Reader(value::open(value)?);
    let (parts, count) = (reader.u16()?, usize::from(reader.u16()?));
    let (rows, rest) = reader.0.as_chunks::<ROW_BYTES>();
    if rows.len() != count || !rest.is_empty() {
        return Err("history has a wrong length");
    }
    Ok((parts, rows.iter().map(|row| HistoryRow::decode(*row))))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn row(time_ms: u32, key: u64) -> HistoryRow {
        HistoryRow {
            time_ms,
            key,
            by_id: false,
            action: Action::Skip,
            track: Some(TrackRef { shard: ShardId(2), ordinal: TrackOrdinal(70_000) }),
            listened_ms: 12,
            completed: true,
        }
    }

    fn stored(day: Day) -> Vec<(u16, u16, Vec<HistoryRow>)> {
        day.changed_parts()
            .map(|(number, value)| {
                let (parts, rows) = decode_part(&value).unwrap();
                (number, parts, rows.map(Result::unwrap).collect())
            })
            .collect()
    }

    #[test]
    fn a_day_is_sorted_and_holds_each_event_once() {
        let mut day = Day::default();
        assert!(day.insert(row(9, 1)) && day.insert(row(3, 2)));
        assert!(!day.insert(row(9, 1)), "the same event again");
        let by_id = HistoryRow { by_id: true, ..row(9, 1) };
        assert!(day.insert(by_id), "keys of ids and of contents are different things");
        assert!(!day.insert(HistoryRow { time_ms: 77, ..by_id }), "an id is known whatever the time");
        assert_eq!(stored(day), [(0, 1, vec![row(3, 2), row(9, 1), by_id])]);
    }

    #[test]
    fn a_long_day_rewrites_only_its_last_part() {
        let mut day = Day::default();
        for n in 0..=1024 {
            assert!(day.insert(row(n, u64::from(n))));
        }
        let parts = stored(day);
        assert_eq!(
            parts.iter().map(|(_, count, rows)| (*count, rows.len())).collect::<Vec<_>>(),
            [(3, 512), (0, 512), (0, 1)]
        );
        let mut day = Day::default();
        parts.into_iter().for_each(|(_, _, rows)| day.push_part(rows));
        assert!(!day.insert(row(700, 700)), "found in the second part");
        assert!(day.insert(row(5000, 5000)));
        assert_eq!(stored(day).iter().map(|(number, ..)| *number).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn times_before_1970_split_and_join() {
        let at = Timestamp(-1);
        assert_eq!(split_time(at), (-1, 86_399_999));
        assert_eq!(join_time(-1, 86_399_999), at);
    }

    #[test]
    fn action_codes_are_frozen() {
        assert_eq!(Action::ALL.map(action_code), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!((action_code(Action::Unsave), action_code(Action::Served)), (4, 12));
    }
}
