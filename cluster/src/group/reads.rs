//! Reads that wait for a read index, and then for the state machine to reach it.
//!
//! All reads that arrive while one round is under way share the next round: one heartbeat exchange
//! answers any number of them (Raft thesis, 6.4). Raft drops a round silently when the leader is new or
//! changes, so a round without an answer is asked again.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::ClusterError;
use crate::group::handle::ReadPoint;
use crate::ids::{GroupId, PeerId};
use crate::wait::Ticket;

/// Ticks after which an unanswered round is asked again.
const RETRY_TICKS: u64 = 4;
/// Ticks after which a read without an index is given up.
const EXPIRE_TICKS: u64 = 10;

type Waiter = (u64, Ticket<ReadPoint>);

/// Waiting reads of one group.
pub(crate) struct Reads {
    /// Replica and its life: the leader keeps rounds of all replicas in one table, by context alone, and
    /// an answer may arrive after a restart.
    origin: [u8; 16],
    tick: u64,
    /// Came since the last round was asked, with the tick they came at.
    new: Vec<Waiter>,
    round: Option<Round>,
    rounds_asked: u64,
    /// Know their index; wait until it is applied.
    by_index: BTreeMap<u64, Vec<Ticket<ReadPoint>>>,
}

struct Round {
    context: Vec<u8>,
    asked_at: u64,
    /// The same by the clock.
    asked: Duration,
    waiters: Vec<Waiter>,
}

impl Reads {
    pub fn new(peer: PeerId, life: u64) -> Self {
        let mut origin = [0; 16];
        origin[..8].copy_from_slice(&peer.0.to_le_bytes());
        origin[8..].copy_from_slice(&life.to_le_bytes());
        Self { origin, tick: 0, new: Vec::new(), round: None, rounds_asked: 0, by_index: BTreeMap::new() }
    }

    pub fn push(&mut self, ticket: Ticket<ReadPoint>) {
        self.new.push((self.tick, ticket));
    }

    /// Returns the context of a round to ask Raft for, if one is due.
    pub fn next_round(&mut self, now: Duration) -> Option<Vec<u8>> {
        let stale = self.round.as_ref().is_some_and(|round| self.tick >= round.asked_at + RETRY_TICKS);
        if stale && let Some(round) = self.round.take() {
            self.new.extend(round.waiters);
        }
        if self.round.is_some() || self.new.is_empty() {
            return None;
        }
        self.rounds_asked += 1;
        let waiters = std::mem::take(&mut self.new);
        let context = [&self.origin[..], &self.rounds_asked.to_le_bytes()].concat();
        self.round = Some(Round { context: context.clone(), asked_at: self.tick, asked: now, waiters });
        Some(context)
    }

    /// Takes Raft's answer to a round; for how many reads it is, and how long it took.
    pub fn answered(&mut self, context: &[u8], index: u64, now: Duration) -> Option<(usize, Duration)> {
        let known = |round: &mut Round| round.context == context;
        let round = self.round.take_if(known)?;
        let reads = round.waiters.len();
        let tickets = round.waiters.into_iter().map(|(_, ticket)| ticket);
        self.by_index.entry(index).or_default().extend(tickets);
        Some((reads, now.saturating_sub(round.asked)))
    }

    /// Answers the reads whose index is applied.
    pub fn applied(&mut self, applied: u64) {
        while let Some(entry) = self.by_index.first_entry().filter(|entry| *entry.key() <= applied) {
            let (index, tickets) = entry.remove_entry();
            for ticket in tickets {
                ticket.resolve(Ok(ReadPoint { index }));
            }
        }
    }

    /// Counts a tick, and gives up the reads that found no index for too long.
    pub fn tick(&mut self, group: GroupId) {
        self.tick += 1;
        let now = self.tick;
        let waiters = self
            .round
            .iter_mut()
            .flat_map(|round| round.waiters.extract_if(.., |waiter| expired(now, waiter)));
        for (_, ticket) in waiters.chain(self.new.extract_if(.., |waiter| expired(now, waiter))) {
            ticket.resolve(Err(ClusterError::Timeout { group }));
        }
    }

    pub fn len(&self) -> usize {
        let asked = self.round.as_ref().map_or(0, |round| round.waiters.len());
        self.new.len() + asked + self.by_index.values().map(Vec::len).sum::<usize>()
    }
}

fn expired(now: u64, (since, _): &Waiter) -> bool {
    now >= since + EXPIRE_TICKS
}
