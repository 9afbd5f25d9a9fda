//! What a parent gives to its child next, read from one snapshot.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::{
    engine::Snapshot,
    error::Result,
    keys,
    shard::UserShard,
    split::{ImportPlace, Parting, PartingStage, SplitState, goes_with},
    value::damaged,
    vectors,
};
use crate::types::{Slot, SlotRange};

/// A batch of rows for a child.
#[derive(Debug, PartialEq)]
pub struct Outgoing {
    /// Keys, and their values as of the snapshot; `None`: the row is gone.
    pub rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// What has been taken once these are.
    pub place: ImportPlace,
    /// There may be more behind them in the snapshot.
    pub is_full: bool,
    /// Nothing was left behind them in the snapshot, and nothing can come any more.
    pub is_last: bool,
}

impl UserShard {
    /// The rows that come next for a child which has taken `place`, about `bytes` of them and one row more; `None` unless the
    /// shard gives slots to this child.
    ///
    /// The snapshot holds everything up to some entry behind the one since which changes are noted; another replica's
    /// may hold less or more of them, and both lead to the same end.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn outgoing(&self, child: u16, place: &ImportPlace, bytes: usize) -> Result<Option<Outgoing>> {
        let inner = self.inner();
        let snapshot = inner.engine.snapshot();
        let split = SplitState::read(&snapshot)?;
        let Some(parting) = split.parting_with(child) else { return Ok(None) };
        let range = SlotRange { first: parting.at, end: split.end };
        match place {
            ImportPlace::Rows(after) => copied(&snapshot, after, range, bytes).map(Some),
            ImportPlace::Notes(after) => noted(&snapshot, after, parting, bytes).map(Some),
        }
    }
}

/// Rows behind a key, in the order of keys.
fn copied(snapshot: &Snapshot<'_>, after: &[u8], range: SlotRange, bytes: usize) -> Result<Outgoing> {
    let mut batch = Batch { rows: Vec::new(), bytes: 0, bytes_max: bytes };
    for (from, to) in sections(snapshot, range)? {
        if after >= &to[..] {
            continue;
        }
        let from = if after < &from[..] { from } else { [after, &[0]].concat() };
        let mut last = None;
        snapshot.scan(&from, &to, |key, value| {
            last = Some(key.to_vec());
            if !goes_with(key, range) {
                return Ok(ControlFlow::Continue(()));
            }
            batch.put(key, Some(value));
            Ok(if batch.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if batch.is_full() {
            let place = ImportPlace::Rows(last.unwrap_or(from));
            return Ok(Outgoing { rows: batch.rows, place, is_full: true, is_last: false });
        }
    }
    let place = ImportPlace::Notes(Vec::new());
    Ok(Outgoing { rows: batch.rows, place, is_full: false, is_last: false })
}

/// Where rows of a range of slots lie, ascending. Vectors of dropped generations are nobody's.
fn sections(snapshot: &Snapshot<'_>, range: SlotRange) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let ends = |prefix: &[u8]| {
        let end = |slot: u16| [prefix, &keys::slot(Slot(slot))[..]].concat();
        (end(range.first), end(range.end))
    };
    let mut sections = vec![ends(&[]), (vec![keys::WAITING], keys::WAITING_END.to_vec())];
    let live = vectors::generations(snapshot)?.into_iter().filter(|(.., row)| !row.dropped);
    let mut vectors: Vec<_> =
        live.map(|(space, generation, _)| ends(&keys::vectors(&space, generation))).collect();
    vectors.sort_unstable();
    sections.extend(vectors);
    sections.push((vec![keys::LOAD], vec![keys::LOAD + 1]));
    sections.push((vec![keys::GENERATION], vec![keys::GENERATION + 1]));
    Ok(sections)
}

/// Keys that were noted behind a note, each once, as they are now.
fn noted(snapshot: &Snapshot<'_>, after: &[u8], parting: &Parting, bytes: usize) -> Result<Outgoing> {
    let first = keys::notes_from(parting.since);
    let from = if after < &first[..] { first } else { [after, &[0]].concat() };
    let mut batch = Batch { rows: Vec::new(), bytes: 0, bytes_max: bytes };
    let (mut seen, mut last) = (BTreeSet::new(), None);
    snapshot.scan(&from, &keys::NOTES_END, |note, _| {
        let key = keys::noted_key(note).ok_or_else(|| damaged(note, "key is malformed"))?;
        last = Some(note.to_vec());
        if seen.insert(key.to_vec()) {
            batch.put(key, snapshot.get(key)?.as_deref());
        }
        Ok(if batch.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    let is_full = batch.is_full();
    let is_last = !is_full && parting.stage != PartingStage::Noting;
    let place = ImportPlace::Notes(last.unwrap_or_else(|| after.to_vec()));
    Ok(Outgoing { rows: batch.rows, place, is_full, is_last })
}

struct Batch {
    rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    bytes: usize,
    bytes_max: usize,
}

impl Batch {
    fn put(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.bytes += key.len() + value.map_or(0, <[u8]>::len) + size_of::<(Vec<u8>, Option<Vec<u8>>)>();
        self.rows.push((key.to_vec(), value.map(<[u8]>::to_vec)));
    }

    fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }
}
