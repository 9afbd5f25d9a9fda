//! The one function that turns a log entry into state: deterministic, all or nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::ControlFlow,
    sync::Arc,
};

use super::{
    command::{LoadState, LoadStep, TimedEvents, UserCommand, UserOp, UserReply},
    engine::{Engine, WriteSet},
    error::Result,
    garbage::Garbage,
    keys,
    rows::{GenerationRow, ShardRow, decode_count, decode_load, encode_count, encode_load},
    split::SplitState,
    trends::is_kept,
    validate,
    value::{self, damaged},
    work::UserWork,
};
use crate::types::{TrackRef, User, UserId};

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
    pub works: HashMap<UserId, UserWork>,
    /// New counted plays by (day, region, track) and by track.
    pub day_plays: BTreeMap<(i32, u16, TrackRef), u64>,
    pub total_plays: BTreeMap<TrackRef, u64>,
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
            UserOp::Record(events) => self.record_all(&events, &[], &[], None),
            UserOp::RecordShown(events, slots) => self.record_all(&events, &slots, &[], None),
            UserOp::RecordByTime(timed) => {
                self.record_all(&timed.events, &timed.slots, &[], Some(timed.received))
            }
            UserOp::RecordLists(listed) => {
                let TimedEvents { received, events, slots } = &listed.timed;
                self.record_all(events, slots, &listed.origins, Some(*received))
            }
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

    pub(super) fn work(&mut self, user: &UserId) -> Result<&mut UserWork> {
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
