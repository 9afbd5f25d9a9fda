//! Spread user shards, and nodes that are killed with -9 one after another while others write everywhere.

use std::time::Instant;

use super::placed::{SHARDS, command, placed, start};
use super::servers::{leader, number, same_everywhere, until};
use super::writers::{Writers, all_are_known};

#[test]
fn leaders_of_spread_shards_are_killed_under_load_and_nothing_acknowledged_is_lost() {
    let (mut nodes, world, _) = start(4, &[]);
    command(&nodes[0], &["rebalance"]);
    placed(&nodes[0].client());
    let writers = Writers::start(4, "pk");
    let rounds = number("SEGUE_CLUSTER_KILLS", 3);
    let mut pauses = Vec::new();
    for round in 0..rounds {
        let group = format!("users-{}", round % u64::from(SHARDS));
        let victim = leader(&nodes, &group);
        let others: Vec<usize> = (0..4).filter(|at| *at != victim).collect();
        writers.go_to(others.iter().map(|at| &nodes[*at]));
        let before = writers.count();
        until("writers are at work", || (writers.count() > before + 10).then_some(()));
        nodes[victim].kill();
        let killed = Instant::now();
        let again = until("writes go on", || writers.first_after(killed));
        pauses.push(again.duration_since(killed).as_millis());
        // Listeners of every shard are answered for by those that are left.
        let before = writers.count();
        until("writers are at work", || (writers.count() > before + 20).then_some(()));
        let known: Vec<_> = world.users.iter().map(|user| user.user_id.clone()).collect();
        all_are_known(&nodes, &known);
        nodes[victim].launch(&[]);
        nodes[victim].running().until_ready();
        placed(&nodes[victim].client());
    }
    let (written, refused) = writers.stop();
    eprintln!(
        "{rounds} kills: {} writes acknowledged, {} refused; first write after {pauses:?} ms",
        written.len(),
        refused.len()
    );
    assert!(written.len() as u64 > 20 * rounds, "too few writes went through: {}", written.len());
    all_are_known(&nodes, &written);
    let check = same_everywhere(&nodes[0]);
    assert_eq!(check["groups"].as_array().unwrap().len(), 9, "{check}");
}
