//! Reading: point reads of the newest state, and snapshots for reads that belong together.

use std::ops::{Bound, ControlFlow};

use lsm_tree::{AbstractTree, Guard, SeqNo};

use super::store::Shared;
use crate::storage::user_shard::error::Result;

/// A view of the store as it was after some log entry. Holding one keeps old versions of rows alive: short only.
pub(in crate::storage::user_shard) struct Snapshot<'a> {
    shared: &'a Shared,
    seqno: SeqNo,
}

impl<'a> Snapshot<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self { shared, seqno: shared.open_snapshot() }
    }

    /// The value of a key.
    pub(in crate::storage::user_shard) fn get(&self, key: &[u8]) -> Result<Option<lsm_tree::UserValue>> {
        self.shared.guard(|tree| tree.get(key, self.seqno))
    }

    /// Visits rows from `from` (inclusive) to `to` (exclusive), ascending, until the visitor breaks or fails.
    pub(in crate::storage::user_shard) fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.shared.scan(self.seqno, (Bound::Included(from), Bound::Excluded(to)), visit)
    }

    /// Visits all rows whose key starts with `prefix`, ascending, until the visitor breaks or fails.
    pub(in crate::storage::user_shard) fn scan_prefix(
        &self,
        prefix: &[u8],
        visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        match prefix_end(prefix) {
            Some(end) => self.scan(prefix, &end, visit),
            None => self.shared.scan(self.seqno, (Bound::Included(prefix), Bound::Unbounded), visit),
        }
    }
}

impl Snapshot<'_> {
    /// The last key that starts with `prefix`.
    pub(in crate::storage::user_shard) fn last_key(
        &self,
        prefix: &[u8],
    ) -> Result<Option<lsm_tree::UserKey>> {
        let end = prefix_end(prefix);
        let to = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.shared.guard(|tree| {
            let mut rows = tree.range::<&[u8], _>((Bound::Included(prefix), to), self.seqno, None);
            rows.next_back().map(Guard::key).transpose()
        })
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        self.shared.close_snapshot(self.seqno);
    }
}

impl Shared {
    pub(super) fn scan(
        &self,
        seqno: SeqNo,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut failed = None;
        self.guard(|tree| {
            for row in tree.range::<&[u8], _>(range, seqno, None) {
                let (key, value) = row.into_inner()?;
                match visit(&key, &value) {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => break,
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            Ok(())
        })?;
        failed.map_or(Ok(()), Err)
    }
}

/// The smallest key above all keys with this prefix.
fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xFF)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::prefix_end;

    #[test]
    fn the_end_of_a_prefix_carries() {
        assert_eq!(prefix_end(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(prefix_end(&[1, 0xFF, 0xFF]), Some(vec![2]));
        assert_eq!(prefix_end(&[0xFF]), None);
    }
}
