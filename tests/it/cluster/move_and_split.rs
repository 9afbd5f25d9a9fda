//! Two operators ask for changes of the same shard at the same moment, at different nodes: one is refused with a reason, or both
//! happen, and nothing is lost. Hold points make the moment.

use std::thread;
use std::time::Duration;

use segue::node::{NodeState, Placing, PlacingReport, ShardMove, SplitState};
use segue::{Error, ErrorKind};

use super::holds::{Hold, can_hold};
use super::servers::{leader, same_everywhere, until};
use super::splits::{done, request};
use super::spread::{Cluster, Load, Places};

/// How long a call that waits is given to show that it does.
const A_MOMENT: Duration = Duration::from_secs(1);

/// The name of the new shard, and where the old one is split.
fn new_of(shard: &str) -> (&'static str, u16) {
    if shard.starts_with("users") { ("users-2", 1_024) } else { ("tracks-3", 683) }
}

#[track_caller]
fn refusal<T: std::fmt::Debug>(outcome: segue::Result<T>) -> String {
    let error: Error = outcome.expect_err("it should be refused");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.to_string().contains("nothing was done"), "says what was done: {error}");
    error.to_string()
}

/// A move was checked before the split was in the log: both happen, and the new shard follows the old one to where that went, or
/// nobody could go on with the split.
fn a_move_that_was_checked_before_a_split(shard: &str) {
    if !can_hold() {
        return;
    }
    let cluster = Cluster::start();
    let Places { on, outside } = cluster.places(shard);
    let (new, at) = new_of(shard);
    let load = Load::start(&cluster.nodes);
    let (one, other) = (on[2], on[1]);
    let (moves, splits) =
        (Hold::at([&cluster.nodes[one]], "places::checked"), Hold::at(&cluster.nodes, "split::copying"));
    let moved = thread::scope(|scope| {
        let (client, what) = (cluster.client(one), cluster.moving(shard, other, outside));
        let mover = scope.spawn(move || client.place_shards(what, false));
        moves.is_reached();
        let begun = cluster.client(other).split_shard(request(shard, Some(at))).unwrap();
        assert_eq!((begun.state, begun.new_group.as_str()), (SplitState::Copying, new));
        splits.is_reached();
        moves.release();
        mover.join().unwrap()
    });
    assert_eq!(moved.unwrap().moves.len(), 1);
    cluster.has_come(shard, outside);
    // Who leads goes on with the split: a node that had no part in it when it began.
    until("the node it came to leads", || {
        cluster.client(0).transfer_leader(shard, &cluster.names[outside]).ok()?;
        (leader(&cluster.nodes, shard) == outside).then_some(())
    });
    splits.release();
    done(&cluster.client(other), shard, at);
    load.goes_on();
    assert_eq!(cluster.settled(new), cluster.settled(shard));
    load.kept(&cluster.nodes);
    same_everywhere(&cluster.nodes[0]);
}

#[test]
fn a_user_shard_moves_and_is_split_at_the_same_moment() {
    a_move_that_was_checked_before_a_split("users-0");
}

#[test]
fn a_track_shard_moves_and_is_split_at_the_same_moment() {
    a_move_that_was_checked_before_a_split("tracks-0");
}

/// A split was checked before the move was in the map: it begins with a shard on its way, and at a node that is about to lose it.
fn a_split_that_was_checked_before_a_move(shard: &str) {
    if !can_hold() {
        return;
    }
    let cluster = Cluster::start();
    let Places { on, outside } = cluster.places(shard);
    let (new, at) = new_of(shard);
    let load = Load::start(&cluster.nodes);
    let splits = Hold::at([&cluster.nodes[on[2]]], "split::checked");
    let comes = Hold::at([&cluster.nodes[outside]], "shards::tend");
    comes.is_reached();
    let begun = thread::scope(|scope| {
        let client = cluster.client(on[2]);
        let splitter = scope.spawn(move || client.split_shard(request(shard, Some(at))));
        splits.is_reached();
        // Away from the node that leads, and is to make the new shard's first replica.
        cluster.client(on[1]).place_shards(cluster.moving(shard, on[0], outside), false).unwrap();
        splits.release();
        splitter.join().unwrap()
    });
    assert_eq!(begun.unwrap().new_group, new);
    thread::sleep(A_MOMENT);
    comes.release();
    done(&cluster.client(on[2]), shard, at);
    cluster.has_come(shard, outside);
    load.goes_on();
    cluster.settled(new);
    load.kept(&cluster.nodes);
    same_everywhere(&cluster.nodes[0]);
}

#[test]
fn a_user_shard_is_split_and_moves_at_the_same_moment() {
    a_split_that_was_checked_before_a_move("users-0");
}

#[test]
fn a_track_shard_is_split_and_moves_at_the_same_moment() {
    a_split_that_was_checked_before_a_move("tracks-0");
}

