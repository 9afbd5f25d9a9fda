//! What the Raft thread does with other nodes: messages in and out, files to fetch and to give.

use bytes::Bytes;
use mio::Token;

use super::mailbox::{FromPeers, Request};
use super::raft_thread::RaftThread;
use super::transfer_thread::{Serve, TransferJob};
use crate::error::ClusterError;
use crate::group::core::GroupCore;
use crate::group::entry::EntryKind;
use crate::ids::{GroupId, StoreId};
use crate::metrics::Metrics;
use crate::net::sockets::Came;
use crate::snapshot::packet::{Outgoing, Packet};
use crate::wait::pending;

/// A store that was asked something and has been silent for so many ticks will not answer.
const SILENT_TICKS: u64 = 60;
/// Frames kept while a write waits for space; further ones are dropped, as the network might.
const CAME_MAX: usize = 4_096;

impl RaftThread {
    /// Takes what came over the thread's own connections.
    pub(super) fn take_from_sockets(&mut self, news: Vec<Token>) {
        let mut refusal = None;
        let mut all = std::mem::take(&mut self.state.came);
        all.extend(self.state.sockets.take(&self.links, news));
        for came in all {
            match came {
                Came::Messages { from, messages } => {
                    Metrics::add(&self.writer.metrics.messages_received, messages.len());
                    Metrics::add(&self.writer.metrics.plain_messages_received, messages.len());
                    self.state.heard.insert(from, self.state.ticks);
                    self.take_from_peers(FromPeers::Raft { from, messages });
                }
                Came::Proposal { from, id, group, data } => {
                    Metrics::add(&self.writer.metrics.forwarded_proposals, 1);
                    self.take_forwarded((from, id), group, data, &mut refusal);
                }
                Came::Ended(store) => {
                    self.links.give_up(store);
                    self.take_from_peers(FromPeers::Unreachable(store));
                }
                // Answers may have been lost with it.
                Came::Replaced(store) => self.links.give_up(store),
            }
        }
    }

    /// The same while a write waits for space: proposals are refused, the rest waits, as far as there is room.
    pub(super) fn refuse_from_sockets(&mut self, news: Vec<Token>) {
        for came in self.state.sockets.take(&self.links, news) {
            match came {
                Came::Proposal { from, id, .. } => {
                    self.links.answer(from, id, Err(self.writer.disk_full(0)), None);
                }
                Came::Messages { .. } if self.state.came.len() >= CAME_MAX => {
                    Metrics::add(&self.writer.metrics.messages_dropped, 1);
                }
                other => self.state.came.push(other),
            }
        }
        self.links.send_answers();
    }

    /// Proposes for another node; the answer goes back to it.
    fn take_forwarded(
        &mut self,
        (store, id): (StoreId, u64),
        group: GroupId,
        data: Bytes,
        refusal: &mut Option<Option<ClusterError>>,
    ) {
        let shared = self.state.cores.get(&group).map(|core| core.shared().clone());
        let Some(shared) = shared.filter(|shared| shared.down().is_none()) else {
            let error = ClusterError::NotLeader { group, hint: None };
            return self.links.answer(store, id, Err(error), None);
        };
        let bytes = data.len();
        if bytes > self.entry_bytes_max {
            let error = ClusterError::TooLarge { bytes, max: self.entry_bytes_max };
            return self.links.answer(store, id, Err(error), None);
        }
        if let Err(error) = shared.reserve(bytes) {
            return self.links.answer(store, id, Err(error), None);
        }
        let (ticket, pending) = pending(shared.clone(), bytes);
        let links = self.links.clone();
        pending.then(move |outcome| {
            let leader = if outcome.is_err() { shared.status().leader_store } else { None };
            links.answer(store, id, outcome, leader);
        });
        self.take_request(Request::Propose { group, kind: EntryKind::Command, data, ticket }, refusal);
    }

