//! The `Catalog` service.

use tonic::{Request, Response, Status, Streaming, async_trait};

use super::admission::Lane;
use super::core::Core;
use super::deadline::deadline_of;
use super::proto as pb;
use super::status::to_status;
use super::streams::next;
use super::{convert, vectors};
use crate::error::Result;
use crate::pipeline::request::WriteToken;
use crate::types::{Track, TrackId, User, UserId};

/// The service.
pub(super) struct CatalogService(pub(super) Core);

type Reply<T> = std::result::Result<Response<T>, Status>;

fn upsert_tracks(core: &Core, request: pb::UpsertTracksRequest) -> Result<(u64, WriteToken)> {
    let rows: Vec<Track> = convert::rows("tracks", request.tracks, core.limits().batch_rows_max)?;
    Ok((rows.len() as u64, core.engine()?.upsert_tracks(rows)?))
}

fn upsert_users(core: &Core, request: pb::UpsertUsersRequest) -> Result<(u64, WriteToken)> {
    let rows: Vec<User> = convert::rows("users", request.users, core.limits().batch_rows_max)?;
    Ok((rows.len() as u64, core.engine()?.upsert_users(rows)?))
}

fn upsert_reply((rows, token): (u64, WriteToken)) -> pb::UpsertReply {
    pb::UpsertReply { rows, token: Some(token.into()) }
}

fn delete_reply((rows, token): (u64, WriteToken)) -> pb::DeleteReply {
    pb::DeleteReply { rows, token: Some(token.into()) }
}

impl CatalogService {
    /// Writes the batches of a stream one after the other; the sum of rows and a token for all.
    async fn upsert_stream<P: Send + 'static>(
        &self,
        request: Request<Streaming<P>>,
        upsert: fn(&Core, P) -> Result<(u64, WriteToken)>,
    ) -> Reply<pb::UpsertReply> {
        let deadline = deadline_of(request.metadata(), None);
        let mut input = request.into_inner();
        let (mut rows, mut token) = (0, WriteToken::default());
        while let Some(batch) = next(&self.0, &mut input).await {
            let batch = batch?;
            let work = move |core: &Core| upsert(core, batch);
            let (written, newer) =
                self.0.run(Lane::Write, deadline, work).await.map_err(|error| to_status(&error))?;
            rows += written;
            merge(&mut token, newer);
        }
        Ok(Response::new(upsert_reply((rows, token))))
    }
}

/// Takes the higher index of each group.
fn merge(token: &mut WriteToken, newer: WriteToken) {
    for (group, index) in newer.applied {
        match token.applied.iter_mut().find(|(known, _)| *known == group) {
            Some((_, known)) => *known = index.max(*known),
            None => token.applied.push((group, index)),
        }
    }
}

