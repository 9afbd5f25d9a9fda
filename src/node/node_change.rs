//! What a change of a node's state means, and what it endangers: said before it is done, and decided by the server.

use segue_cluster::{ClusterStatus, Danger, IntentChange, NodeIntent, StoreId};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::engine::Inner;
use super::report::{ClusterReport, NodeState, ReplicaReport, group_name, parse_node, report};
use crate::error::{Error, Result};

/// What a change of a node's state means.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeChange {
    /// What goes with it, a sentence each.
    pub consequences: Vec<String>,
    /// Groups that it stops, or that would stop with the node, a sentence each.
    pub dangers: Vec<String>,
}

impl Inner {
    /// Says what a change would do, and does nothing.
    pub(super) fn plan_node_state(&self, node: &str, state: NodeState) -> Result<NodeChange> {
        let (store, status) = self.known_node(node)?;
        let cluster = self.others()?.cluster()?;
        let seen = report(&status, &self.all_progress(cluster, &status));
        let dangers = status.dangers(store, intent(state));
        Ok(NodeChange {
            consequences: consequences(&status, &seen, store, state),
            dangers: dangers.iter().map(|danger| sentence(danger, state)).collect(),
        })
    }

    /// Changes what is wanted of a node, unless a group would stop; `force_unsafe`: all the same, and it is in the log.
    pub(super) fn set_node_state(
        &self,
        node: &str,
        state: NodeState,
        force_unsafe: bool,
    ) -> Result<NodeChange> {
        let plan = self.plan_node_state(node, state)?;
        let store = parse_node(node)?;
        let outcome = self.others()?.cluster()?.set_intent(store, intent(state), force_unsafe);
        let say = |dangers: &[Danger]| -> Vec<String> {
            dangers.iter().map(|danger| sentence(danger, state)).collect()
        };
        if force_unsafe {
            let danger = match &outcome {
                Ok(IntentChange::Done(dangers) | IntentChange::Refused(dangers)) => say(dangers).join("; "),
                // It may have been done.
                Err(_) => plan.dangers.join("; "),
            };
            let failure = outcome.as_ref().err();
            warn!(%node, ?state, danger, failure, forced = true, "an operator forced a change of a node");
        }
        match outcome.map_err(Error::Conflict)? {
            IntentChange::Done(dangers) => Ok(NodeChange { dangers: say(&dangers), ..plan }),
            IntentChange::Refused(dangers) => {
                Err(Error::Endangers { node: node.to_owned(), dangers: say(&dangers).join("; ") })
            }
        }
    }

    fn known_node(&self, node: &str) -> Result<(StoreId, ClusterStatus)> {
        let cluster = self.others()?.cluster()?;
        let store = parse_node(node)?;
        if !cluster.map().nodes.contains_key(&store) {
            return Err(Error::not_found("node", node));
        }
        Ok((store, cluster.status()))
    }
}

fn intent(state: NodeState) -> NodeIntent {
    match state {
        NodeState::Serving => NodeIntent::Serving,
        NodeState::Draining => NodeIntent::Draining,
        NodeState::Removed => NodeIntent::Removed,
    }
}

fn sentence(danger: &Danger, state: NodeState) -> String {
    let Danger { group, voters, answering } = danger;
    let group = group_name(*group);
    match (voters, state) {
        (0, _) => format!("{group} would stop: no node that answers knows who votes"),
        (_, NodeState::Draining) => format!(
            "{group} would stop with the node: no spare node can take its vote, and only {answering} of {voters} voters would answer"
        ),
        _ => format!("{group} would stop: only {answering} of {voters} voters would answer"),
    }
}

fn consequences(
    status: &ClusterStatus,
    report: &ClusterReport,
    store: StoreId,
    state: NodeState,
) -> Vec<String> {
    let node = store.to_string();
    if !report.nodes.iter().any(|it| it.node == node) {
        return vec![format!("{node} was removed, and does not come back")];
    }
    let mut said = vec![match state {
        NodeState::Serving => format!("{node} takes part as before"),
        NodeState::Draining => format!("{node} leads no group any more and gives its votes to spare nodes"),
        NodeState::Removed => format!("{node} is given up for ever; its directory cannot come back"),
    }];
    if state == NodeState::Serving {
        return said;
    }
    for replica in report.replicas.iter().filter(|replica| replica.node == node) {
        said.extend(of_replica(report, replica));
    }
    let placed = status.placements.iter().filter(|(_, stores)| stores.contains(&store));
    for (group, stores) in placed {
        let is_free = |it: &&segue_cluster::NodeStatus| {
            it.record.intent == NodeIntent::Serving && it.groups.is_ok() && !stores.contains(&it.store)
        };
        let group = group_name(*group);
        said.push(match (status.nodes.iter().find(is_free), state) {
            (None, _) => format!("{group}: its place has nowhere to go: no other serving node is free"),
            (Some(_), NodeState::Draining) => format!("{group}: its place stays until `rebalance` moves it"),
            (Some(_), _) => format!("{group}: another node gets its place, and copies the shard"),
        });
    }
    said
}

fn of_replica(report: &ClusterReport, replica: &ReplicaReport) -> Vec<String> {
    let ReplicaReport { group, node, .. } = replica;
    let answers = |other: &&ReplicaReport| {
        other.group == *group && other.node != *node && !matches!(other.role.as_str(), "unknown" | "failed")
    };
    let serves = |other: &ReplicaReport| {
        report.nodes.iter().any(|it| it.node == other.node && it.state == NodeState::Serving)
    };
    let (voters, spares): (Vec<_>, Vec<_>) =
        report.replicas.iter().filter(answers).partition(|other| other.votes);
    let mut said = Vec::new();
    if replica.role == "leader" && !voters.is_empty() {
        said.push(format!("{group}: leadership goes to another node; writes wait for a moment"));
    }
    if replica.votes && spares.iter().any(|spare| serves(spare)) {
        said.push(format!("{group}: its vote goes to a spare node"));
    } else if replica.votes {
        said.push(format!("{group}: no spare node takes its vote"));
    }
    said
}
