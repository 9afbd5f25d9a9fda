//! What servers refuse of moves of shards, whoever sends them: each with a reason, the same as a dry run, and the map stays as it is.

use std::collections::BTreeSet;

use segue::node::{NodeState, Placing};
use segue::{Error, ErrorKind};

use super::placed::{command, names};
use super::placed_tracks::start_with;
use super::servers::{Node, settled_groups, until};
use crate::running::run;

/// `map`, `meta`, two user shards and three track shards.
const GROUPS: usize = 7;
const ALL: [&str; 5] = ["users-0", "users-1", "tracks-0", "tracks-1", "tracks-2"];

struct Cluster {
    nodes: Vec<Node>,
    names: Vec<String>,
}

impl Cluster {
    /// Nodes with a replica of a shard, once all of so many vote and nobody else has one.
    #[track_caller]
    fn holders(&self, shard: &str, replicas: usize) -> BTreeSet<String> {
        until(&format!("{shard} is where it should be"), || {
            let report = self.nodes[0].client().cluster_status().ok()?;
            let of_shard: Vec<_> = report.replicas.iter().filter(|it| it.group == shard).collect();
            let is_well = of_shard.len() == replicas
                && of_shard.iter().all(|it| it.votes && it.lag == Some(0) && !it.changing);
            is_well.then(|| of_shard.iter().map(|it| it.node.clone()).collect())
        })
    }

    /// Nodes that vote in a group.
    fn voters(&self, group: &str) -> Vec<String> {
        let report = self.nodes[0].client().cluster_status().unwrap();
        let voters = report.replicas.iter().filter(|it| it.group == group && it.votes);
        voters.map(|it| it.node.clone()).collect()
    }

    /// Waits until every group has a leader.
    fn is_led(&self) {
        until("every group is led", || {
            let report = self.nodes[0].client().cluster_status().ok()?;
            (report.replicas.iter().filter(|it| it.role == "leader").count() == GROUPS).then_some(())
        });
    }

    /// Asks one node what would be done, and another to do it: both refuse, for this reason, and nothing changes.
    #[track_caller]
    fn refuses(&self, (shard, from, to): (&str, &str, &str), kind: ErrorKind, because: &str) {
        let before = self.nodes[0].client().cluster_status().unwrap();
        for (at, dry_run) in [(0, true), (1, false)] {
            let [group, from, to] = [shard, from, to].map(str::to_owned);
            let asked = self.nodes[at].client().place_shards(Placing::Move { group, from, to }, dry_run);
            let error: Error = asked.expect_err(because);
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(because), "{because}: {error}");
        }
        let after = self.nodes[0].client().cluster_status().unwrap();
        assert_eq!(after.epoch, before.epoch, "the map was changed: {because}");
    }
}

