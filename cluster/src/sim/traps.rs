//! Traps of `raft` 0.7 in memberships and snapshots (RAFT.md, A4): each is walked into, and must hold.

use super::clients::Clients;
use super::faults::Faults;
use super::invariants::Invariants;
use super::operator::Operator;
use super::world::{GROUPS, World};
use crate::error::ClusterError;
use crate::group::core::GroupCore;
use crate::group::entry::EntryKind;
use crate::group::handle::Applied;
use crate::group::snapshots::LEASE_TICKS;
use crate::ids::{GroupId, PeerId, StoreId};
use crate::log::store::{BOOTSTRAP, LogStore as _};
use crate::members::MemberChange;
use crate::status::Role;
use crate::wait::{Pending, pending};

/// The group of three.
const GROUP: GroupId = GROUPS[0];

impl World {
    /// A cluster without faults whose group of three has a leader.
    pub fn quiet(seed: u64) -> Self {
        let mut world = Self::new(seed);
        world.operator.paused = true;
        world.network.reorder = false;
        world.connections_break = false;
        world.until("a leader", |world| world.leader(GROUP).is_some() && world.leader(GROUPS[1]).is_some());
        world.advance_by(100);
        world
    }

    pub fn advance_by(&mut self, steps: u64) {
        for _ in 0..steps {
            Operator::act(self);
            self.advance();
        }
    }

    /// Lets time pass until something is so.
    pub fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..5_000 {
            if holds(self) {
                return;
            }
            Operator::act(self);
            self.advance();
        }
        panic!("never came: {what}");
    }

    pub fn leading(&mut self) -> &mut GroupCore {
        let node = self.leader(GROUP).expect("a leader");
        self.nodes[node].cores.get_mut(&GROUP).expect("it runs")
    }

    fn change(&mut self, change: MemberChange) -> Pending<Applied> {
        let core = self.leading();
        let (ticket, answer) = pending(core.shared().clone(), 0);
        core.change_members(change, ticket);
        answer
    }

    fn write(&mut self, count: u64) {
        for _ in 0..count {
            let node = self.leader(GROUP).expect("a leader");
            Clients::write(self, GROUP, node);
            self.advance_by(10);
        }
    }

    fn checkpoint(&mut self) {
        self.nodes.iter_mut().for_each(Faults::checkpoint);
    }

    fn followers(&self) -> Vec<usize> {
        let leader = self.leader(GROUP);
        self.cores(GROUP).map(|(number, _)| number).filter(|number| Some(*number) != leader).collect()
    }

    fn peer(&self, number: usize) -> PeerId {
        self.nodes[number].replicas[&GROUP].peer
    }
}

fn refusal(answer: Pending<Applied>) -> String {
    match answer.try_answer() {
        Ok(Err(error @ ClusterError::Busy { .. })) => error.to_string(),
        Ok(other) => panic!("not refused: {other:?}"),
        Err(_) => panic!("not answered"),
    }
}

#[test]
fn a_new_learner_starts_from_a_snapshot_and_never_from_index_one() {
    let mut world = World::quiet(1);
    world.write(3);
    Operator::start(&mut world, GROUP, true, None);
    world.until("four voters", |world| world.members(GROUP).conf_state.voters.len() == 4);
    world.settle();
    assert_eq!(world.invariants.installs(), 1);
    for (_, core) in world.cores(GROUP) {
        assert!(core.status().first > BOOTSTRAP.index, "{:?}", core.status());
    }
}

#[test]
fn a_follower_whose_entries_are_gone_fetches_only_the_files_it_lacks() {
    let mut world = World::quiet(2);
    world.write(30);
    world.checkpoint();
    let behind = world.followers()[0];
    world.nodes[behind].crash(&mut world.random);
    // One more number: one bucket of four changes. Then more entries than a log keeps for the dead.
    let leader = world.leader(GROUP).expect("a leader");
    Clients::write(&mut world, GROUP, leader);
    world.advance_by(600);
    world.checkpoint();
    let core = world.leading();
    core.request_compaction();
    world.advance_by(20);
    assert!(world.leading().status().first > 30);
    world.nodes[behind].restart(&mut world.random);
    world.settle();
    assert_eq!(world.invariants.installs(), 1);
    let disk = world.nodes[behind].replicas[&GROUP].disk.lock();
    // A bucket of four keys or fewer is at most 84 bytes, in pieces of 32.
    assert!((1..=3).contains(&disk.pieces), "{} pieces were fetched", disk.pieces);
}

