//! The `Experiments` service.

use tonic::{Request, Response, Status, async_trait};

use super::admission::Lane;
use super::convert;
use super::core::Core;
use super::proto as pb;
use crate::types::Surface;

/// The service.
pub(super) struct ExperimentsService(pub(super) Core);

type Reply<T> = Result<Response<T>, Status>;

#[async_trait]
impl pb::experiments_server::Experiments for ExperimentsService {
    async fn put(&self, request: Request<pb::PutExperimentRequest>) -> Reply<pb::ExperimentReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let experiment = convert::experiment(request.into_inner())?;
            Ok((core.engine()?.put_experiment(experiment)?, true).into())
        };
        self.0.answer(Lane::Write, deadline, work).await
    }

    async fn list(&self, request: Request<pb::ListExperimentsRequest>) -> Reply<pb::ListExperimentsReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let experiments = core.engine()?.experiments()?.into_iter().map(Into::into).collect();
            Ok(pb::ListExperimentsReply { experiments })
        };
        self.0.answer(Lane::Query, deadline, work).await
    }

    async fn show(&self, request: Request<pb::ShowExperimentRequest>) -> Reply<pb::ExperimentReport> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let surface = Surface::new(request.into_inner().surface)?;
            Ok(core.engine()?.experiment_report(&surface)?.into())
        };
        self.0.answer(Lane::Query, deadline, work).await
    }

    async fn stop(&self, request: Request<pb::StopExperimentRequest>) -> Reply<pb::ExperimentReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let surface = Surface::new(request.into_inner().surface)?;
            Ok((core.engine()?.stop_experiment(&surface)?, false).into())
        };
        self.0.answer(Lane::Write, deadline, work).await
    }
}
