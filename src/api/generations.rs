//! The `Generations` service.

use tonic::{Request, Response, Status, async_trait};

use super::admission::Lane;
use super::convert;
use super::core::Core;
use super::proto as pb;
use crate::types::GenerationId;

/// The service.
pub(super) struct GenerationsService(pub(super) Core);

type Reply<T> = Result<Response<T>, Status>;

#[async_trait]
impl pb::generations_server::Generations for GenerationsService {
    async fn create(&self, request: Request<pb::CreateGenerationRequest>) -> Reply<pb::Generation> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let (dim, gram) = convert::create_generation(request.into_inner())?;
            Ok(core.engine()?.create_generation(dim, gram)?.into())
        };
        self.0.answer(Lane::Write, deadline, work).await
    }

    async fn activate(&self, request: Request<pb::ActivateGenerationRequest>) -> Reply<pb::Generation> {
        let deadline = self.0.deadline(request.metadata());
        let id = GenerationId(request.into_inner().id);
        self.0
            .answer(Lane::Write, deadline, move |core| Ok(core.engine()?.activate_generation(id)?.into()))
            .await
    }

    async fn rollback(&self, request: Request<pb::RollbackGenerationRequest>) -> Reply<pb::Generation> {
        let deadline = self.0.deadline(request.metadata());
        self.0.answer(Lane::Write, deadline, |core| Ok(core.engine()?.rollback_generation()?.into())).await
    }

    async fn list(&self, request: Request<pb::ListGenerationsRequest>) -> Reply<pb::ListGenerationsReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let generations = core.engine()?.generations()?.into_iter().map(Into::into).collect();
            Ok(pb::ListGenerationsReply { generations })
        };
        self.0.answer(Lane::Query, deadline, work).await
    }
}
