//! Writes and reads of users, their vectors and what they do.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::catalog::user_error;
use super::engine::Inner;
use super::track_book::TrackBook;
use super::users::{commands, unexpected};
use crate::error::{Error, Result};
use crate::pipeline::impression::{Impression, ImpressionSlot};
use crate::pipeline::request::WriteToken;
use crate::pipeline::signals::DURATION_UNKNOWN_MS;
use crate::storage::user_shard::{
    EventOrigin, EventTrack, ListOrigin, NewEvents, ResolvedEvent, ServedList, ServedTrack, ShownSlot,
    SlotChoice, UserCommand, UserOp, UserReply, event_key,
};
use crate::types::{
    Action, FeedbackEvent, GenerationId, Part, SpaceName, Surface, Timestamp, TrackId, User, UserId,
    VectorRow, slot_of,
};

/// What the token of a served list says of it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct KnownList {
    /// How slots were chosen, by place in the list that is kept.
    choices: Vec<(u32, SlotChoice)>,
    /// What it was made by.
    origin: Option<ListOrigin>,
}

impl Inner {
    pub(super) fn upsert_users(&self, users: Vec<User>) -> Result<WriteToken> {
        for (row, user) in users.iter().enumerate() {
            user.validate().map_err(|error| Error::InvalidRow { row, source: Box::new(error) })?;
        }
        let parts = self.users.split(users, |user| &user.user_id);
        Ok(self.users.propose_counted(commands(parts, UserOp::UpsertUsers))?.1)
    }

    pub(super) fn delete_users(&self, ids: &[UserId]) -> Result<(u64, WriteToken)> {
        let parts = self.users.split(ids.to_vec(), |id| id);
        self.users.propose_counted(commands(parts, UserOp::DeleteUsers))
    }

    pub(super) fn user(&self, id: &UserId) -> Result<User> {
        self.users.shards.user(id).map_err(user_error)?.ok_or_else(|| Error::not_found("user", id))
    }

    pub(super) fn list_users(
        &self,
        cursor: Option<UserId>,
        limit: usize,
    ) -> Result<(Vec<User>, Option<UserId>)> {
        self.users.shards.list_users(cursor.as_ref(), limit).map_err(user_error)
    }

    /// [`Inner::list_users`] of one part.
    pub(super) fn list_users_in(
        &self,
        part: Part,
        cursor: Option<UserId>,
        limit: usize,
    ) -> Result<(Vec<User>, Option<UserId>)> {
        let is_in = |user: &UserId| part.contains(slot_of(user.as_str()));
        let shards = &self.users.shards;
        let page = match cursor {
            Some(cursor) if !is_in(&cursor) => {
                let reason = format!("is not a listener of the part. user_id=`{cursor}`, part=`{part}`");
                return Err(Error::invalid("after_user_id", reason));
            }
            Some(cursor) => shards.list_users_before(Some(&cursor), part.end(), limit),
            None => shards.list_users_between(part.first(), part.end(), limit),
        };
        let (mut users, mut next) = page.map_err(user_error)?;
        if let Some(end) = users.iter().position(|user| !is_in(&user.user_id)) {
            users.truncate(end);
            next = None;
        }
        Ok((users, next))
    }

    pub(super) fn upsert_user_vectors(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        rows: Vec<VectorRow>,
    ) -> Result<WriteToken> {
        let parts = self.users.split(user_rows(rows)?, |(user, _)| user);
        let op = |rows| UserOp::UpsertVectors { space: space.clone(), generation, rows };
        Ok(self.users.propose_counted(commands(parts, op))?.1)
    }

    pub(super) fn delete_user_vectors(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        users: Vec<UserId>,
    ) -> Result<(u64, WriteToken)> {
        let parts = self.users.split(users, |user| user);
        let op = |users| UserOp::DeleteVectors { space: space.clone(), generation, users };
        self.users.propose_counted(commands(parts, op))
    }

    pub(super) fn feedback(&self, events: Vec<FeedbackEvent>) -> Result<(Vec<bool>, WriteToken)> {
        let mut new = NewEvents { events: Vec::with_capacity(events.len()), ..NewEvents::default() };
        let known = self.known_elsewhere(&events)?;
        let owners = self.tracks.owners()?;
        let tracks =
            self.look_tracks_up(&owners, events.iter().filter_map(|event| event.track_id.as_ref()))?;
        for (row, event) in events.into_iter().enumerate() {
            let event = event.validate().and_then(|()| self.resolve_event(event, &known, &tracks));
            let (event, list) = event.map_err(|error| Error::InvalidRow { row, source: Box::new(error) })?;
            add_event(&mut new, event, list);
        }
        self.record_events(new)
    }

