//! Track shards that have their places are split: a node that has neither the old shard nor the new one goes on to answer as one
//! database does that has all, while everybody reads and writes, and when the node that splits is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use segue::api::Client;
use segue::types::{TrackId, slot_of};

use super::placed::{command, names};
use super::placed_tracks::{Users, answer_alike, several_placed, start};
use super::servers::{Node, leader, same_everywhere, settled_groups, until};
use super::splits::{done, request};
use super::track_shards::{load, write};
use super::track_splits::{TrackWriters, all_are_known, listed};
use crate::support::id;

/// `map`, `meta`, `users-0` and three track shards.
const GROUPS: usize = 6;

/// Splits a shard in the middle, and waits until nothing is left to do.
fn split(node: &Node, group: &str) {
    let said = command(node, &["split-shard", group, "--wait"]);
    assert!(said.starts_with("done:"), "{said}");
}

/// The place of a node without a shard.
fn without(holders: &BTreeMap<String, BTreeSet<String>>, names: &[String], group: &str) -> usize {
    names.iter().position(|name| !holders[group].contains(name)).unwrap()
}

/// All replicas of all shards hold the same.
#[track_caller]
fn replicas_are_equal(node: &Node, groups: usize) {
    let check = same_everywhere(node);
    assert_eq!(check["groups"].as_array().unwrap().len(), groups, "{check}");
    for what in ["differences", "problems"] {
        assert_eq!(check[what].as_array().unwrap().len(), 0, "{check}");
    }
}

#[test]
fn every_node_answers_as_one_database_wherever_the_parts_of_a_split_shard_are() {
    let (single, nodes, world) = start(4, &[]);
    let clients: Vec<Client> = nodes.iter().map(Node::client).collect();
    settled_groups(&clients[0], 3, GROUPS);
    let names = names(&clients[0].cluster_status().unwrap(), &nodes);
    let all: Vec<&Node> = nodes.iter().collect();
    // One that was split before it had its places.
    split(&single, "tracks-2");
    split(&nodes[0], "tracks-2");
    settled_groups(&clients[0], 3, GROUPS + 1);
    command(&nodes[1], &["rebalance", "--tracks"]);
    let holders = several_placed(&clients[2], 4, 3);
    answer_alike(&all, &single, &world);
    // And one that has them, asked for at the node that lacks it.
    let asked = without(&holders, &names, "tracks-0");
    split(&single, "tracks-0");
    let said = command(&nodes[asked], &["split-shard", "tracks-0", "--dry-run"]);
    assert!(said.contains("tracks-4 is placed where tracks-0 is"), "{said}");
    split(&nodes[asked], "tracks-0");
    let holders = several_placed(&clients[asked], 5, 3);
    assert_eq!(holders["tracks-4"], holders["tracks-0"]);
    answer_alike(&all, &single, &world);
    // Tracks of both parts are written, loaded and taken down by every node.
    for clients in [&clients[..], &[single.client()]] {
        write(3, &world, clients);
        load(&clients[clients.len() - 1], &world);
        let gone: Vec<TrackId> = (0..30).map(|number| id(format!("t{}", number * 11 + 5))).collect();
        assert_eq!(clients[0].delete_tracks(&gone).unwrap().0, 30);
    }
    answer_alike(&all, &single, &world);
    // The new part goes elsewhere: two nodes lack one of both, and each another.
    let from = holders["tracks-4"].iter().next().unwrap();
    command(&nodes[0], &["move-shard", "tracks-4", "--from", from, "--to", &names[asked]]);
    until("the new part has moved", || {
        let now = several_placed(&clients[0], 5, 3);
        (now["tracks-4"].contains(&names[asked]) && !now["tracks-4"].contains(from)).then_some(())
    });
    answer_alike(&all, &single, &world);
    replicas_are_equal(&nodes[0], GROUPS + 2);
}

#[test]
fn a_placed_track_shard_is_split_while_every_node_reads_and_writes() {
    let (_single, nodes, world) = start(4, &[]);
    let clients: Vec<Client> = nodes.iter().map(Node::client).collect();
    settled_groups(&clients[0], 3, GROUPS);
    command(&nodes[1], &["rebalance", "--tracks"]);
    let holders = several_placed(&clients[2], 3, 3);
    let names = names(&clients[0].cluster_status().unwrap(), &nodes);
    let outside = without(&holders, &names, "tracks-1");
    let users = Users::start(&nodes, &world);
    thread::sleep(Duration::from_millis(500));
    split(&nodes[outside], "tracks-1");
    thread::sleep(Duration::from_secs(1));
    let (count, refused) = users.stop();
    eprintln!("{count} lists and writes while a placed track shard was split");
    assert_eq!(refused, Vec::<String>::new());
    assert!(count > 40, "{count}");
    several_placed(&clients[outside], 4, 3);
    // Everything that was written is there once, whoever is asked.
    let known = listed(&clients[outside]);
    let written = known.iter().filter(|track| track.as_str().starts_with('w')).collect::<Vec<_>>();
    let in_new = |track: &&&TrackId| (2_049..2_731).contains(&slot_of(track.as_str()).0);
    assert!(written.iter().filter(in_new).count() > 3, "of {}", written.len());
    for client in &clients {
        assert_eq!(listed(client), known);
    }
    replicas_are_equal(&nodes[outside], GROUPS + 1);
}

#[test]
fn the_node_that_splits_a_placed_shard_is_killed_and_others_go_on() {
    let (_single, mut nodes, world) = start(4, &[]);
    settled_groups(&nodes[0].client(), 3, GROUPS);
    command(&nodes[1], &["rebalance", "--tracks"]);
    let holders = several_placed(&nodes[2].client(), 3, 3);
    let names = names(&nodes[0].client().cluster_status().unwrap(), &nodes);
    let outside = without(&holders, &names, "tracks-0");
    let mut all: BTreeSet<TrackId> = world.tracks.iter().map(|track| track.track_id.clone()).collect();
    // Each time a little later into the split.
    for (round, pause) in [0_u16, 100, 400].into_iter().enumerate() {
        let at = 400 + 300 * round as u16;
        let group = if round == 0 { "tracks-0".to_owned() } else { format!("tracks-{}", 2 + round) };
        let writers = TrackWriters::start(4, &format!("k{pause}-"), &nodes);
        until("writers are at work", || (writers.count() > 20).then_some(()));
        let victim = leader(&nodes, &group);
        nodes[outside].client().split_shard(request(&group, Some(at))).unwrap();
        thread::sleep(Duration::from_millis(pause.into()));
        nodes[victim].kill();
        writers.go_to(&nodes);
        thread::sleep(Duration::from_millis(500));
        nodes[victim].launch(&[]);
        nodes[victim].running().until_ready();
        done(&nodes[outside].client(), &group, at);
        writers.go_to(&nodes);
        let count = writers.count();
        until("writers go on", || (writers.count() > count + 20).then_some(()));
        let (written, _) = writers.stop();
        several_placed(&nodes[outside].client(), 4 + round, 3);
        all_are_known(&nodes, &written);
        all.extend(written);
        for node in &nodes {
            assert!(listed(&node.client()).is_superset(&all));
        }
        replicas_are_equal(&nodes[outside], GROUPS + 1 + round);
    }
}
