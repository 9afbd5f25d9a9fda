//! Traps in messages: what a peer that is broken, old or hostile may send must not stop a node.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use protobuf::{Message as _, ProtobufEnum as _};
use raft::eraftpb::{Entry, EntryType, Message, MessageType, Snapshot};

use super::clients::Clients;
use super::operator::Operator;
use super::random::Random;
use super::world::{GROUPS, World};
use crate::edge::{Address, Refused, read_message};
use crate::error::ClusterError;
use crate::group::core::Outbox;
use crate::ids::{ClusterId, GroupId, StoreId};
use crate::snapshot::packet::Packet;
use crate::wait::pending;

const GROUP: GroupId = GROUPS[0];

/// The messages of a run with elections, writes, reads, a snapshot, changes and a transfer, as bytes: every kind
/// that nodes send.
fn honest_messages() -> Vec<Vec<u8>> {
    let mut world = World::new(21);
    world.operator.paused = true;
    let mut messages = Vec::new();
    let mut kinds = BTreeSet::new();
    for step in 0..900 {
        let leader = world.leader(GROUP);
        if step == 300 {
            Operator::start(&mut world, GROUP, true, None);
        }
        let follower = world.cores(GROUP).map(|(number, _)| number).find(|number| Some(*number) != leader);
        if let (Some(leader), Some(follower)) = (leader, follower)
            && step % 20 == 0
        {
            Clients::write(&mut world, GROUP, leader);
            Clients::read(&mut world, GROUP, follower);
            if step == 800 {
                let to = world.nodes[follower].replicas[&GROUP].peer;
                world.leading().transfer_leader(to).expect("a follower that is up to date");
            }
        }
        Operator::act(&mut world);
        world.advance();
        for packet in world.network.under_way() {
            if let Packet::Raft(message) = &packet.packet {
                kinds.insert(message.get_msg_type().value());
                messages.push(message.write_to_bytes().expect("encodable"));
            }
        }
    }
    assert_eq!(kinds.len(), 12, "{kinds:?}");
    messages.sort();
    messages.dedup();
    messages
}

#[test]
fn a_kind_of_message_that_nodes_do_not_send_is_refused() {
    let honest = [
        MessageType::MsgAppend,
        MessageType::MsgAppendResponse,
        MessageType::MsgRequestVote,
        MessageType::MsgRequestVoteResponse,
        MessageType::MsgRequestPreVote,
        MessageType::MsgRequestPreVoteResponse,
        MessageType::MsgHeartbeat,
        MessageType::MsgHeartbeatResponse,
        MessageType::MsgTimeoutNow,
    ];
    for kind in MessageType::values() {
        let mut message = Message { from: 1, to: 2, term: 6, ..Message::default() };
        message.set_msg_type(*kind);
        let taken = read_message(&message.write_to_bytes().expect("encodable")).is_ok();
        assert_eq!(taken, honest.contains(kind), "{kind:?}");
    }
    // A kind of a later version: the parser keeps it aside and leaves the first kind, MsgHup, in its place.
    let message = Message { from: 1, to: 2, term: 6, ..Message::default() };
    let mut bytes = message.write_to_bytes().expect("encodable");
    bytes.extend([0x08, 0x63]);
    assert!(read_message(&bytes).is_err());
}

#[test]
fn entries_that_raft_would_panic_on_are_refused() {
    let append = |entries: Vec<Entry>| {
        let mut message = Message { from: 1, to: 2, term: 9, log_term: 6, index: 10, ..Message::default() };
        message.set_msg_type(MessageType::MsgAppend);
        message.set_entries(entries.into());
        read_message(&message.write_to_bytes().expect("encodable"))
    };
    let entry = |index, term| Entry { index, term, ..Entry::default() };
    assert!(append(vec![entry(11, 6), entry(12, 9)]).is_ok());
    assert!(append(vec![entry(12, 6)]).is_err(), "a gap");
    assert!(append(vec![entry(11, 5)]).is_err(), "a term that falls");
    assert!(append(vec![entry(11, 10)]).is_err(), "a term of the future");
    let mut change = entry(11, 6);
    change.set_entry_type(EntryType::EntryConfChangeV2);
    assert!(append(vec![change.clone()]).is_err(), "a change that does not say who is added");
    change.data = vec![0xff; 9].into();
    assert!(append(vec![change]).is_err(), "a change that is none");
}

