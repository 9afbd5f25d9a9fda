//! Vectors of tracks, and bulk loads of tracks and their vectors. What comes in is divided among the track shards.
//!
//! A load of tracks puts how far the file has come into every shard, with its rows of each batch or none; a shard that is
//! further is given only what it lacks. Vectors are staged in one file, whatever shards they belong to; when the load is
//! complete each shard gets a segment of its rows, and with it the mark that the load is complete there. A stop in between
//! leaves some shards with the mark: the next call makes the segments of the others.

use std::collections::BTreeMap;

use super::catalog::{FIRST, new_track_ids, track_id, wrong_dim};
use super::engine::{Inner, LoadProgress};
use super::load::ENTRY_ROWS;
use super::stage::Stage;
use super::stop_points::{LOAD_BUILT, LOAD_LIVE, LOAD_NUMBERED, LOAD_SPREAD, stop_point};
use super::track_owners::{Owner, TrackOwners};
use super::tracks::{TrackPart, patience, unexpected};
use crate::error::{Error, Result};
use crate::maintenance::write_vector_segment;
use crate::pipeline::request::WriteToken;
use crate::storage::track_shard::TrackView;
use crate::storage::track_shard::command::{
    LoadMark, NewSegment, SegmentOrigin, TrackCommand, TrackReply, VectorSetSpec,
};
use crate::types::{SpaceSpec, Track, TrackId, VectorRow};

/// Vectors of one shard: where each was in the batch, whose it is, and its components after those of the others.
#[derive(Default)]
struct ShardVectors {
    at: Vec<usize>,
    ids: Vec<TrackId>,
    rows: Vec<f32>,
}

impl Inner {
    /// Adds or replaces vectors of tracks; all rows are of the set's dimension.
    pub(super) fn upsert_track_vectors(
        &self,
        space: &SpaceSpec,
        set: &VectorSetSpec,
        rows: Vec<VectorRow>,
    ) -> Result<WriteToken> {
        let owners = self.tracks.owners()?;
        let mut parts: Vec<ShardVectors> = owners.iter().map(|_| ShardVectors::default()).collect();
        for (row, VectorRow { id, vector }) in rows.into_iter().enumerate() {
            let id = track_id(row, id)?;
            let part = &mut parts[owners.place_of(id.as_str())];
            part.at.push(row);
            part.ids.push(id);
            part.rows.extend(vector);
        }
        self.check_known(&owners, &parts)?;
        self.declare_set(space, set)?;
        let asked: Vec<usize> = (0..parts.len()).filter(|place| !parts[*place].ids.is_empty()).collect();
        let command = |place: &usize| {
            let ShardVectors { ids, rows, .. } = &mut parts[*place];
            let (ids, rows) = (ids.clone(), std::mem::take(rows));
            (*place, TrackCommand::UpsertVectors { set: set.clone(), ids, rows })
        };
        let commands: Vec<_> = asked.iter().map(command).collect();
        let (replies, token) = self.tracks.propose(&owners, commands)?;
        for (place, reply) in asked.into_iter().zip(replies) {
            match reply {
                TrackReply::Done(_) => {}
                TrackReply::UnknownTrack { row } => {
                    let row = usize::try_from(row).unwrap_or(usize::MAX);
                    let id = parts[place].ids.get(row).map_or("", |id| id.as_str());
                    let row = parts[place].at.get(row).copied().unwrap_or(row);
                    return Err(Error::not_found("track", id).at_row(row));
                }
                TrackReply::WrongDim { expected } => return Err(wrong_dim(space, expected, set.dim)),
                TrackReply::Stale | TrackReply::Moved | TrackReply::Refused(_) => {
                    return Err(unexpected(&reply));
                }
            }
        }
        self.wake_worker();
        Ok(token)
    }

    /// Where there are several track shards, the first decides of what dimension a set is, before another takes its first
    /// vectors: two writers who begin a space at the same time must not begin it with two.
    pub(super) fn declare_set(&self, space: &SpaceSpec, set: &VectorSetSpec) -> Result<()> {
        let owners = self.tracks.owners()?;
        if owners.count() == 1 || self.dim_at(&owners, FIRST, &set.space, set.generation)?.is_some() {
            return Ok(());
        }
        let command = TrackCommand::UpsertVectors { set: set.clone(), ids: Vec::new(), rows: Vec::new() };
        match self.propose_to_owner(owners.owner(FIRST), &command)? {
            TrackReply::Done(_) => Ok(()),
            TrackReply::WrongDim { expected } => Err(wrong_dim(space, expected, set.dim)),
            other => Err(unexpected(&other)),
        }
    }

