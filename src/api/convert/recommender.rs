//! Questions. Replies are in `replies`. Deadlines travel beside the messages: the service puts them in.

use super::catalog::ids;
use super::common::{metric, metric_to_proto, part, required};
use crate::api::proto as pb;
use crate::error::{Error, Result};
use crate::pipeline::batch::BatchRequest;
use crate::pipeline::request::{
    ExplainRequest, RecommendRequest, RequestContext, SearchRequest, SimilarRequest, SimilarUsersRequest,
    TrackFilter, WriteToken,
};
use crate::types::{Deadline, GenerationId, SpaceName, Surface, Timestamp, TrackId, UserId};

/// The space a search without a space is in.
const DEFAULT_SPACE: &str = "track_cf";

impl TryFrom<pb::RecommendRequest> for RecommendRequest {
    type Error = Error;
    fn try_from(proto: pb::RecommendRequest) -> Result<Self> {
        Ok(Self {
            user_id: UserId::new(proto.user_id)?,
            surface: Surface::new(proto.surface)?,
            n: proto.n,
            as_of: proto.as_of_ms.map(Timestamp),
            recipe: proto.recipe,
            overrides: proto.overrides.map(TryInto::try_into).transpose()?.unwrap_or_default(),
            request_id: proto.request_id,
            filter: filter(proto.filter)?,
            seeds: ids("seeds", proto.seeds)?,
            context: proto.context.map(RequestContext::from).unwrap_or_default(),
            explain: proto.explain,
            exact: proto.exact,
            offers: proto.offers,
            generation: proto.generation.map(GenerationId),
            min_token: token(proto.min_token)?,
            deadline: Deadline::NEVER,
            once: false,
        })
    }
}

impl TryFrom<pb::RecommendAllRequest> for BatchRequest {
    type Error = Error;
    fn try_from(proto: pb::RecommendAllRequest) -> Result<Self> {
        Ok(Self {
            surface: Surface::new(proto.surface)?,
            as_of: proto.as_of_ms.map_or_else(Timestamp::now, Timestamp),
            recipe: proto.recipe,
            part: part(proto.part, proto.parts)?,
        })
    }
}

fn token(proto: Option<pb::WriteToken>) -> Result<Option<WriteToken>> {
    proto.map(WriteToken::try_from).transpose()
}

fn filter(proto: Option<pb::TrackFilter>) -> Result<TrackFilter> {
    proto.map_or(Ok(TrackFilter::default()), TrackFilter::try_from)
}

impl From<RecommendRequest> for pb::RecommendRequest {
    fn from(request: RecommendRequest) -> Self {
        Self {
            user_id: request.user_id.into(),
            surface: request.surface.into(),
            n: request.n,
            as_of_ms: request.as_of.map(|at| at.0),
            recipe: request.recipe,
            overrides: Some(request.overrides.into()),
            request_id: request.request_id,
            filter: Some(request.filter.into()),
            seeds: request.seeds.into_iter().map(Into::into).collect(),
            context: Some(request.context.into()),
            explain: request.explain,
            exact: request.exact,
            generation: request.generation.map(|id| id.0),
            min_token: request.min_token.map(Into::into),
            offers: request.offers,
        }
    }
}

impl TryFrom<pb::SimilarRequest> for SimilarRequest {
    type Error = Error;
    fn try_from(proto: pb::SimilarRequest) -> Result<Self> {
        let seed = |(at, seed): (usize, pb::Seed)| {
            let id = TrackId::new(seed.track_id)
                .map_err(|why| Error::invalid(format!("seeds[{at}].track_id"), why.to_string()))?;
            Ok((id, seed.weight.unwrap_or(1.0)))
        };
        Ok(Self {
            seeds: proto.seeds.into_iter().enumerate().map(seed).collect::<Result<_>>()?,
            space: proto.space.map(SpaceName::new).transpose()?,
            k: proto.k,
            filter: filter(proto.filter)?,
            user_id: proto.user_id.map(UserId::new).transpose()?,
            as_of: proto.as_of_ms.map(Timestamp),
            exact: proto.exact,
            generation: proto.generation.map(GenerationId),
            min_token: token(proto.min_token)?,
            deadline: Deadline::NEVER,
        })
    }
}

impl From<SimilarRequest> for pb::SimilarRequest {
    fn from(request: SimilarRequest) -> Self {
        let seed = |(id, weight): (TrackId, f32)| pb::Seed { track_id: id.into(), weight: Some(weight) };
        Self {
            seeds: request.seeds.into_iter().map(seed).collect(),
            space: request.space.map(Into::into),
            k: request.k,
            filter: Some(request.filter.into()),
            user_id: request.user_id.map(Into::into),
            as_of_ms: request.as_of.map(|at| at.0),
            exact: request.exact,
            generation: request.generation.map(|id| id.0),
            min_token: request.min_token.map(Into::into),
        }
    }
}

impl TryFrom<pb::SimilarUsersRequest> for SimilarUsersRequest {
    type Error = Error;
    fn try_from(proto: pb::SimilarUsersRequest) -> Result<Self> {
        let generation = proto.generation.map(GenerationId);
        let user_id = UserId::new(proto.user_id)?;
        Ok(Self { user_id, k: proto.k, generation, deadline: Deadline::NEVER })
    }
}

impl From<SimilarUsersRequest> for pb::SimilarUsersRequest {
    fn from(request: SimilarUsersRequest) -> Self {
        let generation = request.generation.map(|id| id.0);
        Self { user_id: request.user_id.into(), k: request.k, generation }
    }
}

impl TryFrom<pb::SearchRequest> for SearchRequest {
    type Error = Error;
    fn try_from(proto: pb::SearchRequest) -> Result<Self> {
        Ok(Self {
            space: SpaceName::new(proto.space.unwrap_or_else(|| DEFAULT_SPACE.to_owned()))?,
            vector: (!proto.vector.is_empty()).then_some(proto.vector),
            metric: metric(proto.metric)?,
            text: proto.text,
            k: proto.k,
            ef: proto.ef,
            filter: filter(proto.filter)?,
            exact: proto.exact,
            generation: proto.generation.map(GenerationId),
            min_token: token(proto.min_token)?,
            deadline: Deadline::NEVER,
        })
    }
}

impl From<SearchRequest> for pb::SearchRequest {
    fn from(request: SearchRequest) -> Self {
        Self {
            space: Some(request.space.into()),
            vector: request.vector.unwrap_or_default(),
            metric: metric_to_proto(request.metric).into(),
            text: request.text,
            k: request.k,
            ef: request.ef,
            filter: Some(request.filter.into()),
            exact: request.exact,
            generation: request.generation.map(|id| id.0),
            min_token: request.min_token.map(Into::into),
        }
    }
}

impl TryFrom<pb::ExplainRequest> for ExplainRequest {
    type Error = Error;
    fn try_from(proto: pb::ExplainRequest) -> Result<Self> {
        let request = required("request", proto.request)?.try_into()?;
        Ok(Self { request, track_id: TrackId::new(proto.track_id)? })
    }
}

impl From<ExplainRequest> for pb::ExplainRequest {
    fn from(request: ExplainRequest) -> Self {
        Self { request: Some(request.request.into()), track_id: request.track_id.into() }
    }
}