    /// Records looked-up events. A track that came between the look-up and now is looked up once more: whoever brought it
    /// found nothing waiting.
    pub(super) fn record_events(&self, new: NewEvents) -> Result<(Vec<bool>, WriteToken)> {
        if new.events.is_empty() {
            return Ok((Vec::new(), WriteToken::default()));
        }
        let unknown = new.events.iter().filter_map(|event| match &event.track {
            Some(EventTrack::Unknown(id)) => Some(id.clone()),
            _ => None,
        });
        let unknown: Vec<TrackId> = unknown.collect();
        let shards: Vec<usize> =
            new.events.iter().map(|event| self.users.shards.place_of(&event.user)).collect();
        let readers = (self.known_entries(), Timestamp::now());
        let commands = divided(new, readers, &shards, self.users.groups.len());
        let asked: Vec<usize> = commands.iter().map(|(shard, _)| *shard).collect();
        // Some shards may have theirs.
        let proposed = self.users.propose(commands).inspect_err(|_| self.resolve_later());
        let (replies, mut token) = proposed?;
        let mut new_of: BTreeMap<usize, std::vec::IntoIter<bool>> = BTreeMap::new();
        for (shard, reply) in asked.into_iter().zip(replies) {
            let UserReply::Recorded(new) = reply else { return Err(unexpected(&reply)) };
            new_of.insert(shard, new.into_iter());
        }
        let new: Option<Vec<bool>> = shards.iter().map(|shard| new_of.get_mut(shard)?.next()).collect();
        let new = new.ok_or_else(|| Error::Internal("a user shard left events unanswered".to_owned()))?;
        token.applied.extend(self.resolve_waiting(&unknown)?.applied);
        Ok((new, token))
    }

    /// Which of the events' listeners there are in shards on other nodes, each of which is asked once.
    fn known_elsewhere(&self, events: &[FeedbackEvent]) -> Result<HashSet<UserId>> {
        let shards = &self.users.shards;
        let users = events.iter().map(|event| &event.user_id).filter(|user| !shards.is_here(user));
        let users: Vec<UserId> = users.collect::<BTreeSet<_>>().into_iter().cloned().collect();
        let known = shards.known(&users).map_err(user_error)?;
        Ok(users.into_iter().zip(known).filter(|(_, known)| *known).map(|(user, _)| user).collect())
    }

    /// Looks the track of an event up, once, at write time; of a served list, what its token says, too.
    /// `known` are listeners of whom it is known that there are such.
    pub(super) fn resolve_event(
        &self,
        event: FeedbackEvent,
        known: &HashSet<UserId>,
        tracks: &TrackBook<'_>,
    ) -> Result<(ResolvedEvent, KnownList)> {
        if !known.contains(&event.user_id)
            && self.users.shards.user(&event.user_id).map_err(user_error)?.is_none()
        {
            return Err(Error::not_found("user", &event.user_id));
        }
        let at = event.at.unwrap_or_else(Timestamp::now);
        let mut resolved = ResolvedEvent::new(event.user_id, event.action, at);
        if let Some(id) = event.track_id {
            let (track, duration_ms) = tracks.event_track(&id);
            resolved.listened_ms = event.listened_ms.unwrap_or(match event.action {
                Action::Play | Action::Repeat => duration_ms.unwrap_or(DURATION_UNKNOWN_MS),
                _ => 0,
            });
            resolved.completed = completed(resolved.listened_ms, duration_ms);
            resolved.track = Some(track);
            resolved.track_id = Some(id);
        }
        resolved.artist = event.artist_id;
        resolved.event_key = event.event_id.as_ref().map(event_key);
        resolved.query = event.query;
        let mut known = KnownList::default();
        if let Some(token) = &event.impression {
            let (list, of_list) = self.served_list(token, event.positions)?;
            resolved.served = Some(list);
            known = of_list;
        }
        Ok((resolved, known))
    }

