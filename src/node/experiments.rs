//! Experiments: stored in the meta group, like the recipes they try.

use super::engine::Inner;
use super::meta::{built_in_version, unexpected};
use crate::error::{Error, Result};
use crate::pipeline::experiment::{Experiment, ExperimentReport};
use crate::storage::meta::{MetaCommand, MetaReply};
use crate::types::Surface;

impl Inner {
    /// Stores an experiment as its surface's next version and begins it; the newest once more is the same version.
    pub(super) fn put_experiment(&self, experiment: Experiment) -> Result<Experiment> {
        experiment.validate()?;
        let needed = experiment.recipes()?;
        if let Some((name, version)) = needed.iter().find(|(_, version)| *version == 0) {
            return Err(Error::not_found("recipe", format!("{name}@{version}")));
        }
        let needs = needed.into_iter().filter(|(name, version)| *version > built_in_version(name));
        let needs = needs.map(|(name, version)| (name.to_owned(), version)).collect();
        // As it is stored: the database gives the version.
        let experiment = Experiment { version: 0, ..experiment };
        let document =
            serde_json::to_string(&experiment).map_err(|error| Error::Internal(error.to_string()))?;
        let surface = experiment.surface.as_str().to_owned();
        let version = begun(self.propose_meta(&MetaCommand::PutExperiment { surface, document, needs })?)?;
        Ok(Experiment { version, ..experiment })
    }

    /// Ends what runs on a surface; the newest version.
    pub(super) fn stop_experiment(&self, surface: &Surface) -> Result<Experiment> {
        let command = MetaCommand::StopExperiment { surface: surface.as_str().to_owned() };
        let version = begun(self.propose_meta(&command)?)?;
        let found = self
            .experiments()?
            .into_iter()
            .find(|(experiment, _)| experiment.surface == *surface && experiment.version == version);
        found.map(|(experiment, _)| experiment).ok_or_else(|| Error::not_found("experiment", surface))
    }

    /// All versions by surface and number, and whether each runs.
    pub(super) fn experiments(&self) -> Result<Vec<(Experiment, bool)>> {
        let state = self.meta.shard.state();
        let stored = state.experiments();
        stored
            .map(|(surface, version, document, runs)| Ok((read(surface, version, document)?, runs)))
            .collect()
    }

    /// The version that runs on a surface, else its newest, with what all nodes have counted of it.
    pub(super) fn experiment_report(&self, surface: &Surface) -> Result<ExperimentReport> {
        let mut all = self.experiments()?;
        all.retain(|(experiment, _)| experiment.surface == *surface);
        let running = all.iter().position(|(_, runs)| *runs);
        let place = running.or(all.len().checked_sub(1));
        let place = place.ok_or_else(|| Error::not_found("experiment", surface))?;
        let (experiment, is_running) = all.swap_remove(place);
        self.count_everywhere(experiment, is_running)
    }
}

/// A stored document with the version it is stored as.
///
/// # Errors
/// `Corrupt` when it cannot be read.
pub(super) fn read(surface: &str, version: u32, document: &str) -> Result<Experiment> {
    let experiment: Experiment = serde_json::from_str(document).map_err(|error| {
        Error::Corrupt(format!(
            "a stored experiment cannot be read. surface=`{surface}`, version=`{version}`: {error}"
        ))
    })?;
    Ok(Experiment { version, ..experiment })
}

fn begun(reply: MetaReply) -> Result<u32> {
    match reply {
        MetaReply::Experiment { version } => Ok(version),
        other => Err(unexpected(&other)),
    }
}