/// A node that has not heard of a split yet refuses a move all the same, and takes it once the split is over.
fn a_move_asked_of_a_node_that_is_behind(shard: &str) {
    if !can_hold() {
        return;
    }
    let cluster = Cluster::start();
    let Places { on, outside } = cluster.places(shard);
    let (new, at) = new_of(shard);
    let meta = leader(&cluster.nodes, "meta");
    let behind = (0..4).find(|node| ![meta, on[0]].contains(node)).unwrap();
    let load = Load::start(&cluster.nodes);
    let others = cluster.nodes.iter().enumerate().filter(|(number, _)| *number != behind);
    let splits = Hold::at(others.map(|(_, node)| node), "split::copying");
    let applies = Hold::at([&cluster.nodes[behind]], "meta::apply");
    cluster.client(meta).split_shard(request(shard, Some(at))).unwrap();
    applies.is_reached();
    let epoch = cluster.report().epoch;
    let outcome = thread::scope(|scope| {
        let (client, what) = (cluster.client(behind), cluster.moving(shard, on[1], outside));
        let mover = scope.spawn(move || client.place_shards(what, false));
        thread::sleep(A_MOMENT);
        applies.release();
        mover.join().unwrap()
    });
    let reason = refusal(outcome);
    assert!(reason.contains("is being split: wait until that has ended"), "{reason}");
    let report = cluster.report();
    assert!(report.replicas.iter().all(|it| it.group != shard || it.node != cluster.names[outside]));
    splits.release();
    done(&cluster.client(on[0]), shard, at);
    assert!(cluster.report().epoch > epoch, "the new shard has its places");
    // Whoever was refused says the same once more.
    let again: PlacingReport = until("it may move", || {
        cluster.client(behind).place_shards(cluster.moving(shard, on[1], outside), false).ok()
    });
    assert_eq!(again.moves.len(), 1);
    cluster.has_come(shard, outside);
    cluster.settled(new);
    load.kept(&cluster.nodes);
    same_everywhere(&cluster.nodes[0]);
}

#[test]
fn a_node_that_has_not_heard_of_a_split_moves_no_user_shard() {
    a_move_asked_of_a_node_that_is_behind("users-0");
}

#[test]
fn a_node_that_has_not_heard_of_a_split_moves_no_track_shard() {
    a_move_asked_of_a_node_that_is_behind("tracks-0");
}

/// A shard that is still on its way is not split: the split would wait for it, and no move could be mended meanwhile.
fn a_split_of_a_shard_that_moves(shard: &str) {
    if !can_hold() {
        return;
    }
    let cluster = Cluster::start();
    let Places { on, outside } = cluster.places(shard);
    let (new, at) = new_of(shard);
    let load = Load::start(&cluster.nodes);
    let comes = Hold::at([&cluster.nodes[outside]], "shards::tend");
    comes.is_reached();
    cluster.client(on[1]).place_shards(cluster.moving(shard, on[1], outside), false).unwrap();
    for dry_run in [true, false] {
        let mut asked = request(shard, Some(at));
        asked.dry_run = dry_run;
        let reason = refusal(cluster.client(on[2]).split_shard(asked));
        assert!(reason.contains(&format!("{shard} is on its way")), "{reason}");
    }
    comes.release();
    cluster.has_come(shard, outside);
    cluster.client(on[2]).split_shard(request(shard, Some(at))).unwrap();
    done(&cluster.client(on[2]), shard, at);
    assert_eq!(cluster.settled(new), cluster.settled(shard));
    load.kept(&cluster.nodes);
    same_everywhere(&cluster.nodes[0]);
}

#[test]
fn a_user_shard_on_its_way_is_not_split() {
    a_split_of_a_shard_that_moves("users-0");
}

#[test]
fn a_track_shard_on_its_way_is_not_split() {
    a_split_of_a_shard_that_moves("tracks-0");
}

