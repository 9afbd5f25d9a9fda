//! What the Raft thread does with other nodes: messages in and out, files to fetch and to give.

use super::mailbox::FromPeers;
use super::raft_thread::RaftThread;
use super::transfer_thread::{Serve, TransferJob};
use crate::group::core::GroupCore;
use crate::ids::{GroupId, StoreId};
use crate::metrics::Metrics;
use crate::snapshot::packet::{Outgoing, Packet};

impl RaftThread {
    /// Takes something another node sent, checked at the edge.
    pub(super) fn take_from_peers(&mut self, what: FromPeers) {
        match what {
            FromPeers::Raft { from, messages } => {
                for (group, message) in messages {
                    self.touch(group, |core| core.receive(message, from));
                }
            }
            FromPeers::Packet { from, what } => self.take_packet(from, *what),
            FromPeers::Unreachable(store) => {
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
