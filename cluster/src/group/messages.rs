//! Messages of a replica: what comes in is checked against its log, what goes out gets a store.

use raft::StateRole;
use raft::eraftpb::{Entry, Message, MessageType};

use super::core::{GroupCore, Outbox};
use super::settings::HEARTBEAT_TICKS;
use crate::ids::{PeerId, StoreId};
use crate::snapshot::packet::{Outgoing, Packet};

/// The last acknowledgement a replica gave: to which leader, of which term, of which entry, at which tick.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    leader: u64,
    term: u64,
    index: u64,
    tick: u64,
}

impl Told {
    /// Whether the leader knows, or is about to hear, what another acknowledgement would tell it.
    fn covers(&self, other: &Self) -> bool {
        (self.leader, self.term) == (other.leader, other.term)
            && self.index >= other.index
            && other.tick < self.tick + HEARTBEAT_TICKS as u64
    }
}

impl GroupCore {
    /// Takes a message of a replica on `from_store`, checked by [`edge`](crate::edge) before.
    pub fn receive(&mut self, message: Message, from_store: StoreId) {
        if self.is_installing() {
            return;
        }
        if let Err(reason) = self.check_message(&message) {
            tracing::warn!(group = %self.shared.id, from = message.from, reason, "message refused");
            return;
        }
        self.seen_stores.insert(message.from, from_store);
        self.heard.insert(message.from, self.ticks);
        match message.get_msg_type() {
            MessageType::MsgSnapshot => self.receive_snapshot(message, from_store),
            MessageType::MsgReadIndex => self.receive_read(message),
            MessageType::MsgAppend => self.receive_append(message),
            _ => self.step(message),
        }
    }

    /// Takes an append. The answer to one without entries is left out when the leader has been told as much within the last
    /// heartbeat: all it says is which entries are here, and it would wake the leader for nothing. An acknowledgement that was
    /// lost is asked for again by the heartbeats, and then it is older than that and is answered.
    fn receive_append(&mut self, message: Message) {
        let (is_empty, term) = (message.entries.is_empty(), message.term);
        let before = self.raw.raft.msgs.len();
        self.step(message);
        let Some(answer) = self.raw.raft.msgs.get(before) else {
            return;
        };
        if answer.get_msg_type() != MessageType::MsgAppendResponse || answer.reject {
            return;
        }
        let told = Told { leader: answer.to, term, index: answer.index, tick: self.ticks };
        if is_empty && self.told.covers(&told) {
            self.raw.raft.msgs.pop();
        } else {
            self.told = told;
        }
    }

    /// Takes another replica's read. Its request says which term it is in, and so is itself what a round of heartbeats would
    /// ask it for: a voter that was still in this term after the read was asked for. Where this leader and that voter are a
    /// majority, no later leader can have been elected before, and the answer is known (Raft thesis, 6.4).
    fn receive_read(&mut self, mut message: Message) {
        // Raft takes a read for a local message.
        let term = std::mem::take(&mut message.term);
        let raft = &self.raw.raft;
        let confirms = raft.state == StateRole::Leader
            && raft.term == term
            && raft.commit_to_current_term()
            && raft.prs().has_quorum(&[raft.id, message.from].into_iter().collect());
        if !confirms {
            return self.step(message);
        }
        let mut reply = Message::default();
        reply.set_msg_type(MessageType::MsgReadIndexResp);
        (reply.from, reply.to) = (message.to, message.from);
        (reply.term, reply.index) = (term, raft.raft_log.committed);
        reply.set_entries(message.take_entries());
        self.replies.push(reply);
    }

    pub(super) fn step(&mut self, message: Message) {
        let from = message.from;
        if let Err(error) = self.raw.step(message) {
            tracing::debug!(group = %self.shared.id, from, %error, "message ignored");
        }
    }

    /// Refuses what `raft` would panic on although it is well-formed: the marks of a replica that lost
    /// its disk and kept its name, here or there.
    fn check_message(&self, message: &Message) -> Result<(), &'static str> {
        let last = self.raw.raft.raft_log.last_index();
        if message.to != self.peer.0 || message.from == self.peer.0 || message.from == 0 {
            return Err("it is for another replica");
        }
        match message.get_msg_type() {
            MessageType::MsgHeartbeat if message.commit > last => {
                Err("the leader believes this replica to hold entries it does not have")
            }
            MessageType::MsgAppendResponse if !message.reject && message.index > last => {
                Err("a follower acknowledges entries that this replica does not have")
            }
            MessageType::MsgAppend if message.entries.iter().any(|entry| self.contradicts(entry)) => {
                Err("it would replace committed entries")
            }
            _ => Ok(()),
        }
    }

    /// Returns whether a committed entry in the same place is another one.
    fn contradicts(&self, entry: &Entry) -> bool {
        let committed = entry.index <= self.raw.raft.raft_log.committed;
        committed && self.raw.store().term_of(entry.index).is_some_and(|term| term != entry.term)
    }

    /// Tells Raft that a message to `peer` was not sent.
    pub fn unreachable(&mut self, peer: PeerId) {
        self.raw.report_unreachable(peer.0);
    }

    /// Tells Raft that nothing reaches a store for now.
    pub fn store_unreachable(&mut self, store: StoreId) {
        let there = self.members.stores.iter().filter(|(peer, at)| **at == store && **peer != self.peer.0);
        let peers: Vec<u64> = there.map(|(peer, _)| *peer).collect();
        for peer in peers {
            self.unreachable(PeerId(peer));
        }
        self.note_lost(store);
    }

    /// Puts Raft's messages into the outbox with the stores they go to. One for a replica nobody has
    /// heard of is dropped, as the network might; Raft repeats it.
    pub(super) fn address(&mut self, messages: Vec<Message>, out: &mut Outbox) {
        for mut message in messages {
            // Raft passes another replica's read on to a newer leader, perhaps to the very one that asked. It asks
            // again by itself, and no node speaks for another.
            if message.from != self.peer.0 {
                continue;
            }
            if message.get_msg_type() == MessageType::MsgReadIndex {
                // See `receive_read`.
                message.term = self.raw.raft.term;
            }
            let to = PeerId(message.to);
            self.note_sent(&message);
            match self.store_of(to) {
                Some(to_store) => out.push(self.outgoing(to, to_store, Packet::Raft(Box::new(message)))),
                None => tracing::debug!(group = %self.shared.id, %to, "no store is known for a replica"),
            }
        }
    }

    pub(crate) fn outgoing(&self, to: PeerId, to_store: StoreId, packet: Packet) -> Outgoing {
        Outgoing { group: self.shared.id, from: self.peer, to, to_store, packet }
    }

    pub(super) fn store_of(&self, peer: PeerId) -> Option<StoreId> {
        self.members.stores.get(&peer.0).or_else(|| self.seen_stores.get(&peer.0)).copied()
    }
}
