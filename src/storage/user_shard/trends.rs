//! How often tracks were played: per day and region for 35 days, and in total.
//!
//! A play counts when it lasted 30 s or to the end. Days are days of event time; the newest day with a counted play
//! decides which days are kept, so no clock is read. Counts name nobody and outlive deleted users.

use std::{ops::ControlFlow, sync::Arc};

use super::{engine::Snapshot, error::Result, keys, rows::decode_count, shard::UserShard, value::damaged};
use crate::types::{Region, TrackRef};

/// Days of counts that are kept, the newest one included.
pub const TREND_DAYS: i32 = 35;

/// Plays of the tracks of one day and region, by track.
pub(super) type DayPlays = Vec<(TrackRef, u64)>;

/// What the cache of days is keyed by; no region number = all regions.
pub(super) type DayKey = (i32, Option<u16>);

pub(super) fn oldest_kept(newest: i32) -> i32 {
    newest.saturating_sub(TREND_DAYS - 1)
}

pub(super) fn is_kept(day: i32, newest: i32) -> bool {
    day >= oldest_kept(newest)
}

/// Adds up the counts of each track; by track, each once.
pub(super) fn sum_by_track(counts: &mut Vec<(TrackRef, u64)>) {
    counts.sort_unstable_by_key(|(track, _)| *track);
    counts.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
}

impl UserShard {
    /// Plays of each track from `from_day` to `to_day` (both inclusive, days since the epoch) by listeners who were
    /// in `region` then, or anywhere when absent; by track, each once. Days outside the newest [`TREND_DAYS`] count
    /// nothing.
    ///
    /// Cost: one scan a day, cached until that day changes; then a merge of the cached days.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn trend_counts(
        &self,
        region: Option<Region>,
        from_day: i32,
        to_day: i32,
    ) -> Result<Vec<(TrackRef, u64)>> {
        let Some(newest) = self.newest_day() else { return Ok(Vec::new()) };
        let days = from_day.max(oldest_kept(newest))..=to_day.min(newest);
        let plays = days.map(|day| self.day_plays((day, region.map(Region::number))));
        let plays: Vec<Arc<DayPlays>> = plays.collect::<Result<_>>()?;
        let mut all = Vec::with_capacity(plays.iter().map(|plays| plays.len()).sum());
        plays.iter().for_each(|plays| all.extend_from_slice(plays));
        sum_by_track(&mut all);
        Ok(all)
    }

    /// Counted plays of a track since the beginning.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn total_plays(&self, track: TrackRef) -> Result<u64> {
        let key = keys::total_plays(track);
        let stored = self.inner().engine.get(&key)?;
        stored.map_or(Ok(0), |value| decode_count(&value)).map_err(|what| damaged(&key, what))
    }

    fn day_plays(&self, key: DayKey) -> Result<Arc<DayPlays>> {
        let plays = self.inner().days.get_or_build(&key, || {
            let plays = read_day(&self.inner().engine.snapshot(), key)?;
            let bytes = size_of_val(plays.as_slice()) + 64;
            Ok(Some((plays, bytes)))
        })?;
        Ok(plays.unwrap_or_default())
    }
}

fn read_day(snapshot: &Snapshot<'_>, (day, region): DayKey) -> Result<DayPlays> {
    let mut counts = Vec::new();
    let prefix = region.map_or_else(|| keys::plays_of_day(day), |region| keys::plays_of_region(day, region));
    snapshot.scan_prefix(&prefix, |key, value| {
        let count = decode_count(value).map_err(|what| damaged(key, what))?;
        let track = keys::track_suffix(key).ok_or_else(|| damaged(key, "key is malformed"))?;
        counts.push((track, count));
        Ok(ControlFlow::Continue(()))
    })?;
    sum_by_track(&mut counts);
    Ok(counts)
}
