//! Track shards on some of the nodes, of which some are killed: for good, for a while, and in the middle of a move. What is left
//! answers as one database does, every shard gets its three nodes back, and nothing that was acknowledged is lost.

use std::thread;
use std::time::{Duration, Instant};

use segue::api::Client;
use segue::types::{TrackId, UserId};

use super::placed::{command, names};
use super::placed_tracks::{SHARDS, answer_alike, are_spread, folders, placed, start};
use super::servers::{Node, address, leader, request, same_everywhere, until};
use super::writers::Writers;
use crate::support::{id, track};

/// So slow that a shard of these tests takes seconds.
const SLOW: &str = "cluster.copy_bytes_per_second=65536";

/// Longest start of a node that does not wait for a copy: what is left of one takes longer.
const START: Duration = Duration::from_millis(3_500);

fn write(client: &Client, name: &UserId) -> segue::Result<()> {
    let mut new = track(60_000, 0);
    new.track_id = id(name.as_str());
    client.upsert_tracks(vec![new]).map(drop)
}

#[track_caller]
fn all_are_known(nodes: &[Node], written: &[UserId]) {
    let tracks: Vec<TrackId> = written.iter().map(|name| id(name.as_str())).collect();
    assert!(tracks.len() > 20, "{}", tracks.len());
    for node in nodes.iter().filter(|node| node.running.is_some()) {
        let client = node.client();
        let lost = tracks.iter().filter(|track| client.track(track).is_err()).count();
        assert_eq!(lost, 0, "of {} acknowledged tracks", tracks.len());
    }
}

#[test]
fn track_shards_of_a_killed_node_are_repaired_and_nodes_that_come_and_go_hold_what_they_are_given() {
    let (single, mut nodes, world) = start(4, &[]);
    let clients: Vec<Client> = nodes.iter().map(Node::client).collect();
    until("all nodes hold all", || nodes.iter().all(|node| folders(node).len() == 3).then_some(()));
    command(&nodes[0], &["rebalance", "--tracks"]);
    are_spread(&clients[0], &nodes);
    let all_names = names(&clients[0].cluster_status().unwrap(), &nodes);
    let held = folders(&nodes[3]).len();

    nodes[3].kill();
    let said = command(&nodes[1], &["repair", "--dry-run"]);
    let moved = said.lines().filter(|line| line.contains("tracks-") && line.contains("away from")).count();
    assert_eq!(moved, held, "{said}");
    command(&nodes[1], &["repair"]);
    until("three nodes hold everything", || (0..3).all(|at| folders(&nodes[at]).len() == 3).then_some(()));
    placed(&clients[1], 3);
    answer_alike(&nodes[..3].iter().collect::<Vec<_>>(), &single, &world);

    // The lost node comes back and lets go of what is elsewhere now; a new one is given nothing before somebody says so.
    nodes[3].launch(&[]);
    nodes[3].running().until_ready();
    until("it holds no track shard", || folders(&nodes[3]).is_empty().then_some(()));
    let seed = address(&nodes[0]);
    nodes.push(Node::new());
    nodes[4].launch(&["--join", &seed]);
    nodes[4].running().until_ready();
    assert!(folders(&nodes[4]).is_empty());
    answer_alike(&[&nodes[3], &nodes[4]], &single, &world);
    command(&nodes[4], &["rebalance"]);
    until("all five hold their share", || {
        nodes.iter().all(|node| (1..=2).contains(&folders(node).len())).then_some(())
    });
    are_spread(&clients[2], &nodes);
    answer_alike(&nodes.iter().collect::<Vec<_>>(), &single, &world);

    // One that holds shards is emptied and removed; the others have all there is.
    command(&nodes[0], &["drain", &all_names[2]]);
    command(&nodes[0], &["rebalance"]);
    until("it holds no track shard", || folders(&nodes[2]).is_empty().then_some(()));
    command(&nodes[0], &["remove-node", &all_names[2]]);
    drop(nodes.remove(2));
    are_spread(&clients[0], &nodes);
    answer_alike(&nodes.iter().collect::<Vec<_>>(), &single, &world);
    let check = same_everywhere(&nodes[0]);
    assert_eq!(check["problems"].as_array().unwrap().len(), 0, "{check}");
}

