//! Keys: what lies where in the one ordered key space of a shard.
//!
//! ```text
//! slot u16 | user id | 00 | 01                                   record
//! slot u16 | user id | 00 | 02 | day i32 | part u16              history of a day
//! slot u16 | user id | 00 | 03 | time i64 | key u64              served list
//! slot u16 | user id | 00 | 04 | time i64 | key u64              search
//! slot u16 | user id | 00 | 05 | track id | 00 | time i64 | key u64   event of an unknown track
//! slot u16 | user id | 00 | 06 | matter u8 | key u64            time of the newest decision about a thing
//! C0 | track id | 00 | slot u16 | user id                        who waits for an unknown track
//! D0 | space | 00 | generation u32 | slot u16 | user id          vector
//! E0 | day i32 | region u16 | shard u16 | ordinal u32            plays of a day
//! E1 | shard u16 | ordinal u32                                   plays in total
//! F0                                                             applied index and counts of the shard
//! F1 | load id                                                   progress of a load
//! F2 | space | 00 | generation u32                               dimension and rows of a generation
//! F3                                                             statistics derived from all listeners
//! F4                                                             what the shard knows of splits
//! F5 | applied index u64 | key                                   an entry has changed a row that is given away
//! ```
//!
//! Numbers are big-endian, signed ones with the sign bit flipped, so keys sort as numbers do. Slots are below
//! 4,096, so a user's first byte is below 0x10, and a slot range is one range of keys (plus one a generation).
//! Ids hold no control characters, so 0x00 ends them and sorts shorter ids first.

use crate::types::{
    Region, ShardId, Slot, SpaceName, Timestamp, TrackId, TrackOrdinal, TrackRef, UserId, slot_of,
};

pub(super) const RECORD: u8 = 0x01;
pub(super) const HISTORY: u8 = 0x02;
pub(super) const SERVED: u8 = 0x03;
pub(super) const SEARCH: u8 = 0x04;
pub(super) const PENDING: u8 = 0x05;
pub(super) const DECISION: u8 = 0x06;

pub(super) const WAITING: u8 = 0xC0;
pub(super) const VECTOR: u8 = 0xD0;
pub(super) const DAY_PLAYS: u8 = 0xE0;
pub(super) const TOTAL_PLAYS: u8 = 0xE1;
/// The row of the shard itself.
pub(super) const SHARD: [u8; 1] = [0xF0];
pub(super) const LOAD: u8 = 0xF1;
pub(super) const GENERATION: u8 = 0xF2;
/// The row of the statistics.
pub(super) const STATISTICS: [u8; 1] = [0xF3];
/// The row about splits.
pub(super) const SPLIT: [u8; 1] = [0xF4];
pub(super) const NOTE: u8 = 0xF5;
/// The end of all notes.
pub(super) const NOTES_END: [u8; 1] = [NOTE + 1];
/// Users lie before this byte.
pub(super) const USERS_END: [u8; 1] = [0x10];

const NO_REGION: u16 = u16::MAX;

fn day_bytes(day: i32) -> [u8; 4] {
    (day.cast_unsigned() ^ 0x8000_0000).to_be_bytes()
}

