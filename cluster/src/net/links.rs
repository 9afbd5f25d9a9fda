//! What the Raft thread and the transfer thread send through. Never blocks; before the network is started, and for stores
//! nobody knows, everything is dropped.
//!
//! Raft's messages go over a connection of their own ([`wire`](super::wire)), written by whoever has something to send; while there
//! is none, over a gRPC stream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use protobuf::Message as _;
use tokio::sync::{mpsc, oneshot};

use super::calls::{Sent, read_reply, write_outcome};
use super::dial;
use super::directory::Directory;
use super::forwards::Forwards;
use super::frame::{FRAME_BYTES, Local, write_packet};
use super::outbound::{self, Class, Frame};
use super::proto as pb;
use super::tls::Tls;
use super::wire::{Writing, encode};
use crate::driver::alarm::Bell;
use crate::driver::mailbox::FromPeers;
use crate::edge::Refused;
use crate::error::ClusterError;
use crate::group::Applied;
use crate::ids::{GroupId, StoreId};
use crate::snapshot::packet::{Outgoing, Packet};

/// Frames that wait for one stream; more are dropped.
const QUEUE_FRAMES_MAX: usize = 256;

/// The outgoing side of a node.
#[derive(Default)]
pub(crate) struct Links {
    pub directory: Directory,
    wires: OnceLock<Wires>,
    /// Connections of their own, by the store at the other end.
    outs: Mutex<BTreeMap<StoreId, Out>>,
    /// Stores that have such a connection to this one.
    hears: Mutex<BTreeSet<StoreId>>,
    /// Stores that a task dials.
    dialled: Mutex<BTreeSet<StoreId>>,
    forwards: Forwards,
    is_closed: AtomicBool,
    /// Frames and greetings that were refused.
    refused: AtomicU64,
}

/// What there is once the network runs.
pub(crate) struct Wires {
    pub local: Local,
    pub runtime: tokio::runtime::Handle,
    pub peers: Bell<FromPeers>,
    pub tls: Option<Tls>,
    streams: Mutex<BTreeMap<(StoreId, Class), mpsc::Sender<Frame>>>,
}

/// A connection to a store.
struct Out {
    writing: Writing,
    /// Its end is told to the task that dials.
    _alive: oneshot::Sender<()>,
}

impl Wires {
    pub fn new(
        local: Local,
        runtime: tokio::runtime::Handle,
        peers: Bell<FromPeers>,
        tls: Option<Tls>,
    ) -> Self {
        Self { local, runtime, peers, tls, streams: Mutex::default() }
    }
}

impl Links {
    /// Starts sending. A second call changes nothing.
    pub fn open(&self, wires: Wires) {
        self.wires.get_or_init(|| wires);
    }