#[async_trait]
impl pb::catalog_server::Catalog for CatalogService {
    async fn upsert_tracks(&self, request: Request<pb::UpsertTracksRequest>) -> Reply<pb::UpsertReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| upsert_tracks(core, request.into_inner()).map(upsert_reply);
        self.0.answer(Lane::Write, deadline, work).await
    }

    async fn upsert_tracks_stream(
        &self,
        request: Request<Streaming<pb::UpsertTracksRequest>>,
    ) -> Reply<pb::UpsertReply> {
        self.upsert_stream(request, upsert_tracks).await
    }

    async fn get_track(&self, request: Request<pb::GetTrackRequest>) -> Reply<pb::Track> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let id = TrackId::new(request.into_inner().track_id)?;
            Ok(core.engine()?.track(&id)?.into())
        };
        self.0.answer(Lane::Query, deadline, work).await
    }

    async fn delete_tracks(&self, request: Request<pb::DeleteTracksRequest>) -> Reply<pb::DeleteReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let rows_max = core.limits().batch_rows_max;
            let ids: Vec<TrackId> = convert::id_batch("track_ids", request.into_inner().track_ids, rows_max)?;
            core.engine()?.delete_tracks(&ids).map(delete_reply)
        };
        self.0.answer(Lane::Write, deadline, work).await
    }

    async fn list_tracks(&self, request: Request<pb::ListTracksRequest>) -> Reply<pb::ListTracksReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let pb::ListTracksRequest { page, limit } = request.into_inner();
            let limit = convert::page_size(limit, core.limits().k_max)?;
            let (tracks, next) = core.engine()?.list_tracks(convert::page_of_tracks(&page)?, limit)?;
            let next_page = next.map(|cursor| cursor.to_string()).unwrap_or_default();
            Ok(pb::ListTracksReply { tracks: tracks.into_iter().map(Into::into).collect(), next_page })
        };
        self.0.answer(Lane::Query, deadline, work).await
    }

    async fn upsert_users(&self, request: Request<pb::UpsertUsersRequest>) -> Reply<pb::UpsertReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| upsert_users(core, request.into_inner()).map(upsert_reply);
        self.0.answer(Lane::Write, deadline, work).await
    }

    async fn upsert_users_stream(
        &self,
        request: Request<Streaming<pb::UpsertUsersRequest>>,
    ) -> Reply<pb::UpsertReply> {
        self.upsert_stream(request, upsert_users).await
    }

    async fn get_user(&self, request: Request<pb::GetUserRequest>) -> Reply<pb::User> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let id = UserId::new(request.into_inner().user_id)?;
            Ok(core.engine()?.user(&id)?.into())
        };
        self.0.answer(Lane::Query, deadline, work).await
    }

    async fn delete_users(&self, request: Request<pb::DeleteUsersRequest>) -> Reply<pb::DeleteReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let rows_max = core.limits().batch_rows_max;
            let ids: Vec<UserId> = convert::id_batch("user_ids", request.into_inner().user_ids, rows_max)?;
            core.engine()?.delete_users(&ids).map(delete_reply)
        };
        self.0.answer(Lane::Write, deadline, work).await
    }

    async fn list_users(&self, request: Request<pb::ListUsersRequest>) -> Reply<pb::ListUsersReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let pb::ListUsersRequest { page, limit, part, parts } = request.into_inner();
            let limit = convert::page_size(limit, core.limits().k_max)?;
            let (part, page) = (convert::part(part, parts)?, convert::page_of_users(page)?);
            let (users, next) = core.engine()?.list_users_in(part, page, limit)?;
            let next_page = next.map(String::from).unwrap_or_default();
            Ok(pb::ListUsersReply { users: users.into_iter().map(Into::into).collect(), next_page })
        };
        self.0.answer(Lane::Query, deadline, work).await
    }

    async fn upsert_vectors(&self, request: Request<pb::UpsertVectorsRequest>) -> Reply<pb::UpsertReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| vectors::upsert(core, request.into_inner()).map(upsert_reply);
        self.0.answer(Lane::Write, deadline, work).await
    }

    async fn upsert_vectors_stream(
        &self,
        request: Request<Streaming<pb::UpsertVectorsRequest>>,
    ) -> Reply<pb::UpsertReply> {
        self.upsert_stream(request, vectors::upsert).await
    }

    async fn get_vector(&self, request: Request<pb::GetVectorRequest>) -> Reply<pb::VectorRow> {
        let deadline = self.0.deadline(request.metadata());
        self.0.answer(Lane::Query, deadline, |core| vectors::get(core, request.into_inner())).await
    }

    async fn delete_vectors(&self, request: Request<pb::DeleteVectorsRequest>) -> Reply<pb::DeleteReply> {
        let deadline = self.0.deadline(request.metadata());
        self.0.answer(Lane::Write, deadline, |core| vectors::delete(core, request.into_inner())).await
    }

    async fn list_vectors(&self, request: Request<pb::ListVectorsRequest>) -> Reply<pb::ListVectorsReply> {
        let deadline = self.0.deadline(request.metadata());
        self.0.answer(Lane::Query, deadline, |core| vectors::list(core, request.into_inner())).await
    }
}
