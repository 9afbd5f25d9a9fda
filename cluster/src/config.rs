//! Settings of a node, with their units, ranges and trade-offs.

use std::time::Duration;

use crate::group::core::GroupLimits;
use crate::ids::ClusterId;

/// Silence after which a log is no longer kept for a follower.
const FOLLOWER_DEAD: Duration = Duration::from_secs(600);

/// Settings of a [`ClusterNode`](crate::ClusterNode). [`Default`] is right for a server.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The cluster this directory must belong to. `None` accepts what the directory says, and draws
    /// a new id for a new directory.
    pub cluster_id: Option<ClusterId>,
    /// Time between two Raft ticks. Default 100 ms; 1 ms to 10 s. Elections take 10 to 20 ticks.
    pub tick: Duration,
    /// Threads that apply committed entries. Default 2; 1 to 64. Groups share them; one group never
    /// uses two at a time.
    pub apply_threads: usize,
    /// Requests that may wait for the Raft thread. Default 4,096; 1 to 1,048,576. More waiting costs
    /// memory and latency, less answers `Busy` sooner.
    pub mailbox_requests_max: usize,
    /// Bytes of proposals of one group between `propose` and their acknowledgement. Default 64 MiB.
    pub inflight_bytes_max: usize,
    /// Largest single proposal. Default and maximum 8 MiB.
    pub entry_bytes_max: usize,
    /// Committed entries handed to a state machine at once. Default 8 MiB; at least one entry goes.
    pub apply_batch_bytes_max: u64,
    /// A group's log is compacted once its entries exceed this. Default 64 MiB.
    pub log_bytes_max: u64,
    /// A group's log is compacted once it holds more entries than this. Default 50,000.
    pub log_entries_max: u64,
    /// Entries kept before the durable index when a log is compacted, for followers that are a little
    /// behind. Default 1,000.
    pub log_slack_entries: u64,
    /// Size at which a log file is closed and the next begun. Default 32 MiB; at least 4 KiB.
    pub log_file_bytes: u64,
    /// Log files are collected once they exceed this together. Default 256 MiB; at least
    /// `log_file_bytes`.
    pub log_disk_bytes: u64,
    /// Free bytes below which proposals are refused with `DiskFull`. Default 256 MiB. Reads go on.
    pub disk_reserve_bytes: u64,
    /// Bytes of snapshots sent to other nodes a second, all together. Default 100 MB. More makes a new replica ready
    /// sooner, and searches on this node slower.
    pub snapshot_bytes_per_second: u64,
}

/// The largest proposal any node accepts, 8 MiB.
pub const ENTRY_BYTES_LIMIT: usize = 8 << 20;

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            cluster_id: None,
            tick: Duration::from_millis(100),
            apply_threads: 2,
            mailbox_requests_max: 4_096,
            inflight_bytes_max: 64 << 20,
            entry_bytes_max: ENTRY_BYTES_LIMIT,
            apply_batch_bytes_max: 8 << 20,
            log_bytes_max: 64 << 20,
            log_entries_max: 50_000,
            log_slack_entries: 1_000,
            log_file_bytes: 32 << 20,
            log_disk_bytes: 256 << 20,
            disk_reserve_bytes: 256 << 20,
            snapshot_bytes_per_second: 100_000_000,
        }
    }
}

/// A setting that is out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("setting out of range, allowed is {allowed}. setting=`{setting}`, value=`{value}`")]
pub struct InvalidConfig {
    /// Name of the field of [`NodeConfig`].
    pub setting: &'static str,
    /// What was asked for.
    pub value: String,
    /// What would be accepted.
    pub allowed: &'static str,
}

impl NodeConfig {
    /// The limits of each replica.
    pub(crate) fn group_limits(&self) -> GroupLimits {
        GroupLimits {
            apply_batch_bytes_max: self.apply_batch_bytes_max,
            log_bytes_max: self.log_bytes_max,
            log_entries_max: self.log_entries_max,
            log_slack_entries: self.log_slack_entries,
            // Ten minutes, whatever a tick is.
            follower_dead_ticks: FOLLOWER_DEAD.as_millis().div_ceil(self.tick.as_millis()) as u64,
        }
    }

    /// Checks every field against its range.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let millis = self.tick.as_millis();
        check("tick", (1..=10_000).contains(&millis), format!("{millis} ms"), "1 ms to 10 s")?;
        check("apply_threads", (1..=64).contains(&self.apply_threads), self.apply_threads, "1 to 64")?;
        let mailbox = self.mailbox_requests_max;
        check("mailbox_requests_max", (1..=1 << 20).contains(&mailbox), mailbox, "1 to 1048576")?;
        let entry = self.entry_bytes_max;
        check("entry_bytes_max", (1..=ENTRY_BYTES_LIMIT).contains(&entry), entry, "1 to 8388608 bytes")?;
        check(
            "inflight_bytes_max",
            self.inflight_bytes_max >= entry,
            self.inflight_bytes_max,
            "at least entry_bytes_max",
        )?;
        check("log_entries_max", self.log_entries_max > 0, self.log_entries_max, "at least 1")?;
        check("log_bytes_max", self.log_bytes_max > 0, self.log_bytes_max, "at least 1 byte")?;
        check("log_file_bytes", self.log_file_bytes >= 4_096, self.log_file_bytes, "at least 4096 bytes")?;
        check(
            "log_disk_bytes",
            self.log_disk_bytes >= self.log_file_bytes,
            self.log_disk_bytes,
            "at least log_file_bytes",
        )
    }
}

fn check(
    setting: &'static str,
    holds: bool,
    value: impl ToString,
    allowed: &'static str,
) -> Result<(), InvalidConfig> {
    if holds {
        return Ok(());
    }
    Err(InvalidConfig { setting, value: value.to_string(), allowed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_a_bad_setting_is_named() {
        assert_eq!(NodeConfig::default().validate(), Ok(()));
        let broken = NodeConfig { apply_threads: 0, ..NodeConfig::default() };
        assert_eq!(broken.validate().map_err(|error| error.setting), Err("apply_threads"));
        let broken = NodeConfig { log_disk_bytes: 1, ..NodeConfig::default() };
        assert_eq!(broken.validate().map_err(|error| error.setting), Err("log_disk_bytes"));
    }
}