#[test]
fn track_shards_of_a_node_that_stays_away_get_another_one_by_themselves() {
    let (single, mut nodes, world) = start(4, &["cluster.replace_after_ms=2000"]);
    let clients: Vec<Client> = nodes.iter().map(Node::client).collect();
    until("all nodes hold all", || nodes.iter().all(|node| folders(node).len() == 3).then_some(()));
    command(&nodes[0], &["rebalance", "--tracks"]);
    are_spread(&clients[0], &nodes);
    // Who leads one of the shards is worst to lose.
    let victim = leader(&nodes, "tracks-1");
    nodes[victim].kill();
    let left: Vec<usize> = (0..4).filter(|at| *at != victim).collect();
    until("three nodes hold everything", || {
        left.iter().all(|at| folders(&nodes[*at]).len() == 3).then_some(())
    });
    placed(&clients[left[0]], 3);
    let left: Vec<&Node> = left.iter().map(|at| &nodes[*at]).collect();
    answer_alike(&left, &single, &world);
    nodes[victim].launch_with(&["cluster.replace_after_ms=2000"], &[]);
    nodes[victim].running().until_ready();
    placed(&nodes[victim].client(), 3);
    same_everywhere(&nodes[victim]);
}

#[test]
fn a_move_goes_on_whoever_is_killed_in_the_middle_of_it() {
    let (_, mut nodes, world) = start(4, &[]);
    until("all nodes hold all", || nodes.iter().all(|node| folders(node).len() == 3).then_some(()));
    command(&nodes[0], &["rebalance", "--tracks"]);
    are_spread(&nodes[0].client(), &nodes);
    for node in &mut nodes {
        node.kill();
        node.launch_with(&[SLOW], &[]);
        node.running().until_ready();
    }
    placed(&nodes[0].client(), 3);
    let names = names(&nodes[0].client().cluster_status().unwrap(), &nodes);
    let writers = Writers::of(1, "lost", write);
    for round in 0..3 {
        let group = format!("tracks-{}", round % SHARDS);
        let holders = placed(&nodes[0].client(), 3);
        let to = names.iter().position(|name| !holders[&group].contains(name)).unwrap();
        let led = leader(&nodes, &group);
        // Who is to have it, who gives the copy, and who is to let go of it.
        let from = (0..4).find(|at| ![to, led].contains(at)).unwrap();
        let victim = [to, led, from][usize::from(round)];
        command(&nodes[led], &["move-shard", &group, "--from", &names[from], "--to", &names[to]]);
        until("the copy has begun", || folders(&nodes[to]).contains(&group).then_some(()));
        thread::sleep(Duration::from_millis(300));
        nodes[victim].kill();
        writers.go_to(&nodes);
        let before = writers.count();
        until("writers are at work", || (writers.count() > before + 10).then_some(()));
        let begun = Instant::now();
        nodes[victim].launch_with(&[SLOW], &[]);
        nodes[victim].running().until_ready();
        let took = begun.elapsed();
        eprintln!("round {round}: ready {} ms after its start", took.as_millis());
        assert!(victim != to || took < START, "it waited for the copy: {took:?}");
        let lists = nodes.iter().map(|node| node.client().recommend(request(&world.users[0].user_id)));
        lists.for_each(|list| assert!(!list.unwrap().tracks.is_empty()));
        until("the shard is there, and no more here", || {
            let holders = placed(&nodes[0].client(), 3);
            (holders[&group].contains(&names[to]) && !holders[&group].contains(&names[from])).then_some(())
        });
        are_spread(&nodes[victim].client(), &nodes);
    }
    all_are_known(&nodes, &writers.stop().0);
    same_everywhere(&nodes[0]);
}
