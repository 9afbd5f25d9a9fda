//! Bulk loads of listeners, plays and listeners' vectors. Each batch is divided among the user shards, and every shard keeps
//! how far the file has come in it, in the same write as its rows: what one shard has taken is not given to it again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::catalog::user_error;
use super::engine::{Inner, LoadProgress};
use super::listeners::completed;
use super::load::{ENTRY_ROWS, unseen};
use crate::error::{Error, Result};
use crate::storage::user_shard::{EventTrack, LoadStep, PlayBatch, PlayRow, UserCommand, UserOp, UserReply};
use crate::types::{Play, ShardId, SlotRanges, TrackId, TrackOrdinal, TrackRef, User, UserId, slot_of};

/// A load under way, as one call sees it.
pub(super) struct UserLoad<'a> {
    node: &'a Inner,
    load_id: &'a str,
    /// Row of the file that comes next.
    next_row: u64,
    /// Rows of the file that need not be given to each shard.
    rows_done: BTreeMap<usize, u64>,
    /// The shards those are.
    ranges: Arc<SlotRanges>,
}

impl UserLoad<'_> {
    /// One entry to each shard that lacks some of these rows: those of its users, or none, and how far the file has come;
    /// returns that.
    ///
    /// # Errors
    /// `Conflict` when another call has loaded some of a shard's rows but not all: they are in nobody's entry.
    pub(super) fn step<T>(
        &mut self,
        rows: Vec<T>,
        user_of: impl Fn(&T) -> &UserId,
        op: impl Fn(Vec<T>) -> UserOp,
    ) -> Result<u64> {
        let users = &self.node.users;
        if !Arc::ptr_eq(&self.ranges, &users.shards.ranges()) {
            // A shard was split: the new one has what that had.
            *self = self.node.user_load(self.load_id, self.next_row)?;
        }
        let (first_row, end) = (self.next_row, self.next_row + rows.len() as u64);
        let mut parts: BTreeMap<usize, Vec<T>> =
            self.rows_done.keys().map(|shard| (*shard, Vec::new())).collect();
        for (row, at) in rows.into_iter().zip(first_row..) {
            let shard = self.ranges.shard_of(slot_of(user_of(&row).as_str()));
            if at >= self.rows_done[&shard] {
                parts.entry(shard).or_default().push(row);
            }
        }
        let lacking = parts.into_iter().filter(|(shard, _)| self.rows_done[shard] < end);
        let commands = lacking.map(|(shard, rows)| {
            let load = Some(LoadStep {
                load_id: self.load_id.to_owned(),
                first_row: first_row.max(self.rows_done[&shard]),
                rows_done: end,
                finished: false,
            });
            let op = if rows.is_empty() { UserOp::Nothing } else { op(rows) };
            (shard, UserCommand { load, op })
        });
        let (replies, _) = users.propose(commands.collect())?;
        for reply in replies {
            if let UserReply::AlreadyLoaded(state) = reply
                && state.rows_done < end
            {
                return Err(Error::Conflict(format!(
                    "another call loads the same: ask for the load's progress and go on there. first_row=`{first_row}`, rows_done=`{}`",
                    state.rows_done
                )));
            }
        }
        self.rows_done.values_mut().for_each(|done| *done = end.max(*done));
        self.next_row = end;
        Ok(end)
    }
}

impl Inner {
    /// Where a load stands in the user shards: what all of them have.
    pub(super) fn user_load_progress(&self, load_id: &str) -> Result<LoadProgress> {
        let mut progress = LoadProgress { rows_done: u64::MAX, finished: true };
        for (_, state) in self.users.shards.load_states(load_id).map_err(user_error)? {
            progress.rows_done = progress.rows_done.min(state.rows_done);
            progress.finished &= state.finished;
        }
        Ok(progress)
    }

    /// Goes on with a load at a row of its file.
    pub(super) fn user_load<'a>(&'a self, load_id: &'a str, next_row: u64) -> Result<UserLoad<'a>> {
        loop {
            let ranges = self.users.shards.ranges();
            let states = self.users.shards.load_states(load_id).map_err(user_error)?;
            let rows_done = states.into_iter().map(|(shard, state)| (shard, state.rows_done)).collect();
            if Arc::ptr_eq(&ranges, &self.users.shards.ranges()) {
                return Ok(UserLoad { node: self, load_id, next_row, rows_done, ranges });
            }
        }
    }

