//! How a replica begins: from what the log holds of it, or from a first state.

use std::sync::Arc;
use std::thread;

use crate::error::GroupError;
use crate::ids::{GroupId, PeerId, StoreId};
use crate::log::group_log::GroupLog;
use crate::log::recover::{Recovered, recover};
use crate::log::store::{BOOTSTRAP, GroupWrite, LogStore, NOTHING};
use crate::state_machine::AppliedState;

/// How a replica that this directory does not hold yet begins.
#[derive(Clone, Copy)]
pub(crate) enum FirstState {
    /// As the only member of a new group.
    Alone,
    /// As a replica of a group that exists elsewhere.
    Waiting,
}

/// Makes the first state of a replica `peer` on the store `at`.
pub(crate) fn first_state(
    group: GroupId,
    (peer, at): (PeerId, StoreId),
    store: Arc<dyn LogStore>,
    first: FirstState,
) -> Recovered {
    let (write, applied) = match first {
        FirstState::Alone => (GroupWrite::bootstrap(group, peer, &[(peer, at)]), BOOTSTRAP.index),
        FirstState::Waiting => (GroupWrite::join(group, peer), NOTHING.index),
    };
    let log = GroupLog::created(store, &write);
    Recovered { log, peer, applied, first_write: Some(write) }
}

/// Reads a stored group on a thread of its own: the engine caches blocks by thread, and the caller's
/// thread may have read from another node's engine.
pub(crate) fn load_apart(
    group: GroupId,
    store: &Arc<dyn LogStore>,
    state: &AppliedState,
) -> Result<Option<Recovered>, GroupError> {
    let load = || match store.load(group).map_err(|source| GroupError::Log { group, source })? {
        Some(stored) => recover(group, store.clone(), stored, state).map(Some),
        None => Ok(None),
    };
    thread::scope(|scope| scope.spawn(load).join()).unwrap_or_else(|panic| {
        Err(GroupError::Failed { group, reason: crate::panic::message(panic.as_ref()).into() })
    })
}

/// Whether a stored group has gone on without the replica that is stored. Reads on a thread of its own, as [`load_apart`].
pub(crate) fn has_left(group: GroupId, store: &Arc<impl LogStore + ?Sized>) -> Result<bool, GroupError> {
    let left = || match store.load(group).map_err(|source| GroupError::Log { group, source })? {
        Some(stored) => Ok(!stored.members.peers().is_empty() && !stored.members.contains(stored.peer)),
        None => Ok(false),
    };
    thread::scope(|scope| scope.spawn(left).join()).unwrap_or_else(|panic| {
        Err(GroupError::Failed { group, reason: crate::panic::message(panic.as_ref()).into() })
    })
}
