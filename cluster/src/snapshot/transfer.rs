//! One node's transfers of snapshot files, both directions, without threads or a clock.
//!
//! A receiver asks for one piece after another and waits for each; a lost request or piece is asked
//! again after [`RETRY_TICKS`]. What is at hand already is not asked for, down to the byte an interrupted
//! transfer stopped at. At most [`RECEIVES_MAX`] groups receive at a time; the others wait their turn. Pieces given
//! out are limited by a budget of bytes a tick.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::files::{SnapshotFiles, Staging};
use super::manifest::SnapshotFile;
use super::packet::{CHUNK_BYTES, Chunk, Fetch, Outgoing, Packet};
use crate::group::snapshots::FetchOrder;
use crate::ids::GroupId;

/// Groups of a node that receive a snapshot at the same time.
const RECEIVES_MAX: usize = 2;
/// Ticks without an answer after which a piece is asked for again.
const RETRY_TICKS: u64 = 5;
/// Times a piece is asked for before the snapshot is given up.
const TRIES_MAX: u32 = 12;
/// Times a file may turn out wrong when it is whole.
const WRONG_MAX: u32 = 3;

/// The transfers of one node.
pub(crate) struct Transfers {
    chunk_bytes: u64,
    /// Bytes that may be sent a tick, and what is left of them.
    budget_max: u64,
    budget: u64,
    receiving: BTreeMap<GroupId, Receive>,
    waiting: VecDeque<(GroupId, FetchOrder, Arc<dyn Staging>)>,
    now: u64,
}

/// A snapshot on its way in.
struct Receive {
    order: FetchOrder,
    staging: Arc<dyn Staging>,
    /// Place of the file being fetched.
    file: usize,
    asked_at: u64,
    tries: u32,
    wrong: u32,
}

/// A snapshot whose files are all there, or will never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FetchDone {
    pub group: GroupId,
    pub snapshot: u64,
    pub ok: bool,
}

/// What came of a step.
#[derive(Default)]
pub(crate) struct Progress {
    pub out: Vec<Outgoing>,
    pub done: Vec<FetchDone>,
}

impl Transfers {
    /// * `chunk_bytes`: size of a piece, at most [`CHUNK_BYTES`].
    /// * `bytes_per_tick`: what may be sent between two ticks; one piece always may.
    pub fn new(chunk_bytes: u64, bytes_per_tick: u64) -> Self {
        Self {
            chunk_bytes: chunk_bytes.clamp(1, CHUNK_BYTES),
            budget_max: bytes_per_tick,
            budget: bytes_per_tick,
            receiving: BTreeMap::new(),
            waiting: VecDeque::new(),
            now: 0,
        }
    }

    /// Begins to fetch the files of an order. A new order of the same group replaces the old one.
    pub fn fetch(&mut self, group: GroupId, order: FetchOrder, staging: Arc<dyn Staging>) -> Progress {
        self.forget(group);
        self.waiting.push_back((group, order, staging));
        self.start_waiting()
    }

    /// Drops whatever a group was receiving.
    pub fn forget(&mut self, group: GroupId) {
        self.receiving.remove(&group);
        self.waiting.retain(|(waiting, ..)| *waiting != group);
    }

    /// Answers a request for a piece of `files`; `None` when the budget of this tick is used up.
    pub fn serve(&mut self, fetch: Fetch, files: Option<&dyn SnapshotFiles>) -> Option<Chunk> {
        let gone = Chunk { fetch: fetch.clone(), content: None, crc: 0 };
        let Some(files) = files else {
            return Some(gone);
        };
        if self.budget == 0 {
            return None;
        }
        match files.read(fetch.file as usize, fetch.offset, self.chunk_bytes) {
            Ok(content) => {
                self.budget = self.budget.saturating_sub(content.len() as u64);
                Some(Chunk { fetch, crc: crc32c::crc32c(&content), content: Some(Bytes::from(content)) })
            }
            Err(error) => {
                tracing::warn!(file = fetch.file, %error, "a file of a pinned snapshot cannot be read");
                Some(gone)
            }
        }
    }

    /// Takes a piece.
    pub fn take(&mut self, group: GroupId, chunk: &Chunk) -> Progress {
        let now = self.now;
        let Some(receive) = self.receiving.get_mut(&group) else {
            return Progress::default();
        };
        if !receive.awaits(&chunk.fetch) {
            return Progress::default();
        }
        let outcome = match &chunk.content {
            None => Err("the sender has given the snapshot up".to_owned()),
            // Damaged on the way: it is asked for again.
            Some(content) if crc32c::crc32c(content) != chunk.crc => return Progress::default(),
            Some(content) => receive.append(content),
        };
        let mut progress = Progress::default();
        match outcome {
            Ok(()) => {
                receive.tries = 0;
                self.go_on(group, now, &mut progress);
            }
            Err(reason) => self.end(group, Err(reason), &mut progress),
        }
        self.and_the_waiting(progress)
    }

