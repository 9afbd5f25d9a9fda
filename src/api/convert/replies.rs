//! Answers: finished lists, similar listeners, explanations.

use super::common::{applied, applied_to_proto};
use crate::api::proto as pb;
use crate::error::{Error, Result};
use crate::pipeline::experiment::Assignment;
use crate::pipeline::funnel::{Funnel, FunnelSource};
use crate::pipeline::request::{
    Explanation, Recommendation, RecommendedTrack, SearchReport, SimilarUser, SourceOffer, SourceScore,
    TrackExplanation,
};
use crate::types::{GenerationId, SpaceName, Timestamp, TrackId, UserId};

impl From<Recommendation> for pb::Recommendation {
    fn from(reply: Recommendation) -> Self {
        Self {
            user_id: reply.user_id.map(Into::into),
            recipe: reply.recipe,
            experiment: reply.experiment.map(Into::into),
            generation: reply.generation.map(|id| id.0),
            as_of_ms: reply.as_of.0,
            request_id: reply.request_id,
            seed: reply.seed,
            cold_start: reply.cold_start,
            degraded: reply.degraded,
            relaxed: reply.relaxed,
            applied: applied_to_proto(reply.applied),
            searches: reply.searches.into_iter().map(Into::into).collect(),
            impression: reply.impression,
            tracks: reply.tracks.into_iter().map(Into::into).collect(),
            offers: reply.offers.into_iter().map(Into::into).collect(),
            funnel: reply.funnel.map(Into::into),
        }
    }
}

impl TryFrom<pb::Recommendation> for Recommendation {
    type Error = Error;
    fn try_from(proto: pb::Recommendation) -> Result<Self> {
        Ok(Self {
            user_id: proto.user_id.map(UserId::new).transpose()?,
            recipe: proto.recipe,
            experiment: proto.experiment.map(Into::into),
            generation: proto.generation.map(GenerationId),
            as_of: Timestamp(proto.as_of_ms),
            request_id: proto.request_id,
            seed: proto.seed,
            cold_start: proto.cold_start,
            degraded: proto.degraded,
            relaxed: proto.relaxed,
            applied: applied(proto.applied)?,
            searches: proto.searches.into_iter().map(TryInto::try_into).collect::<Result<_>>()?,
            impression: proto.impression,
            tracks: proto.tracks.into_iter().map(TryInto::try_into).collect::<Result<_>>()?,
            offers: proto.offers.into_iter().map(TryInto::try_into).collect::<Result<_>>()?,
            funnel: proto.funnel.map(Into::into),
        })
    }
}

impl From<Assignment> for pb::Assignment {
    fn from(Assignment { experiment, arm }: Assignment) -> Self {
        Self { experiment, arm }
    }
}

impl From<pb::Assignment> for Assignment {
    fn from(pb::Assignment { experiment, arm }: pb::Assignment) -> Self {
        Self { experiment, arm }
    }
}

impl From<Funnel> for pb::Funnel {
    fn from(funnel: Funnel) -> Self {
        let source = |FunnelSource { source, depth, offered, listed }| pb::FunnelSource {
            source,
            depth,
            offered,
            listed,
        };
        let Funnel { sources, candidates, filled, capped, listed, explored } = funnel;
        Self {
            sources: sources.into_iter().map(source).collect(),
            candidates,
            filled,
            capped,
            listed,
            explored,
        }
    }
}

impl From<pb::Funnel> for Funnel {
    fn from(proto: pb::Funnel) -> Self {
        let source = |pb::FunnelSource { source, depth, offered, listed }| FunnelSource {
            source,
            depth,
            offered,
            listed,
        };
        let pb::Funnel { sources, candidates, filled, capped, listed, explored } = proto;
        Self {
            sources: sources.into_iter().map(source).collect(),
            candidates,
            filled,
            capped,
            listed,
            explored,
        }
    }
}

impl From<SourceOffer> for pb::SourceOffer {
    fn from(offer: SourceOffer) -> Self {
        let track = |(id, score): (TrackId, f64)| pb::OfferedTrack { track_id: id.into(), score };
        Self { source: offer.source, tracks: offer.tracks.into_iter().map(track).collect() }
    }
}

impl TryFrom<pb::SourceOffer> for SourceOffer {
    type Error = Error;
    fn try_from(proto: pb::SourceOffer) -> Result<Self> {
        let track = |track: pb::OfferedTrack| Ok((TrackId::new(track.track_id)?, track.score));
        let tracks = proto.tracks.into_iter().map(track).collect::<Result<_>>()?;
        Ok(Self { source: proto.source, tracks })
    }
}

