//! The log store in memory: for simulation, and the model the real one is tested against.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use protobuf::Message as _;
use raft::eraftpb::Entry;

use super::store::{GroupWrite, LogStore, StoredGroup};
use crate::error::LogError;
use crate::ids::GroupId;

/// A log of many groups in memory. A crash of its user loses nothing: every write is "durable".
#[derive(Default)]
pub(crate) struct MemoryLog {
    groups: Mutex<BTreeMap<GroupId, StoredLog>>,
}

struct StoredLog {
    meta: StoredGroup,
    entries: BTreeMap<u64, Entry>,
}

impl LogStore for MemoryLog {
    fn write(&self, batch: &[GroupWrite]) -> Result<usize, LogError> {
        let mut groups = self.groups.lock();
        let mut bytes = 0;
        for write in batch {
            bytes += write.entries.iter().map(|entry| entry.compute_size() as usize).sum::<usize>();
            if write.destroy {
                groups.remove(&write.group);
                continue;
            }
            if let Some(created) = created(write) {
                groups.insert(write.group, StoredLog { meta: created, entries: BTreeMap::new() });
            }
            let stored = groups.get_mut(&write.group).ok_or_else(|| LogError::Engine {
                detail: format!("write to a group that was never created. group=`{}`", write.group),
            })?;
            stored.take(write);
        }
        Ok(bytes)
    }

    fn load(&self, group: GroupId) -> Result<Option<StoredGroup>, LogError> {
        Ok(self.groups.lock().get(&group).map(StoredLog::describe))
    }

    fn read(&self, group: GroupId, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, LogError> {
        let groups = self.groups.lock();
        let mut found = Vec::new();
        let mut bytes = 0;
        for index in low..high {
            let entry =
                groups.get(&group).and_then(|stored| stored.entries.get(&index)).ok_or_else(|| {
                    LogError::Engine { detail: format!("entry not found. group=`{group}`, index=`{index}`") }
                })?;
            bytes += u64::from(entry.compute_size());
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push(entry.clone());
        }
        Ok(found)
    }
}

fn created(write: &GroupWrite) -> Option<StoredGroup> {
    Some(StoredGroup {
        peer: write.peer?,
        truncated: write.truncate?,
        hard_state: write.hard_state.clone()?,
        members: write.members.clone()?,
        install: None,
        entries: None,
    })
}

impl StoredLog {
    fn take(&mut self, write: &GroupWrite) {
        if write.reset {
            self.entries.clear();
            self.meta.install = None;
        }
        if let Some(hard_state) = &write.hard_state {
            self.meta.hard_state = hard_state.clone();
        }
        if let Some(members) = &write.members {
            self.meta.members = members.clone();
        }
        if let Some(install) = &write.install {
            self.meta.install = Some(install.clone());
        }
        if let Some(truncated) = write.truncate {
            self.meta.truncated = truncated;
            self.entries = self.entries.split_off(&(truncated.index + 1));
        }
        if let Some(first) = write.entries.first() {
            self.entries.split_off(&first.index);
            self.entries.extend(write.entries.iter().map(|entry| (entry.index, entry.clone())));
        }
    }

    fn describe(&self) -> StoredGroup {
        let ends = self.entries.first_key_value().zip(self.entries.last_key_value());
        StoredGroup { entries: ends.map(|((first, _), (last, _))| (*first, *last)), ..self.meta.clone() }
    }
}
