//! A node that dies on its way into the cluster, at any moment, comes in at its next start.

use std::net::TcpListener;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use segue::types::User;

use super::servers::{Node, address, node_of, number, replicas_are_equal, settled, several, three};
use crate::running::{document, program, run, serve};
use crate::support::id;

#[test]
fn a_joiner_that_dies_on_the_way_in_comes_in_at_its_next_start() {
    let (mut nodes, _) = several(&[vec![], vec![], vec![]]);
    let seed = address(&nodes[1]);
    let mut joiner = Node::new();
    // It enters the map with some of its groups, learns how many listeners' groups there are, and adds those: the later the
    // kill, the further it was.
    let kills = number("SEGUE_CLUSTER_JOIN_KILLS", 8);
    let mut half_way = 0;
    for kill in 0..kills {
        let settings = ["storage.seal_rows=1000", "cluster.listen=127.0.0.1:0"];
        let mut command = serve(joiner.dir.path(), &settings, &["--join", &seed]);
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(40 + 60 * kill));
        process.kill().unwrap();
        process.wait().unwrap();
        let report = nodes[0].client().cluster_status().unwrap();
        let own: Vec<_> = report.nodes.iter().skip(3).collect();
        assert!(own.len() <= 1, "it is one node, however often it starts: {report:?}");
        let groups = own
            .first()
            .map_or(0, |own| report.replicas.iter().filter(|replica| replica.node == own.node).count());
        half_way += usize::from(groups > 0 && groups < 5);
    }
    joiner.launch(&["--join", &seed]);
    joiner.running().until_ready();
    settled(&joiner.client(), 3);
    let user = id("after-all-that");
    joiner.client().upsert_users(vec![User::unknown(user)]).unwrap();
    eprintln!("{kills} kills on the way in, {half_way} of them with some groups in the map and some not");
    nodes.push(joiner);
    replicas_are_equal(&nodes[3], 4);
}

/// An address of this machine that nobody listens at.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn a_node_is_added_by_what_the_command_says_and_found_by_a_list_of_which_one_answers() {
    let (nodes, _) = three();
    let endpoint = nodes[0].running().endpoint.clone();
    let at = free_address();
    let before = settled(&nodes[0].client(), 3);
    let seeds: Vec<&str> = before.nodes.iter().map(|node| node.address.as_str()).collect();

    let planned = run(&["cluster", "add-node", &at, "--dry-run", "--endpoint", &endpoint]);
    let said = String::from_utf8_lossy(&planned.stdout).into_owned();
    assert!(planned.status.success() && said.contains("nothing was done"), "{said}");
    let command = format!("segue serve --data DIR --cluster-listen {at} --join {}", seeds.join(","));
    assert!(said.contains(&command), "{said}");
    assert_eq!(nodes[0].client().cluster_status().unwrap().epoch, before.epoch);
    assert!(!run(&["cluster", "add-node", "nowhere", "--endpoint", &endpoint]).status.success());
    let hurried = run(&["cluster", "add-node", &at, "--timeout", "1", "--endpoint", &endpoint]);
    let error = String::from_utf8_lossy(&hurried.stderr).into_owned();
    assert!(!hurried.status.success() && error.contains("waiting for a node at"), "{error}");

    // The list is the same on all nodes: the joiner's own address, one that nobody is at, and one that answers.
    let waiting = program()
        .args(["cluster", "add-node", &at, "--json", "--endpoint", &endpoint])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let list = format!("cluster.join={at},{},{}", free_address(), seeds[1]);
    let mut joiner = Node::new();
    joiner.launch_with(&[&format!("cluster.listen={at}"), &list], &[]);
    joiner.running().until_ready();
    let output = waiting.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let added: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let report = nodes[0].client().cluster_status().unwrap();
    assert_eq!(added["node"], node_of(&report, &joiner).as_str(), "{added}");
    assert_eq!(added["groups"].as_array().unwrap().len(), 5, "{added}");
    replicas_are_equal(&joiner, 4);

    // Asked again it says the same.
    let again = document(&["cluster", "add-node", &at, "--json", "--endpoint", &endpoint]);
    assert_eq!(again, added);

    // It is known by its directory from now on: a list that leads nowhere is not asked.
    joiner.kill();
    let nowhere = format!("cluster.join={}", free_address());
    joiner.launch_with(&[&format!("cluster.listen={at}"), &nowhere], &[]);
    joiner.running().until_ready();
    settled(&joiner.client(), 3);
}

#[test]
fn a_node_whose_list_names_two_clusters_joins_neither() {
    let (mut one, mut other, joiner) = (Node::new(), Node::new(), Node::new());
    for node in [&mut one, &mut other] {
        node.launch(&["--cluster-init"]);
        node.running().until_ready();
    }
    let list = format!("{},{}", address(&one), address(&other));
    let mut command = serve(joiner.dir.path(), &["cluster.listen=127.0.0.1:0"], &["--join", &list]);
    let output = command.stdout(Stdio::null()).output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && log.contains("two clusters"), "{log}");
}
