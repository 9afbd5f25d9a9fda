//! The runbook *Restore* (docs/OPERATIONS.md): a copy of one stopped node becomes a cluster again when all nodes are lost, and a
//! cluster of its own beside one that lives.

use std::process::Command;

use segue::ErrorKind;
use segue::api::Client;
use segue::types::{User, UserId};

use super::servers::{Node, address, replicas_are_equal, settled, three, until};
use crate::running::{document, run};
use crate::support::id;

fn write(client: &Client, names: &[&str]) {
    let users = names.iter().map(|name| User::unknown(id(*name))).collect();
    client.upsert_users(users).unwrap();
}

fn knows(client: &Client, name: &str) -> bool {
    match client.user(&id::<UserId>(name)) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => panic!("{name}: {error}"),
    }
}

/// Copies a stopped node's directory, as `rsync -a` and `cp -a` do.
fn copy(node: &Node) -> Node {
    let copy = Node::new();
    let from = node.dir.path().join(".");
    assert!(Command::new("cp").arg("-a").arg(from).arg(copy.dir.path()).status().unwrap().success());
    copy
}

/// Plans and applies what the runbook says, and checks the directory.
fn recover(copy: &Node) {
    let dir = copy.dir.path().display().to_string();
    let plan = document(&["cluster", "recover", "--data", &dir, "--plan", "--json"]);
    let cluster = plan["cluster_id"].as_str().unwrap();
    document(&["cluster", "recover", "--data", &dir, "--apply", cluster, "--json"]);
    let verified = run(&["verify", &dir]);
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn a_copy_of_one_node_holds_what_was_acknowledged_before_it_and_becomes_a_cluster_again() {
    let (mut nodes, world) = three();
    write(&nodes[0].client(), &["before-0", "before-1"]);
    // A node is stopped for its copy, and started again; the others serve meanwhile.
    settled(&nodes[1].client(), 3);
    let running = nodes[1].running.take().unwrap();
    running.terminate();
    assert!(running.wait().0.success());
    write(&nodes[0].client(), &["after-0"]);
    let (mut beside, mut restored) = (copy(&nodes[1]), copy(&nodes[1]));
    nodes[1].launch(&[]);
    nodes[1].running().until_ready();
    settled(&nodes[1].client(), 3);
    assert!(knows(&nodes[1].client(), "after-0"), "what it missed came from the others");

    // Data were deleted by mistake: a copy of before, beside the cluster that lives.
    let mistaken = world.users[2].user_id.clone();
    nodes[0].client().delete_users(std::slice::from_ref(&mistaken)).unwrap();
    assert!(!knows(&nodes[2].client(), mistaken.as_str()));
    recover(&beside);
    beside.launch(&[]);
    beside.running().until_ready();
    let found = beside.client().user(&mistaken).unwrap();
    nodes[0].client().upsert_users(vec![found]).unwrap();
    assert!(knows(&nodes[2].client(), mistaken.as_str()));

    // All nodes are lost.
    nodes.iter_mut().filter(|node| node.running.is_some()).for_each(Node::kill);
    beside.kill();
    drop(nodes);
    recover(&restored);
    restored.launch(&[]);
    restored.running().until_ready();
    let client = restored.client();
    assert!(knows(&client, "before-0") && knows(&client, "before-1"));
    assert!(!knows(&client, "after-0"), "nothing after the copy");
    write(&client, &["again-0"]);
    let mut others = [Node::new(), Node::new()];
    for node in &mut others {
        node.launch(&["--join", &address(&restored)]);
        node.running().until_ready();
    }
    let all_vote = || {
        let report = client.cluster_status().ok()?;
        let votes = |it: &&segue::node::ReplicaReport| it.votes && it.lag == Some(0);
        (report.replicas.iter().filter(votes).count() == 15).then_some(())
    };
    until("three nodes hold and vote for all five groups", all_vote);
    assert!(others.iter().all(|node| knows(&node.client(), "again-0") && knows(&node.client(), "before-1")));
    replicas_are_equal(&restored, 3);
}
