//! Nodes that do not come back: replaced by themselves where that is safe, and the last one going on alone.

use std::thread;
use std::time::Duration;

use segue::api::Client;
use segue::types::{User, UserId};

use super::servers::{
    Node, address, node_of, replicas_are_equal, same_everywhere, settled, several, three, until,
};
use crate::running::{document, run, serve};
use crate::support::id;

/// Users with these names, one write each.
fn write(client: &Client, name: &str, count: usize) -> Vec<UserId> {
    let users: Vec<UserId> = (0..count).map(|number| id(format!("{name}-{number}"))).collect();
    users.iter().for_each(|user| drop(client.upsert_users(vec![User::unknown(user.clone())]).unwrap()));
    users
}

fn are_known(client: &Client, users: &[UserId]) {
    users.iter().for_each(|user| assert_eq!(client.user(user).map(|it| it.user_id).unwrap(), *user));
}

#[test]
fn the_vote_of_a_node_that_stays_away_goes_to_a_spare_one_and_without_a_spare_nothing_moves() {
    let settings = vec!["cluster.replace_after_ms=2500".to_owned()];
    let (mut nodes, _) = several(&[settings.clone(), settings.clone(), settings.clone()]);
    // Without a spare, members stay as they are.
    nodes[2].kill();
    thread::sleep(Duration::from_secs(5));
    let client = nodes[0].client();
    let voters = |report: &segue::node::ClusterReport, node: &str| {
        report.replicas.iter().filter(|it| it.node == node && it.votes).count()
    };
    let report = client.cluster_status().unwrap();
    let dead = report.nodes.iter().find(|node| !node.problem.is_empty()).unwrap().node.clone();
    assert_eq!(voters(&report, &dead), 5, "{report:?}");
    write(&client, "before", 3);
    // A spare node comes, and takes the votes.
    let mut spare = Node::new();
    spare.launch_with(&["cluster.replace_after_ms=2500"], &["--join", &address(&nodes[0])]);
    spare.running().until_ready();
    let took = until("the spare node votes", || {
        let report = client.cluster_status().ok()?;
        let name = node_of(&report, &spare);
        (voters(&report, &name) == 5 && voters(&report, &dead) == 0).then_some(name)
    });
    // So one more may be lost.
    nodes[1].kill();
    let after = until("writes go on", || {
        let users = vec![User::unknown(id("after-two-losses"))];
        client.upsert_users(users).ok()
    });
    drop(after);
    // Who comes back follows, and takes the next vote.
    nodes[2].launch_with(&["cluster.replace_after_ms=2500"], &[]);
    nodes[2].running().until_ready();
    until("it votes again", || (voters(&client.cluster_status().ok()?, &dead) == 5).then_some(()));
    assert_eq!(voters(&client.cluster_status().unwrap(), &took), 5);
    are_known(&nodes[2].client(), &[id("before-2"), id("after-two-losses")]);
    nodes[1].launch_with(&["cluster.replace_after_ms=2500"], &[]);
    nodes[1].running().until_ready();
    same_everywhere(&nodes[2]);
}

#[test]
fn a_survivor_of_a_lost_majority_goes_on_alone_and_old_nodes_are_refused() {
    let (mut nodes, world) = three();
    let before = write(&nodes[1].client(), "before", 20);
    settled(&nodes[2].client(), 3);
    let dir = nodes[2].dir.path().display().to_string();
    // While it runs, its directory is left alone.
    let in_use = run(&["cluster", "recover", "--data", &dir, "--apply", "1f"]);
    assert!(!in_use.status.success());
    assert!(String::from_utf8_lossy(&in_use.stderr).contains("in use"), "{in_use:?}");
    nodes.iter_mut().for_each(Node::kill);

    // A plan says what would be, and changes nothing.
    let plan = document(&["cluster", "recover", "--data", &dir, "--plan", "--json"]);
    assert_eq!((plan["applied"].as_bool(), plan["lost_nodes"].as_array().unwrap().len()), (Some(false), 2));
    let groups = plan["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 5, "{plan}");
    for group in groups {
        assert_eq!((group["voters"].as_u64(), group["problem"].as_str()), (Some(3), Some("")), "{plan}");
        assert!(group["continues_from"].as_u64() >= group["committed"].as_u64(), "{plan}");
    }
    let again = document(&["cluster", "recover", "--data", &dir, "--plan", "--json"]);
    assert_eq!(again, plan);
    let wrong = run(&["cluster", "recover", "--data", &dir, "--apply", "not-an-id"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("--plan"), "{wrong:?}");
    let planned = plan["cluster_id"].as_str().unwrap();
    let done = document(&["cluster", "recover", "--data", &dir, "--apply", planned, "--json"]);
    assert_eq!((&done["applied"], &done["cluster_id"]), (&true.into(), &plan["cluster_id"]));
    assert_ne!(done["new_cluster_id"], plan["cluster_id"]);

    // It serves what it had, and writes.
    nodes[2].launch(&[]);
    nodes[2].running().until_ready();
    let client = nodes[2].client();
    let report = settled(&client, 1);
    assert_eq!(
        (report.nodes.len(), report.cluster_id.as_str()),
        (1, done["new_cluster_id"].as_str().unwrap())
    );
    are_known(&client, &before);
    are_known(&client, &[world.users[0].user_id.clone()]);
    let after = write(&client, "after", 5);

    // An old node comes back, at its old address or a new one: it is refused, with the reason, and changes nothing.
    let old = nodes[0].dir.path();
    let refused =
        serve(old, &["cluster.listen=127.0.0.1:0"], &["--join", &address(&nodes[2])]).output().unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("another cluster") || said.contains("recovered without this one"), "{said}");
    assert_eq!(client.cluster_status().unwrap().nodes.len(), 1);

    // New nodes join, and hold everything.
    let seed = address(&nodes[2]);
    for node in &mut nodes[..2] {
        *node = Node::new();
        node.launch(&["--join", &seed]);
    }
    nodes.iter().for_each(|node| node.running().until_ready());
    settled(&nodes[0].client(), 3);
    are_known(&nodes[0].client(), &before);
    are_known(&nodes[1].client(), &after);
    replicas_are_equal(&nodes[1], 3);
    // The survivor may go now.
    nodes[2].kill();
    let last: UserId = id("last");
    until("the new ones go on", || nodes[0].client().upsert_users(vec![User::unknown(last.clone())]).ok());
    are_known(&nodes[1].client(), &[last]);
}
