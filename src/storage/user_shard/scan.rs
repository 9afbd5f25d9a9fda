//! A pass over all listeners, for what is derived from all of them together, and the row that keeps it.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::engine::Engine;
use super::error::Result;
use super::shard::UserShard;
use super::view::{self, UserView};
use super::{
    keys,
    rows::UserRecord,
    value::{damaged, open},
};
use crate::types::slot_of;

impl UserShard {
    /// Visits listeners in key order, each as [`UserShard::view`] gives them, until the visitor breaks. Of more than
    /// `most` listeners those of every `n`-th slot are visited, `n` the smallest power of two that brings their
    /// expected number down to `most`. One snapshot a listener: a pass may see newer listeners beside older ones.
    ///
    /// Cost: one seek and one read of the history a listener; the cache of views is neither asked nor filled.
    ///
    /// # Errors
    /// Damage, I/O; those of the visitor.
    pub fn for_each_view<E: From<super::error::UserShardError>>(
        &self,
        most: u64,
        mut visit: impl FnMut(UserView) -> std::result::Result<ControlFlow<()>, E>,
    ) -> std::result::Result<(), E> {
        let stride = self.user_count().div_ceil(most.max(1)).next_power_of_two();
        let mut from = Vec::new();
        let inner = self.inner();
        loop {
            let snapshot = inner.engine.snapshot();
            let mut found = None;
            snapshot.scan(&from, &keys::USERS_END, |key, value| {
                found = Some((key.to_vec(), value.to_vec()));
                Ok(ControlFlow::Break(()))
            })?;
            let Some((key, value)) = found else { return Ok(()) };
            let record = UserRecord::decode(&value).map_err(|what| damaged(&key, what))?;
            let id = record.user.user_id;
            from = keys::user_end(&keys::user(&id));
            if u64::from(slot_of(id.as_str()).0) % stride != 0 {
                continue;
            }
            let read = view::read(&snapshot, &id)?;
            // What the visitor does may take long, and a snapshot must not.
            drop(snapshot);
            let Some(view) = read else { continue };
            if visit(view)?.is_break() {
                return Ok(());
            }
        }
    }
}

/// The statistics of the files. They are derived, so a damaged row does not keep a shard from opening: it is read as no
/// bytes at all, which nobody takes for statistics; [`UserShard::check`] names the damage.
pub(super) fn read_statistics(engine: &Engine) -> Result<Option<Arc<[u8]>>> {
    let Some(stored) = engine.get(&keys::STATISTICS)? else { return Ok(None) };
    Ok(Some(open(&stored).unwrap_or_default().into()))
}
