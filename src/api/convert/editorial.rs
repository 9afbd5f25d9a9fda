//! Editorial rules of recipes, and the choices of stages that recipes name.

use super::common::{narrow, region, required, unknown_value};
use crate::api::proto as pb;
use crate::error::{Error, Result};
use crate::pipeline::recipe::{
    Diversity, EditorialRule, ExplorationPolicy, RuleCondition, RuleEffect, RuleTracks,
};
use crate::types::ArtistId;

/// How the set is kept from sounding alike; `None` when not said.
pub(super) fn diversity(value: i32) -> Result<Option<Diversity>> {
    match pb::Diversity::try_from(value) {
        Ok(pb::Diversity::Unspecified) => Ok(None),
        Ok(pb::Diversity::Mmr) => Ok(Some(Diversity::Mmr)),
        Ok(pb::Diversity::Dpp) => Ok(Some(Diversity::Dpp)),
        Ok(pb::Diversity::Mean) => Ok(Some(Diversity::Mean)),
        Err(_) => Err(unknown_value("diversity", value)),
    }
}

pub(super) fn diversity_to_proto(diversity: Option<Diversity>) -> i32 {
    match diversity {
        None => pb::Diversity::Unspecified,
        Some(Diversity::Mmr) => pb::Diversity::Mmr,
        Some(Diversity::Dpp) => pb::Diversity::Dpp,
        Some(Diversity::Mean) => pb::Diversity::Mean,
    }
    .into()
}

/// How explored tracks are drawn; `None` when not said.
pub(super) fn policy(value: i32) -> Result<Option<ExplorationPolicy>> {
    match pb::ExplorationPolicy::try_from(value) {
        Ok(pb::ExplorationPolicy::Unspecified) => Ok(None),
        Ok(pb::ExplorationPolicy::Softmax) => Ok(Some(ExplorationPolicy::Softmax)),
        Ok(pb::ExplorationPolicy::LinTs) => Ok(Some(ExplorationPolicy::LinTs)),
        Err(_) => Err(unknown_value("exploration_policy", value)),
    }
}

pub(super) fn policy_to_proto(policy: Option<ExplorationPolicy>) -> i32 {
    match policy {
        None => pb::ExplorationPolicy::Unspecified,
        Some(ExplorationPolicy::Softmax) => pb::ExplorationPolicy::Softmax,
        Some(ExplorationPolicy::LinTs) => pb::ExplorationPolicy::LinTs,
    }
    .into()
}

/// The rules of a list of them.
pub(super) fn rules(protos: Vec<pb::EditorialRule>) -> Result<Vec<EditorialRule>> {
    protos.into_iter().map(TryInto::try_into).collect()
}

impl TryFrom<pb::EditorialRule> for EditorialRule {
    type Error = Error;
    fn try_from(proto: pb::EditorialRule) -> Result<Self> {
        let effect = match pb::RuleEffect::try_from(proto.effect) {
            Ok(pb::RuleEffect::Candidates) => RuleEffect::Candidates,
            Ok(pb::RuleEffect::Boost) => RuleEffect::Boost,
            Ok(pb::RuleEffect::Bury) => RuleEffect::Bury,
            Ok(pb::RuleEffect::Pin) => RuleEffect::Pin,
            Ok(pb::RuleEffect::Unspecified) | Err(_) => {
                return Err(unknown_value("editorial.effect", proto.effect));
            }
        };
        Ok(Self {
            name: proto.name,
            when: proto.when.map_or(Ok(RuleCondition::default()), TryInto::try_into)?,
            tracks: required("editorial.tracks", proto.tracks)?.try_into()?,
            effect,
            weight: proto.weight,
        })
    }
}

impl From<EditorialRule> for pb::EditorialRule {
    fn from(rule: EditorialRule) -> Self {
        let effect = match rule.effect {
            RuleEffect::Candidates => pb::RuleEffect::Candidates,
            RuleEffect::Boost => pb::RuleEffect::Boost,
            RuleEffect::Bury => pb::RuleEffect::Bury,
            RuleEffect::Pin => pb::RuleEffect::Pin,
        };
        Self {
            name: rule.name,
            when: Some(rule.when.into()),
            tracks: Some(rule.tracks.into()),
            effect: effect.into(),
            weight: rule.weight,
        }
    }
}

impl TryFrom<pb::RuleCondition> for RuleCondition {
    type Error = Error;
    fn try_from(proto: pb::RuleCondition) -> Result<Self> {
        let hour = |value| narrow("editorial.when.hours", value);
        let hours = proto.hours.map(|hours| Ok::<_, Error>((hour(hours.first)?, hour(hours.last)?)));
        let weekdays = proto.weekdays.into_iter().map(|day| narrow("editorial.when.weekdays", day));
        let regions = proto.regions.iter().map(|code| region("editorial.when.regions", code));
        Ok(Self {
            likes_genre: proto.likes_genre.map(|liked| (liked.genre, liked.share)),
            activity: proto.activity,
            device: proto.device,
            hours: hours.transpose()?,
            weekdays: weekdays.collect::<Result<_>>()?,
            regions: regions.collect::<Result<_>>()?,
        })
    }
}

impl From<RuleCondition> for pb::RuleCondition {
    fn from(when: RuleCondition) -> Self {
        let hours = when.hours.map(|(first, last)| pb::HourRange { first: first.into(), last: last.into() });
        Self {
            likes_genre: when.likes_genre.map(|(genre, share)| pb::LikedGenre { genre, share }),
            activity: when.activity,
            device: when.device,
            hours,
            weekdays: when.weekdays.into_iter().map(u32::from).collect(),
            regions: when.regions.iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<pb::RuleTracks> for RuleTracks {
    type Error = Error;
    fn try_from(proto: pb::RuleTracks) -> Result<Self> {
        let range = |range: pb::FloatRange, most: f32| (range.min.unwrap_or(0.0), range.max.unwrap_or(most));
        let artists = proto.artists.into_iter().map(|id| Ok(ArtistId::new(id)?));
        Ok(Self {
            genres: proto.genres,
            artists: artists.collect::<Result<_>>()?,
            energy: proto.energy.map(|given| range(given, 1.0)),
            tempo: proto.tempo.map(|given| range(given, 1_000.0)),
            popularity: proto.popularity.map(|given| range(given, 100.0)),
        })
    }
}

impl From<RuleTracks> for pb::RuleTracks {
    fn from(tracks: RuleTracks) -> Self {
        let range = |(min, max)| pb::FloatRange { min: Some(min), max: Some(max) };
        Self {
            genres: tracks.genres,
            artists: tracks.artists.into_iter().map(String::from).collect(),
            energy: tracks.energy.map(range),
            tempo: tracks.tempo.map(range),
            popularity: tracks.popularity.map(range),
        }
    }
}