#[test]
fn a_leader_is_never_demoted_and_a_voter_never_removed_at_once() {
    let mut world = World::quiet(3);
    let leader = world.leading().status().peer;
    let demote = world.change(MemberChange::Enter { promote: None, demote: Some(leader) });
    assert!(refusal(demote).contains("hand over"));
    let voter = world.peer(world.followers()[0]);
    let remove = world.change(MemberChange::RemoveLearner { peer: voter });
    assert!(refusal(remove).contains("demote the voter first"));
}

#[test]
fn a_leader_that_loses_its_vote_all_the_same_steps_down() {
    // Leadership may move between a change's proposal and its commit: here the check is passed by.
    let mut world = World::quiet(4);
    let leader = world.leading().status().peer;
    for change in [MemberChange::Enter { promote: None, demote: Some(leader) }, MemberChange::Leave] {
        let core = world.leading();
        let (ticket, _answer) = pending(core.shared().clone(), 0);
        core.propose_change(change, ticket);
        world.advance_by(60);
    }
    world.until("another leader", |world| {
        world.leader(GROUP).is_some_and(|number| world.peer(number) != leader)
    });
    let old = world.cores(GROUP).find(|(_, core)| core.status().peer == leader).expect("it runs").1;
    assert_eq!(old.status().role, Role::Follower);
    world.write(3);
    assert_eq!(world.clients.acknowledged[&GROUP].len(), 3);
}

#[test]
fn a_second_change_is_refused_and_never_becomes_nothing_in_silence() {
    let mut world = World::quiet(5);
    let first = world.change(MemberChange::AddLearner { peer: PeerId(77), store: StoreId(77) });
    let second = world.change(MemberChange::AddLearner { peer: PeerId(78), store: StoreId(78) });
    assert!(refusal(second).contains("another membership change"));
    // Raft itself says yes, and makes it an empty entry: that is noticed too.
    let core = world.leading();
    let (ticket, forced) = pending(core.shared().clone(), 0);
    core.propose_change(MemberChange::AddLearner { peer: PeerId(79), store: StoreId(79) }, ticket);
    world.advance_by(60);
    assert!(refusal(forced).contains("another membership change"));
    assert!(matches!(first.try_answer(), Ok(Ok(_))));
    assert_eq!(world.members(GROUP).conf_state.learners, [77]);
}

#[test]
fn a_change_is_applied_once_however_old_the_checkpoint_is() {
    let mut world = World::quiet(6);
    world.write(2);
    world.checkpoint();
    Operator::start(&mut world, GROUP, true, None);
    world.until("four voters", |world| {
        let members = world.members(GROUP);
        members.conf_state.voters.len() == 4 && !members.is_joint()
    });
    world.settle();
    // Nothing but the old checkpoint: all four changes are met again in the log.
    for number in 0..world.nodes.len() {
        world.nodes[number].crash(&mut world.random);
        world.nodes[number].restart(&mut world.random);
    }
    world.settle();
    assert_eq!(world.members(GROUP).conf_state.voters.len(), 4);
}

