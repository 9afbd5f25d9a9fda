//! Bulk loads.

use super::catalog::vector_rows;
use super::common::{required, rows, space, unknown_value};
use crate::api::proto as pb;
use crate::error::{Error, Result};
use crate::node::{LoadKind, LoadProgress, VectorRow};
use crate::types::{
    GenerationId, Play, PlayAction, SpaceName, Timestamp, Track, TrackId, User, UserId, word,
};

/// One piece of a bulk load.
#[derive(Debug, Clone, PartialEq)]
pub enum Batch {
    /// Catalogue rows.
    Tracks(Vec<Track>),
    /// Listener rows.
    Users(Vec<User>),
    /// Listening events.
    Plays(Vec<Play>),
    /// Vectors of one space and generation.
    Vectors(SpaceName, GenerationId, Vec<VectorRow>),
}

/// A load's name.
pub(crate) fn load_id(id: String) -> Result<String> {
    word("load_id", &id)?;
    Ok(id)
}

/// One pushed piece: load, first row, rows.
pub(crate) fn push(request: pb::PushRequest, rows_max: u32) -> Result<(String, u64, Batch)> {
    use pb::push_request::Rows;
    let batch = match required("rows", request.rows)? {
        Rows::Tracks(batch) => Batch::Tracks(rows("tracks.rows", batch.rows, rows_max)?),
        Rows::Users(batch) => Batch::Users(rows("users.rows", batch.rows, rows_max)?),
        Rows::Plays(batch) => Batch::Plays(rows("plays.rows", batch.rows, rows_max)?),
        Rows::Vectors(batch) => Batch::Vectors(
            space(batch.space)?,
            GenerationId(batch.generation),
            vector_rows(batch.rows, rows_max)?,
        ),
    };
    Ok((load_id(request.load_id)?, request.first_row, batch))
}

impl From<Batch> for pb::push_request::Rows {
    fn from(batch: Batch) -> Self {
        match batch {
            Batch::Tracks(rows) => {
                Self::Tracks(pb::TrackRows { rows: rows.into_iter().map(Into::into).collect() })
            }
            Batch::Users(rows) => {
                Self::Users(pb::UserRows { rows: rows.into_iter().map(Into::into).collect() })
            }
            Batch::Plays(rows) => {
                Self::Plays(pb::PlayRows { rows: rows.into_iter().map(Into::into).collect() })
            }
            Batch::Vectors(space, generation, rows) => Self::Vectors(pb::VectorRows {
                space: space.into(),
                generation: generation.0,
                rows: rows.into_iter().map(Into::into).collect(),
            }),
        }
    }
}

impl TryFrom<pb::Play> for Play {
    type Error = Error;
    fn try_from(proto: pb::Play) -> Result<Self> {
        let action = match pb::PlayAction::try_from(proto.action) {
            Ok(pb::PlayAction::Play) => PlayAction::Play,
            Ok(pb::PlayAction::Skip) => PlayAction::Skip,
            Ok(pb::PlayAction::Save) => PlayAction::Save,
            Ok(pb::PlayAction::Repeat) => PlayAction::Repeat,
            Ok(pb::PlayAction::Unspecified) | Err(_) => return Err(unknown_value("action", proto.action)),
        };
        let play = Self {
            user_id: UserId::new(proto.user_id)?,
            track_id: TrackId::new(proto.track_id)?,
            played_at: Timestamp(proto.played_at_ms),
            listened_ms: proto.listened_ms,
            action,
        };
        play.validate()?;
        Ok(play)
    }
}

impl From<Play> for pb::Play {
    fn from(play: Play) -> Self {
        let action = match play.action {
            PlayAction::Play => pb::PlayAction::Play,
            PlayAction::Skip => pb::PlayAction::Skip,
            PlayAction::Save => pb::PlayAction::Save,
            PlayAction::Repeat => pb::PlayAction::Repeat,
        };
        Self {
            user_id: play.user_id.into(),
            track_id: play.track_id.into(),
            played_at_ms: play.played_at.0,
            listened_ms: play.listened_ms,
            action: action.into(),
        }
    }
}

/// What a load brings.
pub(crate) fn load_kind(value: i32) -> Result<LoadKind> {
    match pb::LoadKind::try_from(value) {
        Ok(pb::LoadKind::Tracks) => Ok(LoadKind::Tracks),
        Ok(pb::LoadKind::Users) => Ok(LoadKind::Users),
        Ok(pb::LoadKind::Plays) => Ok(LoadKind::Plays),
        Ok(pb::LoadKind::Vectors) => Ok(LoadKind::Vectors),
        Ok(pb::LoadKind::Unspecified) | Err(_) => Err(unknown_value("kind", value)),
    }
}

/// What a load brings.
pub(crate) fn load_kind_to_proto(kind: LoadKind) -> pb::LoadKind {
    match kind {
        LoadKind::Tracks => pb::LoadKind::Tracks,
        LoadKind::Users => pb::LoadKind::Users,
        LoadKind::Plays => pb::LoadKind::Plays,
        LoadKind::Vectors => pb::LoadKind::Vectors,
    }
}

impl From<LoadProgress> for pb::LoadProgress {
    fn from(progress: LoadProgress) -> Self {
        Self { rows_done: progress.rows_done, finished: progress.finished }
    }
}

impl From<pb::LoadProgress> for LoadProgress {
    fn from(proto: pb::LoadProgress) -> Self {
        Self { rows_done: proto.rows_done, finished: proto.finished }
    }
}
