//! What the Raft thread and the transfer thread send through. Never blocks; before the network is started, and for stores
//! nobody knows, everything is dropped.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crossbeam_channel::Sender;
use parking_lot::Mutex;
use protobuf::Message as _;
use tokio::sync::mpsc;

use super::directory::Directory;
use super::frame::{FRAME_BYTES, Local, write_packet};
use super::outbound::{self, Class, Frame};
use super::proto as pb;
use super::tls::Tls;
use crate::driver::mailbox::FromPeers;
use crate::ids::StoreId;
use crate::snapshot::packet::{Outgoing, Packet};

/// Frames that wait for one stream; more are dropped.
const QUEUE_FRAMES_MAX: usize = 256;

/// The outgoing side of a node.
#[derive(Default)]
pub(crate) struct Links {
    pub directory: Directory,
    wires: OnceLock<Wires>,
}

/// What there is once the network runs.
pub(crate) struct Wires {
    pub local: Local,
    pub runtime: tokio::runtime::Handle,
    pub peers: Sender<FromPeers>,
    pub tls: Option<Tls>,
    streams: Mutex<BTreeMap<(StoreId, Class), mpsc::Sender<Frame>>>,
}

impl Wires {
    pub fn new(
        local: Local,
        runtime: tokio::runtime::Handle,
        peers: Sender<FromPeers>,
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
        if let Some(wires) = self.wires.get() {
            wires.streams.lock().clear();
        }
    }

    /// Returns the wires, once the network runs.
    pub fn wires(&self) -> Option<&Wires> {
        self.wires.get()
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
            let frame = pb::RaftFrame { header: Some(wires.local.header(store)), messages };
            if !self.enqueue(wires, store, Class::Raft, Frame::Raft(frame)) {
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
        if self.directory.address(store).is_none() {
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
