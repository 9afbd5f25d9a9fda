//! A majority is lost for good while no survivor has every shard: two survivors are recovered into one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use segue::api::Client;
use serde_json::Value;

use super::placed::{SHARDS as USER_SHARDS, command, folders as user_folders, placed as users_placed};
use super::placed_tracks::{answer_alike, folders as track_folders, placed as tracks_placed, start_with};
use super::servers::{Node, address, replicas_of_groups_are_equal, until};
use super::track_shards::write;
use crate::running::{document, run, serve};

/// Shards of both kinds.
const ALL: usize = 9;

/// Folders of shards in a node's directory.
fn shards(node: &Node) -> BTreeSet<String> {
    user_folders(node).into_iter().chain(track_folders(node)).collect()
}

/// Every file below a directory, with its length and when it was last written.
fn files(dir: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut all = BTreeMap::new();
    for item in std::fs::read_dir(dir).unwrap() {
        let item = item.unwrap();
        let known = item.metadata().unwrap();
        if known.is_dir() {
            all.extend(files(&item.path()));
        } else {
            all.insert(item.path(), (known.len(), known.modified().unwrap()));
        }
    }
    all
}

/// The groups of a report of which a field says something.
fn groups_with(report: &Value, field: &str) -> BTreeMap<String, String> {
    let groups = report["groups"].as_array().unwrap().iter();
    let named = groups.map(|it| (it["group"].as_str().unwrap(), it[field].as_str().unwrap_or_default()));
    named.filter(|(_, text)| !text.is_empty()).map(|(group, text)| (group.into(), text.into())).collect()
}

#[test]
fn two_survivors_neither_of_which_has_every_shard_go_on_as_one() {
    let (single, mut nodes, world) = start_with(4, USER_SHARDS, &[]);
    let clients: Vec<Client> = nodes.iter().map(Node::client).collect();
    until("all nodes hold all", || nodes.iter().all(|node| shards(node).len() == ALL).then_some(()));
    command(&nodes[0], &["rebalance"]);
    command(&nodes[0], &["rebalance", "--tracks"]);
    users_placed(&clients[0]);
    tracks_placed(&clients[0], 3);
    // Three replicas of each of nine shards.
    let count = || nodes.iter().map(|node| shards(node).len()).sum::<usize>();
    until("files are gone where shards are not", || (count() == 3 * ALL).then_some(()));
    // Some of it is in logs only.
    write(1, &world, &[single.client()]);
    write(1, &world, &clients);
    users_placed(&clients[0]);
    tracks_placed(&clients[0], 3);

    let lacks = |node: &Node| track_folders(node).len() < 3 && user_folders(node).len() < 6;
    let mut survivors: Vec<Node> = Vec::new();
    while let Some(at) = nodes.iter().position(lacks).filter(|_| survivors.len() < 2) {
        survivors.push(nodes.remove(at));
    }
    let [mut own, mut other] = <[Node; 2]>::try_from(survivors).ok().expect("two that lack shards");
    nodes.into_iter().for_each(|mut lost| lost.kill());
    own.kill();
    other.kill();
    let held = shards(&own);
    let missing: BTreeSet<String> = shards(&other).difference(&held).cloned().collect();
    assert!(missing.iter().any(|it| it.starts_with("users-")), "{missing:?}");
    assert!(missing.iter().any(|it| it.starts_with("tracks-")), "{missing:?}");
    assert_eq!(held.len() + missing.len(), ALL, "two of four have three replicas' worth of each shard");
    assert!(shards(&other).len() < ALL);

    // Alone it is refused, and says what is missing and what to do.
    let (dir, from) = (own.dir.path().display().to_string(), other.dir.path().display().to_string());
    let alone = document(&["cluster", "recover", "--data", &dir, "--plan", "--json"]);
    let problems = groups_with(&alone, "problem");
    assert_eq!(problems.keys().cloned().collect::<BTreeSet<_>>(), missing, "{alone}");
    assert!(problems.iter().all(|(name, why)| why.contains(name) && why.contains("--from")), "{alone}");
    let planned = alone["cluster_id"].as_str().unwrap();
    let refused = run(&["cluster", "recover", "--data", &dir, "--apply", planned]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--from"), "{refused:?}");
    let same = run(&["cluster", "recover", "--data", &dir, "--from", &dir, "--plan"]);
    assert!(String::from_utf8_lossy(&same.stderr).contains("twice"), "{same:?}");

    let before = files(other.dir.path());
    let recover = |what: &[&str]| {
        document(&[&["cluster", "recover", "--data", &dir, "--from", &from, "--json"], what].concat())
    };
    let plan = recover(&["--plan"]);
    assert!(groups_with(&plan, "problem").is_empty(), "{plan}");
    let whole = |report: &Value| {
        let taken = groups_with(report, "taken_from").into_keys().filter(|name| missing.contains(name));
        taken.collect::<BTreeSet<_>>()
    };
    assert_eq!((whole(&plan), &plan["applied"]), (missing.clone(), &false.into()), "{plan}");
    assert_eq!(plan["others"].as_array().unwrap().len(), 1, "{plan}");
    assert_eq!(recover(&["--plan"]), plan);
    assert_eq!(shards(&own), held, "a plan changes nothing");
    let done = recover(&["--apply", planned]);
    assert_eq!((whole(&done), &done["applied"]), (missing, &true.into()), "{done}");
    assert_eq!(shards(&own).len(), ALL);
    assert_eq!(files(other.dir.path()), before, "the other directory is only read");
    let verified = run(&["verify", &dir]);
    assert!(verified.status.success(), "{verified:?}");

    // It answers as one database does that has everything.
    own.launch(&[]);
    own.running().until_ready();
    answer_alike(&[&own], &single, &world);
    write(2, &world, &[single.client()]);
    write(2, &world, &[own.client()]);
    // The other survivor is refused with what it had, and a new node gets everything.
    let old = serve(other.dir.path(), &["cluster.listen=127.0.0.1:0"], &["--join", &address(&own)]).output();
    assert!(!old.unwrap().status.success());
    let mut new = Node::new();
    new.launch(&["--join", &address(&own)]);
    new.running().until_ready();
    until("it holds everything", || (shards(&new).len() == ALL).then_some(()));
    answer_alike(&[&own, &new], &single, &world);
    replicas_of_groups_are_equal(&own, 2, ALL + 2);
}
