//! The operations on a cluster's nodes. Each may be repeated, so each is tried again.

use super::connection::{Again, Client};
use super::operations::call;
use crate::api::convert::{node_state_to_proto, placing_to_proto, split_request_to_proto};
use crate::api::proto as pb;
use crate::error::Result;
use crate::node::{ClusterReport, NodeChange, NodeState, Placing, PlacingReport, SplitReport, SplitRequest};
use crate::types::Deadline;

impl Client {
    /// See [`crate::Segue::cluster_status`].
    ///
    /// # Errors
    /// The server's, and `Unavailable` when it cannot be reached; the same holds for all operations.
    pub fn cluster_status(&self) -> Result<ClusterReport> {
        let reply = call!(self, Again::Yes, cluster_stub.status(pb::ClusterStatusRequest {}));
        reply?.try_into()
    }

    /// See [`crate::Segue::plan_node_state`].
    ///
    /// # Errors
    /// As above.
    pub fn plan_node_state(&self, node: &str, state: NodeState) -> Result<NodeChange> {
        let state = node_state_to_proto(state).into();
        let message = pb::PlanNodeStateRequest { node: node.to_owned(), state };
        let reply = call!(self, Again::Yes, cluster_stub.plan_node_state(message));
        reply.map(Into::into)
    }

    /// See [`crate::Segue::set_node_state`].
    ///
    /// # Errors
    /// As above.
    pub fn set_node_state(&self, node: &str, state: NodeState, force_unsafe: bool) -> Result<NodeChange> {
        let state = node_state_to_proto(state).into();
        let message = pb::SetNodeStateRequest { node: node.to_owned(), state, force_unsafe };
        let reply = call!(self, Again::Yes, cluster_stub.set_node_state(message));
        reply.map(Into::into)
    }

    /// See [`crate::Segue::transfer_leader`].
    ///
    /// # Errors
    /// As above.
    pub fn transfer_leader(&self, group: &str, node: &str) -> Result<()> {
        let message = pb::TransferLeaderRequest { group: group.to_owned(), node: node.to_owned() };
        let reply = call!(self, Again::Yes, cluster_stub.transfer_leader(message));
        reply.map(drop)
    }

    /// See [`crate::Segue::place_shards`].
    ///
    /// # Errors
    /// As above.
    pub fn place_shards(&self, what: Placing, dry_run: bool) -> Result<PlacingReport> {
        let message = pb::PlaceShardsRequest { what: Some(placing_to_proto(what)), dry_run };
        let reply = call!(self, Again::Yes, cluster_stub.place_shards(message));
        reply.map(Into::into)
    }

    /// See [`crate::Segue::split_shard`].
    ///
    /// # Errors
    /// As above.
    pub fn split_shard(&self, request: SplitRequest) -> Result<SplitReport> {
        let message = split_request_to_proto(request);
        let reply = call!(self, Again::Yes, cluster_stub.split_shard(message));
        reply?.try_into()
    }
}