#[test]
fn a_crash_between_a_change_and_its_record_does_not_forget_the_change() {
    let mut world = World::quiet(14);
    Operator::start(&mut world, GROUP, true, None);
    let mut crashes = 0;
    for _ in 0..1_500 {
        // Entries right behind each change; were they applied before it is recorded, a checkpoint would pass it.
        if let Some(leader) = world.leader(GROUP) {
            Clients::write(&mut world, GROUP, leader);
        }
        world.advance_by(1);
        world.checkpoint();
        for number in 0..world.nodes.len() {
            let Some(core) = world.nodes[number].cores.get(&GROUP) else { continue };
            let stored = world.nodes[number].log.load(GROUP).expect("readable").expect("stored");
            let unrecorded = core.members().index > stored.members.index;
            let applied = world.nodes[number].replicas[&GROUP].state.lock().index;
            assert!(
                !unrecorded || applied < core.members().index,
                "entry {applied} was applied behind a change that is not recorded"
            );
            if unrecorded && crashes < 8 {
                crashes += 1;
                world.nodes[number].crash(&mut world.random);
                world.nodes[number].restart(&mut world.random);
            }
        }
    }
    world.settle();
    Invariants::check_at_rest(&mut world);
    assert!(crashes >= 4, "only {crashes} crashes hit the moment");
    assert_eq!(world.members(GROUP).conf_state.voters.len(), 4);
}

#[test]
fn a_joint_membership_is_left_by_whoever_leads_next() {
    let mut world = World::quiet(7);
    Operator::start(&mut world, GROUP, true, None);
    world.until("a joint membership", |world| world.members(GROUP).is_joint());
    let leader = world.leader(GROUP).expect("a leader");
    world.nodes[leader].crash(&mut world.random);
    world.until("another leader, and the joint membership left", |world| {
        world.leader(GROUP).is_some() && !world.members(GROUP).is_joint()
    });
    world.nodes[leader].restart(&mut world.random);
    world.settle();
    assert_eq!(world.members(GROUP).conf_state.voters.len(), 4);
}

#[test]
fn a_lost_disk_comes_back_under_another_name() {
    let mut world = World::quiet(8);
    world.write(5);
    let lost = world.followers()[0];
    let (peer, store) = (world.peer(lost), world.nodes[lost].store);
    Faults::wipe(&mut world, lost);
    assert_eq!(world.faults.wipes, 1);
    world.settle();
    let members = world.members(GROUP);
    assert!(!members.contains(peer) && members.conf_state.voters.len() == 3, "{members:?}");
    assert!(members.stores.values().all(|member| *member != store));
    assert_eq!(world.clients.acknowledged[&GROUP].len(), 5);
}

/// Lets a learner install its first snapshot until `when` says so, crashes it there, and goes on.
fn crash_in_install(when: impl Fn(bool, bool) -> bool) {
    let mut world = World::quiet(9);
    world.write(3);
    world.checkpoint();
    Operator::start(&mut world, GROUP, true, None);
    world.until("a learner", |world| !world.members(GROUP).conf_state.learners.is_empty());
    let learner = PeerId(world.members(GROUP).conf_state.learners[0]);
    let holds = |number: &usize| {
        world.nodes[*number].replicas.get(&GROUP).is_some_and(|replica| replica.peer == learner)
    };
    let number = (0..world.nodes.len()).find(holds).expect("the learner is somewhere");
    world.nodes[number].slow_apply = true;
    world.until("the moment", |world| {
        let stored = world.nodes[number].log.load(GROUP).expect("readable").expect("stored");
        let installed = world.nodes[number].replicas[&GROUP].disk.lock().durable.index > 0;
        assert!(stored.truncated.index == 0, "the moment has passed");
        when(stored.install.is_some(), installed)
    });
    world.nodes[number].crash(&mut world.random);
    world.nodes[number].restart(&mut world.random);
    world.settle();
    assert_eq!(world.members(GROUP).conf_state.voters.len(), 4);
}

#[test]
fn a_crash_before_a_snapshot_is_installed_leaves_the_old_replica() {
    crash_in_install(|intent, installed| intent && !installed);
}

#[test]
fn a_crash_between_the_install_of_a_snapshot_and_its_log_leaves_the_new_replica() {
    crash_in_install(|_, installed| installed);
}

