//! Events while an entry is applied: into histories and what is read beside them, or waiting for their tracks.

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
};

use super::{
    apply::Entry,
    command::{EventOrigin, EventTrack, ListOrigin, PlayBatch, PlayRow, ResolvedEvent, ShownSlot, UserReply},
    decisions::{edit_record, is_decision},
    error::Result,
    history::{HistoryRow, action_code, split_time},
    keys,
    rows::PendingEvent,
    trends::is_kept,
    value::damaged,
    work::KnownOfList,
};
use crate::types::{Action, PlayAction, SplitMix64, Timestamp, TrackId, TrackRef, UserId, key_of};

impl Entry<'_> {
    /// Records events. Decisions count by their time if it is known when they were received, else by their order.
    pub(super) fn record_all(
        &mut self,
        events: &[ResolvedEvent],
        slots: &[ShownSlot],
        origins: &[EventOrigin],
        received: Option<Timestamp>,
    ) -> Result<UserReply> {
        let mut of: HashMap<u32, Vec<ShownSlot>> = HashMap::new();
        slots.iter().for_each(|slot| of.entry(slot.event).or_default().push(*slot));
        let made_by: HashMap<u32, &ListOrigin> = origins.iter().map(|it| (it.event, &it.origin)).collect();
        let known = |at: u32| KnownOfList {
            chosen: of.get(&at).map_or(&[][..], Vec::as_slice),
            origin: made_by.get(&at).copied(),
        };
        let outcomes = (0..).zip(events).map(|(at, event)| self.record(event, known(at), received));
        Ok(UserReply::Recorded(outcomes.collect::<Result<_>>()?))
    }

    /// Records one event; whether it was new.
    fn record(
        &mut self,
        event: &ResolvedEvent,
        known: KnownOfList<'_>,
        received: Option<Timestamp>,
    ) -> Result<bool> {
        let (key, by_id) = match event.event_key {
            Some(key) => ((key & u128::from(u64::MAX)) as u64, true),
            None => (content_key(event), false),
        };
        if let (Some(EventTrack::Unknown(track)), true) = (&event.track, waits_for_track(event.action)) {
            let (listened_ms, completed) = (event.listened_ms, event.completed);
            let pending = PendingEvent { action: event.action, listened_ms, completed, by_id };
            return self.add_pending(&event.user, track, event.at, key, pending);
        }
        let track = match &event.track {
            Some(EventTrack::Resolved(track)) => Some(*track),
            Some(EventTrack::Unknown(_)) | None => None,
        };
        let row = HistoryRow {
            time_ms: split_time(event.at).1,
            key,
            by_id,
            action: event.action,
            track,
            listened_ms: event.listened_ms,
            completed: event.completed,
        };
        if !self.insert(&event.user, event.at, row)? {
            return Ok(false);
        }
        let engine = self.engine;
        let work = self.work(&event.user)?;
        if let (Action::Search, Some(query)) = (event.action, &event.query) {
            work.add_search(event.at, key, query);
        }
        if let (Action::Served, Some(list)) = (event.action, &event.served) {
            work.add_served((event.at, key), list, known);
        }
        let is_superseded = match received.filter(|_| is_decision(event.action)) {
            // A clock that runs ahead must not outdo what is decided until then.
            Some(received) => !work.decide(engine, event, event.at.min(received))?,
            None => false,
        };
        if !is_superseded {
            work.record_changed |= edit_record(&mut work.record, event, track);
        }
        Ok(true)
    }

    pub(super) fn record_plays(&mut self, batch: &PlayBatch) -> Result<UserReply> {
        let mut new = 0;
        for play in &batch.plays {
            let user = &batch.users[play.user as usize];
            let row = history_row(play);
            new += u64::from(self.insert(user, play.at, row)?);
        }
        for (track, play) in &batch.unknown {
            let user = &batch.users[play.user as usize];
            let action = action_of(play.action);
            let (listened_ms, completed) = (play.listened_ms, play.completed);
            let pending = PendingEvent { action, listened_ms, completed, by_id: false };
            new += u64::from(self.add_pending(user, track, play.at, key_of(track.as_str()), pending)?);
        }
        Ok(UserReply::Done(new))
    }

    /// Adds a row to a history and, when it is new and a counted play, to the counts.
    fn insert(&mut self, user: &UserId, at: Timestamp, row: HistoryRow) -> Result<bool> {
        let engine = self.engine;
        let work = self.work(user)?;
        if !work.insert(engine, at, row)? {
            return Ok(false);
        }
        if let (Some(track), true) = (row.track, row.is_counted()) {
            let region = keys::region_number(work.record.user.region);
            self.count(at.day(), region, track);
        }
        Ok(true)
    }

    fn count(&mut self, day: i32, region: u16, track: TrackRef) {
        let newest = self.row.newest_day.map_or(day, |newest| newest.max(day));
        self.row.newest_day = Some(newest);
        *self.total_plays.entry(track).or_default() += 1;
        if is_kept(day, newest) {
            *self.day_plays.entry((day, region, track)).or_default() += 1;
        }
    }

    fn add_pending(
        &mut self,
        user: &UserId,
        track: &TrackId,
        at: Timestamp,
        key: u64,
        event: PendingEvent,
    ) -> Result<bool> {
        // Content keys do not name the action; a pending row has no other place for it.
        let key = if event.by_id { key } else { u64::from(action_code(event.action)) };
        let engine = self.engine;
        self.work(user)?.add_pending(engine, track, at, key, event)
    }

    pub(super) fn resolve_tracks(&mut self, tracks: &[(TrackId, TrackRef)]) -> Result<UserReply> {
        let mut resolved = 0;
        let mut seen = HashSet::new();
        for (id, track) in tracks {
            if seen.insert(id) {
                resolved += self.resolve_track(id, *track)?;
            }
        }
        Ok(UserReply::Done(resolved))
    }

    fn resolve_track(&mut self, id: &TrackId, track: TrackRef) -> Result<u64> {
        let track_prefix = keys::waiting_of_track(id.as_str().as_bytes());
        let mut waiting = Vec::new();
        self.engine.snapshot().scan_prefix(&track_prefix, |key, _| {
            waiting.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        let mut resolved = 0;
        for key in waiting {
            let prefix = keys::waiting_user(&track_prefix, &key);
            let user = prefix.as_deref().and_then(keys::user_id_of);
            let (Some(prefix), Some(user)) = (prefix, user) else {
                return Err(damaged(&key, "key is malformed"));
            };
            if self.split.is_closed(&user) {
                // It goes on waiting in the shard that gets the listener.
                continue;
            }
            resolved += self.resolve_user(&user, &prefix, id, track)?;
            self.writes.delete(key);
        }
        Ok(resolved)
    }

    fn resolve_user(&mut self, user: &UserId, prefix: &[u8], id: &TrackId, track: TrackRef) -> Result<u64> {
        let mut events = Vec::new();
        self.engine.snapshot().scan_prefix(&keys::pending_of_track(prefix, id), |key, value| {
            let event = PendingEvent::decode(value).map_err(|what| damaged(key, what))?;
            let (at, suffix) = keys::timed_suffix(key).ok_or_else(|| damaged(key, "key is malformed"))?;
            events.push((key.to_vec(), at, suffix, event));
            Ok(ControlFlow::Continue(()))
        })?;
        let mut resolved = 0;
        for (key, at, suffix, event) in events {
            let row = HistoryRow {
                time_ms: split_time(at).1,
                key: if event.by_id { suffix } else { track_key(track) },
                by_id: event.by_id,
                action: event.action,
                track: Some(track),
                listened_ms: event.listened_ms,
                completed: event.completed,
            };
            resolved += u64::from(self.insert(user, at, row)?);
            self.work(user)?.remove_pending(key);
        }
        Ok(resolved)
    }
}

/// Actions whose only effect is on a history that names the track.
fn waits_for_track(action: Action) -> bool {
    matches!(action, Action::Play | Action::Skip | Action::Repeat | Action::Save | Action::Unsave)
}

fn action_of(action: PlayAction) -> Action {
    match action {
        PlayAction::Play => Action::Play,
        PlayAction::Skip => Action::Skip,
        PlayAction::Save => Action::Save,
        PlayAction::Repeat => Action::Repeat,
    }
}

fn history_row(play: &PlayRow) -> HistoryRow {
    HistoryRow {
        time_ms: split_time(play.at).1,
        key: track_key(play.track),
        by_id: false,
        action: action_of(play.action),
        track: Some(play.track),
        listened_ms: play.listened_ms,
        completed: play.completed,
    }
}

/// The identity of an event on a known track, beside its user, time and action.
fn track_key(track: TrackRef) -> u64 {
    SplitMix64::new(track.packed()).next_u64()
}

/// The identity of an event without an id of its own, beside its user, time and action.
fn content_key(event: &ResolvedEvent) -> u64 {
    match (&event.track, &event.artist, &event.query, &event.served) {
        (Some(EventTrack::Resolved(track)), ..) => track_key(*track),
        (Some(EventTrack::Unknown(id)), ..) => key_of(id.as_str()),
        (None, Some(artist), ..) => key_of(artist.as_str()),
        (None, None, Some(query), _) => key_of(query),
        (None, None, None, Some(list)) => key_of(&list.impression),
        (None, None, None, None) => event.track_id.as_ref().map_or(0, |id| key_of(id.as_str())),
    }
}
