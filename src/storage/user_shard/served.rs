//! Rows of served lists: what was shown, how its slots were chosen, and what the list was made by.
//!
//! A row is the surface and the impression's id, then one part after the other: where a track is, flags, and what the flags
//! announce. What the list was made by is a part of its own, without a track; rows of earlier programs have none.

use std::ops::ControlFlow;

use super::{
    command::{ListOrigin, ServedList, ServedTrack, ShownSlot, SlotChoice},
    error::{Result, UserShardError},
    keys,
    shard::UserShard,
    shards::UserShards,
    value::{self, Reader, damaged, put_text},
};
use crate::types::{GenerationId, ShardId, Surface, Timestamp, TrackOrdinal, TrackRef, UserId};

type Decoded<T> = std::result::Result<T, &'static str>;

/// Flag of a track that filled an exploration slot.
const EXPLORED: u8 = 1;
/// Flag of a track that its [`SlotChoice`] follows.
const HAS_CHOICE: u8 = 2;
/// Flag of the part that is no track: a [`ListOrigin`] follows.
const IS_ORIGIN: u8 = 4;
/// Bits of the flags of a [`ListOrigin`].
const HAS_GENERATION: u8 = 1;
const HAS_EXPERIMENT: u8 = 2;

/// Bytes of a track and its flags.
const TRACK_BYTES: usize = 7;

/// A list that was shown to a listener, with everything that was kept of it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredList {
    /// When it was shown.
    pub at: Timestamp,
    /// What was shown.
    pub list: ServedList,
    /// How its slots were chosen, by position among what was shown; none for lists of before this was kept.
    pub choices: Vec<(u32, SlotChoice)>,
    /// What it was made by; none for lists of before this was kept.
    pub origin: Option<ListOrigin>,
}

/// What a row says.
pub(super) struct ServedRow {
    pub list: ServedList,
    pub choices: Vec<(u32, SlotChoice)>,
    pub origin: Option<ListOrigin>,
}

impl UserShard {
    /// The newest lists shown to a listener until a moment, that one included: at most `limit`, newest first. None of an
    /// unknown listener.
    ///
    /// Cost: one range of all lists that are kept, about a kilobyte each.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn served_lists(&self, id: &UserId, until: Timestamp, limit: usize) -> Result<Vec<StoredList>> {
        let prefix = keys::user(id);
        let (from, to) = (keys::of_user(&prefix, keys::SERVED), keys::of_user(&prefix, keys::SEARCH));
        let mut rows: Vec<(Vec<u8>, Vec<u8>, Timestamp)> = Vec::new();
        self.inner().engine.snapshot().scan(&from, &to, |key, value| {
            let (at, _) = keys::timed_suffix(key).ok_or_else(|| damaged(key, "key is malformed"))?;
            if at > until {
                return Ok(ControlFlow::Break(()));
            }
            rows.push((key.to_vec(), value.to_vec(), at));
            Ok(ControlFlow::Continue(()))
        })?;
        let newest = rows.into_iter().rev().take(limit);
        let lists = newest.map(|(key, value, at)| {
            let ServedRow { list, choices, origin } =
                decode_served(&value).map_err(|what| damaged(&key, what))?;
            Ok(StoredList { at, list, choices, origin })
        });
        lists.collect()
    }
}

impl UserShards {
    /// As [`UserShard::served_lists`], of a listener in a shard that is here; `None` when there is no such listener.
    ///
    /// # Errors
    /// [`UserShardError::Elsewhere`] when the shard has just been moved; damage, I/O.
    pub fn served_lists(
        &self,
        id: &UserId,
        until: Timestamp,
        limit: usize,
    ) -> Result<Option<Vec<StoredList>>> {
        let place = self.place_of(id);
        let shard = self.at(place).ok_or_else(|| {
            let reason = format!("the shard is not here any more. shard=`{place}`");
            UserShardError::Elsewhere { source: Box::new(crate::Error::Unavailable(reason)) }
        })?;
        if shard.user(id)?.is_none() {
            return Ok(None);
        }
        shard.served_lists(id, until, limit).map(Some)
    }
}

