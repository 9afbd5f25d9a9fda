//! Which appends are answered: those that tell the leader something.

use raft::eraftpb::MessageType;

use super::clients::Clients;
use super::world::{GROUPS, World};
use crate::snapshot::packet::Packet;

/// The goal: a committed entry costs each follower one answer. What only says how far is committed is not answered, but
/// where it comes so late (after two ticks) that the answer before it may have been lost.
#[test]
fn an_append_that_only_says_what_is_committed_is_not_answered() {
    let (mut answers, mut writes) = (0, 0);
    for seed in 0..20 {
        let mut world = World::quiet(seed);
        for _ in 0..10 {
            writes += 1;
            let leader = world.leader(GROUPS[0]).expect("a leader");
            let first = world.nodes[leader].cores[&GROUPS[0]].status().last + 1;
            Clients::write(&mut world, GROUPS[0], leader);
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..60 {
                world.advance();
                for what in world.network.under_way().filter(|what| what.group == GROUPS[0]) {
                    let Packet::Raft(message) = &what.packet else { continue };
                    let is_answer = message.get_msg_type() == MessageType::MsgAppendResponse;
                    // One is under way for several steps, and is sometimes delivered twice.
                    if is_answer && seen.insert((message.from, message.index, message.commit)) {
                        assert!(!message.reject && message.index >= first, "seed {seed}: {message:?}");
                        answers += 1;
                    }
                }
            }
            for (_, core) in world.cores(GROUPS[0]) {
                assert_eq!(core.status().applied, first, "seed {seed}: it was committed everywhere");
            }
        }
    }
    println!("{answers} answers of two followers to {writes} writes");
    assert!(
        answers >= 2 * writes && answers <= 2 * writes + writes / 2,
        "{answers} answers to {writes} writes"
    );
}

/// The goal: an acknowledgement that was lost is made up for without a further entry.
#[test]
fn a_lost_acknowledgement_is_asked_for_again() {
    for seed in 0..20 {
        let mut world = World::quiet(seed);
        let leader = world.leader(GROUPS[0]).expect("a leader");
        let name = world.nodes[leader].store.0;
        let others: Vec<usize> =
            world.cores(GROUPS[0]).map(|(node, _)| node).filter(|node| *node != leader).collect();
        // Only what the followers say is cut, and for less than an election time-out.
        for other in others {
            let other = world.nodes[other].store.0;
            world.network.cut.insert((other, name));
        }
        Clients::write(&mut world, GROUPS[0], leader);
        world.advance_by(15);
        let status = world.nodes[leader].cores[&GROUPS[0]].status();
        assert!(status.commit < status.last, "seed {seed}: nobody was heard");
        world.network.cut.clear();
        world.advance_by(100);
        let status = world.nodes[leader].cores[&GROUPS[0]].status();
        assert_eq!(status.commit, status.last, "seed {seed}");
        let matched = status.members.iter().filter_map(|member| member.matched);
        assert!(matched.into_iter().all(|matched| matched == status.last), "seed {seed}: {status:?}");
    }
}
