//! What a node tells about its replicas and its log, when `/metrics` is read.
//!
//! Everything is read of counters and of the statuses that the Raft thread left behind: a scrape waits for no disk.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use metrics::{counter, gauge};
use parking_lot::Mutex;
use segue_cluster::{
    GroupCounters, GroupId, GroupStatus, HistogramSnapshot, MapState, MemberState, MetricsSnapshot,
    NodeIntent, Role, StoreId,
};

use super::engine::Inner;
use super::report::group_name;

/// Members that a gauge was set for in this process: the recorder is the process's, too, and forgets none, so what a replica
/// does not lead any more is set to 0.
static MEMBERS_TOLD: Mutex<BTreeSet<(GroupId, StoreId)>> = Mutex::new(BTreeSet::new());

impl Inner {
    /// Brings the gauges and counters of groups and log up to date.
    pub(super) fn record_metrics(&self) {
        let cluster = self.cluster.lock();
        let Some(node) = &*cluster else { return };
        let metrics = node.metrics();
        let map = self.peers.as_ref().and_then(|peers| peers.cluster().ok()).map(|cluster| cluster.map());
        let mut members = BTreeMap::new();
        for handle in node.groups() {
            let status = handle.status();
            record_group(&status, map.as_deref());
            record_counters(&status, &handle.counters(), metrics.tick);
            members.extend(members_of(&status));
        }
        record_members(&members, metrics.tick);
        record_log(&metrics);
        record_phases(&metrics);
    }
}

fn record_group(status: &GroupStatus, map: Option<&MapState>) {
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
    set("segue_group_first_index", status.first);
    set("segue_group_last_index", status.last);
    set("segue_group_apply_lag_entries", status.commit.saturating_sub(status.applied));
    set("segue_group_log_entries", (status.last + 1).saturating_sub(status.first));
    set("segue_group_log_bytes", status.log_bytes);
    set("segue_group_waiting_proposals", status.proposals as u64);
    set("segue_group_waiting_reads", status.reads as u64);
    // What only a leader knows is nothing for everybody else, so that sums over nodes are right.
    let voters = status.members.iter().filter(|member| leads && member.votes);
    let silent = voters.clone().filter(|member| member.is_heard == Some(false)).count();
    let count = voters.count();
    set("segue_group_voters", count as u64);
    set("segue_group_silent_voters", silent as u64);
    let wanted = map.filter(|_| leads).map_or(0, |map| voters_wanted(map, status.group));
    set("segue_group_missing_voters", wanted.saturating_sub(count - silent) as u64);
    let behind = |matched: u64| status.last.saturating_sub(matched);
    let slowest = status.members.iter().filter_map(|member| member.matched).map(behind).max();
    set("segue_group_slowest_member_lag_entries", slowest.unwrap_or(0));
}

/// Voters a group should have: the map's factor; as long as there are fewer nodes, the largest odd number of them.
fn voters_wanted(map: &MapState, group: GroupId) -> usize {
    let serves = |store: &StoreId| map.nodes.get(store).is_some_and(|it| it.intent == NodeIntent::Serving);
    let nodes = match map.placements.get(&group) {
        Some(stores) => stores.iter().filter(|store| serves(store)).count(),
        None => map.nodes.keys().filter(|store| serves(store)).count(),
    };
    if nodes >= map.factor { map.factor } else { nodes - usize::from(nodes > 0 && nodes.is_multiple_of(2)) }
}

fn record_counters(status: &GroupStatus, counters: &GroupCounters, tick: Duration) {
    let group = group_name(status.group);
    let count = |name: &'static str, value: u64| counter!(name, "group" => group.clone()).absolute(value);
    count("segue_group_leader_changes_total", counters.leader_changes);
    count("segue_group_proposals_dropped_total", counters.proposals_dropped);
    count("segue_group_timeouts_total", counters.timeouts);
    count("segue_group_read_rounds_total", counters.read_rounds);
    count("segue_group_read_round_reads_total", counters.read_round_reads);
    count("segue_group_read_round_microseconds_total", micros(counters.read_round_time));
    count("segue_group_snapshots_made_total", counters.snapshots_made);
    count("segue_group_snapshots_sent_total", counters.snapshots_sent);
    count("segue_group_snapshots_not_sent_total", counters.snapshots_not_sent);
    count("segue_group_snapshots_received_total", counters.snapshots_received);
    count("segue_group_snapshots_not_received_total", counters.snapshots_not_received);
    gauge!("segue_group_change_age_seconds", "group" => group.clone())
        .set(ticks(counters.change_ticks, tick));
}

