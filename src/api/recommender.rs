//! The `Recommender` service.

use tonic::{Request, Response, Status, async_trait};

use super::admission::Lane;
use super::border::{stamp_recommend, stamp_similar};
use super::convert;
use super::core::Core;
use super::proto as pb;
use super::recommend_all::recommend_all;
use super::status::to_status;
use super::streams::Replies;
use crate::pipeline::batch::BatchRequest;
use crate::pipeline::request::{
    ExplainRequest, RecommendRequest, RequestContext, SearchRequest, SimilarRequest, SimilarUsersRequest,
};
use crate::types::{Timestamp, UserId};

/// Logged lists that are given to who does not say how many.
const LOGGED_LISTS: u32 = 10;

/// The service.
pub(super) struct RecommenderService(pub(super) Core);

type Reply<T> = Result<Response<T>, Status>;

#[async_trait]
impl pb::recommender_server::Recommender for RecommenderService {
    type RecommendAllStream = Replies<pb::Recommendation>;

    async fn recommend(&self, request: Request<pb::RecommendRequest>) -> Reply<pb::Recommendation> {
        let deadline = self.0.deadline(request.metadata());
        let work = move |core: &Core| {
            let request = RecommendRequest { deadline, ..request.into_inner().try_into()? };
            request.validate(core.limits())?;
            Ok(core.engine()?.recommend(stamp_recommend(request))?.into())
        };
        self.0.answer(Lane::Query, deadline, work).await
    }

    async fn similar(&self, request: Request<pb::SimilarRequest>) -> Reply<pb::Recommendation> {
        let deadline = self.0.deadline(request.metadata());
        let work = move |core: &Core| {
            let request = SimilarRequest { deadline, ..request.into_inner().try_into()? };
            request.validate(core.limits())?;
            Ok(core.engine()?.similar(stamp_similar(request))?.into())
        };
        self.0.answer(Lane::Query, deadline, work).await
    }

    async fn similar_users(&self, request: Request<pb::SimilarUsersRequest>) -> Reply<pb::SimilarUsersReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = move |core: &Core| {
            let request = SimilarUsersRequest { deadline, ..request.into_inner().try_into()? };
            request.validate(core.limits())?;
            let users = core.engine()?.similar_users(request)?;
            Ok(pb::SimilarUsersReply { users: users.into_iter().map(Into::into).collect() })
        };
        self.0.answer(Lane::Query, deadline, work).await
    }

    async fn search(&self, request: Request<pb::SearchRequest>) -> Reply<pb::Recommendation> {
        let deadline = self.0.deadline(request.metadata());
        let work = move |core: &Core| {
            let request = SearchRequest { deadline, ..request.into_inner().try_into()? };
            request.validate(core.limits())?;
            Ok(core.engine()?.search(request)?.into())
        };
        self.0.answer(Lane::Query, deadline, work).await
    }

    async fn explain(&self, request: Request<pb::ExplainRequest>) -> Reply<pb::Explanation> {
        let deadline = self.0.deadline(request.metadata());
        let work = move |core: &Core| {
            let mut request = ExplainRequest::try_from(request.into_inner())?;
            request.validate(core.limits())?;
            request.request = stamp_recommend(RecommendRequest { deadline, ..request.request });
            Ok(core.engine()?.explain(request)?.into())
        };
        self.0.answer(Lane::Query, deadline, work).await
    }

    async fn recommend_all(
        &self,
        request: Request<pb::RecommendAllRequest>,
    ) -> Reply<Self::RecommendAllStream> {
        let request = request.into_inner();
        let after = request.after_user_id.clone().map(UserId::new).transpose();
        let begun = BatchRequest::try_from(request).and_then(|lists| {
            lists.validate()?;
            recommend_all(self.0.clone(), lists, after?)
        });
        begun.map(Response::new).map_err(|error| to_status(&error))
    }

    async fn portrait(&self, request: Request<pb::PortraitRequest>) -> Reply<pb::ListenerPortrait> {
        let deadline = self.0.deadline(request.metadata());
        let work = move |core: &Core| {
            let pb::PortraitRequest { user_id, as_of_ms, context } = request.into_inner();
            let user = UserId::new(user_id)?;
            let context: RequestContext = context.map_or_else(RequestContext::default, Into::into);
            let as_of = as_of_ms.map_or_else(Timestamp::now, Timestamp);
            Ok(core.engine()?.portrait(&user, as_of, &context)?.into())
        };
        self.0.answer(Lane::Query, deadline, work).await
    }

    async fn logged_lists(&self, request: Request<pb::LoggedListsRequest>) -> Reply<pb::LoggedListsReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = move |core: &Core| {
            let pb::LoggedListsRequest { user_id, until_ms, limit } = request.into_inner();
            let user = UserId::new(user_id)?;
            let until = until_ms.map_or_else(Timestamp::now, Timestamp);
            until.validate("until")?;
            let limit = if limit == 0 { LOGGED_LISTS } else { limit };
            let limit = convert::page_size(limit, core.limits().k_max)?;
            let lists = core.engine()?.logged_lists(&user, until, limit)?;
            Ok(pb::LoggedListsReply { lists: lists.into_iter().map(Into::into).collect() })
        };
        self.0.answer(Lane::Query, deadline, work).await
    }
}