pub(super) fn encode_served(list: &ServedList, chosen: &[ShownSlot], origin: Option<&ListOrigin>) -> Vec<u8> {
    let mut payload = Vec::with_capacity(128 + list.tracks.len() * 2 * TRACK_BYTES);
    put_text(&mut payload, list.surface.as_str());
    put_text(&mut payload, &list.impression);
    if let Some(origin) = origin {
        put_track(&mut payload, TrackRef { shard: ShardId(0), ordinal: TrackOrdinal(0) });
        payload.push(IS_ORIGIN);
        put_origin(&mut payload, origin);
    }
    for (position, served) in (0..).zip(&list.tracks) {
        put_track(&mut payload, served.track);
        let choice = chosen.iter().find(|slot| slot.position == position).map(|slot| slot.choice);
        let explored = if served.explored { EXPLORED } else { 0 };
        payload.push(explored | if choice.is_some() { HAS_CHOICE } else { 0 });
        if let Some(SlotChoice { source, genre_cluster, propensity, draw, open }) = choice {
            payload.push(source);
            payload.extend_from_slice(&genre_cluster.to_le_bytes());
            payload.extend_from_slice(&propensity.to_le_bytes());
            payload.extend_from_slice(&draw.to_le_bytes());
            payload.extend_from_slice(&open.to_le_bytes());
        }
    }
    value::seal(&payload)
}

pub(super) fn decode_served(stored: &[u8]) -> Decoded<ServedRow> {
    let mut reader = Reader(value::open(stored)?);
    let surface = Surface::new(reader.text()?).map_err(|_| "surface is not an id")?;
    let impression = reader.text()?.to_owned();
    let mut tracks = Vec::with_capacity(reader.0.len() / TRACK_BYTES);
    let mut choices = Vec::new();
    let mut origin = None;
    while !reader.0.is_empty() {
        let track = read_track(&mut reader)?;
        let flags = reader.u8()?;
        if flags & IS_ORIGIN != 0 {
            origin = Some(read_origin(&mut reader)?);
            continue;
        }
        if flags & HAS_CHOICE != 0 {
            let (source, genre_cluster) = (reader.u8()?, reader.u16()?);
            let (propensity, draw, open) = (f32::from_bits(reader.u32()?), reader.u16()?, reader.u16()?);
            let choice = SlotChoice { source, genre_cluster, propensity, draw, open };
            choices.push((u32::try_from(tracks.len()).unwrap_or(u32::MAX), choice));
        }
        tracks.push(ServedTrack { track, explored: flags & EXPLORED != 0 });
    }
    Ok(ServedRow { list: ServedList { surface, impression, tracks }, choices, origin })
}

fn put_track(payload: &mut Vec<u8>, track: TrackRef) {
    payload.extend_from_slice(&track.shard.0.to_le_bytes());
    payload.extend_from_slice(&track.ordinal.0.to_le_bytes());
}

fn read_track(reader: &mut Reader<'_>) -> Decoded<TrackRef> {
    Ok(TrackRef { shard: ShardId(reader.u16()?), ordinal: TrackOrdinal(reader.u32()?) })
}

fn put_origin(payload: &mut Vec<u8>, origin: &ListOrigin) {
    let ListOrigin { recipe, experiment, generation, seed, candidates_hash, as_of, positions } = origin;
    let has = |present: bool, flag: u8| if present { flag } else { 0 };
    payload.push(has(generation.is_some(), HAS_GENERATION) | has(experiment.is_some(), HAS_EXPERIMENT));
    payload.extend_from_slice(&seed.to_le_bytes());
    payload.extend_from_slice(&candidates_hash.to_le_bytes());
    payload.extend_from_slice(&as_of.0.to_le_bytes());
    put_text(payload, recipe);
    if let Some(generation) = generation {
        payload.extend_from_slice(&generation.0.to_le_bytes());
    }
    if let Some((experiment, arm)) = experiment {
        put_text(payload, experiment);
        put_text(payload, arm);
    }
    // As many as there are tracks; a list is far shorter than this.
    payload.extend_from_slice(&u16::try_from(positions.len()).unwrap_or(u16::MAX).to_le_bytes());
    positions.iter().for_each(|position| payload.extend_from_slice(&position.to_le_bytes()));
}

fn read_origin(reader: &mut Reader<'_>) -> Decoded<ListOrigin> {
    let flags = reader.u8()?;
    let (seed, candidates_hash) = (reader.u64()?, reader.u64()?);
    let as_of = Timestamp(i64::from_le_bytes(reader.array()?));
    let recipe = reader.text()?.to_owned();
    let generation = if flags & HAS_GENERATION != 0 { Some(GenerationId(reader.u32()?)) } else { None };
    let experiment = if flags & HAS_EXPERIMENT != 0 {
        Some((reader.text()?.to_owned(), reader.text()?.to_owned()))
    } else {
        None
    };
    let count = reader.u16()?;
    let positions = (0..count).map(|_| reader.u32()).collect::<Decoded<_>>()?;
    Ok(ListOrigin { recipe, experiment, generation, seed, candidates_hash, as_of, positions })
}
