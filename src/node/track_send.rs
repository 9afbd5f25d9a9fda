//! Staged vectors of a bulk load on their way to a track shard on other nodes: by its log, a part at a time.

use super::catalog::wrong_dim;
use super::engine::{Inner, LoadProgress};
use super::load::ENTRY_VECTOR_BYTES;
use super::stage::Stage;
use super::track_owners::{Owner, TrackOwners};
use super::tracks::unexpected;
use crate::error::Result;
use crate::storage::track_shard::command::{LoadMark, TrackCommand, TrackReply, VectorSetSpec};
use crate::types::{SpaceSpec, TrackId};

impl Inner {
    /// Has a shard elsewhere take its staged rows by its log, unless it has them: nobody can build its segments here. Sent again
    /// they change nothing.
    pub(super) fn send_part(
        &self,
        (owners, owner, place): (&TrackOwners, &Owner, usize),
        stage: &Stage,
        (space, set): (&SpaceSpec, &VectorSetSpec),
        done: LoadProgress,
        progress: &(dyn Fn(f64) + Sync),
    ) -> Result<bool> {
        let load_id = stage.header.load_id.clone();
        let marks = self.load_marks(owners, &load_id)?;
        if marks[place].as_ref().is_some_and(|mark| mark.finished) {
            return Ok(true);
        }
        let (dim, mut seen) = (set.dim as usize, 0_u64);
        let entry_rows = (ENTRY_VECTOR_BYTES / (4 * dim)).max(1);
        let mut is_taken = true;
        stage.for_each(|staged| {
            let of_shard = |(id, _): &(&String, &[f32])| owners.place_of(id) == place;
            let all = staged.ids.iter().zip(staged.vectors.chunks_exact(dim));
            let rows: Vec<(&String, &[f32])> = all.filter(of_shard).collect();
            for rows in rows.chunks(entry_rows) {
                is_taken = is_taken && self.send_rows(owner, (space, set), rows.to_vec())?;
            }
            seen += staged.ids.len() as u64;
            progress(seen as f64 / done.rows_done.max(1) as f64);
            Ok(())
        })?;
        let load = LoadMark { load_id, rows_done: done.rows_done, finished: true };
        let mark = TrackCommand::MarkLoad { load };
        Ok(is_taken && is_taken_by(&self.propose_to_owner(owner, &mark)?, (space, set))?)
    }

    /// Sends vectors to a shard in one entry, without those of tracks that were removed meanwhile; whether they were taken, or the
    /// shard is being split.
    fn send_rows(
        &self,
        owner: &Owner,
        of: (&SpaceSpec, &VectorSetSpec),
        mut rows: Vec<(&String, &[f32])>,
    ) -> Result<bool> {
        loop {
            let ids = rows.iter().map(|(id, _)| Ok(TrackId::new(id.as_str())?)).collect::<Result<_>>()?;
            let vectors = rows.iter().flat_map(|(_, vector)| vector.iter().copied()).collect();
            let command = TrackCommand::UpsertVectors { set: of.1.clone(), ids, rows: vectors };
            match self.propose_to_owner(owner, &command)? {
                TrackReply::UnknownTrack { row } if (row as usize) < rows.len() => {
                    rows.remove(row as usize);
                }
                reply => return is_taken_by(&reply, of),
            }
        }
    }
}

/// Whether a shard took what was sent, or is being split.
fn is_taken_by(reply: &TrackReply, (space, set): (&SpaceSpec, &VectorSetSpec)) -> Result<bool> {
    match reply {
        TrackReply::Done(_) => Ok(true),
        TrackReply::Moved => Ok(false),
        TrackReply::WrongDim { expected } => Err(wrong_dim(space, *expected, set.dim)),
        other => Err(unexpected(other)),
    }
}
