//! The vectors half of the `Catalog` service.

use super::convert;
use super::core::Core;
use super::proto as pb;
use crate::error::Result;
use crate::pipeline::request::WriteToken;
use crate::types::GenerationId;

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
    let page = (!request.page.is_empty()).then_some(request.page.as_str());
    let generation = request.generation.map(GenerationId);
    let (rows, next_page) = core.engine()?.list_vectors(&space, generation, page, limit)?;
    Ok(pb::ListVectorsReply {
        rows: rows.into_iter().map(Into::into).collect(),
        next_page: next_page.unwrap_or_default(),
    })
}