    /// Gives up on stores that were asked something and say nothing at all: a leader sends heartbeats.
    pub(super) fn give_up_silent(&mut self) {
        let (now, asked) = (self.state.ticks, self.links.asked());
        self.state.asked_since.retain(|store, _| asked.contains(store));
        for store in asked {
            let since = *self.state.asked_since.entry(store).or_insert(now);
            let heard = self.state.heard.get(&store).copied().unwrap_or(since);
            if now >= heard.max(since) + SILENT_TICKS {
                self.links.give_up(store);
            }
        }
    }

    /// Takes something another node sent, checked at the edge.
    pub(super) fn take_from_peers(&mut self, what: FromPeers) {
        match what {
            FromPeers::Raft { from, messages } => {
                for (group, message) in messages {
                    self.touch(group, |core| core.receive(message, from));
                }
            }
            FromPeers::Packet { from, what } => self.take_packet(from, *what),
            FromPeers::Linked { store, stream, alive } => {
                let registry = self.inbox.bed.registry();
                self.state.sockets.add_outgoing(registry, &self.links, (store, stream), alive);
            }
            FromPeers::LinkedFrom { store, stream } => {
                let registry = self.inbox.bed.registry();
                self.state.sockets.add_incoming(registry, &self.links, store, stream);
                self.state.heard.insert(store, self.state.ticks);
            }
            FromPeers::Unreachable(store) => {
                Metrics::add(&self.writer.metrics.unreachable_reports, 1);
                let groups: Vec<GroupId> = self.state.cores.keys().copied().collect();
                for group in groups {
                    self.touch(group, |core| core.store_unreachable(store));
                }
            }
        }
    }

    fn take_packet(&mut self, from: StoreId, what: Outgoing) {
        let Outgoing { group, from: asker, to, packet, .. } = what;
        let is_it = |core: &mut GroupCore| core.peer() == to;
        if self.with_core(group, is_it) != Some(true) {
            return;
        }
        match packet {
            Packet::Fetch(fetch) => {
                let files = self.touch(group, |core| core.pinned(asker, fetch.snapshot)).flatten();
                let serve = Serve { group, fetch, files, from: to, to: asker, to_store: from };
                // A full queue drops it; it is asked for again.
                drop(self.transfers.try_send(TransferJob::Serve(serve)));
            }
            Packet::Fetched { snapshot, ok } => {
                self.touch(group, |core| core.snapshot_ended(asker, snapshot, ok));
            }
            Packet::Raft(_) | Packet::Chunk(_) => {}
        }
    }

    /// Sends what the groups have for other nodes. What could not be sent is kept for [`Self::report_undelivered`]: a
    /// replica is left alone while a write of it is under way.
    pub(super) fn send_messages(&mut self) {
        if !self.state.outbox.is_empty() {
            self.state.undelivered.extend(self.links.send_all(&mut self.state.outbox));
        }
    }

    /// Tells groups what was not sent.
    pub(super) fn report_undelivered(&mut self) {
        for what in std::mem::take(&mut self.state.undelivered) {
            Metrics::add(&self.writer.metrics.messages_undelivered, 1);
            if matches!(what.packet, Packet::Raft(_)) {
                Metrics::add(&self.writer.metrics.unreachable_reports, 1);
                self.with_core(what.group, |core| core.unreachable(what.to));
            }
        }
    }

    /// Begins to fetch the files that groups were offered.
    pub(super) fn begin_fetches(&mut self) {
        let groups: Vec<GroupId> = self.state.stagings.keys().copied().collect();
        for group in groups {
            let Some(Some(order)) = self.with_core(group, GroupCore::take_fetch) else {
                continue;
            };
            let Some(staging) = self.state.stagings.get(&group).cloned() else {
                continue;
            };
            let snapshot = order.snapshot;
            if self.transfers.try_send(TransferJob::Receive { group, order, staging }).is_err() {
                self.touch(group, |core| core.fetch_done(snapshot, false));
            }
        }
    }
}