fn time_bytes(at: Timestamp) -> [u8; 8] {
    (at.0.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// Where the users of a slot begin.
pub(super) fn slot(slot: Slot) -> Vec<u8> {
    slot.0.to_be_bytes().to_vec()
}

/// `slot | user id | 00`.
pub(super) fn user(user: &UserId) -> Vec<u8> {
    let mut key = Vec::with_capacity(user.as_str().len() + 32);
    key.extend_from_slice(&slot_of(user.as_str()).0.to_be_bytes());
    key.extend_from_slice(user.as_str().as_bytes());
    key.push(0);
    key
}

/// The end of a user's range: the first key of no row of theirs.
pub(super) fn user_end(prefix: &[u8]) -> Vec<u8> {
    [prefix, &[0xFF]].concat()
}

/// `slot | user id | 00 | kind`, with room for the rest.
pub(super) fn of_user(prefix: &[u8], kind: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(prefix.len() + 24);
    key.extend_from_slice(prefix);
    key.push(kind);
    key
}

pub(super) fn history(prefix: &[u8], day: i32, part: u16) -> Vec<u8> {
    let mut key = of_user(prefix, HISTORY);
    key.extend_from_slice(&day_bytes(day));
    key.extend_from_slice(&part.to_be_bytes());
    key
}

/// The day in a history key.
pub(super) fn history_day(key: &[u8]) -> Option<i32> {
    let (rest, _part) = key.split_last_chunk::<2>()?;
    let (_, day) = rest.split_last_chunk::<4>()?;
    Some((u32::from_be_bytes(*day) ^ 0x8000_0000).cast_signed())
}

/// A key of kind [`SERVED`] or [`SEARCH`].
pub(super) fn timed(prefix: &[u8], kind: u8, at: Timestamp, key: u64) -> Vec<u8> {
    let mut row = of_user(prefix, kind);
    row.extend_from_slice(&time_bytes(at));
    row.extend_from_slice(&key.to_be_bytes());
    row
}

/// The time and event key at the end of a key made by [`timed`] or [`pending`].
pub(super) fn timed_suffix(key: &[u8]) -> Option<(Timestamp, u64)> {
    let (rest, event) = key.split_last_chunk::<8>()?;
    let (_, at) = rest.split_last_chunk::<8>()?;
    let at = (u64::from_be_bytes(*at) ^ (1 << 63)).cast_signed();
    Some((Timestamp(at), u64::from_be_bytes(*event)))
}

/// `slot | user id | 00 | 05 | track id | 00`.
pub(super) fn pending_of_track(prefix: &[u8], track: &TrackId) -> Vec<u8> {
    let mut key = of_user(prefix, PENDING);
    key.extend_from_slice(track.as_str().as_bytes());
    key.push(0);
    key
}

pub(super) fn pending(prefix: &[u8], track: &TrackId, at: Timestamp, event: u64) -> Vec<u8> {
    let mut key = pending_of_track(prefix, track);
    key.extend_from_slice(&time_bytes(at));
    key.extend_from_slice(&event.to_be_bytes());
    key
}

/// * `matter`, `thing`: what was decided, and the key of what it was decided about.
pub(super) fn decision(prefix: &[u8], matter: u8, thing: u64) -> Vec<u8> {
    let mut key = of_user(prefix, DECISION);
    key.push(matter);
    key.extend_from_slice(&thing.to_be_bytes());
    key
}

/// The track id bytes of a pending key of the user with this prefix.
pub(super) fn pending_track<'a>(prefix: &[u8], key: &'a [u8]) -> Option<&'a [u8]> {
    let rest = key.get(prefix.len() + 1..)?;
    let (track, _) = rest.split_at_checked(rest.len().checked_sub(17)?)?;
    Some(track)
}

/// `C0 | track id | 00`.
pub(super) fn waiting_of_track(track: &[u8]) -> Vec<u8> {
    [&[WAITING], track, &[0]].concat()
}

/// `C0 | track id | 00 | slot | user id`; `prefix` is the user's.
pub(super) fn waiting(track: &[u8], prefix: &[u8]) -> Vec<u8> {
    let mut key = waiting_of_track(track);
    key.extend_from_slice(prefix.strip_suffix(&[0]).unwrap_or(prefix));
    key
}

/// The first key at which tracks after `track` can be waited for; of all tracks without one.
pub(super) fn waiting_after(track: Option<&TrackId>) -> Vec<u8> {
    // Ids hold no control characters: 01 sorts behind all of this track and before any longer id.
    track.map_or_else(|| vec![WAITING], |track| [&[WAITING], track.as_str().as_bytes(), &[1]].concat())
}

