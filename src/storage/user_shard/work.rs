//! One user while an entry is applied: loaded rows, changed in memory, written back at the end of the entry.

use std::collections::{BTreeMap, HashMap};

use super::{
    command::{ListOrigin, ResolvedEvent, ServedList, ShownSlot},
    decisions::Decisions,
    engine::{Engine, WriteSet},
    error::Result,
    history::{Day, HistoryRow, decode_part, split_time},
    keys,
    rows::{PendingEvent, UserRecord, encode_search},
    served::encode_served,
    value::damaged,
};
use crate::types::{DAY_MS, Timestamp, TrackId, UserId};

/// Served lists are kept this long before the user's newest one.
pub(super) const SERVED_DAYS: i64 = 84;

/// What an entry knows of a served list.
#[derive(Clone, Copy, Default)]
pub(super) struct KnownOfList<'a> {
    /// How slots of it were chosen.
    pub chosen: &'a [ShownSlot],
    /// What it was made by.
    pub origin: Option<&'a ListOrigin>,
}

/// See the module.
pub(super) struct UserWork {
    prefix: Vec<u8>,
    pub record: UserRecord,
    pub is_new: bool,
    pub record_changed: bool,
    days: BTreeMap<i32, Day>,
    served: BTreeMap<(Timestamp, u64), Vec<u8>>,
    searches: BTreeMap<(Timestamp, u64), Vec<u8>>,
    pending: HashMap<Vec<u8>, Option<PendingEvent>>,
    decisions: Decisions,
}

impl UserWork {
    /// Loads the record; an unknown user gets an empty one.
    pub(super) fn load(engine: &Engine, id: &UserId) -> Result<Self> {
        let prefix = keys::user(id);
        let record = load_record(engine, &prefix)?;
        Ok(Self {
            is_new: record.is_none(),
            record_changed: record.is_none(),
            record: record.unwrap_or_else(|| UserRecord::unknown(id.clone())),
            prefix,
            days: BTreeMap::new(),
            served: BTreeMap::new(),
            searches: BTreeMap::new(),
            pending: HashMap::new(),
            decisions: Decisions::default(),
        })
    }

    fn day(&mut self, engine: &Engine, day: i32) -> Result<&mut Day> {
        if !self.days.contains_key(&day) {
            let loaded = load_day(engine, &self.prefix, day)?;
            self.days.insert(day, loaded);
        }
        Ok(self.days.get_mut(&day).expect("just inserted"))
    }

    /// Adds an event to the history; `false` when it is there already. An event known by its id is looked for on
    /// the day before and after as well, since a repetition may have been stamped later than the original.
    pub(super) fn insert(&mut self, engine: &Engine, at: Timestamp, row: HistoryRow) -> Result<bool> {
        let (day, _) = split_time(at);
        if row.by_id {
            for near in [day.saturating_sub(1), day.saturating_add(1)] {
                if near != day && self.day(engine, near)?.contains(&row) {
                    return Ok(false);
                }
            }
        }
        Ok(self.day(engine, day)?.insert(row))
    }

    pub(super) fn add_served(
        &mut self,
        (at, key): (Timestamp, u64),
        list: &ServedList,
        known: KnownOfList<'_>,
    ) {
        self.served.insert((at, key), encode_served(list, known.chosen, known.origin));
    }

    pub(super) fn add_search(&mut self, at: Timestamp, key: u64, query: &str) {
        self.searches.insert((at, key), encode_search(query));
    }

    /// Keeps an event until its track arrives; `false` when it waits already.
    pub(super) fn add_pending(
        &mut self,
        engine: &Engine,
        track: &TrackId,
        at: Timestamp,
        key: u64,
        event: PendingEvent,
    ) -> Result<bool> {
        let row = keys::pending(&self.prefix, track, at, key);
        if self.pending.get(&row).is_some_and(Option::is_some) || engine.get(&row)?.is_some() {
            return Ok(false);
        }
        self.pending.insert(row, Some(event));
        Ok(true)
    }

    /// Takes note of a decision made at `at`; whether none that is newer is known.
    pub(super) fn decide(&mut self, engine: &Engine, event: &ResolvedEvent, at: Timestamp) -> Result<bool> {
        self.decisions.decide(engine, &self.prefix, event, at)
    }

    /// Forgets a waiting event.
    pub(super) fn remove_pending(&mut self, row: Vec<u8>) {
        self.pending.insert(row, None);
    }

    /// Writes everything that changed.
    pub(super) fn finish(self, engine: &Engine, writes: &mut WriteSet) -> Result<()> {
        if self.record_changed {
            writes.put(keys::of_user(&self.prefix, keys::RECORD), self.record.encode());
        }
        for (number, day) in self.days {
            for (part, value) in day.changed_parts() {
                writes.put(keys::history(&self.prefix, number, part), value);
            }
        }
        for (row, event) in self.pending {
            if let Some(event) = event {
                let track = keys::pending_track(&self.prefix, &row).expect("made by keys::pending");
                writes.put(keys::waiting(track, &self.prefix), Vec::new());
                writes.put(row, event.encode());
            } else {
                writes.delete(row);
            }
        }
        for (row, decision) in self.decisions.changed() {
            writes.put(row, decision);
        }
        for ((at, key), value) in self.searches {
            writes.put(keys::timed(&self.prefix, keys::SEARCH, at, key), value);
        }
        if self.served.is_empty() { Ok(()) } else { write_served(engine, &self.prefix, self.served, writes) }
    }
}

/// Writes new served lists and removes those that are too old beside the newest.
fn write_served(
    engine: &Engine,
    prefix: &[u8],
    served: BTreeMap<(Timestamp, u64), Vec<u8>>,
    writes: &mut WriteSet,
) -> Result<()> {
    let stored = engine.snapshot().last_key(&keys::of_user(prefix, keys::SERVED))?;
    let stored = stored.and_then(|key| keys::timed_suffix(&key)).map(|(at, _)| at);
    let newest = served.last_key_value().map(|((at, _), _)| *at).max(stored);
    let oldest =
        newest.map_or(Timestamp(i64::MIN), |at| Timestamp(at.0.saturating_sub(SERVED_DAYS * DAY_MS)));
    let first = keys::of_user(prefix, keys::SERVED);
    engine.snapshot().scan(&first, &keys::timed(prefix, keys::SERVED, oldest, 0), |key, _| {
        writes.delete(key.to_vec());
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    for ((at, key), value) in served {
        if at >= oldest {
            writes.put(keys::timed(prefix, keys::SERVED, at, key), value);
        }
    }
    Ok(())
}

pub(super) fn load_record(engine: &Engine, prefix: &[u8]) -> Result<Option<UserRecord>> {
    let key = keys::of_user(prefix, keys::RECORD);
    let stored = engine.get(&key)?;
    stored.map(|value| UserRecord::decode(&value).map_err(|what| damaged(&key, what))).transpose()
}

fn load_day(engine: &Engine, prefix: &[u8], day: i32) -> Result<Day> {
    let mut loaded = Day::default();
    let (mut number, mut parts) = (0, 1);
    while number < parts {
        let key = keys::history(prefix, day, number);
        let Some(value) = engine.get(&key)? else {
            if number == 0 {
                break;
            }
            return Err(damaged(&key, "a part of the day is missing"));
        };
        let (count, rows) = decode_part(&value).map_err(|what| damaged(&key, what))?;
        loaded.push_part(rows.collect::<std::result::Result<_, _>>().map_err(|what| damaged(&key, what))?);
        parts = parts.max(count);
        number += 1;
    }
    Ok(loaded)
}
