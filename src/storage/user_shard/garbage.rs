//! Rows that mean nothing any more (old days of statistics, dropped generations, slots that were given away), removed a few
//! with each entry.
//!
//! Readers never see such rows, so when they go is not part of the state.

use std::{collections::VecDeque, ops::ControlFlow};

use super::{
    engine::{Engine, WriteSet},
    error::Result,
    keys,
    rows::GenerationRow,
    trends::oldest_kept,
};
use crate::types::{Slot, SpaceName};

/// Rows removed with one entry.
const ROWS_MAX: usize = 1024;
/// Rows looked at with one entry, where not all of a range are removed.
const LOOKED_AT_MAX: usize = 8 * ROWS_MAX;

/// What is left to remove.
#[derive(Debug, Default)]
pub(super) struct Garbage {
    sweeps: VecDeque<Sweep>,
    /// Statistics before this day are swept or waiting to be.
    swept_before: Option<i32>,
}

/// A range of keys to remove; `from` moves on.
#[derive(Debug)]
struct Sweep {
    from: Vec<u8>,
    to: Vec<u8>,
    /// Only rows of listeners from this slot on, where that is said.
    slots_from: Option<u16>,
}

impl Garbage {
    /// A generation's rows are to go.
    pub(super) fn drop_generation(&mut self, space: &SpaceName, generation: u32) {
        let from = keys::vectors(space, generation);
        // Slots are below 0x10, so no vector of this generation sorts above.
        let to = [&from[..], &keys::USERS_END].concat();
        self.sweeps.push_back(Sweep { from, to, slots_from: None });
    }

    /// Rows of listeners from slot `end` on are to go, and notes of changes up to entry `noted`.
    pub(super) fn give_up_slots(
        &mut self,
        end: u16,
        generations: &[(SpaceName, u32, GenerationRow)],
        noted: u64,
    ) {
        let slot = keys::slot(Slot(end));
        let mut whole = |from: Vec<u8>, to: Vec<u8>| {
            self.sweeps.push_back(Sweep { from, to, slots_from: None });
        };
        whole(slot.clone(), keys::USERS_END.to_vec());
        for (space, generation, _) in generations.iter().filter(|(.., row)| !row.dropped) {
            let vectors = keys::vectors(space, *generation);
            whole([&vectors[..], &slot[..]].concat(), [&vectors[..], &keys::USERS_END].concat());
        }
        whole(vec![keys::NOTE], keys::notes_from(noted.saturating_add(1)));
        let (from, to) = (vec![keys::WAITING], keys::WAITING_END.to_vec());
        self.sweeps.push_back(Sweep { from, to, slots_from: Some(end) });
    }

    /// Whether nothing is left to remove.
    pub(super) fn is_empty(&self) -> bool {
        self.sweeps.is_empty()
    }

    /// Adds some removals to an entry's writes. Costs nothing while there is nothing to remove.
    pub(super) fn collect(
        &mut self,
        engine: &Engine,
        newest_day: Option<i32>,
        writes: &mut WriteSet,
    ) -> Result<()> {
        if let Some(oldest) = newest_day.map(oldest_kept)
            && self.swept_before.is_none_or(|swept| swept < oldest)
        {
            let from = keys::plays_of_day(self.swept_before.unwrap_or(i32::MIN));
            self.sweeps.push_back(Sweep { from, to: keys::plays_of_day(oldest), slots_from: None });
            self.swept_before = Some(oldest);
        }
        while let Some(sweep) = self.sweeps.front_mut() {
            if sweep.step(engine, writes)? {
                break;
            }
            self.sweeps.pop_front();
        }
        Ok(())
    }
}

impl Sweep {
    /// Removes up to [`ROWS_MAX`] rows; whether there may be more.
    fn step(&mut self, engine: &Engine, writes: &mut WriteSet) -> Result<bool> {
        let (mut removed, mut looked_at) = (0, 0);
        let mut last = None;
        engine.snapshot().scan(&self.from, &self.to, |key, _| {
            let goes = |first: u16| keys::slot_of_row(key).is_some_and(|slot| slot.0 >= first);
            if self.slots_from.is_none_or(goes) {
                writes.delete(key.to_vec());
                removed += 1;
            }
            last = Some(key.to_vec());
            looked_at += 1;
            let is_enough = removed == ROWS_MAX || looked_at == LOOKED_AT_MAX;
            Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if let Some(last) = last {
            self.from = last;
            self.from.push(0);
        }
        Ok(removed == ROWS_MAX || looked_at == LOOKED_AT_MAX)
    }
}