/// How a leader sends to one member.
struct Sends {
    lag: u64,
    state: MemberState,
    inflight: usize,
    is_paused: bool,
    silent_ticks: u64,
}

/// The other members of a group that is led here.
fn members_of(status: &GroupStatus) -> Vec<((GroupId, StoreId), Sends)> {
    let others = status.members.iter().filter(|member| member.peer != status.peer);
    let sends = others.filter_map(|member| {
        let (store, progress) = (member.store?, member.progress?);
        let sends = Sends {
            lag: status.last.saturating_sub(member.matched?),
            state: progress.state,
            inflight: progress.inflight,
            is_paused: progress.is_paused,
            silent_ticks: progress.silent_ticks,
        };
        Some(((status.group, store), sends))
    });
    sends.collect()
}

fn record_members(members: &BTreeMap<(GroupId, StoreId), Sends>, tick: Duration) {
    let mut told = MEMBERS_TOLD.lock();
    told.extend(members.keys().copied());
    for (group, store) in told.iter() {
        let labels = [("group", group_name(*group)), ("member", store.to_string())];
        let set = |name: &'static str, value: f64| gauge!(name, &labels).set(value);
        let sends = members.get(&(*group, *store));
        let of = |value: fn(&Sends) -> f64| sends.map_or(0.0, value);
        set("segue_group_member_lag_entries", of(|it| it.lag as f64));
        set("segue_group_member_inflight_messages", of(|it| it.inflight as f64));
        set("segue_group_member_probed", of(|it| f64::from(u8::from(it.state == MemberState::Probe))));
        set(
            "segue_group_member_in_snapshot",
            of(|it| f64::from(u8::from(it.state == MemberState::Snapshot))),
        );
        set("segue_group_member_paused", of(|it| f64::from(u8::from(it.is_paused))));
        set("segue_group_member_silent_seconds", sends.map_or(0.0, |it| ticks(it.silent_ticks, tick)));
    }
}

fn ticks(count: u64, tick: Duration) -> f64 {
    count as f64 * tick.as_secs_f64()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn record_log(metrics: &MetricsSnapshot) {
    for (label, q) in QUANTILES {
        let seconds = metrics.fsync.quantile(q).as_secs_f64();
        gauge!("segue_log_write_quantile_seconds", "quantile" => label).set(seconds);
    }
    counter!("segue_log_writes_total").absolute(metrics.fsync.count());
    counter!("segue_log_written_entries_total").absolute(metrics.fsync_entries);
    counter!("segue_log_written_bytes_total").absolute(metrics.fsync_bytes);
    gauge!("segue_log_disk_bytes").set(metrics.log_disk_bytes as f64);
    gauge!("segue_log_segments").set(metrics.log_segments as f64);
    counter!("segue_log_collections_total").absolute(metrics.collections);
    counter!("segue_log_collection_failures_total").absolute(metrics.collection_failures);
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
    counter!("segue_raft_messages_refused_total").absolute(metrics.refused_messages);
    counter!("segue_raft_unreachable_reports_total").absolute(metrics.unreachable_reports);
    counter!("segue_snapshot_sent_bytes_total").absolute(metrics.snapshot_sent_bytes);
    counter!("segue_snapshot_received_bytes_total").absolute(metrics.snapshot_received_bytes);
    gauge!("segue_raft_waiting_requests").set(metrics.mailbox_requests as f64);
    gauge!("segue_raft_tick_delay_max_seconds").set(metrics.tick_delay_max.as_secs_f64());
}

const QUANTILES: [(&str, f64); 3] = [("0.5", 0.5), ("0.99", 0.99), ("1", 1.0)];

/// How long each part of the work takes.
fn record_phases(metrics: &MetricsSnapshot) {
    let MetricsSnapshot { step, ready, fsync, apply, map_changes, .. } = metrics;
    let phases: [(&str, &HistogramSnapshot); 5] =
        [("step", step), ("ready", ready), ("write", fsync), ("apply", apply), ("map_change", map_changes)];
    for (phase, times) in phases {
        counter!("segue_raft_phase_runs_total", "phase" => phase).absolute(times.count());
        counter!("segue_raft_phase_microseconds_total", "phase" => phase).absolute(micros(times.sum));
        for (label, q) in QUANTILES {
            gauge!("segue_raft_phase_quantile_seconds", "phase" => phase, "quantile" => label)
                .set(times.quantile(q).as_secs_f64());
        }
    }
}