    /// Where a load stands in the track shards: what all of them have; `None` when none of them knows it.
    ///
    /// # Errors
    /// `Unavailable` while a new shard is coming to this node, or one elsewhere cannot be asked.
    pub(super) fn track_load_progress(&self, load_id: &str) -> Result<Option<LoadProgress>> {
        let marks = self.load_marks(&self.tracks.newest_owners()?, load_id)?;
        Ok(marks.iter().any(Option::is_some).then(|| LoadProgress {
            rows_done: marks
                .iter()
                .map(|mark| mark.as_ref().map_or(0, |mark| mark.rows_done))
                .min()
                .unwrap_or(0),
            finished: marks.iter().all(|mark| mark.as_ref().is_some_and(|mark| mark.finished)),
        }))
    }

    /// Rows of a tracks load from `first_row` on, none of which all shards have.
    pub(super) fn load_track_rows(
        &self,
        load_id: &str,
        first_row: u64,
        mut tracks: Vec<Track>,
    ) -> Result<u64> {
        let mut next = first_row;
        while !tracks.is_empty() {
            // Each time anew: a split may have divided a shard in two.
            let owners = self.tracks.newest_owners()?;
            let done = |mark: &Option<LoadMark>| mark.as_ref().map_or(0, |mark| mark.rows_done);
            let rows_done: Vec<u64> = self.load_marks(&owners, load_id)?.iter().map(done).collect();
            let rest = tracks.split_off(tracks.len().min(ENTRY_ROWS));
            let end = next + tracks.len() as u64;
            let book = self.look_tracks_up(&owners, tracks.iter().map(|track| &track.track_id))?;
            let new = new_track_ids(&book, &tracks);
            let mut parts: Vec<Vec<Track>> = owners.iter().map(|_| Vec::new()).collect();
            for (at, track) in (next..).zip(tracks) {
                let place = owners.place_of(track.track_id.as_str());
                if at >= rows_done[place] {
                    parts[place].push(track);
                }
            }
            let lacking = parts.into_iter().enumerate().filter(|(place, _)| rows_done[*place] < end);
            let commands: Vec<_> = lacking
                .map(|(place, tracks)| {
                    let mark = LoadMark { load_id: load_id.to_owned(), rows_done: end, finished: false };
                    (place, TrackCommand::UpsertTracks { tracks, load: Some(mark) })
                })
                .collect();
            // Some shards may have theirs, and are not sent them again.
            self.tracks.propose(&owners, commands).inspect_err(|_| self.resolve_later())?;
            self.resolve_waiting(&new)?;
            (next, tracks) = (end, rest);
        }
        Ok(next)
    }

    /// Marks a load as complete in every shard in which it is not.
    ///
    /// # Errors
    /// `Conflict` when some shards have rows that others lack: a call that was cut short has to be made again first.
    pub(super) fn finish_track_load(&self, load_id: &str, rows_done: u64) -> Result<()> {
        let owners = self.tracks.newest_owners()?;
        let mut parts = Vec::new();
        for (place, mark) in self.load_marks(&owners, load_id)?.into_iter().enumerate() {
            let known = mark.as_ref().map_or(0, |mark| mark.rows_done);
            if known > rows_done {
                return Err(Error::Conflict(format!(
                    "some rows are in a part of the track shards only: send them again, then end the load. first_row=`{rows_done}`, rows_done=`{known}`"
                )));
            }
            if !mark.is_some_and(|mark| mark.finished) {
                let load = LoadMark { load_id: load_id.to_owned(), rows_done, finished: true };
                parts.push((place, TrackCommand::MarkLoad { load }));
            }
        }
        self.tracks.propose_counted(&owners, parts).map(drop)
    }

    /// One shard checks its rows when it applies them, all or none; of several one cannot know what the others refuse, so
    /// that unknown tracks are looked for before anything is proposed.
    fn check_known(&self, owners: &TrackOwners, parts: &[ShardVectors]) -> Result<()> {
        if parts.len() == 1 {
            return Ok(());
        }
        let book = self.look_tracks_up(owners, parts.iter().flat_map(|part| &part.ids))?;
        let rows = parts.iter().flat_map(|part| part.ids.iter().zip(&part.at));
        match rows.filter(|(id, _)| !book.has(id)).min_by_key(|(_, row)| **row) {
            Some((id, row)) => Err(Error::not_found("track", id).at_row(*row)),
            None => Ok(()),
        }
    }

    /// Builds a segment of each shard's staged rows and makes it live, one shard after the other, so that no more memory is
    /// needed than for the largest; shards that have theirs are passed over.
    pub(super) fn build_staged(
        &self,
        stage: &Stage,
        done: LoadProgress,
        progress: &(dyn Fn(f64) + Sync),
    ) -> Result<()> {
        let space = self.space(&stage.header.space)?;
        let set = self.vector_set(&space, stage.header.generation, stage.header.dim as usize)?;
        self.declare_set(&space, &set)?;
        while let Some(refused) = self.build_all(stage, (&space, &set), done, progress)? {
            // Another node splits it: what was built has rows of both halves.
            self.tracks.wait_for_split(&refused, patience())?;
        }
        self.open_indexes()
    }

