//! What a node tells about its replicas and its log, when `/metrics` is read.

use metrics::{counter, gauge};
use segue_cluster::{GroupStatus, MetricsSnapshot, Role};

use super::engine::Inner;
use super::report::group_name;

impl Inner {
    /// Brings the gauges and counters of groups and log up to date.
    pub(super) fn record_metrics(&self) {
        let cluster = self.cluster.lock();
        let Some(node) = &*cluster else { return };
        for handle in node.groups() {
            record_group(&handle.status());
        }
        record_log(&node.metrics());
    }
}

fn record_group(status: &GroupStatus) {
    let group = group_name(status.group);
    let set = |name: &'static str, value: u64| gauge!(name, "group" => group.clone()).set(value as f64);
    let leads = status.role == Role::Leader;
    set("segue_group_leads", u64::from(leads));
    set("segue_group_has_leader", u64::from(status.leader.is_some()));
    set("segue_group_failed", u64::from(status.role == Role::Quarantined));
    set("segue_group_term", status.term);
    set("segue_group_commit_index", status.commit);
    set("segue_group_applied_index", status.applied);
    set("segue_group_durable_index", status.durable);
    set("segue_group_apply_lag_entries", status.commit.saturating_sub(status.applied));
    set("segue_group_log_entries", (status.last + 1).saturating_sub(status.first));
    set("segue_group_log_bytes", status.log_bytes);
    set("segue_group_waiting_proposals", status.proposals as u64);
    set("segue_group_waiting_reads", status.reads as u64);
    // What only a leader knows is nothing for everybody else, so that sums over nodes are right.
    let voters = status.members.iter().filter(|member| leads && member.votes);
    set("segue_group_voters", voters.clone().count() as u64);
    set("segue_group_silent_voters", voters.filter(|member| member.is_heard == Some(false)).count() as u64);
    let behind = |matched: u64| status.last.saturating_sub(matched);
    let slowest = status.members.iter().filter_map(|member| member.matched).map(behind).max();
    set("segue_group_slowest_member_lag_entries", slowest.unwrap_or(0));
}

fn record_log(metrics: &MetricsSnapshot) {
    for (label, q) in [("0.5", 0.5), ("0.99", 0.99), ("1", 1.0)] {
        let seconds = metrics.fsync.quantile(q).as_secs_f64();
        gauge!("segue_log_write_quantile_seconds", "quantile" => label).set(seconds);
    }
    counter!("segue_log_writes_total").absolute(metrics.fsync.count());
    counter!("segue_log_written_entries_total").absolute(metrics.fsync_entries);
    counter!("segue_log_written_bytes_total").absolute(metrics.fsync_bytes);
    gauge!("segue_log_disk_bytes").set(metrics.log_disk_bytes as f64);
    counter!("segue_raft_proposals_total").absolute(metrics.proposals);
    counter!("segue_raft_proposals_disk_full_total").absolute(metrics.proposals_disk_full);
    counter!("segue_raft_reads_total").absolute(metrics.reads);
    counter!("segue_raft_applied_entries_total").absolute(metrics.applied_entries);
    counter!("segue_raft_failed_replicas_total").absolute(metrics.quarantined);
    counter!("segue_raft_messages_received_total").absolute(metrics.messages_received);
    counter!("segue_raft_plain_messages_received_total").absolute(metrics.plain_messages_received);
    counter!("segue_raft_forwarded_proposals_total").absolute(metrics.forwarded_proposals);
    counter!("segue_raft_messages_undelivered_total").absolute(metrics.messages_undelivered);
    counter!("segue_raft_messages_dropped_total").absolute(metrics.messages_dropped);
    gauge!("segue_raft_waiting_requests").set(metrics.mailbox_requests as f64);
    gauge!("segue_raft_tick_delay_max_seconds").set(metrics.tick_delay_max.as_secs_f64());
}
