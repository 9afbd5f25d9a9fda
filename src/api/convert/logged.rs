//! Lists that a listener was shown.

use crate::api::proto as pb;
use crate::error::{Error, Result};
use crate::pipeline::logged::{LoggedList, LoggedSlot, MadeBy};
use crate::types::{GenerationId, Surface, Timestamp, TrackId};

impl From<LoggedList> for pb::LoggedList {
    fn from(list: LoggedList) -> Self {
        Self {
            at_ms: list.at.0,
            surface: list.surface.to_string(),
            request_id: list.request_id,
            made_by: list.made_by.map(Into::into),
            slots: list.slots.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::LoggedList> for LoggedList {
    type Error = Error;
    fn try_from(proto: pb::LoggedList) -> Result<Self> {
        Ok(Self {
            at: Timestamp(proto.at_ms),
            surface: Surface::new(proto.surface)?,
            request_id: proto.request_id,
            made_by: proto.made_by.map(Into::into),
            slots: proto.slots.into_iter().map(TryInto::try_into).collect::<Result<_>>()?,
        })
    }
}

impl From<MadeBy> for pb::MadeBy {
    fn from(made_by: MadeBy) -> Self {
        Self {
            recipe: made_by.recipe,
            experiment: made_by.experiment.map(Into::into),
            generation: made_by.generation.map(|id| id.0),
            seed: made_by.seed,
            candidates_hash: made_by.candidates_hash,
            as_of_ms: made_by.as_of.0,
        }
    }
}

impl From<pb::MadeBy> for MadeBy {
    fn from(proto: pb::MadeBy) -> Self {
        Self {
            recipe: proto.recipe,
            experiment: proto.experiment.map(Into::into),
            generation: proto.generation.map(GenerationId),
            seed: proto.seed,
            candidates_hash: proto.candidates_hash,
            as_of: Timestamp(proto.as_of_ms),
        }
    }
}

impl From<LoggedSlot> for pb::LoggedSlot {
    fn from(slot: LoggedSlot) -> Self {
        let draw = |(number, open): (u16, u16)| pb::Draw { number: number.into(), open: open.into() };
        Self {
            position: slot.position,
            track_id: slot.track_id.to_string(),
            title: slot.title,
            source: slot.source.unwrap_or_default(),
            explored: slot.explored,
            arm: slot.arm.unwrap_or_default(),
            propensity: slot.propensity,
            draw: slot.draw.map(draw),
        }
    }
}

impl TryFrom<pb::LoggedSlot> for LoggedSlot {
    type Error = Error;
    fn try_from(proto: pb::LoggedSlot) -> Result<Self> {
        let narrow = |number: u32| {
            let reason = "a number of a draw is 0 to 65,535";
            u16::try_from(number).map_err(|_| Error::invalid("draw", reason))
        };
        let draw = |draw: pb::Draw| Ok::<_, Error>((narrow(draw.number)?, narrow(draw.open)?));
        let known = |text: String| Some(text).filter(|text| !text.is_empty());
        Ok(Self {
            position: proto.position,
            track_id: TrackId::new(proto.track_id)?,
            title: proto.title,
            source: known(proto.source),
            explored: proto.explored,
            arm: known(proto.arm),
            propensity: proto.propensity,
            draw: proto.draw.map(draw).transpose()?,
        })
    }
}
