//! Bulk loads: named, resumable, exactly once. Rows of tracks, users and plays go through the log in large entries that
//! carry the load's progress; vectors of tracks are staged and become one segment.

use super::catalog::{check_rows, track_id};
use super::engine::{Inner, LoadKind, LoadProgress};
use super::listeners::user_rows;
use super::stage::{Stage, StageHeader, StagedRows};
use super::stop_points::{LOAD_STAGED, stop_point};
use crate::error::{Error, Result};
use crate::pipeline::request::WriteToken;
use crate::storage::track_shard::command::VectorSetSpec;
use crate::storage::user_shard::UserOp;
use crate::types::{Entity, GenerationId, SpaceName, Track, TrackId, VectorRow};

/// Rows in one log entry of a load: keeps entries well under the log's limit of 8 MiB.
pub(super) const ENTRY_ROWS: usize = 4_096;
/// Bytes of vectors in one log entry of a load.
pub(super) const ENTRY_VECTOR_BYTES: usize = 4 << 20;

impl Inner {
    pub(super) fn load_progress(&self, load_id: &str) -> Result<LoadProgress> {
        check_load_id(load_id)?;
        let of_tracks = self.track_load_progress(load_id)?;
        if let Some(progress) = of_tracks.filter(|progress| progress.finished) {
            return Ok(progress);
        }
        // Before what track shards say: a load of vectors that some of them have completed still has its rows here.
        if let Some(rows_done) = self.staged_rows(load_id)? {
            return Ok(LoadProgress { rows_done, finished: false });
        }
        of_tracks.map_or_else(|| self.user_load_progress(load_id), Ok)
    }

    pub(super) fn load_tracks(
        &self,
        load_id: &str,
        first_row: u64,
        tracks: Vec<Track>,
    ) -> Result<LoadProgress> {
        // All rows first: an entry is a part of the batch, and a wrong row must leave none of it.
        for (row, track) in tracks.iter().enumerate() {
            track.validate().map_err(|error| error.at_row(row))?;
        }
        let progress = self.load_progress(load_id)?;
        let tracks = unseen(progress, first_row, tracks)?;
        let rows_done = self.load_track_rows(load_id, progress.rows_done, tracks)?;
        self.wake_worker();
        Ok(LoadProgress { rows_done, finished: progress.finished })
    }

    pub(super) fn load_vectors(
        &self,
        load_id: &str,
        first_row: u64,
        space: &SpaceName,
        generation: GenerationId,
        rows: Vec<VectorRow>,
    ) -> Result<LoadProgress> {
        let space = self.space(space)?;
        let progress = self.load_progress(load_id)?;
        let rows = unseen(progress, first_row, rows)?;
        let Some(dim) = rows.first().map(|row| row.vector.len()) else { return Ok(progress) };
        check_rows(&space, dim, &rows)?;
        let set = self.vector_set(&space, generation, dim)?;
        match space.entity {
            Entity::Track => self.stage_vectors(load_id, progress, set, rows),
            Entity::User => {
                let mut progress = progress;
                let mut load = self.user_load(load_id, progress.rows_done)?;
                for rows in user_rows(rows)?.chunks((ENTRY_VECTOR_BYTES / (4 * dim)).max(1)) {
                    let op = |rows| UserOp::UpsertVectors { space: space.name.clone(), generation, rows };
                    progress.rows_done = load.step(rows.to_vec(), |(user, _)| user, op)?;
                }
                Ok(progress)
            }
        }
    }

    fn stage_vectors(
        &self,
        load_id: &str,
        progress: LoadProgress,
        set: VectorSetSpec,
        rows: Vec<VectorRow>,
    ) -> Result<LoadProgress> {
        let owners = self.tracks.owners()?;
        let ids: Vec<TrackId> = (0..)
            .zip(&rows)
            .map(|(row, VectorRow { id, .. })| track_id(row, id.clone()))
            .collect::<Result<_>>()?;
        let book = self.look_tracks_up(&owners, ids.iter())?;
        if let Some((row, id)) = ids.iter().enumerate().find(|(_, id)| !book.has(id)) {
            return Err(Error::not_found("track", id).at_row(row));
        }
        self.check_disk()?;
        let mut stages = self.stages.lock();
        let stage = match stages.remove(load_id) {
            Some(stage) => stage,
            None => match self.open_stage(load_id)? {
                Some(stage) => stage,
                None => {
                    let VectorSetSpec { space, generation, dim, .. } = set.clone();
                    let header = StageHeader { load_id: load_id.to_owned(), space, generation, dim };
                    Stage::create(&self.staging_folder(), header)?
                }
            },
        };
        let stage = stages.entry(load_id.to_owned()).or_insert(stage);
        if stage.header.dim != set.dim
            || stage.header.space != set.space
            || stage.header.generation != set.generation
        {
            return Err(Error::Conflict(format!(
                "the load began with another space, generation or dimension. space=`{}`, generation=`{}`, dim=`{}`",
                stage.header.space, stage.header.generation, stage.header.dim
            )));
        }
        // Another call with the same rows may have been faster.
        let rows =
            unseen(LoadProgress { rows_done: stage.rows_done, finished: false }, progress.rows_done, rows)?;
        if rows.is_empty() {
            return Ok(LoadProgress { rows_done: stage.rows_done, finished: false });
        }
        let (ids, vectors): (Vec<String>, Vec<Vec<f32>>) =
            rows.into_iter().map(|VectorRow { id, vector }| (id, vector)).unzip();
        let first_row = stage.rows_done;
        if let Err(error) = stage.push(&StagedRows { first_row, ids, vectors: vectors.concat() }) {
            // The next call opens the file afresh, and so starts where the durable rows end.
            stages.remove(load_id);
            return Err(error);
        }
        stop_point(LOAD_STAGED);
        Ok(LoadProgress { rows_done: stage.rows_done, finished: false })
    }

