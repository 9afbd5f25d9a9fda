//! A user shard in short, for a comparison of replicas.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::error::Result;
use super::rows::ShardRow;
use super::shard::UserShard;
use super::split::{SplitRole, SplitState};
use super::trends::oldest_kept;
use super::value::damaged;
use super::{keys, vectors};
use crate::storage::digest::Digest;
use crate::types::Slot;

impl UserShard {
    /// Reads every row that means something, as of one entry. Rows that wait to be removed are left out: when they go is
    /// not part of the state.
    ///
    /// Cost: one pass over everything.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn digest(&self) -> Result<Digest> {
        let inner = self.inner();
        let snapshot = inner.engine.snapshot();
        let stored = snapshot.get(&keys::SHARD)?;
        let row = stored.map_or(Ok(ShardRow::default()), |value| ShardRow::decode(&value));
        let mut digest = Digest::at(row.map_err(|what| damaged(&keys::SHARD, what))?.index);
        let dropped: BTreeSet<(String, u32)> = vectors::generations(&snapshot)?
            .into_iter()
            .filter(|(_, _, row)| row.dropped)
            .map(|(space, generation, _)| (space.to_string(), generation))
            .collect();
        let newest = snapshot.last_key(&[keys::DAY_PLAYS])?.and_then(|key| keys::day_of_plays(&key));
        let oldest = newest.map(|day| keys::plays_of_day(oldest_kept(day)));
        let split = SplitState::read(&snapshot)?;
        // Rows of slots that were given away, and notes of that time, go when they go.
        let notes = match &split.role {
            SplitRole::Parent(parting) => keys::notes_from(parting.since),
            SplitRole::Whole | SplitRole::Child(_) => keys::NOTES_END.to_vec(),
        };
        snapshot.scan_prefix(&[], |key, value| {
            let is_note = key.first() == Some(&keys::NOTE);
            if is_note && key < &notes[..] || keys::slot_of_row(key).is_some_and(|slot| slot.0 >= split.end) {
                return Ok(ControlFlow::Continue(()));
            }
            let first = key.first().copied().unwrap_or_default();
            let slot = key.first_chunk().map_or(Slot(0), |slot| Slot(u16::from_be_bytes(*slot)));
            let (kind, slot) = match first {
                first if first < keys::USERS_END[0] => ("listeners", slot),
                keys::WAITING => ("waiting events", Slot(0)),
                keys::VECTOR if keys::vector_generation(key).is_some_and(|id| dropped.contains(&id)) => {
                    return Ok(ControlFlow::Continue(()));
                }
                keys::VECTOR => ("vectors of listeners", Slot(0)),
                keys::DAY_PLAYS if oldest.as_deref().is_some_and(|oldest| key < oldest) => {
                    return Ok(ControlFlow::Continue(()));
                }
                keys::DAY_PLAYS => ("plays by day", Slot(0)),
                keys::TOTAL_PLAYS => ("plays in total", Slot(0)),
                _ => ("the shard's own rows", Slot(0)),
            };
            digest.add(kind, slot, &[key, value]);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(digest)
    }
}
