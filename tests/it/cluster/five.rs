//! Five servers, of which three vote, under faults one after another: what clients at all of them see stays linearizable,
//! nothing acknowledged is lost, and replicas are equal afterwards.

use segue::types::User;

use super::history::Clients;
use super::partitions::with_wires;
use super::servers::{endpoints, leader, number, replicas_are_equal, settled, until};
use super::writers::{Writers, all_are_known};
use crate::support::id;

const NODES: usize = 5;

#[test]
fn five_nodes_under_kills_pauses_and_cuts_stay_linearizable() {
    let (mut nodes, wires, settings) = with_wires(NODES);
    let clients = Clients::start(&endpoints(&nodes), "five");
    let writers = Writers::start(2, "five");
    for round in 0..number("SEGUE_CLUSTER_ROUNDS", 1) {
        // The leader is alone, in both directions.
        let alone = leader(&nodes, "users-0");
        let others: Vec<usize> = (0..NODES).filter(|at| *at != alone).collect();
        writers.go_to(others.iter().map(|at| &nodes[*at]));
        let cut: Vec<_> = others.iter().flat_map(|other| [(alone, *other), (*other, alone)]).collect();
        wires.cut(&cut);
        let name = format!("five-cut-{round}");
        let row = || vec![User::unknown(id(name.clone()))];
        until("writes go on", || nodes[others[0]].client().upsert_users(row()).ok());
        wires.cut(&[]);
        until("it is back", || nodes[alone].client().user(&id(name.clone())).ok());
        // The leader stands still.
        let still = leader(&nodes, "users-0");
        nodes[still].running().signal("-STOP");
        let other = (still + 1) % NODES;
        let name = format!("five-pause-{round}");
        let row = || vec![User::unknown(id(name.clone()))];
        until("writes go on", || nodes[other].client().upsert_users(row()).ok());
        nodes[still].running().signal("-CONT");
        // The leader is killed.
        settled(&nodes[other].client(), 3);
        let gone = leader(&nodes, "users-0");
        let alive: Vec<usize> = (0..NODES).filter(|at| *at != gone).collect();
        writers.go_to(alive.iter().map(|at| &nodes[*at]));
        let before = writers.count();
        nodes[gone].kill();
        until("writes go on", || (writers.count() > before + 10).then_some(()));
        let same: Vec<&str> = settings[gone].iter().map(String::as_str).collect();
        nodes[gone].launch_with(&same, &[]);
        nodes[gone].running().until_ready();
        settled(&nodes[alive[0]].client(), 3);
    }
    let (written, _) = writers.stop();
    let seen = clients.check();
    assert!(seen.writes > 50 && seen.reads > 50 && seen.rules > 20, "too little was asked: {seen:?}");
    assert!(written.len() > 20, "too few writes went through: {}", written.len());
    all_are_known(&nodes, &written);
    replicas_are_equal(&nodes[0], NODES as u64);
}