    /// The list an impression token stands for; only the given positions of it, all when none are given. And what the
    /// token says of it.
    fn served_list(&self, token: &str, positions: Vec<u32>) -> Result<(ServedList, KnownList)> {
        let impression = Impression::decode(token, &self.impression_key()?)?;
        let all = impression.slots;
        let shown: Vec<ImpressionSlot> = if positions.is_empty() {
            all
        } else {
            let shown = positions.iter().map(|&position| {
                all.get(position as usize).copied().ok_or_else(|| {
                    Error::invalid(
                        "positions",
                        format!("beyond the list. position=`{position}`, length=`{}`", all.len()),
                    )
                })
            });
            shown.collect::<Result<_>>()?
        };
        let tracks = shown
            .iter()
            .map(|slot| ServedTrack { track: slot.track, explored: slot.exploration.is_some() })
            .collect();
        let choices = (0..).zip(&shown).filter_map(|(place, slot)| Some((place, choice_of(slot)?))).collect();
        let surface = Surface::new(impression.surface)?;
        let origin = ListOrigin {
            recipe: impression.recipe,
            experiment: impression.experiment.map(|it| (it.experiment, it.arm)),
            generation: impression.generation,
            seed: impression.seed,
            candidates_hash: impression.candidates_hash,
            as_of: impression.as_of,
            positions,
        };
        let list = ServedList { surface, impression: impression.request_id, tracks };
        Ok((list, KnownList { choices, origin: Some(origin) }))
    }
}

/// Adds an event, and what is known of its list.
fn add_event(new: &mut NewEvents, event: ResolvedEvent, list: KnownList) {
    let at = u32::try_from(new.events.len()).unwrap_or(u32::MAX);
    new.events.push(event);
    new.slots.extend(list.choices.into_iter().map(|(position, choice)| ShownSlot {
        event: at,
        position,
        choice,
    }));
    new.origins.extend(list.origin.map(|origin| EventOrigin { event: at, origin }));
}

/// Events as one command to each shard that any belongs to: `shards` says which does. What is known of their lists goes with
/// them.
fn divided(
    new: NewEvents,
    readers: (u16, Timestamp),
    shards: &[usize],
    count: usize,
) -> Vec<(usize, UserCommand)> {
    let mut parts: Vec<NewEvents> = (0..count).map(|_| NewEvents::default()).collect();
    let mut places = Vec::with_capacity(new.events.len());
    for (event, &shard) in new.events.into_iter().zip(shards) {
        places.push(u32::try_from(parts[shard].events.len()).unwrap_or(u32::MAX));
        parts[shard].events.push(event);
    }
    for slot in new.slots {
        let at = slot.event as usize;
        parts[shards[at]].slots.push(ShownSlot { event: places[at], ..slot });
    }
    for EventOrigin { event, origin } in new.origins {
        let at = event as usize;
        parts[shards[at]].origins.push(EventOrigin { event: places[at], origin });
    }
    let asked = parts.into_iter().enumerate().filter(|(_, part)| !part.events.is_empty());
    asked.map(|(shard, part)| (shard, UserOp::record(part, readers).into())).collect()
}

/// How a slot was chosen; one that explored nothing was certain.
fn choice_of(slot: &ImpressionSlot) -> Option<SlotChoice> {
    let source = slot.source?.code();
    let Some(explored) = slot.exploration else {
        return Some(SlotChoice { source, genre_cluster: 0, propensity: 1.0, draw: 0, open: 0 });
    };
    // Never 0, however small: a weight is divided by it.
    let propensity = (explored.propensity as f32).max(f32::MIN_POSITIVE);
    Some(SlotChoice {
        source,
        genre_cluster: explored.genre_cluster,
        propensity,
        draw: explored.draw,
        open: explored.open,
    })
}

/// Whether at least 80 % of a track was heard; of an unknown length, three minutes count as the whole.
pub(super) fn completed(listened_ms: u32, duration_ms: Option<u32>) -> bool {
    u64::from(listened_ms) * 5 >= u64::from(duration_ms.unwrap_or(DURATION_UNKNOWN_MS)) * 4
}

/// Rows with checked user ids.
pub(super) fn user_rows(rows: Vec<VectorRow>) -> Result<Vec<(UserId, Vec<f32>)>> {
    let rows = rows.into_iter().enumerate().map(|(row, VectorRow { id, vector })| match UserId::new(id) {
        Ok(id) => Ok((id, vector)),
        Err(error) => Err(Error::InvalidRow { row, source: Box::new(error.into()) }),
    });
    rows.collect()
}
