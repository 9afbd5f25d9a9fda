//! A state machine for tests: keeps every entry it was given, and may be told to misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use segue_cluster::{AppliedState, ApplyError, CommittedEntry, StateMachine};

/// What the machine has applied, shared with the test.
#[derive(Default)]
pub struct Journal {
    pub entries: Mutex<Vec<CommittedEntry>>,
    pub durable: AtomicU64,
}

impl Journal {
    pub fn texts(&self) -> Vec<String> {
        let entries = self.entries.lock();
        entries.iter().map(|entry| String::from_utf8(entry.data.to_vec()).unwrap()).collect()
    }
}

/// Replies to every entry with its text reversed. "panic" panics, "io error" stops the replica, "sleep"
/// takes its time.
pub struct JournalMachine {
    pub journal: Arc<Journal>,
    pub recovered: AppliedState,
}

impl JournalMachine {
    pub fn boxed(journal: &Arc<Journal>) -> Box<dyn StateMachine> {
        Self::boxed_from(journal, AppliedState::default())
    }

    pub fn boxed_from(journal: &Arc<Journal>, recovered: AppliedState) -> Box<dyn StateMachine> {
        Box::new(Self { journal: journal.clone(), recovered })
    }
}

impl StateMachine for JournalMachine {
    fn recovered(&self) -> AppliedState {
        self.recovered.clone()
    }

    fn apply(&mut self, batch: &[CommittedEntry]) -> Result<Vec<Bytes>, ApplyError> {
        let mut replies = Vec::new();
        for entry in batch {
            match entry.data.as_ref() {
                b"panic" => panic!("told to panic"),
                b"io error" => return Err(ApplyError::new("told to fail")),
                b"sleep" => std::thread::sleep(Duration::from_millis(300)),
                _ => {}
            }
            replies.push(entry.data.iter().rev().copied().collect());
            self.journal.entries.lock().push(entry.clone());
        }
        Ok(replies)
    }

    fn durable_index(&self) -> u64 {
        self.journal.durable.load(Ordering::Acquire)
    }
}
