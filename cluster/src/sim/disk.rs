//! The log of a simulated node. A write is one synced record: after a crash it is there whole or not at all,
//! as a torn tail is dropped when a log is opened.

use std::sync::atomic::{AtomicBool, Ordering};

use raft::eraftpb::Entry;

use super::machine::{Event, Journal, mix};
use crate::error::LogError;
use crate::ids::GroupId;
use crate::log::memory_log::MemoryLog;
use crate::log::store::{GroupWrite, LogStore, StoredGroup};

/// A log that may be full and tells what is written to it.
pub struct SimLog {
    inner: MemoryLog,
    pub full: AtomicBool,
    journal: Journal,
}

impl SimLog {
    pub fn new(journal: Journal) -> Self {
        Self { inner: MemoryLog::default(), full: AtomicBool::new(false), journal }
    }
}

/// A number that stands for an entry's content.
pub fn digest(entry: &Entry) -> u64 {
    let start = mix(entry.term, entry.get_entry_type() as u64);
    entry.data.iter().chain(&entry.context[..]).fold(start, |hash, byte| mix(hash, u64::from(*byte)))
}

impl LogStore for SimLog {
    fn write(&self, batch: &[GroupWrite]) -> Result<usize, LogError> {
        if self.full.load(Ordering::Relaxed) {
            return Err(LogError::NoSpace { detail: "simulated".to_owned() });
        }
        let written = self.inner.write(batch)?;
        let mut journal = self.journal.lock();
        for write in batch {
            journal.extend(write.entries.iter().map(|entry| Event::Written {
                group: write.group,
                index: entry.index,
                term: entry.term,
                digest: digest(entry),
            }));
        }
        Ok(written)
    }

    fn load(&self, group: GroupId) -> Result<Option<StoredGroup>, LogError> {
        self.inner.load(group)
    }

    fn read(&self, group: GroupId, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, LogError> {
        self.inner.read(group, low, high, bytes_max)
    }
}
