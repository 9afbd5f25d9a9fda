//! Servers of a cluster, each with its directory, and what tests wait for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use segue::Segue;
use segue::api::Client;
use segue::node::ClusterReport;
use segue::pipeline::request::{RecommendRequest, Recommendation};
use segue::types::{Surface, TrackId, UserId};

use super::recall::recall_is_whole;
use crate::running::{Running, document, run, serve};
use crate::support::{AS_OF, World, id, small_segments};

/// Longest wait for a cluster to become what it should be.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Settings of every server here.
const SETTINGS: [&str; 3] =
    ["storage.seal_rows=1000", "cluster.listen=127.0.0.1:0", "limits.request_timeout_ms=20000"];

/// A server with its directory; `None` while it is down.
pub(super) struct Node {
    pub(super) dir: tempfile::TempDir,
    pub(super) running: Option<Running>,
}

impl Node {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), running: None }
    }

    /// One whose directory is on the disk of `folder`.
    pub(super) fn on(folder: &Path) -> Self {
        Self { dir: tempfile::tempdir_in(folder).unwrap(), running: None }
    }

    pub(super) fn launch(&mut self, flags: &[&str]) {
        self.launch_with(&[], flags);
    }

    /// Starts it with further settings, which win.
    pub(super) fn launch_with(&mut self, more: &[&str], flags: &[&str]) {
        let mut command = serve(self.dir.path(), &[&SETTINGS, more].concat(), flags);
        command.env("HOLD_POINTS", self.holds());
        self.running = Some(Running::of(command));
    }

    /// Where a file says at which hold points the server is to wait; there is no such folder before somebody wants that.
    pub(super) fn holds(&self) -> PathBuf {
        self.dir.path().join("holds")
    }

    /// Starts it again so that it ends by itself as soon as it comes by this stop point.
    pub(super) fn launch_until(&mut self, stop_point: &str) {
        let mut command = serve(self.dir.path(), &SETTINGS, &[]);
        command.env("STOP_POINT", stop_point);
        self.running = Some(Running::of(command));
    }

    pub(super) fn running(&self) -> &Running {
        self.running.as_ref().expect("the server runs")
    }

    pub(super) fn client(&self) -> Client {
        self.running().client()
    }

    pub(super) fn kill(&mut self) {
        self.running.take().expect("the server runs").kill();
    }
}

/// Loads a small world into a directory, as a single database does, and closes it.
pub(super) fn load(dir: &Path) -> World {
    let world = World::generate(11, 1_200, 60);
    let mut settings = small_segments();
    settings.storage.user_shards = 2;
    let (engine, _) = Segue::open(dir, settings).unwrap();
    world.load(&engine);
    engine.checkpoint().unwrap();
    engine.shutdown().unwrap();
    world
}

#[track_caller]
pub(super) fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: not in time");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The status, once every group has `voters` voters, a leader, and nobody is behind.
pub(super) fn settled(client: &Client, voters: usize) -> ClusterReport {
    settled_groups(client, voters, 5)
}

/// The same of so many groups.
pub(super) fn settled_groups(client: &Client, voters: usize, count: usize) -> ClusterReport {
    until("every replica votes and is up to date", || {
        let report = client.cluster_status().ok()?;
        let groups: BTreeSet<&String> = report.replicas.iter().map(|replica| &replica.group).collect();
        let whole = |group: &&String| {
            let of_group: Vec<_> =
                report.replicas.iter().filter(|replica| replica.group == **group).collect();
            of_group.iter().filter(|replica| replica.votes).count() == voters
                && of_group.iter().any(|replica| replica.role == "leader")
                && of_group.iter().all(|replica| replica.lag == Some(0) && !replica.changing)
        };
        (groups.len() == count && groups.iter().all(whole)).then_some(report)
    })
}

/// Three servers in one cluster, made of a database that was alone.
pub(super) fn three() -> (Vec<Node>, World) {
    several(&[vec![], vec![], vec![]])
}

/// As many servers as there are lists of settings, in one cluster, made of a database that was alone.
pub(super) fn several(settings: &[Vec<String>]) -> (Vec<Node>, World) {
    assemble(settings.iter().map(|_| Node::new()).collect(), settings)
}

/// The same on given directories.
pub(super) fn assemble(nodes: Vec<Node>, settings: &[Vec<String>]) -> (Vec<Node>, World) {
    assemble_voting(nodes, settings, 3)
}

