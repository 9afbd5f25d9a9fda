//! When and how far a group's log is compacted.
//!
//! Never beyond what the state machine holds in its own files; what is only applied in memory must still
//! be in the log after a crash.
//!
//! A leader also keeps what its followers still need, as long as the log stays within reason: a follower that
//! is silent for long, or that much behind, gets a snapshot instead.

use raft::StateRole;

use super::core::GroupCore;
use crate::log::store::Truncated;

/// How many times its limits a log may grow for the sake of slow followers.
const FORCE_FACTOR: u64 = 4;

impl GroupCore {
    /// Compacts the log with the next write as far as the state machine allows, without slack: the log
    /// store asks for it when old entries keep whole files alive.
    pub fn request_compaction(&mut self) {
        self.compaction_requested = true;
    }

    /// Returns where to cut the log: once it is over its limits or a compaction was asked for, up to
    /// what the machine holds durably, less the slack.
    pub(super) fn due_truncation(&mut self) -> Option<Truncated> {
        if let Some(machine) = &self.machine {
            self.durable = machine.durable_index();
        }
        let requested = std::mem::take(&mut self.compaction_requested);
        let log = self.raw.store();
        let over = log.bytes() > self.limits.log_bytes_max || log.len() > self.limits.log_entries_max;
        if !over && !requested {
            return None;
        }
        let slack = if requested { 0 } else { self.slack_entries() };
        let mut index = self.durable.min(self.applied).saturating_sub(slack);
        if let Some(needed) = self.needed_by_followers() {
            index = index.min(needed);
        }
        if index <= log.truncated().index {
            return None;
        }
        log.term_of(index).map(|term| Truncated { index, term })
    }

    /// Returns the entry behind which followers need everything; `None` when nobody needs anything, or when the log is
    /// so long that they cannot be waited for.
    fn needed_by_followers(&self) -> Option<u64> {
        let log = self.raw.store();
        let too_long = log.bytes() > FORCE_FACTOR * self.limits.log_bytes_max
            || log.len() > FORCE_FACTOR * self.limits.log_entries_max;
        if too_long || self.raw.raft.state != StateRole::Leader {
            return None;
        }
        let alive = |peer: &u64| {
            let silent = |heard: &u64| self.ticks - heard > self.limits.follower_dead_ticks;
            self.heard.get(peer).is_some_and(|heard| !silent(heard))
        };
        let progress = self.raw.raft.prs().iter();
        let matched = progress
            .filter(|(peer, progress)| alive(peer) && progress.matched > 0)
            .map(|(_, progress)| progress.matched);
        matched.chain(self.oldest_sent()).min()
    }

    /// Returns the entries to keep for followers that lag a little, at most half of what the log's
    /// limits allow.
    fn slack_entries(&self) -> u64 {
        let log = self.raw.store();
        let mean_bytes = (log.bytes() / log.len().max(1)).max(1);
        let fitting = self.limits.log_bytes_max / 2 / mean_bytes;
        self.limits.log_slack_entries.min(self.limits.log_entries_max / 2).min(fitting)
    }
}