impl From<SearchReport> for pb::SearchReport {
    fn from(report: SearchReport) -> Self {
        Self {
            source: report.source,
            space: report.space.into(),
            path: report.path,
            selectivity: report.selectivity,
        }
    }
}

impl TryFrom<pb::SearchReport> for SearchReport {
    type Error = Error;
    fn try_from(proto: pb::SearchReport) -> Result<Self> {
        let space = SpaceName::new(proto.space)?;
        Ok(Self { source: proto.source, space, path: proto.path, selectivity: proto.selectivity })
    }
}

impl From<RecommendedTrack> for pb::RecommendedTrack {
    fn from(track: RecommendedTrack) -> Self {
        Self {
            track_id: track.track_id.into(),
            title: track.title,
            artists: track.artists,
            score: track.score,
            sources: track.sources,
            explored: track.explored,
            reason: track.reason,
            explanation: track.explanation.map(Into::into),
        }
    }
}

impl TryFrom<pb::RecommendedTrack> for RecommendedTrack {
    type Error = Error;
    fn try_from(proto: pb::RecommendedTrack) -> Result<Self> {
        Ok(Self {
            track_id: TrackId::new(proto.track_id)?,
            title: proto.title,
            artists: proto.artists,
            score: proto.score,
            sources: proto.sources,
            explored: proto.explored,
            reason: proto.reason,
            explanation: proto.explanation.map(Into::into),
        })
    }
}

impl From<TrackExplanation> for pb::TrackExplanation {
    fn from(numbers: TrackExplanation) -> Self {
        Self {
            sources: numbers.sources.into_iter().map(Into::into).collect(),
            base: numbers.base,
            session: numbers.session,
            context: numbers.context,
            novelty: numbers.novelty,
            mmr_penalty: numbers.mmr_penalty,
            arm: numbers.arm,
            propensity: numbers.propensity,
        }
    }
}

impl From<pb::TrackExplanation> for TrackExplanation {
    fn from(proto: pb::TrackExplanation) -> Self {
        Self {
            sources: proto.sources.into_iter().map(Into::into).collect(),
            base: proto.base,
            session: proto.session,
            context: proto.context,
            novelty: proto.novelty,
            mmr_penalty: proto.mmr_penalty,
            arm: proto.arm,
            propensity: proto.propensity,
        }
    }
}

impl From<SourceScore> for pb::SourceScore {
    fn from(score: SourceScore) -> Self {
        let SourceScore { source, raw, normalized, weight, rank } = score;
        Self { source, raw, normalized, weight, rank }
    }
}

impl From<pb::SourceScore> for SourceScore {
    fn from(proto: pb::SourceScore) -> Self {
        let pb::SourceScore { source, raw, normalized, weight, rank } = proto;
        Self { source, raw, normalized, weight, rank }
    }
}

impl From<SimilarUser> for pb::SimilarUser {
    fn from(user: SimilarUser) -> Self {
        Self { user_id: user.user_id.into(), score: user.score }
    }
}

impl TryFrom<pb::SimilarUser> for SimilarUser {
    type Error = Error;
    fn try_from(proto: pb::SimilarUser) -> Result<Self> {
        Ok(Self { user_id: UserId::new(proto.user_id)?, score: proto.score })
    }
}

impl From<Explanation> for pb::Explanation {
    fn from(reply: Explanation) -> Self {
        Self {
            track_id: reply.track_id.into(),
            title: reply.title,
            recipe: reply.recipe,
            experiment: reply.experiment.map(Into::into),
            listed: reply.listed,
            position: reply.position,
            stage: reply.stage,
            reason: reply.reason,
            scores: reply.scores.map(Into::into),
        }
    }
}

impl TryFrom<pb::Explanation> for Explanation {
    type Error = Error;
    fn try_from(proto: pb::Explanation) -> Result<Self> {
        Ok(Self {
            track_id: TrackId::new(proto.track_id)?,
            title: proto.title,
            recipe: proto.recipe,
            experiment: proto.experiment.map(Into::into),
            listed: proto.listed,
            position: proto.position,
            stage: proto.stage,
            reason: proto.reason,
            scores: proto.scores.map(Into::into),
        })
    }
}
