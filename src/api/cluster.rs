//! The `Cluster` service.

use tonic::{Request, Response, Status, async_trait};

use super::admission::Lane;
use super::convert;
use super::core::Core;
use super::deadline::deadline_of;
use super::proto as pb;

/// The service.
pub(super) struct ClusterService(pub(super) Core);

type Reply<T> = Result<Response<T>, Status>;

#[async_trait]
impl pb::cluster_server::Cluster for ClusterService {
    async fn status(&self, request: Request<pb::ClusterStatusRequest>) -> Reply<pb::ClusterStatusReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| Ok(core.engine()?.cluster_status()?.into());
        self.0.answer(Lane::Query, deadline, work).await
    }

    async fn check(&self, request: Request<pb::ClusterCheckRequest>) -> Reply<pb::ClusterCheckReply> {
        // Reads everything on every node: as long as the caller waits.
        let deadline = deadline_of(request.metadata(), None);
        let work = |core: &Core| Ok(core.engine()?.compare_replicas()?.into());
        self.0.answer(Lane::Load, deadline, work).await
    }

    async fn plan_node_state(
        &self,
        request: Request<pb::PlanNodeStateRequest>,
    ) -> Reply<pb::PlanNodeStateReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let pb::PlanNodeStateRequest { node, state } = request.into_inner();
            Ok(core.engine()?.plan_node_state(&node, convert::node_state("state", state)?)?.into())
        };
        self.0.answer(Lane::Query, deadline, work).await
    }

    async fn set_node_state(
        &self,
        request: Request<pb::SetNodeStateRequest>,
    ) -> Reply<pb::SetNodeStateReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let pb::SetNodeStateRequest { node, state, force_unsafe } = request.into_inner();
            let state = convert::node_state("state", state)?;
            Ok(core.engine()?.set_node_state(&node, state, force_unsafe)?.into())
        };
        self.0.answer(Lane::Write, deadline, work).await
    }

    async fn transfer_leader(
        &self,
        request: Request<pb::TransferLeaderRequest>,
    ) -> Reply<pb::TransferLeaderReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let pb::TransferLeaderRequest { group, node } = request.into_inner();
            core.engine()?.transfer_leader(&group, &node)?;
            Ok(pb::TransferLeaderReply {})
        };
        self.0.answer(Lane::Write, deadline, work).await
    }

    async fn place_shards(&self, request: Request<pb::PlaceShardsRequest>) -> Reply<pb::PlaceShardsReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            let pb::PlaceShardsRequest { what, dry_run } = request.into_inner();
            Ok(core.engine()?.place_shards(&convert::placing(what)?, dry_run)?.into())
        };
        self.0.answer(Lane::Write, deadline, work).await
    }

    async fn split_shard(&self, request: Request<pb::SplitShardRequest>) -> Reply<pb::SplitShardReply> {
        let deadline = self.0.deadline(request.metadata());
        let work = |core: &Core| {
            Ok(core.engine()?.split_shard(&convert::split_request(request.into_inner())?)?.into())
        };
        self.0.answer(Lane::Write, deadline, work).await
    }
}
