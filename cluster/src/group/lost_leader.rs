//! A leader whose process died is missed at once: its kernel closes the connections, and nobody needs to wait for an
//! election time-out.
//!
//! A follower that can no longer send to its leader's store waits a little longer than from one heartbeat to the next. If it
//! does not hear of the leader meanwhile, it forgets it, and stands for election by a pre-vote as always. Others grant one
//! only if they have forgotten the leader, too, or have not heard of it for an election time-out; so a connection that
//! breaks beside a leader that lives changes nothing. Those that lost a leader together stand one after the other, so that
//! they do not split the votes. Safety rests on terms and votes alone, as ever.

use raft::{INVALID_ID, StateRole};

use super::core::GroupCore;
use super::settings::HEARTBEAT_TICKS;
use crate::ids::{PeerId, StoreId};

/// Ticks without a word of the leader after which it is forgotten.
const FORGET_TICKS: u64 = HEARTBEAT_TICKS as u64 + 1;
/// Ticks from the forgetting to the first replica's pre-vote: others must have forgotten by then.
const PATIENCE_TICKS: u64 = 1;
/// Ticks between one replica and the next: time enough for an election.
const APART_TICKS: u64 = 2;

/// A leader to whom the connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LostLeader {
    peer: u64,
    term: u64,
    /// Tick at which the connection broke.
    at: u64,
    /// Where this replica stands in the row of those that may follow it, from 0.
    turn: u64,
}

impl GroupCore {
    /// Notes that nothing can be sent to a store, perhaps that of the leader.
    pub(super) fn note_lost(&mut self, store: StoreId) {
        let raft = &self.raw.raft;
        let (peer, term) = (raft.leader_id, raft.term);
        let is_followed = raft.state == StateRole::Follower && peer != INVALID_ID;
        if !is_followed || self.lost_leader.is_some() || self.store_of(PeerId(peer)) != Some(store) {
            return;
        }
        let at = self.ticks;
        self.lost_leader = self.turn_after(peer).map(|turn| LostLeader { peer, term, at, turn });
    }

    /// Where this replica stands in the row of the voters without their leader, another in each term; `None` when it does
    /// not vote.
    fn turn_after(&self, leader: u64) -> Option<u64> {
        let mut voters = self.members.conf_state.voters.clone();
        voters.retain(|voter| *voter != leader);
        voters.sort_unstable();
        let place = voters.binary_search(&self.peer.0).ok()? as u64;
        Some((place + self.raw.raft.term) % voters.len() as u64)
    }

    /// Forgets a lost leader when it is time, and stands for election.
    pub(super) fn tick_lost_leader(&mut self) {
        let Some(lost) = self.lost_leader else {
            return;
        };
        let raft = &mut self.raw.raft;
        // What was on its way when the connection broke arrives within a tick.
        let is_heard = self.heard.get(&lost.peer).is_some_and(|heard| *heard > lost.at + 1);
        let is_followed = raft.leader_id == INVALID_ID || raft.leader_id == lost.peer;
        if is_heard || !is_followed || raft.state != StateRole::Follower || raft.term != lost.term {
            self.lost_leader = None;
            return;
        }
        let waited = self.ticks - lost.at;
        if waited >= FORGET_TICKS && raft.leader_id != INVALID_ID {
            raft.become_follower(lost.term, INVALID_ID);
        }
        if waited >= FORGET_TICKS + PATIENCE_TICKS + APART_TICKS * lost.turn {
            self.lost_leader = None;
            if self.raw.raft.promotable()
                && let Err(error) = self.raw.campaign()
            {
                tracing::debug!(group = %self.shared.id, %error, "no election was called");
            }
        }
    }
}
