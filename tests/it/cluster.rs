//! Three servers on loopback: a database becomes a cluster, leaders are killed with -9 under load, nothing acknowledged is
//! lost, and every list obeys a block from the moment it was acknowledged, whichever node is asked.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use segue::api::Client;
use segue::node::{ClusterReport, NodeState};
use segue::pipeline::request::{RecommendRequest, Recommendation};
use segue::types::{Action, FeedbackEvent, Surface, TrackId, User, UserId};
use segue::{ErrorKind, Segue};

use crate::running::{Running, document, run};
use crate::support::{AS_OF, World, id, small_segments};

/// Longest wait for a cluster to become what it should be.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with its directory; `None` while it is down.
struct Node {
    dir: tempfile::TempDir,
    running: Option<Running>,
}

impl Node {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), running: None }
    }

    fn launch(&mut self, flags: &[&str]) {
        let settings =
            ["storage.seal_rows=1000", "cluster.listen=127.0.0.1:0", "limits.request_timeout_ms=20000"];
        self.running = Some(Running::launch(self.dir.path(), &settings, flags));
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the server runs")
    }

    fn client(&self) -> Client {
        self.running().client()
    }

    fn kill(&mut self) {
        self.running.take().expect("the server runs").kill();
    }
}

/// Loads a small world into a directory, as a single database does, and closes it.
fn load(dir: &Path) -> World {
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
fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
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
fn settled(client: &Client, voters: usize) -> ClusterReport {
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
        (groups.len() == 5 && groups.iter().all(whole)).then_some(report)
    })
}

/// Three servers in one cluster, made of a database that was alone.
fn three() -> (Vec<Node>, World) {
    let mut nodes: Vec<Node> = (0..3).map(|_| Node::new()).collect();
    let world = load(nodes[0].dir.path());
    nodes[0].launch(&["--cluster-init"]);
    nodes[0].running().until_ready();
    let seed = nodes[0].client().cluster_status().unwrap().nodes[0].address.clone();
    nodes[1].launch(&["--join", &seed]);
    nodes[2].launch(&["--join", &seed]);
    nodes.iter().for_each(|node| node.running().until_ready());
    settled(&nodes[2].client(), 3);
    (nodes, world)
}

/// Which of the nodes leads a group.
fn leader(nodes: &[Node], group: &str) -> usize {
    until("a leader is known", || {
        let up = nodes.iter().find(|node| node.running.is_some())?;
        let report = up.client().cluster_status().ok()?;
        let leader = report.replicas.iter().find(|it| it.group == group && it.role == "leader")?;
        let api = &report.nodes.iter().find(|node| node.node == leader.node)?.api;
        let of = |node: &Node| node.running.as_ref().is_some_and(|it| it.endpoint.ends_with(api.as_str()));
        nodes.iter().position(of)
    })
}

fn request(user: &UserId) -> RecommendRequest {
    RecommendRequest {
        as_of: Some(AS_OF),
        request_id: Some(format!("{user}-list")),
        ..RecommendRequest::new(user.clone(), id::<Surface>("discover_weekly"))
    }
}

fn tracks(list: &Recommendation) -> Vec<TrackId> {
    list.tracks.iter().map(|track| track.track_id.clone()).collect()
}

/// What writers have been told is done.
#[derive(Default)]
struct Acknowledged {
    users: Mutex<Vec<UserId>>,
    longest_pause: Mutex<Duration>,
}

