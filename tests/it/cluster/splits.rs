//! A user shard is split in a cluster of real servers while clients write: nothing acknowledged is lost, nobody is there twice,
//! replicas are equal, and the death of the node that does it stops nothing.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use segue::api::Client;
use segue::node::{SplitRequest, SplitState};
use segue::types::{UserId, slot_of};

use super::history::Clients;
use super::servers::{Node, endpoints, leader, replicas_of_groups_are_equal, settled_groups, three, until};
use super::writers::{Writers, all_are_known};
use crate::running::run;

/// `map`, `meta`, a track shard, and two user shards.
const GROUPS: usize = 5;

pub fn request(group: &str, at: Option<u16>) -> SplitRequest {
    SplitRequest { group: group.to_owned(), at, dry_run: false }
}

/// Waits until nothing of a split is left to do.
pub fn done(client: &Client, group: &str, at: u16) {
    until("the shard is split", || {
        let report = client.split_shard(request(group, Some(at))).ok()?;
        (report.state == SplitState::Done).then_some(())
    });
}

pub fn command(node: &Node, arguments: &[&str]) -> (bool, String) {
    let all = [&["cluster"], arguments, &["--endpoint", &node.running().endpoint]].concat();
    let output = run(&all);
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    (output.status.success(), said.concat())
}

/// Everybody a node lists, each once.
#[track_caller]
fn listed(client: &Client) -> BTreeSet<UserId> {
    let (mut all, mut cursor) = (BTreeSet::new(), None);
    loop {
        let (page, next) = client.list_users(cursor, 100).unwrap();
        for user in page {
            assert!(all.insert(user.user_id.clone()), "{} is there twice", user.user_id);
        }
        cursor = next;
        if cursor.is_none() {
            return all;
        }
    }
}

#[test]
fn a_user_shard_is_split_while_clients_write_at_every_node() {
    let (nodes, world) = three();
    let clients: Vec<Client> = nodes.iter().map(Node::client).collect();
    settled_groups(&clients[0], 3, GROUPS);
    let before: BTreeSet<UserId> = world.users.iter().map(|user| user.user_id.clone()).collect();
    assert_eq!(listed(&clients[1]), before);
    let (_, said) = command(&nodes[1], &["split-shard", "users-1", "--dry-run"]);
    assert!(said.contains("nothing was done") && said.contains("users-2 gets 3072 to 4095"), "{said}");
    let (is_done, said) = command(&nodes[1], &["split-shard", "users-7"]);
    assert!(!is_done && said.contains("users-7"), "{said}");
    let registers = Clients::start(&endpoints(&nodes), "split");
    let writers = Writers::start(4, "s");
    writers.go_to(&nodes);
    until("writers are at work", || (writers.count() > 20).then_some(()));
    let (is_done, said) = command(&nodes[2], &["split-shard", "users-1", "--wait"]);
    assert!(is_done && said.starts_with("done:"), "{said}");
    let count = writers.count();
    until("writers go on", || (writers.count() > count + 40).then_some(()));
    let (written, refused) = writers.stop();
    assert_eq!(refused, Vec::<String>::new());
    let seen = registers.check();
    assert!(seen.writes > 20 && seen.reads > 20 && seen.rules > 10, "too little was asked: {seen:?}");
    let moved = |user: &&UserId| slot_of(user.as_str()).0 >= 3_072;
    eprintln!("{} written, {} of them to the new shard", written.len(), written.iter().filter(moved).count());
    assert!(written.iter().filter(moved).count() > 10);
    all_are_known(&nodes, &written);
    let mut expected = before;
    expected.extend(written);
    expected.extend(listed(&clients[0]).into_iter().filter(|user| user.as_str().starts_with("split-")));
    for client in &clients {
        assert_eq!(listed(client), expected);
    }
    let report = settled_groups(&clients[0], 3, GROUPS + 1);
    assert!(report.replicas.iter().any(|replica| replica.group == "users-2"));
    replicas_of_groups_are_equal(&nodes[0], 3, GROUPS + 1);
    // Said again it does nothing; and what was split is split again.
    done(&clients[1], "users-1", 3_072);
    done(&clients[0], "users-2", 3_500);
    for client in &clients {
        assert_eq!(listed(client), expected);
    }
    settled_groups(&clients[2], 3, GROUPS + 2);
    replicas_of_groups_are_equal(&nodes[2], 3, GROUPS + 2);
}

#[test]
fn the_node_that_splits_is_killed_and_others_go_on() {
    let (mut nodes, _) = three();
    settled_groups(&nodes[0].client(), 3, GROUPS);
    let mut group = "users-0".to_owned();
    let (mut at, mut shards) = (1_024_u16, GROUPS);
    // Each time a little later into the split.
    for pause in [0, 60, 250] {
        let clients: Vec<Client> = nodes.iter().map(Node::client).collect();
        let writers = Writers::start(4, &format!("k{pause}-"));
        writers.go_to(&nodes);
        until("writers are at work", || (writers.count() > 20).then_some(()));
        let victim = leader(&nodes, &group);
        let other = (victim + 1) % nodes.len();
        clients[other].split_shard(request(&group, Some(at))).unwrap();
        thread::sleep(Duration::from_millis(pause));
        nodes[victim].kill();
        writers.go_to(&nodes);
        thread::sleep(Duration::from_millis(500));
        nodes[victim].launch(&[]);
        nodes[victim].running().until_ready();
        let client = nodes[other].client();
        done(&client, &group, at);
        writers.go_to(&nodes);
        let count = writers.count();
        until("writers go on", || (writers.count() > count + 20).then_some(()));
        let (written, _) = writers.stop();
        shards += 1;
        settled_groups(&client, 3, shards);
        all_are_known(&nodes, &written);
        let listed = listed(&nodes[victim].client());
        assert!(written.iter().all(|user| listed.contains(user)));
        replicas_of_groups_are_equal(&nodes[other], 3, shards);
        group = format!("users-{}", shards - 4);
        at += 300;
    }
}
