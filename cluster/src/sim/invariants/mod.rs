//! What must hold after every step; one file each, with the section of the Raft paper it comes from.

mod acknowledged;
mod applied_prefix;
mod fresh_reads;
mod log_matching;
mod membership;
mod one_leader;
mod state_hash;

use super::wgl::is_linearizable;
use super::world::World;
use acknowledged::Acknowledged;
use applied_prefix::AppliedPrefix;
use fresh_reads::FreshReads;
use log_matching::LogMatching;
use membership::Membership;
pub use one_leader::OneLeader;
use state_hash::StateHash;

/// All of them, with what they have seen so far.
#[derive(Default)]
pub struct Invariants {
    pub one_leader: OneLeader,
    log_matching: LogMatching,
    pub applied_prefix: AppliedPrefix,
    state_hash: StateHash,
    membership: Membership,
    fresh_reads: FreshReads,
}

impl Invariants {
    /// Checks everything that happened since the last call.
    pub fn check(world: &mut World) {
        let events = std::mem::take(&mut *world.journal.lock());
        let mut all = std::mem::take(&mut world.invariants);
        all.one_leader.check(world);
        for event in &events {
            all.log_matching.check(event);
            all.applied_prefix.check(event);
            all.state_hash.check(event);
        }
        all.membership.check(world);
        all.fresh_reads.check(&mut world.clients.answered);
        Acknowledged::check(&world.clients, &all.applied_prefix);
        world.invariants = all;
    }

    /// Checks what must hold once nothing is under way.
    pub fn check_at_rest(world: &mut World) {
        Acknowledged::check_all(&world.clients, &world.invariants.applied_prefix);
        membership::check_at_rest(world);
        world.clients.close();
        for ((group, key), history) in &world.clients.histories {
            assert!(is_linearizable(0, history), "key {key} of group {group} is not linearizable");
        }
    }

    /// Returns how many snapshots were installed.
    pub fn installs(&self) -> u64 {
        self.applied_prefix.installs
    }
}
