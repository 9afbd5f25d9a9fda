//! A node that comes to lead a group whose newest segment it has not got: it hands over to one that has, and the group goes on.

use std::time::{Duration, Instant};

use segue::api::Batch;
use segue::node::{LoadKind, VectorRow};

use super::bulk::{FIRST, load, tracks};
use super::servers::{Node, address, leader, node_of, replicas_are_equal, settled, three, until};
use crate::running::run;
use crate::support::{STATIC, audio_vector, space, track};

const ROWS: u64 = 3_000;
/// The least that a node may give of its files in a second, so that fetching them lasts.
const SLOWLY: &str = "cluster.copy_bytes_per_second=65536";
const GROUP: &str = "tracks-0";

fn vectors(first: u64, count: u64) -> Batch {
    let row = |number: u64| VectorRow { id: format!("b{number}"), vector: audio_vector(FIRST + number, 0) };
    Batch::Vectors(space("audio"), STATIC, (first..first + count).map(row).collect())
}

fn restart(node: &mut Node, settings: &[&str]) {
    let running = node.running.take().unwrap();
    running.terminate();
    assert!(running.wait().0.success());
    node.launch_with(settings, &[]);
    node.running().until_ready();
}

#[test]
fn a_leader_that_waits_for_files_hands_over_and_writes_go_on() {
    let (mut nodes, _) = three();
    load(&nodes[0].client(), ("new tracks", LoadKind::Tracks, ROWS), tracks, |_| {});
    let name = node_of(&settled(&nodes[0].client(), 3), &nodes[2]);
    nodes[2].kill();
    load(&nodes[0].client(), ("their vectors", LoadKind::Vectors, ROWS), vectors, |_| {});
    nodes[..2].iter_mut().for_each(|node| restart(node, &[SLOWLY]));
    // All ports have changed: one is named.
    let named = address(&nodes[0]);
    nodes[2].launch(&["--join", &named]);
    // It serves once it has everything; its replicas vote, and may lead, before.

    let client = nodes[0].client();
    let lag = || {
        let report = client.cluster_status().ok()?;
        let of = |replica: &&segue::node::ReplicaReport| replica.group == GROUP && replica.node == name;
        report.replicas.iter().find(of)?.lag
    };
    let endpoint = nodes[0].running().endpoint.clone();
    until("the lead is given to a replica that has the log", || {
        let given = run(&["cluster", "transfer-leader", GROUP, "--to", &name, "--endpoint", &endpoint]);
        given.status.success().then_some(())
    });
    let start = Instant::now();
    // What was on its way through the leader that hands over may be told to have an unknown outcome; the same again does nothing twice.
    until("a write goes on", || client.upsert_tracks(vec![track(1, 0)]).ok().map(drop));
    let took = start.elapsed();
    assert!(lag().is_some_and(|lag| lag > 0), "the files came too soon for this test");
    assert!(took < Duration::from_secs(8), "a write waited for the files of a leader: {took:?}");
    assert_ne!(leader(&nodes, GROUP), 2);
    println!("the write took {took:?}");

    settled(&client, 3);
    replicas_are_equal(&nodes[0], 3);
    let running = nodes[2].running.take().unwrap();
    running.terminate();
    let (status, log) = running.wait();
    assert!(status.success() && log.contains("a leader that waits for files hands over"), "{log}");
}