/// Of two moves from the same places one is made; and a drain in the middle of a split is one of a node that goes on splitting
/// nothing.
#[test]
fn two_moves_of_one_shard_at_once_are_one_and_a_drain_does_not_stop_a_split() {
    if !can_hold() {
        return;
    }
    let cluster = Cluster::start();
    let load = Load::start(&cluster.nodes);
    for shard in ["users-1", "tracks-1"] {
        let Places { on, outside } = cluster.places(shard);
        let askers = [on[0], outside];
        let holds = Hold::at(askers.map(|at| &cluster.nodes[at]), "places::checked");
        let wanted = [cluster.moving(shard, on[1], outside), cluster.moving(shard, on[2], outside)];
        let outcomes: Vec<segue::Result<PlacingReport>> = thread::scope(|scope| {
            let ask = |(at, what): (usize, &Placing)| {
                let (client, what) = (cluster.client(at), what.clone());
                scope.spawn(move || client.place_shards(what, false))
            };
            let threads: Vec<_> = askers.into_iter().zip(&wanted).map(ask).collect();
            holds.is_reached();
            holds.release();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let loser = outcomes.iter().position(Result::is_err).expect("one is refused");
        assert!(outcomes[1 - loser].is_ok(), "the other is made: {outcomes:?}");
        let reason = refusal(outcomes.into_iter().nth(loser).unwrap());
        assert!(reason.contains(&format!("{shard} was placed elsewhere meanwhile: look")), "{reason}");
        cluster.has_come(shard, outside);
        let held = cluster.settled(shard);
        assert!(held.contains(&cluster.names[on[1 + loser]]), "only one has left: {held:?}");
        // Said again it is seen as it is now.
        let reason = refusal(cluster.client(on[0]).place_shards(wanted[loser].clone(), false));
        assert!(reason.contains("a replica fewer"), "{reason}");
    }
    for shard in ["users-0", "tracks-0"] {
        let first = cluster.places(shard).on[0];
        let (new, at) = new_of(shard);
        let splits = Hold::at(&cluster.nodes, "split::copying");
        cluster.client(first).split_shard(request(shard, Some(at))).unwrap();
        splits.is_reached();
        cluster.client(first).set_node_state(&cluster.names[first], NodeState::Draining, false).unwrap();
        until("another node leads", || (leader(&cluster.nodes, shard) != first).then_some(()));
        splits.release();
        done(&cluster.client(first), shard, at);
        cluster.client(first).set_node_state(&cluster.names[first], NodeState::Serving, false).unwrap();
        cluster.settled(new);
    }
    load.kept(&cluster.nodes);
    same_everywhere(&cluster.nodes[0]);
}

/// Both parts lose a node in the middle of a split, and may get different ones instead: the new part comes to where the old one is.
#[test]
fn a_node_that_dies_in_the_middle_of_a_split_is_replaced_and_the_split_goes_on() {
    if !can_hold() {
        return;
    }
    let mut cluster = Cluster::of(5);
    let load = Load::start(&cluster.nodes);
    for shard in ["users-0", "tracks-0"] {
        // The first is asked all along.
        let Places { on, .. } = cluster.places(shard);
        let victim = on[1..].iter().copied().find(|at| *at != 0).unwrap();
        let (new, at) = new_of(shard);
        let splits = Hold::at(&cluster.nodes, "split::copying");
        cluster.client(0).split_shard(request(shard, Some(at))).unwrap();
        splits.is_reached();
        cluster.nodes[victim].kill();
        load.go_to(&cluster.nodes);
        let repaired = until("it is missed", || cluster.client(0).place_shards(Placing::Repair, false).ok());
        assert!(repaired.moves.iter().any(|it| it.group == shard), "{repaired:?}");
        let come = until("the old part has another node", || {
            let held = cluster.settled(shard);
            (0..5).find(|at| !on.contains(at) && held.contains(&cluster.names[*at]))
        });
        until("the node it came to leads", || {
            cluster.client(0).transfer_leader(shard, &cluster.names[come]).ok()?;
            (leader(&cluster.nodes, shard) == come).then_some(())
        });
        splits.release();
        done(&cluster.client(0), shard, at);
        load.goes_on();
        assert_eq!(cluster.settled(new), cluster.settled(shard));
        cluster.nodes[victim].launch(&[]);
        cluster.nodes[victim].running().until_ready();
        load.go_to(&cluster.nodes);
    }
    load.known(&cluster.nodes);
    same_everywhere(&cluster.nodes[0]);
}

/// Both are made of the places that were seen before the node died: one of them is told to look again.
#[test]
fn of_a_repair_and_a_move_at_the_same_moment_one_is_asked_again() {
    if !can_hold() {
        return;
    }
    let mut cluster = Cluster::start();
    let load = Load::start(&cluster.nodes);
    cluster.nodes[3].kill();
    load.go_to(&cluster.nodes);
    let repair = |cluster: &Cluster, dry_run| cluster.client(1).place_shards(Placing::Repair, dry_run);
    let planned = until("it is missed", || repair(&cluster, true).ok().filter(|it| !it.moves.is_empty()));
    let ShardMove { group: shard, from, to, .. } = &planned.moves[0];
    let number = |name: &String| cluster.names.iter().position(|it| it == name).unwrap();
    let leaves = from.iter().map(number).find(|at| *at != 3).unwrap();
    let comes = to.iter().find(|name| !from.contains(name)).map(number).unwrap();
    let repairs = Hold::at([&cluster.nodes[1]], "places::checked");
    let outcome = thread::scope(|scope| {
        let repairer = scope.spawn(|| repair(&cluster, false));
        repairs.is_reached();
        cluster.client(0).place_shards(cluster.moving(shard, leaves, comes), false).unwrap();
        repairs.release();
        repairer.join().unwrap()
    });
    let reason = refusal(outcome);
    assert!(reason.contains(&format!("{shard} was placed elsewhere meanwhile: look")), "{reason}");
    until("it is repaired", || repair(&cluster, false).ok().filter(|it| it.moves.is_empty()));
    for shard in ["users-0", "users-1", "tracks-0", "tracks-1", "tracks-2"] {
        until("the dead node has no place", || {
            (!cluster.settled(shard).contains(&cluster.names[3])).then_some(())
        });
    }
    load.goes_on();
    cluster.nodes[3].launch(&[]);
    cluster.nodes[3].running().until_ready();
    load.known(&cluster.nodes);
    same_everywhere(&cluster.nodes[0]);
}