#[test]
fn senseless_and_unsafe_moves_are_refused_and_change_nothing() {
    let (_, nodes, _) = start_with(4, 2, &[]);
    let client = nodes[0].client();
    settled_groups(&client, 3, GROUPS);
    let names = names(&client.cluster_status().unwrap(), &nodes);
    let mut cluster = Cluster { nodes, names };
    let (conflict, nobody) = (ErrorKind::Conflict, "00000000000000aa");
    command(&cluster.nodes[1], &["rebalance", "--tracks"]);
    ALL.iter().for_each(|shard| drop(cluster.holders(shard, 3)));
    for shard in ["users-1", "tracks-1"] {
        let on: Vec<String> = cluster.holders(shard, 3).into_iter().collect();
        let outside = cluster.names.iter().find(|name| !on.contains(name)).unwrap().clone();
        let (a, b) = (&on[0], &on[1]);
        let unknown = shard.replace('1', "9");
        cluster.refuses((&unknown, a, &outside), ErrorKind::NotFound, "shard not found");
        cluster.refuses(("meta", a, &outside), ErrorKind::NotFound, "shard not found");
        cluster.refuses((shard, a, nobody), ErrorKind::NotFound, "node not found");
        cluster.refuses((shard, nobody, &outside), conflict, "is not placed on node");
        cluster.refuses((shard, "not a node", &outside), ErrorKind::Invalid, "16 hexadecimal digits");
        // It looks as if it had been done before: nothing is to be done.
        let said = command(&cluster.nodes[1], &["move-shard", shard, "--from", &outside, "--to", a]);
        assert!(said.contains("every shard is where it should be"), "{said}");
        cluster.refuses((shard, a, b), conflict, "a replica fewer");
        cluster.refuses((shard, a, a), conflict, "the same node");
        // A move is never forced.
        let endpoint = &cluster.nodes[0].running().endpoint;
        let words = [
            "cluster",
            "move-shard",
            shard,
            "--from",
            a,
            "--to",
            b,
            "--force-unsafe",
            "--endpoint",
            endpoint,
        ];
        let said = run(&words);
        assert!(!said.status.success());
        assert!(String::from_utf8_lossy(&said.stderr).contains("--force-unsafe"), "there is no such flag");
        // One that drains takes nothing new.
        client.set_node_state(&outside, NodeState::Draining, false).unwrap();
        cluster.is_led();
        cluster.refuses((shard, a, &outside), conflict, "is draining");
        client.set_node_state(&outside, NodeState::Serving, false).unwrap();
        cluster.is_led();
    }
    // The last node has no vote in what every node holds, so that the two last may die.
    client.set_node_state(&cluster.names[3], NodeState::Draining, false).unwrap();
    until("the first three vote", || {
        let votes = |group: &&str| cluster.voters(group).contains(&cluster.names[3]);
        (!["map", "meta"].iter().any(votes)).then_some(())
    });
    client.set_node_state(&cluster.names[3], NodeState::Serving, false).unwrap();
    cluster.is_led();
    without_nodes_that_answer(&mut cluster);
}

/// The same while one node is silent, when two are, and of one that was removed.
fn without_nodes_that_answer(cluster: &mut Cluster) {
    let (conflict, names) = (ErrorKind::Conflict, cluster.names.clone());
    // Both shards are on the last two nodes, and on one of the first.
    for shard in ["users-0", "tracks-0"] {
        let on = cluster.holders(shard, 3);
        let Some(outside) = names[2..].iter().find(|name| !on.contains(*name)) else { continue };
        command(&cluster.nodes[0], &["move-shard", shard, "--from", &names[0], "--to", outside]);
        until("it has moved", || cluster.holders(shard, 3).contains(outside).then_some(()));
    }
    let outside = |cluster: &Cluster, shard: &str| {
        let on = cluster.holders(shard, 3);
        let first = names[..2].iter().position(|name| !on.contains(name)).unwrap();
        (names[1 - first].clone(), names[first].clone())
    };
    let moves = ["users-0", "tracks-0"].map(|shard| (shard, outside(cluster, shard)));
    // Nothing goes to a node that does not answer.
    let to_silent = ALL.iter().filter(|shard| !cluster.holders(shard, 3).contains(&names[3]));
    for shard in to_silent {
        let from = cluster.holders(shard, 3).into_iter().next().unwrap();
        cluster.nodes[3].running().signal("-STOP");
        cluster.refuses((shard, &from, &names[3]), conflict, "does not answer");
        cluster.nodes[3].running().signal("-CONT");
        cluster.is_led();
    }
    // One of three is gone: what it had may leave it. A second one is, and nothing can be carried out.
    cluster.nodes[3].kill();
    for (shard, (_, free)) in &moves {
        let said = command(
            &cluster.nodes[0],
            &["move-shard", shard, "--from", &names[3], "--to", free, "--dry-run"],
        );
        assert!(said.contains("nothing was done") && said.contains(free), "{said}");
    }
    cluster.nodes[2].kill();
    for (shard, (held, free)) in &moves {
        cluster.refuses((shard, held, free), conflict, "would have no majority that answers");
        cluster.refuses(
            (shard, &names[2], free),
            conflict,
            "has no majority that answers, so it cannot move",
        );
    }
    cluster.nodes[2].launch(&[]);
    cluster.nodes[2].running().until_ready();
    cluster.nodes[0].client().set_node_state(&names[3], NodeState::Removed, false).unwrap();
    // The others take over what it had.
    ALL.iter().for_each(|shard| drop(cluster.holders(shard, 3)));
    for (shard, (held, _)) in &moves {
        cluster.refuses((shard, held, &names[3]), ErrorKind::NotFound, "node not found");
    }
}
