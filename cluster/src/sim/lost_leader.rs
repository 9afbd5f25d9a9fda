//! What a broken connection to the leader leads to, and what it must not lead to.

use super::world::{GROUPS, World};
use crate::ids::StoreId;

/// Steps of one tick of a simulated node.
const TICK: u64 = 5;

/// Nodes of the group of three but the leader's, and the leader's store.
fn followers(world: &World) -> (Vec<usize>, usize, StoreId) {
    let leader = world.leader(GROUPS[0]).expect("a leader");
    let others = world.cores(GROUPS[0]).map(|(node, _)| node).filter(|node| *node != leader).collect();
    (others, leader, world.nodes[leader].store)
}

fn lose(world: &mut World, node: usize, store: StoreId) {
    let cores = &mut world.nodes[node].cores;
    cores.get_mut(&GROUPS[0]).expect("it runs").store_unreachable(store);
}

/// The goal: when a leader's process dies, its group has another before an election time-out (ten ticks) has passed.
#[test]
fn a_leader_that_died_is_replaced_before_an_election_time_out() {
    let mut ticks = Vec::new();
    for seed in 0..40 {
        let mut world = World::quiet(seed);
        let (others, leader, store) = followers(&world);
        world.nodes[leader].crash(&mut world.random);
        others.iter().for_each(|node| lose(&mut world, *node, store));
        let start = world.now;
        world.until("another leader", |world| world.leader(GROUPS[0]).is_some_and(|node| node != leader));
        ticks.push((world.now - start).div_ceil(TICK));
    }
    ticks.sort_unstable();
    println!("ticks until there was another leader, by seed 0 to 39, sorted: {ticks:?}");
    assert!(ticks[20] <= 6 && ticks[39] < 10, "{ticks:?}");
}

/// The goal: a connection that breaks beside a leader that lives costs nothing: no new term, the same leader.
#[test]
fn a_leader_that_lives_stays_when_connections_to_it_break() {
    for seed in 0..40 {
        let mut world = World::quiet(seed);
        let (others, leader, store) = followers(&world);
        let term = world.nodes[leader].cores[&GROUPS[0]].status().term;
        for _ in 0..30 {
            lose(&mut world, others[0], store);
            world.advance_by(7);
        }
        // Both at once: its heartbeat comes before anybody stands.
        others.iter().for_each(|node| lose(&mut world, *node, store));
        world.advance_by(200);
        assert_eq!(world.leader(GROUPS[0]), Some(leader), "seed {seed}");
        assert_eq!(world.nodes[leader].cores[&GROUPS[0]].status().term, term, "seed {seed}");
    }
}