#[test]
fn nesting_without_end_and_size_without_bound_are_refused_before_they_are_parsed() {
    // Start-group tags, as deep as they come: protobuf 2.28 recurses once for each.
    let deep = [0xab, 0x01].repeat(2_000_000);
    assert!(matches!(read_message(&deep), Err(Refused::Malformed(_))));
    assert!(matches!(read_message(&vec![0; 17 << 20]), Err(Refused::TooLarge(_))));
}

#[test]
fn another_cluster_and_an_earlier_store_are_refused() {
    let address = Address { cluster: ClusterId(7), from: StoreId(1), to: StoreId(2) };
    assert_eq!(address.check(ClusterId(7), StoreId(2)), Ok(()));
    assert_eq!(address.check(ClusterId(8), StoreId(2)), Err(Refused::OtherCluster(ClusterId(7))));
    assert_eq!(address.check(ClusterId(7), StoreId(3)), Err(Refused::OtherStore(StoreId(2))));
}

#[test]
fn a_replica_that_lost_its_entries_under_its_old_name_is_refused_and_stops_nobody() {
    let mut world = World::quiet(22);
    let node = world.leader(GROUP).expect("a leader");
    let follower = world.cores(GROUP).map(|(number, _)| number).find(|number| *number != node).expect("one");
    let (from, store) = (world.nodes[node].replicas[&GROUP].peer, world.nodes[node].store);
    let core = world.nodes[follower].cores.get_mut(&GROUP).expect("it runs");
    let status = core.status();
    let mut heartbeat = Message { from: from.0, to: status.peer.0, term: status.term, ..Message::default() };
    heartbeat.set_msg_type(MessageType::MsgHeartbeat);
    heartbeat.commit = status.last + 6;
    core.receive(heartbeat, store);
    assert_eq!(core.status().commit, status.commit);
    // The other way round: entries nobody has are acknowledged to the leader.
    let core = world.nodes[node].cores.get_mut(&GROUP).expect("it runs");
    let before = core.status();
    let mut answer = Message { from: status.peer.0, to: from.0, term: before.term, ..Message::default() };
    answer.set_msg_type(MessageType::MsgAppendResponse);
    answer.index = before.last + 100;
    core.receive(answer, store);
    assert_eq!(core.status().commit, before.commit);
    world.settle();
}

#[test]
fn a_late_answer_to_an_earlier_life_answers_no_read() {
    let mut world = World::quiet(23);
    let leader = world.leader(GROUP).expect("a leader");
    let number = world.cores(GROUP).map(|(number, _)| number).find(|number| *number != leader).expect("one");
    let store = world.nodes[leader].store;
    let ask = |world: &mut World| {
        let core = world.nodes[number].cores.get_mut(&GROUP).expect("it runs");
        let (ticket, answer) = pending(core.shared().clone(), 0);
        core.read(ticket);
        let mut out = Outbox::new();
        let write = core.take_write(&mut out);
        core.written(write, &mut out);
        let question = out.into_iter().find_map(|packet| match packet.packet {
            Packet::Raft(message) if message.get_msg_type() == MessageType::MsgReadIndex => Some(message),
            _ => None,
        });
        (answer, question.expect("the leader is asked"))
    };
    let (_, first) = ask(&mut world);
    world.nodes[number].crash(&mut world.random);
    world.nodes[number].restart(&mut world.random);
    world.advance_by(60);
    let (read, _) = ask(&mut world);
    let core = world.nodes[number].cores.get_mut(&GROUP).expect("it runs");
    let mut late = Message { from: first.to, to: first.from, term: core.status().term, ..Message::default() };
    late.set_msg_type(MessageType::MsgReadIndexResp);
    late.index = core.status().commit;
    late.set_entries(first.entries.clone());
    core.receive(late, store);
    let mut out = Outbox::new();
    let write = core.take_write(&mut out);
    core.written(write, &mut out);
    assert!(read.try_answer().is_err(), "an answer to an earlier life was believed");
}

#[test]
fn a_read_on_a_leader_without_a_commit_of_its_own_waits_instead_of_vanishing() {
    let mut world = World::quiet(24);
    let old = world.leader(GROUP).expect("a leader");
    world.nodes[old].crash(&mut world.random);
    world.until("another leader", |world| world.leader(GROUP).is_some());
    let (ticket, read) = pending(world.leading().shared().clone(), 0);
    world.leading().read(ticket);
    world.advance_by(60);
    assert!(matches!(read.try_answer(), Ok(Ok(_))));
}

