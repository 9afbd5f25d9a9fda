//! Generations and what the trainer left for them.

use super::common::unknown_value;
use crate::api::proto as pb;
use crate::error::{Error, Result};
use crate::pipeline::DIM_MAX;
use crate::storage::meta::{GenerationInfo, GenerationState, GramData};
use crate::types::{GenerationId, Timestamp};

/// Dimension and Gram data of a Create request, which must agree.
pub(crate) fn create_generation(request: pb::CreateGenerationRequest) -> Result<(u32, Option<GramData>)> {
    let in_range = (1..=DIM_MAX).contains(&(request.dim as usize));
    if !in_range {
        return Err(Error::invalid("dim", format!("must be 1 to {DIM_MAX}. dim=`{}`", request.dim)));
    }
    let gram = request.gram.map(GramData::try_from).transpose()?;
    match &gram {
        Some(gram) if gram.dim != request.dim => {
            let reason = format!(
                "must be the dimension of the generation. dim=`{}`, expected=`{}`",
                gram.dim, request.dim
            );
            Err(Error::invalid("gram.dim", reason))
        }
        _ => Ok((request.dim, gram)),
    }
}

impl TryFrom<pb::GramData> for GramData {
    type Error = Error;
    fn try_from(proto: pb::GramData) -> Result<Self> {
        let entries = u64::from(proto.dim) * u64::from(proto.dim);
        if proto.gram.len() as u64 != entries {
            let reason = format!("must have dim * dim = {entries} entries. entries=`{}`", proto.gram.len());
            return Err(Error::invalid("gram.gram", reason));
        }
        if proto.gram.iter().any(|x| !x.is_finite()) {
            return Err(Error::invalid("gram.gram", "entries must be finite numbers"));
        }
        let bounded = [
            ("gram.alpha0", proto.alpha0, 0.0, f64::MAX),
            ("gram.lambda", proto.lambda, 0.0, f64::MAX),
            ("gram.nu", proto.nu, 0.0, 1.0),
            ("gram.alpha", proto.alpha, 0.0, f64::MAX),
            ("gram.half_life_days", proto.half_life_days, f64::MIN_POSITIVE, f64::MAX),
        ];
        for (field, value, min, max) in bounded {
            if !(min..=max).contains(&value) {
                return Err(Error::invalid(field, format!("is out of range. value=`{value}`")));
            }
        }
        let reference_time = Timestamp(proto.reference_time_ms);
        reference_time.validate("gram.reference_time_ms")?;
        Ok(Self {
            dim: proto.dim,
            gram: proto.gram,
            alpha0: proto.alpha0,
            lambda: proto.lambda,
            nu: proto.nu,
            alpha: proto.alpha,
            tracks: proto.tracks,
            half_life_days: proto.half_life_days,
            reference_time,
        })
    }
}

impl From<GramData> for pb::GramData {
    fn from(gram: GramData) -> Self {
        Self {
            dim: gram.dim,
            gram: gram.gram,
            alpha0: gram.alpha0,
            lambda: gram.lambda,
            nu: gram.nu,
            alpha: gram.alpha,
            tracks: gram.tracks,
            half_life_days: gram.half_life_days,
            reference_time_ms: gram.reference_time.0,
        }
    }
}

impl From<GenerationInfo> for pb::Generation {
    fn from(info: GenerationInfo) -> Self {
        let state = match info.state {
            GenerationState::Building => pb::GenerationState::Building,
            GenerationState::Active => pb::GenerationState::Active,
            GenerationState::Retired => pb::GenerationState::Retired,
        };
        Self {
            id: info.id.0,
            state: state.into(),
            dim: info.dim,
            users: info.users,
            tracks: info.tracks,
            fold_in: info.fold_in,
        }
    }
}

impl TryFrom<pb::Generation> for GenerationInfo {
    type Error = Error;
    fn try_from(proto: pb::Generation) -> Result<Self> {
        let state = match pb::GenerationState::try_from(proto.state) {
            Ok(pb::GenerationState::Building) => GenerationState::Building,
            Ok(pb::GenerationState::Active) => GenerationState::Active,
            Ok(pb::GenerationState::Retired) => GenerationState::Retired,
            Ok(pb::GenerationState::Unspecified) | Err(_) => return Err(unknown_value("state", proto.state)),
        };
        Ok(Self {
            id: GenerationId(proto.id),
            state,
            dim: proto.dim,
            users: proto.users,
            tracks: proto.tracks,
            fold_in: proto.fold_in,
        })
    }
}
