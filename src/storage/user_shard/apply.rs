//! The one function that turns a log entry into state: deterministic, all or nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::ControlFlow,
    sync::Arc,
};

use super::{
    command::{
        EventTrack, LoadState, LoadStep, PlayBatch, PlayRow, ResolvedEvent, ShownSlot, UserCommand, UserOp,
        UserReply,
    },
    decisions::{edit_record, is_decision},
    engine::{Engine, WriteSet},
    error::Result,
    garbage::Garbage,
    history::{HistoryRow, action_code, split_time},
    keys,
    rows::{GenerationRow, PendingEvent, ShardRow, decode_count, decode_load, encode_count, encode_load},
    split::SplitState,
    trends::is_kept,
    validate,
    value::{self, damaged},
    work::UserWork,
};
use crate::types::{Action, PlayAction, SplitMix64, Timestamp, TrackId, TrackRef, User, UserId, key_of};

/// What readers must forget once the entry is visible.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub users: Vec<UserId>,
    /// Day and region number of changed play counts.
    pub days: BTreeSet<(i32, u16)>,
    /// New statistics.
    pub statistics: Option<Arc<[u8]>>,
}

/// The outcome of an entry, not yet visible.
pub(super) struct Applied {
    pub writes: WriteSet,
    pub row: ShardRow,
    pub split: Arc<SplitState>,
    pub reply: UserReply,
    pub touched: Touched,
}

/// One entry while it is applied.
pub(super) struct Entry<'a> {
    pub engine: &'a Engine,
    pub writes: WriteSet,
    pub row: ShardRow,
    pub split: Arc<SplitState>,
    pub touched: Touched,
    works: HashMap<UserId, UserWork>,
    /// New counted plays by (day, region, track) and by track.
    day_plays: BTreeMap<(i32, u16, TrackRef), u64>,
    total_plays: BTreeMap<TrackRef, u64>,
}

/// Applies one entry on top of `row` and `split`, the state after the entry before it.
pub(super) fn apply(
    engine: &Engine,
    garbage: &mut Garbage,
    (row, split): (ShardRow, Arc<SplitState>),
    command: UserCommand,
) -> Result<Applied> {
    let mut entry = Entry {
        engine,
        writes: WriteSet::default(),
        row,
        split,
        touched: Touched::default(),
        works: HashMap::new(),
        day_plays: BTreeMap::new(),
        total_plays: BTreeMap::new(),
    };
    let reply = match entry.check(&command)? {
        Some(reply) => reply,
        None => {
            let reply = entry.run(command.op, garbage)?;
            if let (Some(step), false) = (&command.load, matches!(reply, UserReply::Refused(_))) {
                entry.write_load(step);
            }
            reply
        }
    };
    entry.finish_users()?;
    entry.finish_counts()?;
    entry.note_changes();
    garbage.collect(engine, entry.row.newest_day, &mut entry.writes)?;
    entry.writes.put(keys::SHARD.to_vec(), entry.row.encode());
    let Entry { writes, row, split, touched, .. } = entry;
    Ok(Applied { writes, row, split, reply, touched })
}

/// Where a load stands.
pub(super) fn load_state(engine: &Engine, load_id: &str) -> Result<Option<LoadState>> {
    let key = keys::load(load_id);
    let stored = engine.get(&key)?;
    stored.map(|value| decode_load(&value).map_err(|what| damaged(&key, what))).transpose()
}

