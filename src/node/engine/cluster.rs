//! The cluster a node is in.

use super::Segue;
use crate::error::Result;
use crate::node::compare::CheckReport;
use crate::node::node_change::NodeChange;
use crate::node::placing::{Placing, PlacingReport};
use crate::node::report::{ClusterReport, NodeState};
use crate::node::split_plan::{SplitReport, SplitRequest};

impl Segue {
    /// How every node and replica of the cluster is.
    ///
    /// # Errors
    /// `Conflict` when the database is alone.
    pub fn cluster_status(&self) -> Result<ClusterReport> {
        self.serving()?.cluster_status()
    }

    /// Brings the metrics of groups and log up to date in the process's recorder.
    pub fn record_metrics(&self) {
        self.0.0.record_metrics();
    }

    /// Compares the replicas of every group on all nodes.
    ///
    /// Cost: every node reads all it has, once.
    ///
    /// # Errors
    /// `Conflict` when the database is alone.
    pub fn compare_replicas(&self) -> Result<CheckReport> {
        self.answer(|inner| inner.compare_replicas())
    }

    /// Says what a change of a node's state would mean and endanger; nothing is changed.
    ///
    /// # Errors
    /// `Conflict` when the database is alone; `NotFound`.
    pub fn plan_node_state(&self, node: &str, state: NodeState) -> Result<NodeChange> {
        self.serving()?.plan_node_state(node, state)
    }

    /// Changes what is wanted of a node of the cluster; with `force_unsafe` even if groups stop because of it, which is logged.
    ///
    /// # Errors
    /// `Endangers` when a group would stop, and nothing was done; `Conflict` when the database is alone or the change would lose
    /// the last node; `NotFound`.
    pub fn set_node_state(&self, node: &str, state: NodeState, force_unsafe: bool) -> Result<NodeChange> {
        self.serving()?.set_node_state(node, state, force_unsafe)
    }

    /// Places user shards on other nodes, or says what would be placed where.
    ///
    /// # Errors
    /// `Conflict` when the database is alone, the groups concerned have no majority, or the move would leave a replica fewer;
    /// `NotFound`.
    pub fn place_shards(&self, what: &Placing, dry_run: bool) -> Result<PlacingReport> {
        self.serving()?.place_shards(what, dry_run)
    }

    /// Splits a user or track shard in two, or says what would be; it goes on in the background, and after a restart. Asked again while it
    /// runs, says how far it is; asked again for a split that is done, and named by its slot, says that.
    ///
    /// # Errors
    /// `NotFound` for a shard that there is not; `Conflict` for a range of one slot, a slot outside the range, while another
    /// split runs, when there are as many shards as there may be, or the groups concerned have no majority.
    pub fn split_shard(&self, request: &SplitRequest) -> Result<SplitReport> {
        self.answer_current(|inner| inner.split_shard(request))
    }

    /// Has a group's leader hand over to its replica on a node.
    ///
    /// # Errors
    /// `Conflict` when the replica there is none that may lead, or its node drains.
    pub fn transfer_leader(&self, group: &str, node: &str) -> Result<()> {
        self.serving()?.transfer_leader(group, node)
    }
}
