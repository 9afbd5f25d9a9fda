//! Servers whose shards of both kinds have their places, and clients that write at all of them.

use std::collections::BTreeSet;

use segue::api::Client;
use segue::node::{ClusterReport, Placing};

use super::placed::{command, names};
use super::placed_tracks::start_with;
use super::servers::{Node, leader, settled_groups, until};
use super::track_splits::{self, TrackWriters};
use super::writers::{self, Writers};

/// User shards of the database.
const USER_SHARDS: u16 = 2;
/// Those, three track shards, `map` and `meta`.
const GROUPS: usize = 7;
/// Replicas of each shard.
const REPLICAS: usize = 3;

/// Servers whose shards have their places.
pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
    pub(super) names: Vec<String>,
}

/// What a shard's places are, as numbers of nodes.
pub(super) struct Places {
    /// Nodes that have it, its leader first.
    pub(super) on: Vec<usize>,
    /// The node that has not.
    pub(super) outside: usize,
}

impl Cluster {
    pub(super) fn start() -> Self {
        Self::of(4)
    }

    pub(super) fn of(count: usize) -> Self {
        let (_, nodes, _) = start_with(count, USER_SHARDS, &[]);
        let client = nodes[0].client();
        settled_groups(&client, REPLICAS, GROUPS);
        command(&nodes[1], &["rebalance", "--tracks"]);
        let names = names(&client.cluster_status().unwrap(), &nodes);
        let cluster = Self { nodes, names };
        for shard in ["users-0", "users-1", "tracks-0", "tracks-1", "tracks-2"] {
            cluster.settled(shard);
        }
        cluster
    }

    pub(super) fn client(&self, node: usize) -> Client {
        self.nodes[node].client()
    }

    pub(super) fn report(&self) -> ClusterReport {
        self.client(0).cluster_status().unwrap()
    }

    /// The nodes with a replica of a shard, once there are three, all vote, one leads, and nobody is behind. Nodes that are down do
    /// not count.
    #[track_caller]
    pub(super) fn settled(&self, shard: &str) -> BTreeSet<String> {
        until(&format!("{shard} is where it should be"), || {
            let report = self.client(0).cluster_status().ok()?;
            let of_shard: Vec<_> =
                report.replicas.iter().filter(|it| it.group == shard && it.role != "unknown").collect();
            let is_well = of_shard.len() == REPLICAS
                && of_shard.iter().all(|it| it.votes && it.lag == Some(0) && !it.changing)
                && of_shard.iter().any(|it| it.role == "leader");
            is_well.then(|| of_shard.iter().map(|it| it.node.clone()).collect())
        })
    }

    /// Waits until a shard is on a node, and on two others.
    #[track_caller]
    pub(super) fn has_come(&self, shard: &str, to: usize) {
        until(&format!("{shard} has moved"), || self.settled(shard).contains(&self.names[to]).then_some(()));
    }

    pub(super) fn places(&self, shard: &str) -> Places {
        let held = self.settled(shard);
        let first = leader(&self.nodes, shard);
        let numbers = |has: bool| {
            (0..self.nodes.len()).filter(move |at| held.contains(&self.names[*at]) == has).collect::<Vec<_>>()
        };
        let outside = numbers.clone()(false)[0];
        let mut on = numbers(true);
        on.sort_by_key(|at| *at != first);
        Places { on, outside }
    }

    pub(super) fn moving(&self, shard: &str, from: usize, to: usize) -> Placing {
        let [from, to] = [from, to].map(|at| self.names[at].clone());
        Placing::Move { group: shard.to_owned(), from, to }
    }
}

/// Clients that write listeners and tracks at every node.
pub(super) struct Load {
    pub(super) users: Writers,
    pub(super) tracks: TrackWriters,
}

impl Load {
    pub(super) fn start(nodes: &[Node]) -> Self {
        let load = Self { users: Writers::start(2, "u"), tracks: TrackWriters::start(2, "t", nodes) };
        load.go_to(nodes);
        load.goes_on();
        load
    }

    /// From now on they write to these nodes, those that run.
    pub(super) fn go_to(&self, nodes: &[Node]) {
        self.users.go_to(nodes);
        self.tracks.go_to(nodes);
    }

    /// Waits until some more is written.
    pub(super) fn goes_on(&self) {
        let (users, tracks) = (self.users.count(), self.tracks.count());
        until("writers are at work", || {
            (self.users.count() > users + 10 && self.tracks.count() > tracks + 5).then_some(())
        });
    }

    /// Nothing was refused, and every node has everything.
    #[track_caller]
    pub(super) fn kept(self, nodes: &[Node]) {
        let refused = self.known(nodes);
        assert_eq!(refused, Vec::<String>::new());
    }

    /// Every node has everything that was acknowledged; what was refused.
    #[track_caller]
    pub(super) fn known(self, nodes: &[Node]) -> Vec<String> {
        let (users, mut refused) = self.users.stop();
        let (tracks, not_taken) = self.tracks.stop();
        refused.extend(not_taken);
        writers::all_are_known(nodes, &users);
        track_splits::all_are_known(nodes, &tracks);
        eprintln!("{} listeners and {} tracks were written meanwhile", users.len(), tracks.len());
        refused
    }
}
