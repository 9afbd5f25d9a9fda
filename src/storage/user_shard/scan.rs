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
use crate::types::{Slot, UserId, slot_of};

impl UserShard {
    /// Visits the listeners of every `stride`-th slot behind `after` in key order until the visitor breaks; whether it did.
    /// See [`UserShards::for_each_view`](super::UserShards::for_each_view).
    pub(super) fn for_each_view<E: From<super::error::UserShardError>>(
        &self,
        after: Option<&UserId>,
        stride: u64,
        visit: &mut impl FnMut(UserView) -> std::result::Result<ControlFlow<()>, E>,
    ) -> std::result::Result<ControlFlow<()>, E> {
        let mut from = after.map_or_else(Vec::new, |user| keys::user_end(&keys::user(user)));
        let inner = self.inner();
        loop {
            let snapshot = inner.engine.snapshot();
            let mut found = None;
            snapshot.scan(&from, &keys::slot(Slot(self.end)), |key, value| {
                found = Some((key.to_vec(), value.to_vec()));
                Ok(ControlFlow::Break(()))
            })?;
            let Some((key, value)) = found else { return Ok(ControlFlow::Continue(())) };
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
                return Ok(ControlFlow::Break(()));
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
