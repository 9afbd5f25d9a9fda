//! Raft's own settings, and limits that no operator needs to know.

use raft::ReadOnlyOption;

use crate::ids::PeerId;

/// Committed bytes waiting for a slow state machine at which proposals are refused.
pub(super) const APPLY_BACKLOG_BYTES_MAX: u64 = 256 << 20;
/// The same in entries.
pub(super) const APPLY_BACKLOG_ENTRIES_MAX: usize = 50_000;

/// Bytes of entries in one message.
pub(super) const MESSAGE_BYTES: u64 = 1 << 20;

/// Ticks without a leader before an election; Raft draws one to two times as many.
pub(crate) const ELECTION_TICKS: usize = 10;
/// Ticks between two heartbeats of a leader.
pub(super) const HEARTBEAT_TICKS: usize = 2;

/// Returns Raft's own settings for a replica.
pub(super) fn raft_config(peer: PeerId, applied: u64, apply_batch_bytes_max: u64) -> raft::Config {
    raft::Config {
        id: peer.0,
        election_tick: ELECTION_TICKS,
        heartbeat_tick: HEARTBEAT_TICKS,
        applied,
        max_size_per_msg: MESSAGE_BYTES,
        max_inflight_msgs: 64,
        check_quorum: true,
        pre_vote: true,
        // Never true: 0.7.0 then adds entries to a queued empty message without looking at its index; after
        // a rejection the follower acknowledges entries it does not have, and the leader commits them
        // (raft-rs#557; `groups_keep_every_invariant_through_crashes_cuts_lost_disks_and_moves` meets it within 20 seeds).
        batch_append: false,
        skip_bcast_commit: false,
        read_only_option: ReadOnlyOption::Safe,
        max_uncommitted_size: 64 << 20,
        max_committed_size_per_ready: apply_batch_bytes_max,
        ..raft::Config::default()
    }
}
