//! What reaches the Raft thread.

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};

use crate::error::GroupError;
use crate::group::apply::ApplyDone;
use crate::group::entry::EntryKind;
use crate::group::handle::{Applied, ReadPoint};
use crate::group::shared::GroupShared;
use crate::ids::GroupId;
use crate::log::recover::Recovered;
use crate::state_machine::StateMachine;
use crate::wait::Ticket;
use std::sync::Arc;

/// A request of a caller. At most [`NodeConfig::mailbox_requests_max`](crate::NodeConfig) wait.
pub(crate) enum Request {
    Propose { group: GroupId, kind: EntryKind, data: Bytes, ticket: Ticket<Applied> },
    Read { group: GroupId, ticket: Ticket<ReadPoint> },
    Add(Box<NewGroup>),
    Remove { group: GroupId, destroy: bool, reply: Sender<Result<(), GroupError>> },
}

/// A group to run.
pub(crate) struct NewGroup {
    pub shared: Arc<GroupShared>,
    pub recovered: Recovered,
    /// A random number, new in every run of the replica.
    pub life: u64,
    pub machine: Box<dyn StateMachine>,
    pub reply: Sender<Result<(), GroupError>>,
}

/// News from the node's own threads. Not bounded by a capacity but by what can be under way: one batch
/// a group, one collection, one stop.
pub(crate) enum Event {
    Applied(ApplyDone),
    /// The log store wants these groups compacted.
    Compact(Vec<GroupId>),
    /// The log failed on another thread.
    LogFailed(String),
    /// Finish what was accepted (`drain`) or stop where you are.
    Stop {
        drain: bool,
    },
}

/// The callers' end of the mailbox.
#[derive(Clone)]
pub(crate) struct Mailbox(Sender<Request>);

impl Mailbox {
    pub fn try_send(&self, request: Request) -> Result<(), TrySendError<Request>> {
        self.0.try_send(request)
    }

    /// Sends a request, waiting for room.
    pub fn send(&self, request: Request) -> Result<(), Disconnected> {
        self.0.send(request).map_err(|_| Disconnected)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// The Raft thread is gone.
pub(crate) struct Disconnected;

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mailbox({} waiting)", self.0.len())
    }
}

/// The Raft thread's end.
pub(crate) struct Inbox {
    pub requests: Receiver<Request>,
    pub events: Receiver<Event>,
}

/// Makes the two ends.
pub(crate) fn mailbox(requests_max: usize) -> (Mailbox, Sender<Event>, Inbox) {
    let (request_sender, requests) = bounded(requests_max);
    let (event_sender, events) = unbounded();
    (Mailbox(request_sender), event_sender, Inbox { requests, events })
}