    /// Ends all outgoing streams.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.outs.lock().clear();
        if let Some(wires) = self.wires.get() {
            wires.streams.lock().clear();
        }
    }

    /// Returns the wires, once the network runs.
    pub fn wires(&self) -> Option<&Wires> {
        self.wires.get()
    }

    /// Checks whom something is from.
    ///
    /// # Errors
    /// What does not fit: another cluster, another store, one that was removed.
    pub(super) fn check(&self, local: Local, header: Option<&pb::Header>) -> Result<StoreId, Refused> {
        let checked = local.check(header).and_then(|from| {
            if self.directory.is_removed(from) { Err(Refused::Removed(from)) } else { Ok(from) }
        });
        if checked.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        checked
    }

    /// How often [`Links::check`] refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// [`Links::check`] once the network runs.
    pub(super) fn check_wired(&self, header: Option<&pb::Header>) -> Result<StoreId, Refused> {
        let wires = self.wires.get().ok_or(Refused::Malformed("the network has not started"))?;
        self.check(wires.local, header)
    }

    /// Hands something to the Raft thread; dropped when it has no room, or has ended.
    pub(super) fn hand_over(&self, what: FromPeers) {
        if let Some(wires) = self.wires.get() {
            drop(wires.peers.try_send(what));
        }
    }

    /// Where a store is to be dialled; `None`: no more, and the next message for it asks anew.
    pub(super) fn whom_to_dial(&self, store: StoreId) -> Option<(Local, String)> {
        let wires = self.wires.get().filter(|_| !self.is_closed.load(Ordering::Acquire));
        let found = wires.map(|wires| wires.local).zip(self.directory.address(store));
        if found.is_none() {
            self.dialled.lock().remove(&store);
        }
        found
    }

    /// From now on this connection leads to a store.
    pub(super) fn put_out(&self, store: StoreId, writing: Writing, alive: oneshot::Sender<()>) {
        let mut outs = self.outs.lock();
        if !self.is_closed.load(Ordering::Acquire) {
            outs.insert(store, Out { writing, _alive: alive });
        }
    }

    /// A store has connections to this one, or has lost the last.
    pub(super) fn set_hears(&self, store: StoreId, hears: bool) {
        let mut all = self.hears.lock();
        let _ = if hears { all.insert(store) } else { all.remove(&store) };
    }

    /// Sends what waits for a store; `false`: its connection is broken, and gone now.
    pub(super) fn go_on(&self, store: StoreId) -> bool {
        let mut outs = self.outs.lock();
        let Some(out) = outs.get_mut(&store) else {
            return false;
        };
        let goes_on = out.writing.is_open() && out.writing.flush().is_ok();
        if !goes_on {
            outs.remove(&store);
        }
        goes_on
    }

    /// Sends a frame over a store's own connection, and says whether it was taken; `None` when there is none.
    fn push(&self, store: StoreId, frame: &pb::RaftFrame) -> Option<bool> {
        let mut outs = self.outs.lock();
        let Some(out) = outs.get_mut(&store).filter(|_| self.directory.knows(store)) else {
            outs.remove(&store);
            return None;
        };
        Some(out.writing.push(&encode(frame)).unwrap_or_else(|error| {
            tracing::debug!(%store, %error, "a connection broke");
            out.writing.end();
            false
        }))
    }

    /// Proposes to a group at a store over their connections; `None`, and nothing is done, when there is not one in each
    /// direction. Blocks.
    pub(super) fn propose(
        &self,
        store: StoreId,
        group: GroupId,
        data: &Bytes,
        timeout: Duration,
    ) -> Option<Sent> {
        let wires = self.wires.get()?;
        if !self.hears.lock().contains(&store) {
            return None;
        }
        let waiting = self.forwards.begin(store);
        let forwarded = vec![pb::Forwarded { id: waiting.id, group: group.0, data: data.clone() }];
        let header = Some(wires.local.header(store));
        let sent = self.push(store, &pb::RaftFrame { header, forwarded, ..pb::RaftFrame::default() });
        if !sent.unwrap_or(false) {
            return None;
        }
        Some(match waiting.wait(timeout) {
            Some(reply) => read_reply(group, reply),
            None => Sent::Answered(Err(ClusterError::Timeout { group })),
        })
    }

    /// Keeps the answer to a store's proposal until the next [`Links::send_answers`].
    pub fn answer(
        &self,
        store: StoreId,
        id: u64,
        outcome: Result<Applied, ClusterError>,
        leader: Option<StoreId>,
    ) {
        self.forwards.answer(store, id, write_outcome(outcome, leader));
    }

    /// Sends the answers that were kept. One for which there is no connection any more is dropped: whoever waits notices that
    /// it broke. Where too much waits already, the connection is broken for that.
    pub fn send_answers(&self) {
        for (store, answered) in self.forwards.take_answers() {
            let Some(wires) = self.wires.get() else { continue };
            let header = Some(wires.local.header(store));
            if self.push(store, &pb::RaftFrame { header, answered, ..pb::RaftFrame::default() })
                == Some(false)
                && let Some(out) = self.outs.lock().get(&store)
            {
                out.writing.end();
            }
        }
    }

    /// Takes the answer of a store.
    pub(super) fn answered(&self, from: StoreId, answer: pb::Answered) {
        self.forwards.answered(from, answer);
    }

    /// Gives up on what a store was asked: nobody knows what became of it.
    pub fn give_up(&self, store: StoreId) {
        self.forwards.give_up(store);
    }

    /// The stores that were asked something over a connection and have not answered.
    pub fn asked(&self) -> Vec<StoreId> {
        self.forwards.asked()
    }

    /// Has a store dialled, unless somebody does, or nodes have certificates.
    fn dial(self: &Arc<Self>, wires: &Wires, store: StoreId) {
        if wires.tls.is_none() && self.directory.knows(store) && self.dialled.lock().insert(store) {
            wires.runtime.spawn(dial::keep(Arc::downgrade(self), store));
        }
    }

    /// Sends what groups have put into their outboxes, in order; returns what was dropped.
    pub fn send_all(self: &Arc<Self>, outbox: &mut Vec<Outgoing>) -> Vec<Outgoing> {
        let mut dropped = Vec::new();
        let Some(wires) = self.wires.get() else {
            dropped.append(outbox);
            return dropped;
        };
        let mut by_store: BTreeMap<StoreId, Vec<Outgoing>> = BTreeMap::new();
        for what in outbox.drain(..) {
            match what.packet {
                Packet::Raft(_) => by_store.entry(what.to_store).or_default().push(what),
                _ => self.send_packet(&what),
            }
        }
        for (store, whats) in by_store {
            self.send_raft(wires, store, whats, &mut dropped);
        }
        dropped
    }

    fn send_raft(
        self: &Arc<Self>,
        wires: &Wires,
        store: StoreId,
        whats: Vec<Outgoing>,
        dropped: &mut Vec<Outgoing>,
    ) {
        let mut whats = whats.into_iter().peekable();
        while whats.peek().is_some() {
            let (mut messages, mut taken, mut bytes) = (Vec::new(), Vec::new(), 0);
            while bytes < FRAME_BYTES
                && let Some(what) = whats.next()
            {
                if let Packet::Raft(message) = &what.packet
                    && let Ok(message) = message.write_to_bytes()
                {
                    bytes += message.len();
                    messages.push(pb::RaftMessage { group: what.group.0, message: message.into() });
                }
                taken.push(what);
            }
            let header = Some(wires.local.header(store));
            let frame = pb::RaftFrame { header, messages, ..pb::RaftFrame::default() };
            let sent = self.push(store, &frame).unwrap_or_else(|| {
                self.dial(wires, store);
                self.enqueue(wires, store, Class::Raft, Frame::Raft(frame))
            });
            if !sent {
                dropped.append(&mut taken);
            }
        }
    }

    /// Sends one packet about files; whoever waits for it asks again if it is dropped.
    pub fn send_packet(self: &Arc<Self>, what: &Outgoing) {
        if let Some(wires) = self.wires.get()
            && let Some(frame) = write_packet(wires.local, what)
        {
            self.enqueue(wires, what.to_store, Class::Files, Frame::Files(frame));
        }
    }

    fn enqueue(self: &Arc<Self>, wires: &Wires, store: StoreId, class: Class, frame: Frame) -> bool {
        if !self.directory.knows(store) {
            return false;
        }
        let mut streams = wires.streams.lock();
        let stream = streams.entry((store, class)).or_insert_with(|| {
            let (sender, queue) = mpsc::channel(QUEUE_FRAMES_MAX);
            wires.runtime.spawn(outbound::run(Arc::downgrade(self), store, class, queue));
            sender
        });
        stream.try_send(frame).is_ok()
    }
}
