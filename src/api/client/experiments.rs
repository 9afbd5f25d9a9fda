//! The operations on experiments. Each may be made twice, so each is tried again.

use super::connection::{Again, Client};
use super::operations::call;
use crate::api::proto as pb;
use crate::error::Result;
use crate::pipeline::experiment::{Experiment, ExperimentReport};
use crate::types::{Deadline, Surface};

impl Client {
    /// See [`crate::Segue::put_experiment`].
    ///
    /// # Errors
    /// The server's, and `Unavailable` when it cannot be reached; the same holds for all operations.
    pub fn put_experiment(&self, experiment: Experiment) -> Result<Experiment> {
        let message = pb::PutExperimentRequest { experiment: Some(experiment.into()) };
        let reply = call!(self, Again::Yes, experiments_stub.put(message))?;
        Ok(<(Experiment, bool)>::try_from(reply)?.0)
    }

    /// See [`crate::Segue::experiments`].
    ///
    /// # Errors
    /// As above.
    pub fn experiments(&self) -> Result<Vec<(Experiment, bool)>> {
        let reply = call!(self, Again::Yes, experiments_stub.list(pb::ListExperimentsRequest {}))?;
        reply.experiments.into_iter().map(TryInto::try_into).collect()
    }

    /// See [`crate::Segue::experiment_report`].
    ///
    /// # Errors
    /// As above.
    pub fn experiment_report(&self, surface: &Surface) -> Result<ExperimentReport> {
        let message = pb::ShowExperimentRequest { surface: surface.to_string() };
        let reply = call!(self, Again::Yes, experiments_stub.show(message))?;
        reply.try_into()
    }

    /// See [`crate::Segue::stop_experiment`].
    ///
    /// # Errors
    /// As above.
    pub fn stop_experiment(&self, surface: &Surface) -> Result<Experiment> {
        let message = pb::StopExperimentRequest { surface: surface.to_string() };
        let reply = call!(self, Again::Yes, experiments_stub.stop(message))?;
        Ok(<(Experiment, bool)>::try_from(reply)?.0)
    }
}
