//! Proposals sent to a leader over the connection that carries Raft's messages, and their answers.
//!
//! A number stands for each. Its answer comes over the other connection, the one from the leader; when either breaks, or
//! the leader is silent for too long, the outcome is unknown.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use super::proto as pb;
use crate::ids::StoreId;

/// Proposals that wait for an answer, and answers that wait to be sent.
#[derive(Default)]
pub(super) struct Forwards {
    last: AtomicU64,
    /// To whom each was sent. Dropped unanswered, it is answered that nobody knows.
    waiting: Mutex<BTreeMap<u64, (StoreId, Sender<pb::ProposeReply>)>>,
    answers: Mutex<BTreeMap<StoreId, Vec<pb::Answered>>>,
}

/// A proposal on its way.
pub(super) struct Waiting<'a> {
    all: &'a Forwards,
    pub id: u64,
    answer: Receiver<pb::ProposeReply>,
}

impl Forwards {
    /// Begins to wait for the answer of a store.
    pub fn begin(&self, store: StoreId) -> Waiting<'_> {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, answer) = bounded(1);
        self.waiting.lock().insert(id, (store, sender));
        Waiting { all: self, id, answer }
    }

    /// Takes an answer of a store; one that nobody waits for, or of another store, is nothing.
    pub fn answered(&self, from: StoreId, answer: pb::Answered) {
        let mut waiting = self.waiting.lock();
        if waiting.get(&answer.id).is_none_or(|(store, _)| *store != from) {
            return;
        }
        if let (Some((_, sender)), Some(reply)) = (waiting.remove(&answer.id), answer.reply) {
            // Whoever waited may just have given up.
            let _ = sender.try_send(reply);
        }
    }

    /// Gives up on what a store was asked.
    pub fn give_up(&self, store: StoreId) {
        self.waiting.lock().retain(|_, (asked, _)| *asked != store);
    }

    /// The stores that were asked something.
    pub fn asked(&self) -> Vec<StoreId> {
        let mut stores: Vec<StoreId> = self.waiting.lock().values().map(|(store, _)| *store).collect();
        stores.dedup();
        stores
    }

    /// Keeps an answer to a store until the next [`Forwards::take_answers`].
    pub fn answer(&self, store: StoreId, id: u64, reply: pb::ProposeReply) {
        self.answers.lock().entry(store).or_default().push(pb::Answered { id, reply: Some(reply) });
    }

    /// Takes the answers that are to be sent.
    pub fn take_answers(&self) -> BTreeMap<StoreId, Vec<pb::Answered>> {
        std::mem::take(&mut *self.answers.lock())
    }
}

impl Waiting<'_> {
    /// Blocks until the answer comes; `None` when it did not, and nobody knows the outcome.
    pub fn wait(self, timeout: Duration) -> Option<pb::ProposeReply> {
        self.answer.recv_timeout(timeout).ok()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.all.waiting.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn answer(id: u64, index: u64) -> pb::Answered {
        pb::Answered { id, reply: Some(pb::ProposeReply { index, ..pb::ProposeReply::default() }) }
    }

    #[test]
    fn only_the_store_that_was_asked_answers_and_each_answer_finds_its_proposal() {
        let forwards = Forwards::default();
        let (first, second) = (forwards.begin(StoreId(1)), forwards.begin(StoreId(2)));
        forwards.answered(StoreId(2), answer(first.id, 66));
        forwards.answered(StoreId(2), answer(second.id, 7));
        forwards.answered(StoreId(1), answer(first.id, 5));
        forwards.answered(StoreId(1), answer(99, 1));
        assert_eq!(first.wait(LONG).map(|reply| reply.index), Some(5));
        assert_eq!(second.wait(LONG).map(|reply| reply.index), Some(7));
        assert_eq!(forwards.asked(), []);
    }

    #[test]
    fn what_a_lost_store_was_asked_ends_at_once_and_the_rest_goes_on() {
        let forwards = Forwards::default();
        let (lost, other) = (forwards.begin(StoreId(1)), forwards.begin(StoreId(2)));
        forwards.give_up(StoreId(1));
        assert_eq!(lost.wait(LONG), None);
        assert_eq!(forwards.asked(), [StoreId(2)]);
        assert_eq!(other.wait(Duration::from_millis(1)), None);
        assert_eq!(forwards.asked(), []);
    }
}