    /// Ends a load in every shard in which it has not ended.
    ///
    /// # Errors
    /// `Conflict` when some shards have rows that others lack: a call that was cut short has to be made again first.
    pub(super) fn finish_user_load(&self, load_id: &str, rows_done: u64) -> Result<()> {
        let mut parts = Vec::new();
        let states = self.users.shards.load_states(load_id).map_err(user_error)?;
        for (shard, state) in states {
            if state.rows_done > rows_done {
                return Err(Error::Conflict(format!(
                    "some rows are in a part of the user shards only: send them again, then end the load. first_row=`{rows_done}`, rows_done=`{}`",
                    state.rows_done
                )));
            }
            if !state.finished {
                let load_id = load_id.to_owned();
                let load = Some(LoadStep { load_id, first_row: rows_done, rows_done, finished: true });
                parts.push((shard, UserCommand { load, op: UserOp::Nothing }));
            }
        }
        self.users.propose(parts).map(drop)
    }

    pub(super) fn load_users(&self, load_id: &str, first_row: u64, users: Vec<User>) -> Result<LoadProgress> {
        for (row, user) in users.iter().enumerate() {
            user.validate().map_err(|error| error.at_row(row))?;
        }
        let mut progress = self.load_progress(load_id)?;
        let mut users = unseen(progress, first_row, users)?;
        let mut load = self.user_load(load_id, progress.rows_done)?;
        while !users.is_empty() {
            let rest = users.split_off(users.len().min(ENTRY_ROWS));
            progress.rows_done = load.step(users, |user| &user.user_id, UserOp::UpsertUsers)?;
            users = rest;
        }
        Ok(progress)
    }

    pub(super) fn load_plays(&self, load_id: &str, first_row: u64, plays: Vec<Play>) -> Result<LoadProgress> {
        for (row, play) in plays.iter().enumerate() {
            play.validate().map_err(|error| error.at_row(row))?;
        }
        let mut progress = self.load_progress(load_id)?;
        let plays = unseen(progress, first_row, plays)?;
        let mut load = self.user_load(load_id, progress.rows_done)?;
        for rows in plays.chunks(ENTRY_ROWS * 4) {
            let owners = self.tracks.owners()?;
            let tracks = self.look_tracks_up(&owners, rows.iter().map(|play| &play.track_id))?;
            let rows: Vec<(&Play, EventTrack, Option<u32>)> = rows
                .iter()
                .map(|play| {
                    let (track, duration_ms) = tracks.event_track(&play.track_id);
                    (play, track, duration_ms)
                })
                .collect();
            let mut unknown: Vec<TrackId> = rows
                .iter()
                .filter_map(|(_, track, _)| match track {
                    EventTrack::Unknown(id) => Some(id.clone()),
                    EventTrack::Resolved(_) => None,
                })
                .collect();
            let step =
                load.step(rows, |(play, ..)| &play.user_id, |rows| UserOp::RecordPlays(play_batch(rows)));
            // Some shards may have theirs, and are not sent them again.
            progress.rows_done = step.inspect_err(|_| self.resolve_later())?;
            // Tracks that came between the look-up and now found nothing waiting.
            unknown.sort_unstable();
            unknown.dedup();
            self.resolve_waiting(&unknown)?;
        }
        Ok(progress)
    }
}

/// Plays with where their tracks are and how long those last.
fn play_batch(rows: Vec<(&Play, EventTrack, Option<u32>)>) -> PlayBatch {
    let mut batch = PlayBatch::default();
    let mut places: BTreeMap<&UserId, u32> = BTreeMap::new();
    for (play, track, duration_ms) in rows {
        let next = u32::try_from(places.len()).expect("an entry has few rows");
        let user = *places.entry(&play.user_id).or_insert_with(|| {
            batch.users.push(play.user_id.clone());
            next
        });
        let nowhere = TrackRef { shard: ShardId(0), ordinal: TrackOrdinal(0) };
        let row = PlayRow {
            user,
            track: if let EventTrack::Resolved(track) = &track { *track } else { nowhere },
            listened_ms: play.listened_ms,
            at: play.played_at,
            action: play.action,
            completed: completed(play.listened_ms, duration_ms),
        };
        match track {
            EventTrack::Resolved(_) => batch.plays.push(row),
            EventTrack::Unknown(id) => batch.unknown.push((id, row)),
        }
    }
    batch
}
