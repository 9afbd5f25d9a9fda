//! The vectors half of the `Catalog` service.

use super::convert;
use super::core::Core;
use super::proto as pb;
use crate::error::{ErrorKind, Result};
use crate::node::{Segue, VectorRow};
use crate::pipeline::request::WriteToken;
use crate::types::{Entity, GenerationId, SpaceName, SpaceSpec};

/// Writes one batch; the rows written and the token.
pub(super) fn upsert(core: &Core, request: pb::UpsertVectorsRequest) -> Result<(u64, WriteToken)> {
    let space = convert::space(request.space)?;
    let rows = convert::vector_rows(request.rows, core.limits().batch_rows_max)?;
    let count = rows.len() as u64;
    let token = core.engine()?.upsert_vectors(&space, GenerationId(request.generation), rows)?;
    Ok((count, token))
}

/// One vector.
pub(super) fn get(core: &Core, request: pb::GetVectorRequest) -> Result<pb::VectorRow> {
    let space = convert::space(request.space)?;
    let vector = core.engine()?.vector(&space, request.generation.map(GenerationId), &request.id)?;
    Ok(pb::VectorRow { id: request.id, vector })
}

/// Removes vectors by id.
pub(super) fn delete(core: &Core, request: pb::DeleteVectorsRequest) -> Result<pb::DeleteReply> {
    let space = convert::space(request.space)?;
    let ids = convert::id_batch("ids", request.ids, core.limits().batch_rows_max)?;
    let (rows, token) = core.engine()?.delete_vectors(&space, GenerationId(request.generation), &ids)?;
    Ok(pb::DeleteReply { rows, token: Some(token.into()) })
}

/// One page of a space: the ids of one page of tracks or listeners, with their vectors.
pub(super) fn list(core: &Core, request: pb::ListVectorsRequest) -> Result<pb::ListVectorsReply> {
    let space = convert::space(request.space)?;
    let limit = convert::page_size(request.limit, core.limits().k_max)?;
    let engine = core.engine()?;
    let (ids, next_page) = match entity(&space) {
        Entity::Track => {
            let (tracks, next) = engine.list_tracks(convert::page_of_tracks(&request.page)?, limit)?;
            let ids: Vec<String> = tracks.into_iter().map(|track| track.track_id.into()).collect();
            (ids, next.map(|cursor| cursor.to_string()))
        }
        Entity::User => {
            let (users, next) = engine.list_users(convert::page_of_users(request.page)?, limit)?;
            let ids: Vec<String> = users.into_iter().map(|user| user.user_id.into()).collect();
            (ids, next.map(String::from))
        }
    };
    let rows = vectors_of(engine, &space, request.generation.map(GenerationId), ids)?;
    Ok(pb::ListVectorsReply {
        rows: rows.into_iter().map(Into::into).collect(),
        next_page: next_page.unwrap_or_default(),
    })
}

fn entity(space: &SpaceName) -> Entity {
    let built_in = SpaceSpec::built_in();
    built_in.iter().find(|spec| spec.name == *space).map_or(Entity::Track, |spec| spec.entity)
}

fn vectors_of(
    engine: &Segue,
    space: &SpaceName,
    generation: Option<GenerationId>,
    ids: Vec<String>,
) -> Result<Vec<VectorRow>> {
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        match engine.vector(space, generation, &id) {
            Ok(vector) => rows.push(VectorRow { id, vector }),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(rows)
}
