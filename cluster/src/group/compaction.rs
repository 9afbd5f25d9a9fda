//! When and how far a group's log is compacted.
//!
//! Never beyond what the state machine holds in its own files; what is only applied in memory must still
//! be in the log after a crash.

use super::core::GroupCore;
use crate::log::store::Truncated;

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
        let index = self.durable.min(self.applied).saturating_sub(slack);
        if index <= log.truncated().index {
            return None;
        }
        log.term_of(index).map(|term| Truncated { index, term })
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
