//! Five nodes of which five vote: two are lost at the same time, one killed and one standing still, and the other three go on.

use segue::types::User;

use super::history::Clients;
use super::servers::{Node, assemble_voting, endpoints, leader, number, replicas_are_equal, settled, until};
use super::writers::{Writers, all_are_known};
use crate::support::id;

const NODES: usize = 5;

#[test]
fn five_voters_bear_the_loss_of_two_at_a_time() {
    let settings = vec!["cluster.voters=5".to_owned()];
    let empty = (0..NODES).map(|_| Node::new()).collect();
    let (mut nodes, _) = assemble_voting(empty, &vec![settings.clone(); NODES], NODES);
    let same: Vec<&str> = settings.iter().map(String::as_str).collect();
    let clients = Clients::start(&endpoints(&nodes), "voters");
    let writers = Writers::start(2, "voters");
    let rounds = number("SEGUE_CLUSTER_ROUNDS", 2);
    for round in 0..rounds {
        // The leader of one group is killed, and the leader of another, or a follower, stands still.
        let gone = leader(&nodes, "users-0");
        let other = leader(&nodes, "tracks-0");
        let still = if other == gone { (gone + 1) % NODES } else { other };
        let alive: Vec<usize> = (0..NODES).filter(|at| ![gone, still].contains(at)).collect();
        writers.go_to(alive.iter().map(|at| &nodes[*at]));
        let before = writers.count();
        until("writers are at work", || (writers.count() > before + 5).then_some(()));
        nodes[gone].kill();
        nodes[still].running().signal("-STOP");
        let before = writers.count();
        until("three of five go on", || (writers.count() > before + 10).then_some(()));
        let name = format!("voters-alone-{round}");
        let row = || vec![User::unknown(id(name.clone()))];
        until("each of the three answers", || {
            alive.iter().all(|at| nodes[*at].client().upsert_users(row()).is_ok()).then_some(())
        });
        nodes[still].running().signal("-CONT");
        nodes[gone].launch_with(&same, &[]);
        nodes[gone].running().until_ready();
        settled(&nodes[alive[0]].client(), NODES);
    }
    let (written, _) = writers.stop();
    let seen = clients.check();
    eprintln!("{rounds} rounds, {} writes acknowledged, {seen:?}", written.len());
    assert!(seen.writes > 30 && seen.reads > 30 && seen.rules > 10, "too little was asked: {seen:?}");
    assert!(written.len() > 20, "too few writes went through: {}", written.len());
    all_are_known(&nodes, &written);
    replicas_are_equal(&nodes[0], NODES as u64);
}
