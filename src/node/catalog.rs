//! Writes and reads of tracks and their vectors.

use super::engine::Inner;
use super::track_book::TrackBook;
use super::track_owners::Owner;
use super::tracks::{TrackPart, commands};
use crate::error::{Error, Result};
use crate::pipeline::request::WriteToken;
use crate::pipeline::tracks::KnownTrack;
use crate::storage::track_shard::command::{TrackCommand, TrackReply, VectorSetSpec};
use crate::storage::track_shard::{decode_reply, encode};
use crate::types::{Entity, GenerationId, Metric, SpaceName, SpaceSpec, Track, TrackId, UserId, VectorRow};

/// The place of the first track shard, which says of what dimension a space without generations is: it keeps slot 0 for ever.
pub(super) const FIRST: usize = 0;

impl Inner {
    /// Has a majority fetch the files that a command of a track shard makes live; nothing for a database that is alone.
    pub(super) fn spread_files(&self, part: &TrackPart, command: &TrackCommand) -> Result<()> {
        match (&self.peers, command) {
            (Some(peers), command) if !command.new_segments().is_empty() => {
                peers.spread(&part.group, part.shard.shard, command.new_segments())
            }
            _ => Ok(()),
        }
    }

    /// Proposes to one track shard; the reply once applied.
    pub(super) fn propose_tracks(&self, part: &TrackPart, command: &TrackCommand) -> Result<TrackReply> {
        self.spread_files(part, command)?;
        self.propose_spread(part, command)
    }

    /// The same of a command whose files a majority has.
    pub(super) fn propose_spread(&self, part: &TrackPart, command: &TrackCommand) -> Result<TrackReply> {
        decode_reply(&part.group.propose(encode(command)?)?.reply)
    }

    /// Proposes to one track shard, wherever it is, what brings no files.
    pub(super) fn propose_to_owner(&self, owner: &Owner, command: &TrackCommand) -> Result<TrackReply> {
        match owner {
            Owner::Here(part) => self.propose_tracks(part, command),
            Owner::Elsewhere(shard) => decode_reply(&shard.group.propose(encode(command)?)?.reply),
        }
    }

    pub(super) fn upsert_tracks(&self, tracks: Vec<Track>) -> Result<WriteToken> {
        for (row, track) in tracks.iter().enumerate() {
            track.validate().map_err(|error| Error::InvalidRow { row, source: Box::new(error) })?;
        }
        let owners = self.tracks.owners()?;
        let book = self.look_tracks_up(&owners, tracks.iter().map(|track| &track.track_id))?;
        let new = new_track_ids(&book, &tracks);
        let parts = owners.split(tracks, |track| &track.track_id);
        let parts = commands(parts, |tracks| TrackCommand::UpsertTracks { tracks, load: None });
        // Some shards may have theirs.
        let proposed = self.tracks.propose(&owners, parts).inspect_err(|_| self.resolve_later());
        let (_, mut token) = proposed?;
        token.applied.extend(self.resolve_waiting(&new)?.applied);
        self.wake_worker();
        Ok(token)
    }

    pub(super) fn delete_tracks(&self, ids: &[TrackId]) -> Result<(u64, WriteToken)> {
        let owners = self.tracks.owners()?;
        let parts = owners.split(ids.to_vec(), |id| id);
        self.tracks.propose_counted(&owners, commands(parts, |ids| TrackCommand::DeleteTracks { ids }))
    }

    pub(super) fn track(&self, id: &TrackId) -> Result<Track> {
        Ok(self.reader(None)?.record(id)?.track.clone())
    }

    pub(super) fn list_tracks(&self, cursor: Option<u64>, limit: usize) -> Result<(Vec<Track>, Option<u64>)> {
        // A place is the shard in the upper half, the ordinal in the lower.
        let first = cursor.map_or(0, |cursor| cursor.saturating_add(1));
        let reader = self.reader(None)?;
        let mut shards: Vec<usize> = (0..reader.tracks.count()).collect();
        shards.sort_by_key(|place| reader.tracks.id(*place));
        let (mut tracks, mut last) = (Vec::new(), None);
        for place in shards {
            let shard = u64::from(reader.tracks.id(place).0);
            let ordinals = shard << 32..(shard << 32) + u64::from(reader.tracks.ordinals(place));
            let from = ordinals.start.max(first);
            if from >= ordinals.end {
                continue;
            }
            // One more says whether there is another page.
            for (ordinal, row) in reader.page(place, from as u32, limit.saturating_add(1) - tracks.len())? {
                if tracks.len() == limit {
                    return Ok((tracks, last));
                }
                tracks.push(row.track.clone());
                last = Some((shard << 32) + u64::from(ordinal));
            }
        }
        Ok((tracks, None))
    }

