//! Experiments.

use super::common::required;
use crate::api::proto as pb;
use crate::error::{Error, Result};
use crate::pipeline::experiment::{Arm, ArmReport, Experiment, ExperimentReport, Shadow, ShadowReport};
use crate::types::Surface;

/// The experiment of a Put request.
pub(crate) fn experiment(request: pb::PutExperimentRequest) -> Result<Experiment> {
    let experiment = Experiment::try_from(required("experiment", request.experiment)?)?;
    experiment.validate()?;
    Ok(experiment)
}

impl TryFrom<pb::Experiment> for Experiment {
    type Error = Error;
    fn try_from(proto: pb::Experiment) -> Result<Self> {
        let arm = |arm: pb::Arm| Arm { name: arm.name, recipe: arm.recipe, weight: arm.weight.unwrap_or(1) };
        let shadow = |shadow: pb::Shadow| Shadow {
            recipe: shadow.recipe,
            share: shadow.share,
            k: shadow.k.unwrap_or(10),
        };
        Ok(Self {
            surface: Surface::new(proto.surface)?,
            name: proto.name,
            version: proto.version,
            salt: proto.salt,
            arms: proto.arms.into_iter().map(arm).collect(),
            shadow: proto.shadow.map(shadow),
        })
    }
}

impl From<Experiment> for pb::Experiment {
    fn from(experiment: Experiment) -> Self {
        let arm = |arm: Arm| pb::Arm { name: arm.name, recipe: arm.recipe, weight: Some(arm.weight) };
        let shadow =
            |shadow: Shadow| pb::Shadow { recipe: shadow.recipe, share: shadow.share, k: Some(shadow.k) };
        Self {
            surface: experiment.surface.into(),
            name: experiment.name,
            version: experiment.version,
            salt: experiment.salt,
            arms: experiment.arms.into_iter().map(arm).collect(),
            shadow: experiment.shadow.map(shadow),
        }
    }
}

impl From<(Experiment, bool)> for pb::ExperimentReply {
    fn from((experiment, running): (Experiment, bool)) -> Self {
        Self { experiment: Some(experiment.into()), running }
    }
}

impl TryFrom<pb::ExperimentReply> for (Experiment, bool) {
    type Error = Error;
    fn try_from(proto: pb::ExperimentReply) -> Result<Self> {
        Ok((required("experiment", proto.experiment)?.try_into()?, proto.running))
    }
}

impl From<ExperimentReport> for pb::ExperimentReport {
    fn from(report: ExperimentReport) -> Self {
        let arm = |ArmReport { arm, recipe, share, requests, listeners }| pb::ArmReport {
            arm,
            recipe,
            share,
            requests,
            listeners,
        };
        Self {
            experiment: Some(report.experiment.into()),
            running: report.is_running,
            arms: report.arms.into_iter().map(arm).collect(),
            listener_share: report.listener_share,
            ratio_p: report.ratio_p,
            sound: report.is_sound,
            shadow: report.shadow.map(Into::into),
            missing_nodes: report.missing_nodes,
        }
    }
}

impl TryFrom<pb::ExperimentReport> for ExperimentReport {
    type Error = Error;
    fn try_from(proto: pb::ExperimentReport) -> Result<Self> {
        let arm = |pb::ArmReport { arm, recipe, share, requests, listeners }| ArmReport {
            arm,
            recipe,
            share,
            requests,
            listeners,
        };
        Ok(Self {
            experiment: required("experiment", proto.experiment)?.try_into()?,
            is_running: proto.running,
            arms: proto.arms.into_iter().map(arm).collect(),
            listener_share: proto.listener_share,
            ratio_p: proto.ratio_p,
            is_sound: proto.sound,
            shadow: proto.shadow.map(Into::into),
            missing_nodes: proto.missing_nodes,
        })
    }
}

impl From<ShadowReport> for pb::ShadowReport {
    fn from(report: ShadowReport) -> Self {
        let ShadowReport { recipe, k, lists, dropped, failed, same, overlap, rank_biased_overlap } = report;
        Self { recipe, k, lists, dropped, failed, same, overlap, rank_biased_overlap }
    }
}

impl From<pb::ShadowReport> for ShadowReport {
    fn from(proto: pb::ShadowReport) -> Self {
        let pb::ShadowReport { recipe, k, lists, dropped, failed, same, overlap, rank_biased_overlap } =
            proto;
        Self { recipe, k, lists, dropped, failed, same, overlap, rank_biased_overlap }
    }
}