#[test]
fn a_proposal_overtaken_by_a_new_leader_is_told_so() {
    let mut world = World::quiet(25);
    let old = world.leader(GROUP).expect("a leader");
    let name = world.nodes[old].store.0;
    for other in world.nodes.iter().map(|node| node.store.0).collect::<Vec<_>>() {
        world.network.cut.insert((name, other));
        world.network.cut.insert((other, name));
    }
    let core = world.nodes[old].cores.get_mut(&GROUP).expect("it runs");
    let (ticket, write) = pending(core.shared().clone(), 0);
    core.propose(crate::group::entry::EntryKind::Command, super::machine::command(1, 99), ticket);
    world.until("another leader", |world| world.leader(GROUP).is_some_and(|number| number != old));
    let new = world.leader(GROUP).expect("a leader");
    Clients::write(&mut world, GROUP, new);
    world.network.cut.clear();
    world.settle();
    assert!(matches!(write.try_answer(), Ok(Err(ClusterError::Dropped { .. }))));
}

/// The goal: no bytes stop a node. Honest messages with flipped bits, cut short or put together wrongly
/// are refused or taken; a replica that panics all the same is caught (and counted here: there is none).
#[test]
fn mutilated_messages_are_refused_or_taken_and_never_panic() {
    let honest = honest_messages();
    assert!(honest.len() > 50, "{}", honest.len());
    assert!(honest.iter().all(|bytes| read_message(bytes).is_ok()));
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    println!("SEED={seed}");
    let mut random = Random(seed);
    let (mut taken, mut refused, mut panics) = (0_u32, 0_u32, Vec::new());
    let mut world = World::quiet(21);
    for round in 0..20_000 {
        if round % 500 == 0 {
            world = World::quiet(21);
        }
        let mut bytes = honest[random.below(honest.len() as u64) as usize].clone();
        for _ in 0..random.below(4) {
            let position = random.below(bytes.len() as u64) as usize;
            match random.below(4) {
                0 => bytes.truncate(position.max(1)),
                1 => bytes[position] = random.next() as u8,
                _ => bytes[position] ^= 1 << random.below(8),
            }
        }
        let Ok(mut message) = read_message(&bytes) else {
            refused += 1;
            continue;
        };
        taken += 1;
        let node = random.below(3) as usize;
        let Some(core) = world.nodes[node].cores.get_mut(&GROUP) else { continue };
        message.to = core.status().peer.0;
        let kind = message.get_msg_type();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            core.receive(message, StoreId(1));
            let mut out = Outbox::new();
            let write = core.take_write(&mut out);
            core.written(write, &mut out);
        }));
        if let Err(panic) = outcome {
            panics.push(format!("{kind:?}: {}", crate::panic::message(panic.as_ref())));
            world = World::quiet(21);
        }
    }
    println!("taken={taken} refused={refused} panics={}", panics.len());
    assert!(taken > 1_000 && refused > 1_000);
    assert_eq!(panics, Vec::<String>::new());
}

#[test]
fn a_snapshot_that_contradicts_its_offer_is_refused() {
    let mut world = World::quiet(26);
    let leader = world.leader(GROUP).expect("a leader");
    let follower =
        world.cores(GROUP).map(|(number, _)| number).find(|number| *number != leader).expect("one");
    let (from, store) = (world.nodes[leader].replicas[&GROUP].peer, world.nodes[leader].store);
    let core = world.nodes[follower].cores.get_mut(&GROUP).expect("it runs");
    let status = core.status();
    for data in [Vec::new(), vec![1, 0, 0, 0], vec![0xff; 300]] {
        let mut message =
            Message { from: from.0, to: status.peer.0, term: status.term, ..Message::default() };
        message.set_msg_type(MessageType::MsgSnapshot);
        let mut snapshot = Snapshot { data: data.into(), ..Snapshot::default() };
        let metadata = snapshot.mut_metadata();
        (metadata.index, metadata.term) = (status.last + 10, status.term);
        metadata.mut_conf_state().set_voters(vec![from.0, status.peer.0]);
        message.set_snapshot(snapshot);
        core.receive(message, store);
        assert!(core.take_fetch().is_none());
    }
    world.settle();
}