    /// The set a track space's vectors of a generation belong to, with `dim` components.
    ///
    /// # Errors
    /// `InvalidField` when the generation has another dimension, `Conflict` when the generation does not take vectors.
    pub(super) fn vector_set(
        &self,
        space: &SpaceSpec,
        generation: GenerationId,
        dim: usize,
    ) -> Result<VectorSetSpec> {
        let dim = u32::try_from(dim).map_err(|_| Error::invalid("vector", "too many components"))?;
        let expected = if space.generational {
            Some(self.generation_dim(generation)?)
        } else if generation == GenerationId::STATIC {
            self.dim_at(&self.tracks.owners()?, FIRST, &space.name, generation)?
        } else {
            return Err(Error::invalid(
                "generation",
                format!(
                    "the space has no generations: leave it out. space=`{}`, generation=`{generation}`",
                    space.name
                ),
            ));
        };
        if let Some(expected) = expected
            && expected != dim
        {
            return Err(wrong_dim(space, expected, dim));
        }
        Ok(VectorSetSpec { space: space.name.clone(), generation, dim, metrics: space.metrics.clone() })
    }

    /// Whether vectors of a space may be written without a look at what other nodes have acknowledged: definitions of spaces
    /// never change, and the track shard checks the rest when it applies them. One of several cannot check for the others.
    pub(super) fn is_settled(&self, space: &SpaceName) -> bool {
        let state = self.meta.shard.state();
        self.tracks.is_only_one()
            && state.space(space).is_some_and(|space| space.entity == Entity::Track && !space.generational)
    }

    pub(super) fn upsert_vectors(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        rows: Vec<VectorRow>,
    ) -> Result<WriteToken> {
        let space = self.space(space)?;
        let Some(dim) = rows.first().map(|row| row.vector.len()) else { return Ok(WriteToken::default()) };
        check_rows(&space, dim, &rows)?;
        let set = self.vector_set(&space, generation, dim)?;
        match space.entity {
            Entity::User => self.upsert_user_vectors(&space.name, generation, rows),
            Entity::Track => self.upsert_track_vectors(&space, &set, rows),
        }
    }

    pub(super) fn delete_vectors(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        ids: &[String],
    ) -> Result<(u64, WriteToken)> {
        let space = self.space(space)?;
        match space.entity {
            Entity::Track => {
                let ids = ids.iter().map(|id| Ok(TrackId::new(id.as_str())?)).collect::<Result<_>>()?;
                let owners = self.tracks.owners()?;
                let parts = owners.split(ids, |id| id);
                let delete = |ids| TrackCommand::DeleteVectors { space: space.name.clone(), generation, ids };
                self.tracks.propose_counted(&owners, commands(parts, delete))
            }
            Entity::User => {
                let users = ids.iter().map(|id| Ok(UserId::new(id.as_str())?)).collect::<Result<_>>()?;
                self.delete_user_vectors(&space.name, generation, users)
            }
        }
    }

    pub(super) fn vector(
        &self,
        space: &SpaceName,
        generation: Option<GenerationId>,
        id: &str,
    ) -> Result<Vec<f32>> {
        let space = self.space(space)?;
        let generation = self.generation_for(&space, generation)?;
        let found = match space.entity {
            Entity::Track => {
                let reader = self.reader(None)?;
                let track = reader.existing(&TrackId::new(id)?)?.track;
                let vector = reader.vector(&space.name, generation, track).map(<[f32]>::to_vec);
                reader.has_answered_for(track)?;
                vector
            }
            Entity::User => {
                let user = UserId::new(id)?;
                self.users.shards.vector(&space.name, generation, &user).map_err(user_error)?
            }
        };
        found.ok_or_else(|| Error::not_found("vector", id))
    }

