//! User shards on some of the nodes, of which one is killed: its shards get another node, by command or by themselves, and
//! whoever comes back or comes new is given what it should hold and nothing else.

use segue::api::Client;

use super::placed::{answer_alike, command, folders, names, placed, start};
use super::servers::{Node, address, same_everywhere, until};
use super::writers::{Writers, all_are_known};

#[test]
fn shards_of_a_killed_node_are_repaired_and_nodes_that_come_hold_what_they_are_given() {
    let (mut nodes, world, _) = start(4, &[]);
    let clients: Vec<Client> = nodes.iter().map(Node::client).collect();
    let names = names(&clients[0].cluster_status().unwrap(), &nodes);
    command(&nodes[0], &["rebalance"]);
    let before = placed(&clients[0]);
    let writers = Writers::start(2, "p");
    writers.go_to(&nodes[..3]);
    until("writers are at work", || (writers.count() > 10).then_some(()));
    nodes[3].kill();
    let count = writers.count();
    until("writers are at work", || (writers.count() > count + 20).then_some(()));
    let said = command(&nodes[1], &["repair", "--dry-run"]);
    let held = before.values().filter(|nodes| nodes.contains(&names[3])).count();
    assert_eq!(said.matches("away from").count(), held, "{said}");
    assert_eq!(placed_of(&clients[0], &names[3]), held, "a dry run changes nothing");
    command(&nodes[1], &["repair"]);
    until("three nodes hold everything", || (0..3).all(|at| folders(&nodes[at]).len() == 6).then_some(()));
    placed(&clients[1]);
    let (written, _) = writers.stop();
    all_are_known(&nodes[..3], &written);
    assert!(command(&nodes[0], &["repair"]).contains("where it should be"));

    // The lost node comes back, and lets go of what is elsewhere now, be it files of which the log was gone before.
    let log_less = (0..6).map(|shard| format!("users-{shard}")).find(|it| !folders(&nodes[3]).contains(it));
    if let Some(shard) = log_less {
        std::fs::create_dir_all(nodes[3].dir.path().join(shard).join("tree-0")).unwrap();
    }
    nodes[3].launch(&[]);
    nodes[3].running().until_ready();
    until("it holds no user shard", || folders(&nodes[3]).is_empty().then_some(()));
    all_are_known(&nodes, &written);
    // A new one holds nothing until it is given something, and answers for everybody.
    let seed = address(&nodes[0]);
    nodes.push(Node::new());
    nodes[4].launch(&["--join", &seed]);
    nodes[4].running().until_ready();
    assert!(folders(&nodes[4]).is_empty());
    all_are_known(&nodes[4..], &written);
    command(&nodes[4], &["rebalance"]);
    until("all five hold their share", || {
        nodes.iter().all(|node| (3..=4).contains(&folders(node).len())).then_some(())
    });
    assert_eq!(placed(&clients[2]).len(), 6);
    all_are_known(&nodes, &written);
    // Restarted, a node holds what it held.
    let held = folders(&nodes[1]);
    nodes[1].kill();
    nodes[1].launch(&[]);
    nodes[1].running().until_ready();
    assert_eq!(folders(&nodes[1]), held);
    let known: Vec<_> = world.users.iter().map(|user| user.user_id.clone()).collect();
    all_are_known(&nodes, &known);
    same_everywhere(&nodes[0]);
}

/// Shards a node has a record of.
fn placed_of(client: &Client, node: &str) -> usize {
    let report = client.cluster_status().unwrap();
    report.replicas.iter().filter(|it| it.node == node && it.group.starts_with("users-")).count()
}

#[test]
fn shards_of_a_node_that_stays_away_get_another_one_by_themselves() {
    let (mut nodes, world, alone) = start(4, &["cluster.replace_after_ms=2000"]);
    command(&nodes[0], &["rebalance"]);
    placed(&nodes[0].client());
    nodes[3].kill();
    until("three nodes hold everything", || (0..3).all(|at| folders(&nodes[at]).len() == 6).then_some(()));
    placed(&nodes[2].client());
    answer_alike(&nodes[..3], &world, &alone);
    nodes[3].launch_with(&["cluster.replace_after_ms=2000"], &[]);
    nodes[3].running().until_ready();
    placed(&nodes[3].client());
    same_everywhere(&nodes[0]);
}