/// The same where so many vote.
pub(super) fn assemble_voting(
    mut nodes: Vec<Node>,
    settings: &[Vec<String>],
    voters: usize,
) -> (Vec<Node>, World) {
    let world = load(nodes[0].dir.path());
    let mut seed = String::new();
    for (node, settings) in nodes.iter_mut().zip(settings) {
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        if seed.is_empty() {
            node.launch_with(&settings, &["--cluster-init"]);
            node.running().until_ready();
            seed = address(node);
        } else {
            node.launch_with(&settings, &["--join", &seed]);
        }
    }
    nodes.iter().for_each(|node| node.running().until_ready());
    settled(&nodes[nodes.len() - 1].client(), voters);
    recall_is_whole(&nodes[0]);
    (nodes, world)
}

/// Where other nodes reach one.
pub(super) fn address(node: &Node) -> String {
    let of = |it: &&segue::node::NodeReport| node.running().endpoint.ends_with(&it.api);
    // A node that came up elsewhere tells where once it serves.
    until("the node is in the map", || {
        let report = node.client().cluster_status().ok()?;
        report.nodes.iter().find(of).map(|it| it.address.clone())
    })
}

/// Where clients reach the nodes that run.
pub(super) fn endpoints(nodes: &[Node]) -> Vec<String> {
    nodes.iter().filter_map(|node| node.running.as_ref()).map(|running| running.endpoint.clone()).collect()
}

/// Every replica of every group holds the same, says the command, and searches find what they found.
#[track_caller]
pub(super) fn replicas_are_equal(node: &Node, replicas: u64) {
    replicas_of_groups_are_equal(node, replicas, 5);
}

/// The same of so many groups.
#[track_caller]
pub(super) fn replicas_of_groups_are_equal(node: &Node, replicas: u64, count: usize) {
    let report = document(&["cluster", "check", "--json", "--endpoint", &node.running().endpoint]);
    let groups = report["groups"].as_array().unwrap();
    assert_eq!(groups.len(), count, "{report}");
    assert!(groups.iter().all(|group| group["replicas"] == replicas), "{report}");
    assert_eq!(report["differences"].as_array().unwrap().len(), 0, "{report}");
    recall_is_whole(node);
}

/// The same whatever groups there are, on however many nodes, once every replica can be compared.
#[track_caller]
pub(super) fn same_everywhere(node: &Node) -> serde_json::Value {
    let report = until("every replica is compared", || {
        let output = run(&["cluster", "check", "--json", "--endpoint", &node.running().endpoint]);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        report["problems"].as_array()?.is_empty().then_some(report)
    });
    assert!(report["groups"].as_array().unwrap().len() >= 5, "{report}");
    assert_eq!(report["differences"].as_array().unwrap().len(), 0, "{report}");
    recall_is_whole(node);
    report
}

/// A number of the environment, or what is used without.
pub(super) fn number(variable: &str, short: u64) -> u64 {
    std::env::var(variable).ok().map_or(short, |text| text.parse().expect("a number"))
}

/// Which of the nodes leads a group.
pub(super) fn leader(nodes: &[Node], group: &str) -> usize {
    until("a leader is known", || {
        let up = nodes.iter().find(|node| node.running.is_some())?;
        let report = up.client().cluster_status().ok()?;
        let leader = report.replicas.iter().find(|it| it.group == group && it.role == "leader")?;
        let api = &report.nodes.iter().find(|node| node.node == leader.node)?.api;
        let of = |node: &Node| node.running.as_ref().is_some_and(|it| it.endpoint.ends_with(api.as_str()));
        nodes.iter().position(of)
    })
}

pub(super) fn request(user: &UserId) -> RecommendRequest {
    RecommendRequest {
        as_of: Some(AS_OF),
        request_id: Some(format!("{user}-list")),
        ..RecommendRequest::new(user.clone(), id::<Surface>("discover_weekly"))
    }
}

pub(super) fn tracks(list: &Recommendation) -> Vec<TrackId> {
    list.tracks.iter().map(|track| track.track_id.clone()).collect()
}

pub(super) fn node_of(report: &ClusterReport, node: &Node) -> String {
    let of = |it: &&segue::node::NodeReport| node.running().endpoint.ends_with(&it.api);
    report.nodes.iter().find(of).expect("the node is in the map").node.clone()
}