    /// Pages are those of the space's tracks or listeners: ids without a vector are passed over.
    pub(super) fn list_vectors(
        &self,
        space: &SpaceName,
        generation: Option<GenerationId>,
        page: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<VectorRow>, Option<String>)> {
        let spec = self.space(space)?;
        let generation = self.generation_for(&spec, generation)?;
        let (ids, next): (Vec<String>, Option<String>) = match spec.entity {
            Entity::Track => {
                let cursor = page.map(ordinal_page).transpose()?;
                let (tracks, next) = self.list_tracks(cursor, limit)?;
                (
                    tracks.into_iter().map(|track| track.track_id.into()).collect(),
                    next.map(|at| at.to_string()),
                )
            }
            Entity::User => {
                let cursor = page.map(UserId::new).transpose()?;
                let (users, next) = self.list_users(cursor, limit)?;
                (users.into_iter().map(|user| user.user_id.into()).collect(), next.map(String::from))
            }
        };
        let rows = match spec.entity {
            Entity::User => self.user_vectors(&spec.name, generation, ids)?,
            Entity::Track => self.track_vectors(&spec.name, generation, ids)?,
        };
        Ok((rows, next))
    }
}

impl Inner {
    /// Vectors of listeners, those without one left out.
    fn user_vectors(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        ids: Vec<String>,
    ) -> Result<Vec<VectorRow>> {
        let users: Vec<UserId> = ids.iter().map(|id| Ok(UserId::new(id.as_str())?)).collect::<Result<_>>()?;
        let vectors = self.users.shards.vectors(space, generation, &users).map_err(user_error)?;
        let rows = ids.into_iter().zip(vectors);
        Ok(rows.filter_map(|(id, vector)| Some(VectorRow { id, vector: vector? })).collect())
    }

    /// Vectors of tracks, those left out that have none, or were removed since their page was read.
    fn track_vectors(
        &self,
        space: &SpaceName,
        generation: GenerationId,
        ids: Vec<String>,
    ) -> Result<Vec<VectorRow>> {
        let tracks: Vec<TrackId> =
            ids.iter().map(|id| Ok(TrackId::new(id.as_str())?)).collect::<Result<_>>()?;
        let reader = self.reader(None)?;
        let known = reader.look_up(&tracks)?;
        let known: Vec<_> = known.into_iter().map(|known| known.filter(|known| known.exists)).collect();
        reader.expect_vectors(space, generation, known.iter().flatten().map(|known| known.track))?;
        let vector = |(id, known): (String, Option<KnownTrack>)| {
            let vector = reader.vector(space, generation, known?.track)?.to_vec();
            Some(VectorRow { id, vector })
        };
        let rows = ids.into_iter().zip(known).filter_map(vector).collect();
        reader.whole()?;
        Ok(rows)
    }
}

/// Ids among `tracks` that had no ordinal before: events may be waiting for them.
pub(super) fn new_track_ids(book: &TrackBook<'_>, tracks: &[Track]) -> Vec<TrackId> {
    let new = tracks.iter().filter(|track| book.find(&track.track_id).is_none());
    new.map(|track| track.track_id.clone()).collect()
}

/// A page of tracks is the last place of the page before: shard and ordinal.
fn ordinal_page(page: &str) -> Result<u64> {
    page.parse().map_err(|_| {
        let shown: String = page.chars().take(80).collect();
        Error::invalid("page", format!("is not a page of this list. page=`{shown}`"))
    })
}

/// What the user shard's errors mean to callers.
pub(super) fn user_error(error: crate::storage::user_shard::UserShardError) -> Error {
    Error::from(error)
}

pub(super) fn track_id(row: usize, id: String) -> Result<TrackId> {
    TrackId::new(id).map_err(|error| Error::InvalidRow { row, source: Box::new(error.into()) })
}

pub(super) fn wrong_dim(space: &SpaceSpec, expected: u32, dim: u32) -> Error {
    Error::invalid(
        "vector",
        format!(
            "the space has another dimension here. space=`{}`, dim=`{dim}`, expected=`{expected}`",
            space.name
        ),
    )
}

/// Checks rows against each other and the space: one dimension, finite, and no zero vectors where only directions count.
pub(super) fn check_rows(space: &SpaceSpec, dim: usize, rows: &[VectorRow]) -> Result<()> {
    let directions_only = space.metrics.iter().all(|metric| *metric == Metric::Cosine);
    for (row, VectorRow { vector, .. }) in rows.iter().enumerate() {
        let fault = if vector.len() != dim {
            Error::invalid(
                "vector",
                format!("rows differ in dimension. dim=`{}`, first_row=`{dim}`", vector.len()),
            )
        } else if let Err(error) = crate::pipeline::validate_vector("vector", vector) {
            error
        } else if directions_only && vector.iter().all(|x| *x == 0.0) {
            Error::invalid("vector", "a zero vector has no direction; the space compares by cosine")
        } else {
            continue;
        };
        return Err(Error::InvalidRow { row, source: Box::new(fault) });
    }
    Ok(())
}