    /// The same once; the shard that refused its segment because it is being split, if one did.
    fn build_all(
        &self,
        stage: &Stage,
        of: (&SpaceSpec, &VectorSetSpec),
        done: LoadProgress,
        progress: &(dyn Fn(f64) + Sync),
    ) -> Result<Option<Owner>> {
        let _turn = self.maintenance.lock();
        let owners = self.tracks.newest_owners()?;
        let shards = owners.count() as f64;
        for (place, owner) in owners.iter() {
            let share = |fraction: f64| progress((place as f64 + fraction) / shards);
            let is_done = match owner {
                Owner::Here(part) => self.build_part((&owners, part, place), stage, of, done, &share)?,
                Owner::Elsewhere(_) => self.send_part((&owners, owner, place), stage, of, done, &share)?,
            };
            if !is_done {
                return Ok(Some(owner.clone()));
            }
        }
        Ok(None)
    }

    /// The same for one shard, unless it has its segment; whether it has it now, or is being split.
    pub(super) fn build_part(
        &self,
        (owners, part, place): (&TrackOwners, &TrackPart, usize),
        stage: &Stage,
        (space, set): (&SpaceSpec, &VectorSetSpec),
        done: LoadProgress,
        progress: &(dyn Fn(f64) + Sync),
    ) -> Result<bool> {
        let load_id = stage.header.load_id.clone();
        if part.shard.view().loads.get(&load_id).is_some_and(|mark| mark.finished) {
            return Ok(true);
        }
        let load = LoadMark { load_id, rows_done: done.rows_done, finished: true };
        let propose = |command: &TrackCommand| self.propose_tracks(part, command);
        let staged = staged_by_ordinal((owners, place), &part.shard.view(), stage)?;
        if staged.places.is_empty() && owners.count() > 1 {
            return match propose(&TrackCommand::MarkLoad { load })? {
                TrackReply::Done(_) => Ok(true),
                TrackReply::Moved => Ok(false),
                other => Err(unexpected(&other)),
            };
        }
        let TrackReply::Done(id) = propose(&TrackCommand::ReserveSegments { count: 1 })? else {
            return Err(Error::Internal("a segment number was refused".to_owned()));
        };
        stop_point(LOAD_NUMBERED);
        let dim = set.dim as usize;
        let rows = staged.places.iter();
        let rows = rows.map(|&(ordinal, at)| (ordinal, &staged.vectors[at * dim..(at + 1) * dim]));
        let shard = &part.shard;
        let entry = write_vector_segment(shard.folder(), id, set, rows, &self.index_choice, progress)?;
        stop_point(LOAD_BUILT);
        let new = NewSegment { entry, set: Some(set.clone()) };
        shard.stage(&new)?;
        let (segments, origin) = (vec![new], SegmentOrigin::Loaded);
        let command = TrackCommand::AddSegments { segments, origin, load: Some(load) };
        let spread = self.spread_files(part, &command).inspect(|()| stop_point(LOAD_SPREAD));
        let reply = spread.and_then(|()| self.propose_spread(part, &command));
        shard.unstage([id], &reply);
        stop_point(LOAD_LIVE);
        match reply? {
            TrackReply::Done(_) => Ok(true),
            TrackReply::Moved => Ok(false),
            TrackReply::WrongDim { expected } => Err(wrong_dim(space, expected, set.dim)),
            other => Err(Error::Internal(format!("a loaded segment was refused: {other:?}"))),
        }
    }
}

/// The staged rows of one shard that is here, newest of each track only, in order of ordinal.
fn staged_by_ordinal(
    (owners, place): (&TrackOwners, usize),
    view: &TrackView,
    stage: &Stage,
) -> Result<OrderedRows> {
    let dim = stage.header.dim as usize;
    let mut rows = OrderedRows::default();
    let mut newest: BTreeMap<u32, usize> = BTreeMap::new();
    let mut at = 0;
    stage.for_each(|staged| {
        for (id, vector) in staged.ids.iter().zip(staged.vectors.chunks_exact(dim)) {
            if owners.place_of(id) != place {
                continue;
            }
            if let Some(ordinal) = view.ordinal_of(id) {
                newest.insert(ordinal, at);
            }
            rows.vectors.extend_from_slice(vector);
            at += 1;
        }
        Ok(())
    })?;
    rows.places = newest.into_iter().collect();
    Ok(rows)
}

/// Staged rows in memory: `(ordinal, row)` and the rows.
#[derive(Default)]
struct OrderedRows {
    places: Vec<(u32, usize)>,
    vectors: Vec<f32>,
}
