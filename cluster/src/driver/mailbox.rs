//! What reaches the Raft thread.

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};
use mio::Token;
use raft::eraftpb::Message;
use tokio::sync::oneshot;

use super::alarm::{Bed, Bell};

use crate::error::GroupError;
use crate::group::apply::ApplyDone;
use crate::group::core::GroupCore;
use crate::group::entry::EntryKind;
use crate::group::handle::{Applied, ReadPoint};
use crate::group::shared::GroupShared;
use crate::ids::{GroupId, StoreId};
use crate::log::recover::Recovered;
use crate::snapshot::packet::Outgoing;
use crate::snapshot::transfer::FetchDone;
use crate::state_machine::StateMachine;
use crate::wait::Ticket;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// A request of a caller. At most [`NodeConfig::mailbox_requests_max`](crate::NodeConfig) wait.
pub(crate) enum Request {
    Propose {
        group: GroupId,
        kind: EntryKind,
        data: Bytes,
        ticket: Ticket<Applied>,
    },
    /// Read points, of several groups in the same turn, so that their messages travel together.
    Reads(Vec<(GroupId, Ticket<ReadPoint>)>),
    Add(Box<NewGroup>),
    Remove {
        group: GroupId,
        destroy: bool,
        reply: Sender<Result<(), GroupError>>,
    },
    /// Something to do with a replica; not called when it is not there.
    With {
        group: GroupId,
        action: Action,
    },
}

/// Runs on the Raft thread: must not wait.
pub(crate) type Action = Box<dyn FnOnce(&mut GroupCore) + Send>;

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
    /// Files of a snapshot are all there, or never will be.
    Fetched(FetchDone),
    /// Finish what was accepted (`drain`) or stop where you are.
    Stop {
        drain: bool,
    },
}

/// What other nodes sent, checked at the edge. Bounded; the network drops what does not fit.
pub(crate) enum FromPeers {
    Raft {
        from: StoreId,
        messages: Vec<(GroupId, Message)>,
    },
    Packet {
        from: StoreId,
        what: Box<Outgoing>,
    },
    /// The stream to a store broke.
    Unreachable(StoreId),
    /// A connection to a store was made. `alive` is dropped with it.
    Linked {
        store: StoreId,
        stream: TcpStream,
        alive: oneshot::Sender<()>,
    },
    /// A store has connected itself.
    LinkedFrom {
        store: StoreId,
        stream: TcpStream,
    },
}

/// Frames of other nodes that may wait.
const PEERS_MAX: usize = 4_096;

/// The callers' end of the mailbox.
#[derive(Clone)]
pub(crate) struct Mailbox(Bell<Request>);

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
    pub peers: Receiver<FromPeers>,
    pub bed: Bed,
}

impl Inbox {
    /// Waits until something is there, or for `time`; returns the sockets that have news.
    pub fn wait(&mut self, time: Duration) -> Vec<Token> {
        let Self { requests, events, peers, bed } = self;
        bed.sleep(time, || !requests.is_empty() || !events.is_empty() || !peers.is_empty())
    }
}

/// All senders of a mailbox, and its end.
pub(crate) struct MailboxEnds {
    pub mailbox: Mailbox,
    pub events: Bell<Event>,
    pub peers: Bell<FromPeers>,
    pub inbox: Inbox,
}

/// Makes the ends.
///
/// # Errors
/// The operating system's.
pub(crate) fn mailbox(requests_max: usize) -> io::Result<MailboxEnds> {
    let (request_sender, requests) = bounded(requests_max);
    let (event_sender, events) = unbounded();
    let (peer_sender, peers) = bounded(PEERS_MAX);
    let (bed, alarm) = Bed::new()?;
    let inbox = Inbox { requests, events, peers, bed };
    Ok(MailboxEnds {
        mailbox: Mailbox(Bell::new(request_sender, alarm.clone())),
        events: Bell::new(event_sender, alarm.clone()),
        peers: Bell::new(peer_sender, alarm),
        inbox,
    })
}