#[test]
fn a_follower_that_stops_fetching_ends_its_lease_and_is_offered_another_snapshot() {
    let mut world = World::quiet(10);
    world.write(3);
    Operator::start(&mut world, GROUP, true, None);
    world.until("a learner", |world| !world.members(GROUP).conf_state.learners.is_empty());
    let learner = world.members(GROUP).stores[&world.members(GROUP).conf_state.learners[0]];
    // From the learner: its requests are lost, so that neither an answer nor a failure ever arrives.
    let others: Vec<u64> = world.nodes.iter().map(|node| node.store.0).collect();
    world.until("an offer", |world| {
        world.nodes.iter().any(|node| node.cores.get(&GROUP).is_some_and(|core| core.oldest_sent().is_some()))
    });
    world.network.cut.extend(others.iter().map(|other| (learner.0, *other)));
    world.advance_by(5 * (LEASE_TICKS + 20));
    assert!(world.cores(GROUP).all(|(_, core)| core.oldest_sent().is_none()), "the lease never ended");
    world.network.cut.clear();
    world.settle();
    assert_eq!(world.members(GROUP).conf_state.voters.len(), 4);
}

#[test]
fn the_log_is_cut_behind_the_dead_and_kept_for_the_slow() {
    let mut world = World::quiet(11);
    let slow = world.followers()[0];
    world.write(3);
    let needed = world.nodes[slow].cores[&GROUP].status().last;
    world.nodes[slow].crash(&mut world.random);
    // More than a log keeps, but not out of reason, and the follower is not silent for long.
    for _ in 0..30 {
        let leader = world.leader(GROUP).expect("a leader");
        Clients::write(&mut world, GROUP, leader);
        world.advance_by(3);
    }
    world.checkpoint();
    world.advance_by(5);
    assert!(world.leading().status().first <= needed + 1, "entries a live follower needs were dropped");
    world.advance_by(5 * 70);
    world.checkpoint();
    world.write(1);
    assert!(world.leading().status().first > needed + 1, "the log is kept for a dead follower");
}

#[test]
fn a_leader_that_is_cut_off_answers_no_read_and_no_write() {
    let mut world = World::quiet(12);
    let leader = world.leader(GROUP).expect("a leader");
    let name = world.nodes[leader].store.0;
    for other in world.nodes.iter().map(|node| node.store.0) {
        world.network.cut.insert((other, name));
    }
    let core = world.nodes[leader].cores.get_mut(&GROUP).expect("it runs");
    let (ticket, read) = pending(core.shared().clone(), 0);
    core.read(ticket);
    let (ticket, write) = pending(core.shared().clone(), 0);
    core.propose(EntryKind::Command, super::machine::command(1, 99), ticket);
    world.until("another leader", |world| world.leader(GROUP).is_some_and(|number| number != leader));
    world.advance_by(200);
    assert!(matches!(read.try_answer(), Ok(Err(ClusterError::Timeout { .. }))));
    // Nobody knows whether it will be applied: it is in one log of three.
    assert!(matches!(write.try_answer(), Ok(Err(ClusterError::Timeout { .. }))));
}

/// Found by seeds 1 and 6: the entries were gone, the group idle, and the callers waited for ever.
#[test]
fn a_proposal_of_a_deposed_leader_is_answered_though_nothing_takes_its_place() {
    let mut world = World::quiet(13);
    let old = world.leader(GROUP).expect("a leader");
    let name = world.nodes[old].store.0;
    for other in world.nodes.iter().map(|node| node.store.0) {
        world.network.cut.extend([(name, other), (other, name)]);
    }
    let core = world.nodes[old].cores.get_mut(&GROUP).expect("it runs");
    let mut propose = || {
        let (ticket, answer) = pending(core.shared().clone(), 0);
        core.propose(EntryKind::Command, super::machine::command(1, 99), ticket);
        answer
    };
    // More than the next leader will ever append by itself.
    let answers: Vec<_> = (0..10).map(|_| propose()).collect();
    world.until("another leader", |world| world.leader(GROUP).is_some_and(|number| number != old));
    world.network.cut.clear();
    world.advance_by(5 * 30);
    for answer in answers {
        let answer = answer.try_answer();
        let known = matches!(answer, Ok(Err(ClusterError::Timeout { .. } | ClusterError::Dropped { .. })));
        assert!(known, "{answer:?}");
    }
}
