//! The other rows of a user: record, searches, events of unknown tracks; and the shard's own rows.

use std::collections::HashSet;

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize, rancor, util::AlignedVec};

use super::{
    command::LoadState,
    history::action_code,
    value::{self, Reader, put_text},
};
use crate::types::{Action, TrackId, TrackRef, User, UserId};

type Decoded<T> = Result<T, &'static str>;

/// What is stored of a user besides history: the record in force, upserts and feedback folded together in log
/// order.
#[derive(Debug, Clone, PartialEq, Archive, RkyvSerialize, RkyvDeserialize)]
pub(super) struct UserRecord {
    pub user: User,
    /// Blocked tracks whose place is known because they were hidden by feedback.
    pub hidden: Vec<(TrackId, TrackRef)>,
}

impl UserRecord {
    pub(super) fn unknown(user: UserId) -> Self {
        Self { user: User::unknown(user), hidden: Vec::new() }
    }

    /// Replaces the record by an upserted one. Of the hidden tracks those stay that are still blocked.
    pub(super) fn replace(&mut self, user: User) {
        if !self.hidden.is_empty() {
            let blocked: HashSet<&TrackId> = user.blocked_tracks.iter().collect();
            self.hidden.retain(|(id, _)| blocked.contains(id));
        }
        self.user = user;
    }

    pub(super) fn hide(&mut self, id: TrackId, track: Option<TrackRef>) {
        if let Some(track) = track
            && !self.hidden.iter().any(|(known, _)| *known == id)
        {
            self.hidden.push((id.clone(), track));
        }
        add(&mut self.user.blocked_tracks, id);
    }

    pub(super) fn unhide(&mut self, id: &TrackId) {
        self.hidden.retain(|(known, _)| known != id);
        self.user.blocked_tracks.retain(|known| known != id);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let payload = rkyv::to_bytes::<rancor::Error>(self).expect("plain data serialises into memory");
        value::seal(&payload)
    }

    pub(super) fn decode(stored: &[u8]) -> Decoded<Self> {
        let mut aligned = AlignedVec::<16>::new();
        aligned.extend_from_slice(value::open(stored)?);
        rkyv::from_bytes::<Self, rancor::Error>(&aligned).map_err(|_| "record cannot be decoded")
    }
}

/// Adds to a list that is a set in the order things were said.
pub(super) fn add<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

pub(super) fn encode_search(query: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    put_text(&mut payload, query);
    value::seal(&payload)
}

pub(super) fn decode_search(stored: &[u8]) -> Decoded<String> {
    let mut reader = Reader(value::open(stored)?);
    let query = reader.text()?.to_owned();
    reader.end()?;
    Ok(query)
}

/// An event that waits for its track; its time and key are in its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PendingEvent {
    pub action: Action,
    pub listened_ms: u32,
    pub completed: bool,
    pub by_id: bool,
}

impl PendingEvent {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut payload = vec![action_code(self.action), u8::from(self.completed), u8::from(self.by_id)];
        payload.extend_from_slice(&self.listened_ms.to_le_bytes());
        value::seal(&payload)
    }

    pub(super) fn decode(stored: &[u8]) -> Decoded<Self> {
        let mut reader = Reader(value::open(stored)?);
        let (action, completed, by_id) = (reader.u8()?, reader.u8()? != 0, reader.u8()? != 0);
        let action = Action::ALL.get(usize::from(action)).copied().ok_or("unknown action")?;
        let listened_ms = reader.u32()?;
        reader.end()?;
        Ok(Self { action, listened_ms, completed, by_id })
    }
}

/// The row of the shard itself, written with every entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ShardRow {
    /// The newest applied entry.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// Users there are.
    pub users: u64,
    /// The newest day with a counted play.
    pub newest_day: Option<i32>,
}

impl ShardRow {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(29);
        payload.extend_from_slice(&self.index.to_le_bytes());
        payload.extend_from_slice(&self.term.to_le_bytes());
        payload.extend_from_slice(&self.users.to_le_bytes());
        payload.push(u8::from(self.newest_day.is_some()));
        payload.extend_from_slice(&self.newest_day.unwrap_or(0).to_le_bytes());
        value::seal(&payload)
    }

    pub(super) fn decode(stored: &[u8]) -> Decoded<Self> {
        let mut reader = Reader(value::open(stored)?);
        let (index, term, users) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let (has_day, day) = (reader.u8()? != 0, reader.i32()?);
        reader.end()?;
        Ok(Self { index, term, users, newest_day: has_day.then_some(day) })
    }
}

/// The row of a generation of a user space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GenerationRow {
    pub dim: u32,
    pub rows: u64,
    pub dropped: bool,
}

impl GenerationRow {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut payload = self.dim.to_le_bytes().to_vec();
        payload.extend_from_slice(&self.rows.to_le_bytes());
        payload.push(u8::from(self.dropped));
        value::seal(&payload)
    }

    pub(super) fn decode(stored: &[u8]) -> Decoded<Self> {
        let mut reader = Reader(value::open(stored)?);
        let row = Self { dim: reader.u32()?, rows: reader.u64()?, dropped: reader.u8()? != 0 };
        reader.end()?;
        Ok(row)
    }
}

pub(super) fn encode_load(load: LoadState) -> Vec<u8> {
    let mut payload = load.rows_done.to_le_bytes().to_vec();
    payload.push(u8::from(load.finished));
    value::seal(&payload)
}

pub(super) fn decode_load(stored: &[u8]) -> Decoded<LoadState> {
    let mut reader = Reader(value::open(stored)?);
    let load = LoadState { rows_done: reader.u64()?, finished: reader.u8()? != 0 };
    reader.end()?;
    Ok(load)
}

pub(super) fn encode_vector(vector: &[f32]) -> Vec<u8> {
    let payload: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    value::seal(&payload)
}

pub(super) fn decode_vector(stored: &[u8]) -> Decoded<impl ExactSizeIterator<Item = f32> + '_> {
    let (rows, rest) = value::open(stored)?.as_chunks::<4>();
    if !rest.is_empty() {
        return Err("vector has a wrong length");
    }
    Ok(rows.iter().map(|bytes| f32::from_le_bytes(*bytes)))
}

pub(super) fn encode_count(count: u64) -> Vec<u8> {
    value::seal(&count.to_le_bytes())
}

pub(super) fn decode_count(stored: &[u8]) -> Decoded<u64> {
    value::open_fixed::<8>(stored).map(u64::from_le_bytes)
}