/// Adds listeners, one a request, at one endpoint after another, until told to stop.
fn write(endpoints: &Mutex<Vec<String>>, writer: usize, stop: &AtomicBool, done: &Acknowledged) {
    let mut last = Instant::now();
    let mut number = 0;
    let mut client: Option<Client> = None;
    while !stop.load(Ordering::Acquire) {
        let user: UserId = id(format!("w{writer}-{number}"));
        let at = endpoints.lock()[number % 2].clone();
        let sent = match client.take().map_or_else(|| Client::connect(&at), Ok) {
            Ok(connected) => {
                let sent = connected.upsert_users(vec![User::unknown(user.clone())]);
                client = sent.is_ok().then_some(connected);
                sent.is_ok()
            }
            Err(_) => false,
        };
        if sent {
            done.users.lock().push(user);
            let mut longest = done.longest_pause.lock();
            *longest = (*longest).max(last.elapsed());
            last = Instant::now();
            number += 1;
            if number % 16 == 0 {
                client = None;
            }
        } else {
            number += 1;
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn leaders_are_killed_under_load_and_nothing_acknowledged_is_lost() {
    let (mut nodes, world) = three();
    let done = Arc::new(Acknowledged::default());
    for group in ["users-0", "tracks-0"] {
        let victim = leader(&nodes, group);
        let stop = Arc::new(AtomicBool::new(false));
        let others = nodes.iter().enumerate().filter(|(at, _)| *at != victim);
        let endpoints: Vec<String> = others.map(|(_, node)| node.running().endpoint.clone()).collect();
        let endpoints = Arc::new(Mutex::new(endpoints));
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let (endpoints, stop, done) = (endpoints.clone(), stop.clone(), done.clone());
                let writer = writer + 10 * usize::from(group == "tracks-0");
                thread::spawn(move || write(&endpoints, writer, &stop, &done))
            })
            .collect();
        thread::sleep(Duration::from_millis(500));
        nodes[victim].kill();
        thread::sleep(Duration::from_secs(4));
        stop.store(true, Ordering::Release);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        // It comes back on other ports, by its own directory, and catches up.
        nodes[victim].launch(&[]);
        nodes[victim].running().until_ready();
        settled(&nodes[victim].client(), 3);
    }
    let written = done.users.lock().clone();
    let pause = *done.longest_pause.lock();
    eprintln!("{} writes acknowledged, longest pause {} ms", written.len(), pause.as_millis());
    assert!(written.len() > 20, "too few writes went through: {}", written.len());
    for node in &nodes {
        let client = node.client();
        for user in &written {
            client.user(user).unwrap_or_else(|error| panic!("{user} was acknowledged: {error}"));
        }
    }
    // The same request, the same state, the same list: on every node.
    let listener = &world.users[1].user_id;
    let lists: Vec<_> =
        nodes.iter().map(|node| tracks(&node.client().recommend(request(listener)).unwrap())).collect();
    assert!(!lists[0].is_empty());
    assert!(lists.iter().all(|list| *list == lists[0]), "{lists:?}");
}

#[test]
fn a_block_is_obeyed_by_every_node_from_the_moment_it_is_acknowledged() {
    let (nodes, world) = three();
    let clients: Vec<Client> = nodes.iter().map(Node::client).collect();
    let by_id = world.by_id();
    let mut blocked = 0;
    for (at, user) in world.users.iter().take(30).enumerate() {
        let (writer, reader) = (&clients[at % 3], &clients[(at + 1) % 3]);
        let list = tracks(&reader.recommend(request(&user.user_id)).unwrap());
        let Some(first) = list.first() else { continue };
        let artist = by_id[first].artists[0].id.clone();
        let event = FeedbackEvent {
            artist_id: Some(artist.clone()),
            ..FeedbackEvent::new(user.user_id.clone(), Action::BlockArtist)
        };
        writer.feedback(vec![event]).unwrap();
        let after = tracks(&reader.recommend(request(&user.user_id)).unwrap());
        let shown = after.iter().find(|track| by_id[*track].artists.iter().any(|one| one.id == artist));
        assert_eq!(shown, None, "{artist} was blocked by {}", user.user_id);
        blocked += 1;
    }
    assert!(blocked >= 20, "too few listeners had a list: {blocked}");
}

#[test]
fn the_status_shows_the_cluster_and_commands_refuse_what_would_stop_it() {
    let (mut nodes, _) = three();
    let endpoint = nodes[0].running().endpoint.clone();
    let report = document(&["cluster", "status", "--json", "--endpoint", &endpoint]);
    assert_eq!(report["nodes"].as_array().unwrap().len(), 3, "{report}");
    assert_eq!(report["replicas"].as_array().unwrap().len(), 15, "{report}");
    let text = run(&["cluster", "status", "--endpoint", &endpoint]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("every group bears the loss of a node"));

    // Leadership goes where it is sent.
    let from = leader(&nodes, "users-0");
    let to = (from + 1) % 3;
    let name = node_of(&nodes[from].client().cluster_status().unwrap(), &nodes[to]);
    let sent = run(&["cluster", "transfer-leader", "users-0", "--to", &name, "--endpoint", &endpoint]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    until("it leads", || (leader(&nodes, "users-0") == to).then_some(()));

    // A dry run changes nothing; a drain moves leadership away.
    let epoch = report["epoch"].clone();
    run(&["cluster", "drain", &name, "--dry-run", "--endpoint", &endpoint]);
    assert_eq!(document(&["cluster", "status", "--json", "--endpoint", &endpoint])["epoch"], epoch);
    assert!(run(&["cluster", "drain", &name, "--endpoint", &endpoint]).status.success());
    until("it leads nothing", || {
        let report = nodes[from].client().cluster_status().ok()?;
        (!report.replicas.iter().any(|it| it.node == name && it.role == "leader")).then_some(())
    });
    assert!(run(&["cluster", "resume", &name, "--endpoint", &endpoint]).status.success());

    // With one node down, to remove another would stop every group.
    let down = (0..3).find(|at| *at != to && nodes[*at].running().endpoint != endpoint).unwrap_or(2);
    nodes[down].kill();
    until("it is missed", || {
        let report = nodes[to].client().cluster_status().ok()?;
        (report.nodes.iter().filter(|node| !node.problem.is_empty()).count() == 1).then_some(())
    });
    let at = nodes[to].running().endpoint.clone();
    let refused = run(&["cluster", "remove-node", &name, "--endpoint", &at]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("would stop"));
    let report = nodes[to].client().cluster_status().unwrap();
    assert!(report.nodes.iter().all(|node| node.state == NodeState::Serving));
    assert_eq!(report.endangered().len(), 5);

    // What a kill leaves of a member is whole.
    let dir = nodes[down].dir.path().display().to_string();
    let verified = run(&["verify", &dir]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    // A member's directory is not opened as if it were alone.
    let alone = Segue::open(nodes[down].dir.path(), small_segments()).map(drop).unwrap_err();
    assert_eq!(alone.kind(), ErrorKind::Conflict, "{alone}");
}

fn node_of(report: &ClusterReport, node: &Node) -> String {
    let of = |it: &&segue::node::NodeReport| node.running().endpoint.ends_with(&it.api);
    report.nodes.iter().find(of).expect("the node is in the map").node.clone()
}