impl Entry<'_> {
    /// A reply that ends the entry before anything is done: a mistake, or rows loaded before.
    fn check(&self, command: &UserCommand) -> Result<Option<UserReply>> {
        if let Some(reason) = validate::command(command) {
            return Ok(Some(UserReply::Refused(reason)));
        }
        if let Some(shard) = self.split.refuses(command) {
            return Ok(Some(UserReply::Moved { shard }));
        }
        let Some(step) = &command.load else { return Ok(None) };
        let state = load_state(self.engine, &step.load_id)?.unwrap_or_default();
        let is_end = step.finished && !state.finished && step.rows_done >= state.rows_done;
        let is_done = state.finished || (step.rows_done <= state.rows_done && !is_end);
        let overlaps = step.first_row < state.rows_done;
        Ok((is_done || overlaps).then_some(UserReply::AlreadyLoaded(state)))
    }

    fn write_load(&mut self, step: &LoadStep) {
        let state = LoadState { rows_done: step.rows_done, finished: step.finished };
        self.writes.put(keys::load(&step.load_id), encode_load(state));
    }

    fn run(&mut self, op: UserOp, garbage: &mut Garbage) -> Result<UserReply> {
        match op {
            UserOp::Nothing => Ok(UserReply::Done(0)),
            UserOp::UpsertUsers(users) => self.upsert_users(users),
            UserOp::DeleteUsers(users) => self.delete_users(users),
            UserOp::Record(events) => self.record_all(&events, &[], None),
            UserOp::RecordShown(events, slots) => self.record_all(&events, &slots, None),
            UserOp::RecordByTime(timed) => self.record_all(&timed.events, &timed.slots, Some(timed.received)),
            UserOp::PutStatistics(bytes) => {
                self.writes.put(keys::STATISTICS.to_vec(), value::seal(&bytes));
                self.touched.statistics = Some(bytes.into());
                Ok(UserReply::Done(1))
            }
            UserOp::RecordPlays(batch) => self.record_plays(&batch),
            UserOp::UpsertVectors { space, generation, rows } => {
                self.upsert_vectors(&space, generation, &rows)
            }
            UserOp::DeleteVectors { space, generation, users } => {
                self.delete_vectors(&space, generation, &users)
            }
            UserOp::DropGeneration { space, generation } => self.drop_generation(&space, generation, garbage),
            UserOp::ResolveTracks(tracks) => self.resolve_tracks(&tracks),
            UserOp::Split(step) => self.run_split(*step, garbage),
        }
    }

    fn work(&mut self, user: &UserId) -> Result<&mut UserWork> {
        if !self.works.contains_key(user) {
            self.works.insert(user.clone(), UserWork::load(self.engine, user)?);
        }
        Ok(self.works.get_mut(user).expect("just inserted"))
    }

    fn upsert_users(&mut self, users: Vec<User>) -> Result<UserReply> {
        for user in users {
            let work = self.work(&user.user_id)?;
            work.record.replace(user);
            work.record_changed = true;
        }
        let new = self.works.values().filter(|work| work.is_new).count();
        Ok(UserReply::Done(new as u64))
    }

    fn delete_users(&mut self, users: Vec<UserId>) -> Result<UserReply> {
        let mut removed = 0;
        let mut generations = self.generations()?;
        let distinct: BTreeSet<UserId> = users.into_iter().collect();
        for user in distinct {
            let prefix = keys::user(&user);
            let mut rows = Vec::new();
            self.engine.snapshot().scan(&prefix, &keys::user_end(&prefix), |key, _| {
                rows.push(key.to_vec());
                Ok(ControlFlow::Continue(()))
            })?;
            for key in rows {
                if key[prefix.len()] == keys::PENDING
                    && let Some(track) = keys::pending_track(&prefix, &key)
                {
                    self.writes.delete(keys::waiting(track, &prefix));
                }
                removed += u64::from(key[prefix.len()] == keys::RECORD);
                self.writes.delete(key);
            }
            for (space, generation, row) in &mut generations {
                let key = keys::vector(space, *generation, &prefix);
                if !row.dropped && self.engine.get(&key)?.is_some() {
                    self.writes.delete(key);
                    row.rows -= 1;
                }
            }
            self.touched.users.push(user);
        }
        for (space, generation, row) in generations {
            self.writes.put(keys::generation(&space, generation), row.encode());
        }
        self.row.users -= removed;
        Ok(UserReply::Done(removed))
    }

    /// Records events. Decisions count by their time if it is known when they were received, else by their order.
    fn record_all(
        &mut self,
        events: &[ResolvedEvent],
        slots: &[ShownSlot],
        received: Option<Timestamp>,
    ) -> Result<UserReply> {
        let mut of: HashMap<u32, Vec<ShownSlot>> = HashMap::new();
        slots.iter().for_each(|slot| of.entry(slot.event).or_default().push(*slot));
        let chosen = |at: u32| of.get(&at).map_or(&[][..], Vec::as_slice);
        let outcomes = (0..).zip(events).map(|(at, event)| self.record(event, chosen(at), received));
        Ok(UserReply::Recorded(outcomes.collect::<Result<_>>()?))
    }

    /// Records one event; whether it was new.
    fn record(
        &mut self,
        event: &ResolvedEvent,
        chosen: &[ShownSlot],
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
            work.add_served(event.at, key, list, chosen);
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

    fn record_plays(&mut self, batch: &PlayBatch) -> Result<UserReply> {
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

    fn resolve_tracks(&mut self, tracks: &[(TrackId, TrackRef)]) -> Result<UserReply> {
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

    fn finish_users(&mut self) -> Result<()> {
        for (user, work) in std::mem::take(&mut self.works) {
            self.row.users += u64::from(work.is_new);
            work.finish(self.engine, &mut self.writes)?;
            self.touched.users.push(user);
        }
        Ok(())
    }

    fn finish_counts(&mut self) -> Result<()> {
        let newest = self.row.newest_day;
        for ((day, region, track), more) in std::mem::take(&mut self.day_plays) {
            if newest.is_some_and(|newest| !is_kept(day, newest)) {
                continue;
            }
            self.add_count(keys::day_plays(day, region, track), more)?;
            self.touched.days.insert((day, region));
        }
        for (track, more) in std::mem::take(&mut self.total_plays) {
            self.add_count(keys::total_plays(track), more)?;
        }
        Ok(())
    }

    fn add_count(&mut self, key: Vec<u8>, more: u64) -> Result<()> {
        let stored = self.engine.get(&key)?;
        let count = stored.map_or(Ok(0), |value| decode_count(&value)).map_err(|what| damaged(&key, what))?;
        self.writes.put(key, encode_count(count.saturating_add(more)));
        Ok(())
    }

    /// All generations of all spaces there are vectors of, dropped ones too.
    pub(super) fn generations(&self) -> Result<Vec<(crate::types::SpaceName, u32, GenerationRow)>> {
        super::vectors::generations(&self.engine.snapshot())
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