/// The end of everything that waits for tracks.
pub(super) const WAITING_END: [u8; 1] = [WAITING + 1];

/// The track in a waiting key.
pub(super) fn waiting_track(key: &[u8]) -> Option<TrackId> {
    let id = key.get(1..)?;
    let end = id.iter().position(|byte| *byte == 0)?;
    TrackId::new(std::str::from_utf8(&id[..end]).ok()?).ok()
}

/// The user prefix in a waiting key of a track with this prefix.
pub(super) fn waiting_user(track_prefix: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    Some([key.get(track_prefix.len()..)?, &[0]].concat())
}

/// `D0 | space | 00 | generation`.
pub(super) fn vectors(space: &SpaceName, generation: u32) -> Vec<u8> {
    space_key(VECTOR, space, generation)
}

/// A vector's key; `prefix` is the user's.
pub(super) fn vector(space: &SpaceName, generation: u32, prefix: &[u8]) -> Vec<u8> {
    let mut key = vectors(space, generation);
    key.extend_from_slice(prefix.strip_suffix(&[0]).unwrap_or(prefix));
    key
}

/// Space and generation in a vector's key.
pub(super) fn vector_generation(key: &[u8]) -> Option<(String, u32)> {
    let rest = key.get(1..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let generation = rest.get(end + 1..)?.first_chunk::<4>()?;
    Some((std::str::from_utf8(&rest[..end]).ok()?.to_owned(), u32::from_be_bytes(*generation)))
}

/// The user in a vector's key.
pub(super) fn vectors_user(key: &[u8]) -> Option<UserId> {
    let rest = key.get(1..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    user_id_of(rest.get(end + 5..)?)
}

/// The key of a generation's row.
pub(super) fn generation(space: &SpaceName, generation: u32) -> Vec<u8> {
    space_key(GENERATION, space, generation)
}

/// Space and generation of a generation's row.
pub(super) fn parse_generation(key: &[u8]) -> Option<(SpaceName, u32)> {
    let (rest, generation) = key.split_last_chunk::<4>()?;
    let space = rest.get(1..)?.strip_suffix(&[0])?;
    let space = SpaceName::new(std::str::from_utf8(space).ok()?).ok()?;
    Some((space, u32::from_be_bytes(*generation)))
}

fn space_key(kind: u8, space: &SpaceName, generation: u32) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(space.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(&generation.to_be_bytes());
    key
}

/// The key of a load's progress.
pub(super) fn load(load_id: &str) -> Vec<u8> {
    [&[LOAD], load_id.as_bytes()].concat()
}

/// The slot of the listener whose row it is: of their own rows, of who waits, of vectors.
pub(super) fn slot_of_row(key: &[u8]) -> Option<Slot> {
    let rest = match *key.first()? {
        first if first < USERS_END[0] => key,
        WAITING => after_text(key)?,
        VECTOR => after_text(key)?.get(4..)?,
        _ => return None,
    };
    rest.first_chunk().map(|slot| Slot(u16::from_be_bytes(*slot)))
}

/// What comes behind the text that begins with a key's second byte, and the 0 that ends it.
fn after_text(key: &[u8]) -> Option<&[u8]> {
    let text = key.get(1..)?;
    text.get(text.iter().position(|byte| *byte == 0)? + 1..)
}

/// Whether a user's row is their record.
pub(super) fn is_record(key: &[u8]) -> bool {
    let id = key.get(2..).unwrap_or_default();
    let end = id.iter().position(|byte| *byte == 0);
    end.is_some_and(|end| id[end + 1..] == [RECORD])
}

/// `F5 | applied index | key`.
pub(super) fn note(index: u64, key: &[u8]) -> Vec<u8> {
    let mut note = notes_from(index);
    note.extend_from_slice(key);
    note
}

/// Where the notes of an entry begin.
pub(super) fn notes_from(index: u64) -> Vec<u8> {
    [&[NOTE][..], &index.to_be_bytes()].concat()
}

/// The key that was noted.
pub(super) fn noted_key(note: &[u8]) -> Option<&[u8]> {
    note.get(9..).filter(|key| !key.is_empty())
}

/// The number a region has in keys; unknown has one too.
pub(super) fn region_number(region: Option<Region>) -> u16 {
    region.map_or(NO_REGION, Region::number)
}

/// `E0 | day`.
pub(super) fn plays_of_day(day: i32) -> Vec<u8> {
    [&[DAY_PLAYS][..], &day_bytes(day)].concat()
}

/// The day in a key of kind [`DAY_PLAYS`].
pub(super) fn day_of_plays(key: &[u8]) -> Option<i32> {
    let day = key.get(1..)?.first_chunk::<4>()?;
    Some((u32::from_be_bytes(*day) ^ 0x8000_0000).cast_signed())
}

/// `E0 | day | region`.
pub(super) fn plays_of_region(day: i32, region: u16) -> Vec<u8> {
    let mut key = plays_of_day(day);
    key.extend_from_slice(&region.to_be_bytes());
    key
}

/// `E0 | day | region | track`.
pub(super) fn day_plays(day: i32, region: u16, track: TrackRef) -> Vec<u8> {
    let mut key = plays_of_region(day, region);
    push_track(&mut key, track);
    key
}

/// `E1 | track`.
pub(super) fn total_plays(track: TrackRef) -> Vec<u8> {
    let mut key = vec![TOTAL_PLAYS];
    push_track(&mut key, track);
    key
}

fn push_track(key: &mut Vec<u8>, track: TrackRef) {
    key.extend_from_slice(&track.shard.0.to_be_bytes());
    key.extend_from_slice(&track.ordinal.0.to_be_bytes());
}

/// The track at the end of a statistics key.
pub(super) fn track_suffix(key: &[u8]) -> Option<TrackRef> {
    let (rest, ordinal) = key.split_last_chunk::<4>()?;
    let (_, shard) = rest.split_last_chunk::<2>()?;
    Some(TrackRef {
        shard: ShardId(u16::from_be_bytes(*shard)),
        ordinal: TrackOrdinal(u32::from_be_bytes(*ordinal)),
    })
}

/// The user id in a user's key, or at the end of a key after `slot`.
pub(super) fn user_id_of(key: &[u8]) -> Option<UserId> {
    let id = key.get(2..)?;
    let end = id.iter().position(|byte| *byte == 0).unwrap_or(id.len());
    UserId::new(std::str::from_utf8(&id[..end]).ok()?).ok()
}

/// A key in words, for error messages.
pub(super) fn describe(key: &[u8]) -> String {
    let Some(first) = key.first() else { return "empty key".to_owned() };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', ", ");
    match *first {
        WAITING => format!("waiting for track {}", text(&key[1..])),
        VECTOR => format!("vector {}", text(&key[1..])),
        DAY_PLAYS | TOTAL_PLAYS => "play counts".to_owned(),
        0xF0 => "shard".to_owned(),
        0xF3 => "statistics".to_owned(),
        0xF4 => "splits".to_owned(),
        NOTE => "note of a change".to_owned(),
        LOAD => format!("load {}", text(&key[1..])),
        GENERATION => format!("generation of {}", text(&key[1..])),
        _ => {
            let user = user_id_of(key).map_or_else(|| "?".to_owned(), String::from);
            let kind = match key.get(2 + user.len() + 1) {
                Some(&RECORD) => "record",
                Some(&HISTORY) => "history",
                Some(&SERVED) => "served list",
                Some(&SEARCH) => "search",
                Some(&PENDING) => "event of an unknown track",
                Some(&DECISION) => "decision",
                _ => "row",
            };
            format!("user {user}, {kind}")
        }
    }
}

#[cfg(test)]
mod tests;