    fn open_stage(&self, load_id: &str) -> Result<Option<Stage>> {
        Stage::open(&self.staging_folder(), load_id, self.was_closed)
    }

    /// Rows staged for a load, if any.
    fn staged_rows(&self, load_id: &str) -> Result<Option<u64>> {
        let mut stages = self.stages.lock();
        if !stages.contains_key(load_id)
            && let Some(stage) = self.open_stage(load_id)?
        {
            stages.insert(load_id.to_owned(), stage);
        }
        Ok(stages.get(load_id).map(|stage| stage.rows_done))
    }

    pub(super) fn finish_load(
        &self,
        load_id: &str,
        kind: LoadKind,
        progress: &(dyn Fn(f64) + Sync),
    ) -> Result<(LoadProgress, WriteToken)> {
        let before = self.load_progress(load_id)?;
        if before.finished {
            return Ok((before, self.token_now()));
        }
        let staged = self.stages.lock().remove(load_id);
        let done = LoadProgress { rows_done: before.rows_done, finished: true };
        match (kind, staged) {
            (LoadKind::Tracks, _) => {
                self.seal_now(progress)?;
                self.finish_track_load(load_id, done.rows_done)?;
            }
            (LoadKind::Vectors, Some(stage)) => {
                if let Err(error) = self.build_staged(&stage, done, progress) {
                    self.stages.lock().insert(load_id.to_owned(), stage);
                    return Err(error);
                }
                stage.remove()?;
                self.seal_now(&|_| {})?;
            }
            (LoadKind::Vectors, None) if self.track_load_progress(load_id)?.is_some() => {
                return Err(Error::Conflict(format!(
                    "some track shards have their rows of the load, the others have not, and this node has no staged rows of it: send \
                     all rows again, then end the load. load_id=`{load_id}`"
                )));
            }
            (LoadKind::Users | LoadKind::Plays | LoadKind::Vectors, _) => {
                self.finish_user_load(load_id, done.rows_done)?;
                if kind == LoadKind::Plays {
                    self.refresh_statistics_after_load();
                }
            }
        }
        progress(1.0);
        Ok((done, self.token_now()))
    }
}

fn check_load_id(load_id: &str) -> Result<()> {
    if load_id.is_empty() || load_id.len() > 256 {
        return Err(Error::invalid(
            "load_id",
            format!("must have 1 to 256 bytes. bytes=`{}`", load_id.len()),
        ));
    }
    Ok(())
}

/// The rows a load does not have yet.
pub(super) fn unseen<T>(progress: LoadProgress, first_row: u64, mut rows: Vec<T>) -> Result<Vec<T>> {
    if first_row > progress.rows_done {
        return Err(Error::Conflict(format!(
            "rows are missing before these: ask for the load's progress and go on there. first_row=`{first_row}`, rows_done=`{}`",
            progress.rows_done
        )));
    }
    let seen = usize::try_from(progress.rows_done - first_row).unwrap_or(usize::MAX).min(rows.len());
    Ok(rows.split_off(seen))
}

impl Inner {
    /// Refuses to write when the disk has no more than its reserve left.
    fn check_disk(&self) -> Result<()> {
        let stat = rustix::fs::statvfs(&self.dir).map_err(|errno| Error::Io {
            action: "asking for free space".into(),
            path: self.dir.clone(),
            source: errno.into(),
        })?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if free <= self.settings.storage.disk_reserve_bytes {
            return Err(Error::DiskFull { path: self.dir.clone() });
        }
        Ok(())
    }
}
