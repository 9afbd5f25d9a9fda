//! The nodes of a cluster.

use super::common::unknown_value;
use crate::api::proto as pb;
use crate::error::{Error, Result};
use crate::node::{
    CheckReport, ClusterReport, Difference, GroupCheck, NodeChange, NodeReport, NodeState, ReplicaReport,
};

/// What is wanted of a node.
pub(crate) fn node_state(field: &'static str, value: i32) -> Result<NodeState> {
    match pb::NodeState::try_from(value) {
        Ok(pb::NodeState::Serving) => Ok(NodeState::Serving),
        Ok(pb::NodeState::Draining) => Ok(NodeState::Draining),
        Ok(pb::NodeState::Removed) => Ok(NodeState::Removed),
        Ok(pb::NodeState::Unspecified) | Err(_) => Err(unknown_value(field, value)),
    }
}

/// The same towards protobuf.
pub(crate) fn node_state_to_proto(state: NodeState) -> pb::NodeState {
    match state {
        NodeState::Serving => pb::NodeState::Serving,
        NodeState::Draining => pb::NodeState::Draining,
        NodeState::Removed => pb::NodeState::Removed,
    }
}

impl From<NodeChange> for pb::SetNodeStateReply {
    fn from(NodeChange { consequences, dangers }: NodeChange) -> Self {
        Self { consequences, dangers }
    }
}

impl From<NodeChange> for pb::PlanNodeStateReply {
    fn from(NodeChange { consequences, dangers }: NodeChange) -> Self {
        Self { consequences, dangers }
    }
}

impl From<pb::SetNodeStateReply> for NodeChange {
    fn from(pb::SetNodeStateReply { consequences, dangers }: pb::SetNodeStateReply) -> Self {
        Self { consequences, dangers }
    }
}

impl From<pb::PlanNodeStateReply> for NodeChange {
    fn from(pb::PlanNodeStateReply { consequences, dangers }: pb::PlanNodeStateReply) -> Self {
        Self { consequences, dangers }
    }
}

impl From<ClusterReport> for pb::ClusterStatusReply {
    fn from(report: ClusterReport) -> Self {
        let ClusterReport { cluster_id, epoch, replication_factor, answered_by, nodes, replicas } = report;
        let node = |NodeReport { node, state, address, api, problem }| pb::NodeStatus {
            node,
            state: node_state_to_proto(state).into(),
            address,
            api,
            problem,
        };
        let nodes = nodes.into_iter().map(node).collect();
        let replicas = replicas.into_iter().map(Into::into).collect();
        Self { cluster_id, epoch, replication_factor, answered_by, nodes, replicas }
    }
}

impl From<ReplicaReport> for pb::ReplicaStatus {
    fn from(report: ReplicaReport) -> Self {
        let ReplicaReport {
            group,
            node,
            role,
            votes,
            term,
            last_index,
            applied_index,
            lag,
            log_bytes,
            failure,
            changing,
            moving,
            bytes,
            copy_bytes,
            copied_bytes,
            left_ms,
        } = report;
        Self {
            group,
            node,
            role,
            votes,
            term,
            last_index,
            applied_index,
            lag,
            log_bytes,
            failure,
            changing,
            moving,
            bytes,
            copy_bytes,
            copied_bytes,
            left_ms,
        }
    }
}

impl TryFrom<pb::ClusterStatusReply> for ClusterReport {
    type Error = Error;
    fn try_from(proto: pb::ClusterStatusReply) -> Result<Self> {
        let pb::ClusterStatusReply { cluster_id, epoch, replication_factor, answered_by, nodes, replicas } =
            proto;
        let node = |node: pb::NodeStatus| {
            let state = node_state("nodes.state", node.state)?;
            let pb::NodeStatus { node, address, api, problem, .. } = node;
            Ok(NodeReport { node, state, address, api, problem })
        };
        let nodes = nodes.into_iter().map(node).collect::<Result<_>>()?;
        let replicas = replicas.into_iter().map(Into::into).collect();
        Ok(Self { cluster_id, epoch, replication_factor, answered_by, nodes, replicas })
    }
}

impl From<pb::ReplicaStatus> for ReplicaReport {
    fn from(proto: pb::ReplicaStatus) -> Self {
        let pb::ReplicaStatus {
            group,
            node,
            role,
            votes,
            term,
            last_index,
            applied_index,
            lag,
            log_bytes,
            failure,
            changing,
            moving,
            bytes,
            copy_bytes,
            copied_bytes,
            left_ms,
        } = proto;
        Self {
            group,
            node,
            role,
            votes,
            term,
            last_index,
            applied_index,
            lag,
            log_bytes,
            failure,
            changing,
            moving,
            bytes,
            copy_bytes,
            copied_bytes,
            left_ms,
        }
    }
}

impl From<CheckReport> for pb::ClusterCheckReply {
    fn from(report: CheckReport) -> Self {
        let CheckReport { groups, differences, problems } = report;
        let group = |GroupCheck { group, index, replicas, records, hash }| pb::GroupCheck {
            group,
            index,
            replicas,
            records,
            hash,
        };
        let difference =
            |Difference { group, node, kind, slots, records, expected_records }| pb::ReplicaDifference {
                group,
                node,
                kind,
                first_slot: slots.0.into(),
                last_slot: slots.1.into(),
                records,
                expected_records,
            };
        Self {
            groups: groups.into_iter().map(group).collect(),
            differences: differences.into_iter().map(difference).collect(),
            problems,
        }
    }
}

impl From<pb::ClusterCheckReply> for CheckReport {
    fn from(proto: pb::ClusterCheckReply) -> Self {
        let slot = |slot: u32| u16::try_from(slot).unwrap_or(u16::MAX);
        let group = |pb::GroupCheck { group, index, replicas, records, hash }| GroupCheck {
            group,
            index,
            replicas,
            records,
            hash,
        };
        let difference = |it: pb::ReplicaDifference| Difference {
            slots: (slot(it.first_slot), slot(it.last_slot)),
            group: it.group,
            node: it.node,
            kind: it.kind,
            records: it.records,
            expected_records: it.expected_records,
        };
        Self {
            groups: proto.groups.into_iter().map(group).collect(),
            differences: proto.differences.into_iter().map(difference).collect(),
            problems: proto.problems,
        }
    }
}
