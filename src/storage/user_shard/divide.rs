//! A command that was made for one shard, divided among several: after a split its rows belong to more than one.

use std::collections::{BTreeMap, BTreeSet};

use super::command::{
    EventOrigin, ListedEvents, LoadState, PlayBatch, PlayRow, ResolvedEvent, ShownSlot, TimedEvents,
    UserCommand, UserOp, UserReply,
};
use crate::types::{TrackId, UserId};

impl UserCommand {
    /// One command to each shard that has rows of this one, by shard: `place_of` says which a listener is in. What is about all
    /// listeners of a shard (a load's step, the end of a generation) goes to each of `all`, too.
    #[must_use]
    pub fn divided(&self, place_of: &dyn Fn(&UserId) -> usize, all: &[usize]) -> Vec<(usize, Self)> {
        let with_rows: BTreeSet<usize> = self.op.users().map(place_of).collect();
        let is_about_all = self.load.is_some() || matches!(self.op, UserOp::DropGeneration { .. });
        let mut places = with_rows.clone();
        if is_about_all {
            places.extend(all);
        }
        let command = |place: usize| {
            let is_here = |user: &UserId| place_of(user) == place;
            let has_rows = with_rows.contains(&place) || with_rows.is_empty();
            let op = if has_rows { self.op.only(&is_here) } else { UserOp::Nothing };
            (place, Self { load: self.load.clone(), op })
        };
        places.into_iter().map(command).collect()
    }

    /// The one reply to a command that was [`UserCommand::divided`], of the replies to its parts by shard; `None` when they do
    /// not belong to it.
    #[must_use]
    pub fn joined(
        &self,
        place_of: &dyn Fn(&UserId) -> usize,
        replies: BTreeMap<usize, UserReply>,
    ) -> Option<UserReply> {
        let mut loaded: Option<LoadState> = None;
        let mut recorded: BTreeMap<usize, std::vec::IntoIter<bool>> = BTreeMap::new();
        let mut sum = 0;
        for (place, reply) in replies {
            match reply {
                UserReply::Done(count) => sum += count,
                UserReply::Recorded(new) => drop(recorded.insert(place, new.into_iter())),
                // What all have of the load.
                UserReply::AlreadyLoaded(state) => {
                    let least = loaded.filter(|known| known.rows_done <= state.rows_done);
                    loaded = Some(least.unwrap_or(state));
                }
                UserReply::Refused(_) | UserReply::Moved { .. } => return None,
            }
        }
        let mut outcomes = |events: &[ResolvedEvent]| {
            let new = events.iter().map(|event| recorded.get_mut(&place_of(&event.user))?.next());
            new.collect::<Option<_>>().map(UserReply::Recorded)
        };
        match (&self.op, loaded) {
            (_, Some(state)) => Some(UserReply::AlreadyLoaded(state)),
            (UserOp::Record(events) | UserOp::RecordShown(events, _), None) => outcomes(events),
            (UserOp::RecordByTime(timed), None) => outcomes(&timed.events),
            (UserOp::RecordLists(listed), None) => outcomes(&listed.timed.events),
            _ => Some(UserReply::Done(sum)),
        }
    }
}

impl UserOp {
    /// The same about some of its listeners. What names no listeners stays as it is.
    fn only(&self, is_kept: &dyn Fn(&UserId) -> bool) -> Self {
        match self {
            Self::UpsertUsers(users) => {
                Self::UpsertUsers(users.iter().filter(|user| is_kept(&user.user_id)).cloned().collect())
            }
            Self::DeleteUsers(users) => {
                Self::DeleteUsers(users.iter().filter(|user| is_kept(user)).cloned().collect())
            }
            Self::Record(events) => {
                Self::Record(events.iter().filter(|event| is_kept(&event.user)).cloned().collect())
            }
            Self::RecordShown(events, slots) => {
                let (events, slots, _) = only_events(events, slots, is_kept);
                Self::RecordShown(events, slots)
            }
            Self::RecordByTime(timed) => Self::RecordByTime(Box::new(timed.only(is_kept).0)),
            Self::RecordLists(listed) => {
                let (timed, places) = listed.timed.only(is_kept);
                let moved = |it: &EventOrigin| {
                    Some(EventOrigin { event: *places.get(&it.event)?, origin: it.origin.clone() })
                };
                let origins = listed.origins.iter().filter_map(moved).collect();
                Self::RecordLists(Box::new(ListedEvents { timed, origins }))
            }
            Self::RecordPlays(batch) => Self::RecordPlays(batch.only(is_kept)),
            Self::UpsertVectors { space, generation, rows } => {
                let rows = rows.iter().filter(|(user, _)| is_kept(user)).cloned().collect();
                Self::UpsertVectors { space: space.clone(), generation: *generation, rows }
            }
            Self::DeleteVectors { space, generation, users } => {
                let users = users.iter().filter(|user| is_kept(user)).cloned().collect();
                Self::DeleteVectors { space: space.clone(), generation: *generation, users }
            }
            other => other.clone(),
        }
    }
}

impl TimedEvents {
    /// Some of the events; and the new place of each, by its place before.
    fn only(&self, is_kept: &dyn Fn(&UserId) -> bool) -> (Self, BTreeMap<u32, u32>) {
        let (events, slots, places) = only_events(&self.events, &self.slots, is_kept);
        (Self { received: self.received, events, slots }, places)
    }
}

/// Some of the events, with the slots of theirs; and the new place of each, by its place before.
fn only_events(
    events: &[ResolvedEvent],
    slots: &[ShownSlot],
    is_kept: &dyn Fn(&UserId) -> bool,
) -> (Vec<ResolvedEvent>, Vec<ShownSlot>, BTreeMap<u32, u32>) {
    let mut places = BTreeMap::new();
    let mut kept = Vec::new();
    for (at, event) in (0..).zip(events).filter(|(_, event)| is_kept(&event.user)) {
        places.insert(at, u32::try_from(kept.len()).unwrap_or(u32::MAX));
        kept.push(event.clone());
    }
    let moved = |slot: &ShownSlot| Some(ShownSlot { event: *places.get(&slot.event)?, ..*slot });
    let slots = slots.iter().filter_map(moved).collect();
    (kept, slots, places)
}

impl PlayBatch {
    fn only(&self, is_kept: &dyn Fn(&UserId) -> bool) -> Self {
        let mut batch = Self::default();
        let mut places: BTreeMap<u32, u32> = BTreeMap::new();
        for (at, user) in (0..).zip(&self.users).filter(|(_, user)| is_kept(user)) {
            places.insert(at, u32::try_from(batch.users.len()).unwrap_or(u32::MAX));
            batch.users.push(user.clone());
        }
        let moved = |play: &PlayRow| Some(PlayRow { user: *places.get(&play.user)?, ..*play });
        batch.plays = self.plays.iter().filter_map(moved).collect();
        let unknown = |(track, play): &(TrackId, PlayRow)| Some((track.clone(), moved(play)?));
        batch.unknown = self.unknown.iter().filter_map(unknown).collect();
        batch
    }
}
