//! Rows that mean nothing any more (old days of statistics, dropped generations), removed a few with each entry.
//!
//! Readers never see such rows, so when they go is not part of the state.

use std::{collections::VecDeque, ops::ControlFlow};

use super::{
    engine::{Engine, WriteSet},
    error::Result,
    keys,
    trends::oldest_kept,
};
use crate::types::SpaceName;

/// Rows removed with one entry.
const ROWS_MAX: usize = 1024;

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
}

impl Garbage {
    /// A generation's rows are to go.
    pub(super) fn drop_generation(&mut self, space: &SpaceName, generation: u32) {
        let from = keys::vectors(space, generation);
        // Slots are below 0x10, so no vector of this generation sorts above.
        let to = [&from[..], &keys::USERS_END].concat();
        self.sweeps.push_back(Sweep { from, to });
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
            self.sweeps.push_back(Sweep { from, to: keys::plays_of_day(oldest) });
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
        let mut removed = 0;
        let mut last = None;
        engine.snapshot().scan(&self.from, &self.to, |key, _| {
            writes.delete(key.to_vec());
            last = Some(key.to_vec());
            removed += 1;
            Ok(if removed < ROWS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        if let Some(last) = last {
            self.from = last;
            self.from.push(0);
        }
        Ok(removed == ROWS_MAX)
    }
}