    /// Counts a tick: refills the budget and asks again for what did not come.
    pub fn tick(&mut self) -> Progress {
        self.now += 1;
        self.budget = self.budget_max;
        let now = self.now;
        let late: Vec<_> = self
            .receiving
            .iter()
            .filter(|(_, receive)| now >= receive.asked_at + RETRY_TICKS)
            .map(|(group, _)| *group)
            .collect();
        let mut progress = Progress::default();
        for group in late {
            self.go_on(group, now, &mut progress);
        }
        self.and_the_waiting(progress)
    }

    /// Asks for the next missing piece, or ends the transfer.
    fn go_on(&mut self, group: GroupId, now: u64, progress: &mut Progress) {
        let Some(receive) = self.receiving.get_mut(&group) else {
            return;
        };
        match receive.next_missing() {
            Ok(None) => self.end(group, Ok(()), progress),
            Err(reason) => self.end(group, Err(reason), progress),
            Ok(Some(_)) if receive.tries >= TRIES_MAX => {
                self.end(group, Err("the sender does not answer".to_owned()), progress);
            }
            Ok(Some(fetch)) => {
                receive.tries += 1;
                receive.asked_at = now;
                progress.out.push(Outgoing {
                    group,
                    from: receive.order.peer,
                    to: receive.order.from,
                    to_store: receive.order.from_store,
                    packet: Packet::Fetch(fetch),
                });
            }
        }
    }

    fn end(&mut self, group: GroupId, outcome: Result<(), String>, progress: &mut Progress) {
        let Some(receive) = self.receiving.remove(&group) else {
            return;
        };
        if let Err(reason) = &outcome {
            tracing::warn!(%group, reason, "a snapshot could not be fetched");
        }
        progress.done.push(FetchDone { group, snapshot: receive.order.snapshot, ok: outcome.is_ok() });
    }

    fn and_the_waiting(&mut self, mut progress: Progress) -> Progress {
        let more = self.start_waiting();
        progress.out.extend(more.out);
        progress.done.extend(more.done);
        progress
    }

    fn start_waiting(&mut self) -> Progress {
        let mut progress = Progress::default();
        while self.receiving.len() < RECEIVES_MAX
            && let Some((group, order, staging)) = self.waiting.pop_front()
        {
            if let Err(error) = staging.keep_only(&order.manifest.files) {
                tracing::warn!(%group, %error, "old files of a snapshot could not be removed");
            }
            let receive = Receive { order, staging, file: 0, asked_at: self.now, tries: 0, wrong: 0 };
            self.receiving.insert(group, receive);
            self.go_on(group, self.now, &mut progress);
        }
        progress
    }
}

impl Receive {
    fn current(&self) -> Option<&SnapshotFile> {
        self.order.manifest.files.get(self.file)
    }

    fn awaits(&self, fetch: &Fetch) -> bool {
        let Some(file) = self.current() else {
            return false;
        };
        fetch.snapshot == self.order.snapshot
            && fetch.file as usize == self.file
            && fetch.offset == self.staging.staged_bytes(file)
    }

    fn append(&mut self, content: &[u8]) -> Result<(), String> {
        let Some(file) = self.current() else {
            return Ok(());
        };
        let offset = self.staging.staged_bytes(file);
        if content.is_empty() || offset + content.len() as u64 > file.bytes {
            return Err(format!("a file has another length than announced. file=`{}`", file.name));
        }
        self.staging
            .append(file, offset, content)
            .map_err(|error| format!("a file cannot be written ({error}). file=`{}`", file.name))
    }

    /// Finishes files that are whole, and returns what to ask for; `None` when all files are there.
    fn next_missing(&mut self) -> Result<Option<Fetch>, String> {
        while let Some(file) = self.order.manifest.files.get(self.file) {
            if self.staging.holds(file) {
                self.file += 1;
                continue;
            }
            let offset = self.staging.staged_bytes(file);
            if offset < file.bytes {
                let place = self.file as u32;
                return Ok(Some(Fetch { snapshot: self.order.snapshot, file: place, offset }));
            }
            let whole = self.staging.finish(file);
            match whole {
                Ok(true) => self.file += 1,
                Ok(false) => self.wrong += 1,
                Err(error) => {
                    return Err(format!("a file cannot be finished ({error}). file=`{}`", file.name));
                }
            }
            if self.wrong > WRONG_MAX {
                return Err(format!("a file differs from its hash every time. file=`{}`", file.name));
            }
        }
        Ok(None)
    }
}
