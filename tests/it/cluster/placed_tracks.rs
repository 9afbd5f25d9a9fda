//! Track shards on some of the nodes: four servers, three replicas of each of three shards. A node without a shard answers to the
//! bit as one database does that has all of them, while tracks are written by any node, shards move and nodes are emptied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use parking_lot::Mutex;
use segue::Segue;
use segue::api::Client;
use segue::pipeline::request::{
    ExplainRequest, RecommendRequest, Recommendation, RequestContext, SearchRequest, SimilarRequest,
};
use segue::types::{Action, FeedbackEvent, Surface, Timestamp, TrackId, UserId};

use super::placed::{command, names};
use super::servers::{Node, address, node_of, request, same_everywhere, settled_groups, until};
use super::track_shards::{load, write};
use crate::support::{AS_OF, STATIC, World, id, small_segments, space, track};

/// Track shards of the database.
pub(super) const SHARDS: u16 = 3;
/// Those, `map`, `meta` and `users-0`.
const GROUPS: usize = 6;
const SURFACES: [&str; 7] =
    ["discover_weekly", "radio", "release_radar", "daily_mix", "top_mixes", "made_for_you", "home"];
/// Listeners that are asked about.
const LISTENERS: usize = 10;

/// A database that is alone, and nodes of a cluster that begins with the same; both with three track shards.
pub(super) fn start(count: usize, flags: &[&str]) -> (Node, Vec<Node>, World) {
    start_with(count, 1, flags)
}

/// The same with so many user shards.
pub(super) fn start_with(count: usize, user_shards: u16, flags: &[&str]) -> (Node, Vec<Node>, World) {
    let mut world = World::generate(47, 1_200, 60);
    for (at, user) in world.users.iter_mut().enumerate() {
        user.social_consent = at % 5 != 0;
        user.friends = [1, 2, 7].map(|step| id(format!("u{}", (at + step) % 60))).to_vec();
    }
    let mut single = Node::new();
    let mut nodes: Vec<Node> = (0..count).map(|_| Node::new()).collect();
    for dir in [single.dir.path(), nodes[0].dir.path()] {
        let mut settings = small_segments();
        settings.storage.track_shards = SHARDS;
        settings.storage.user_shards = user_shards;
        let (engine, _) = Segue::open(dir, settings).unwrap();
        world.load(&engine);
        engine.checkpoint().unwrap();
        engine.refresh_statistics().unwrap();
        engine.shutdown().unwrap();
    }
    single.launch(&[]);
    single.running().until_ready();
    nodes[0].launch_with(flags, &["--cluster-init"]);
    nodes[0].running().until_ready();
    let seed = address(&nodes[0]);
    nodes[1..].iter_mut().for_each(|node| node.launch_with(flags, &["--join", &seed]));
    nodes.iter().for_each(|node| node.running().until_ready());
    (single, nodes, world)
}

pub(super) fn exact(user: &UserId, surface: &str) -> RecommendRequest {
    RecommendRequest {
        exact: true,
        explain: true,
        request_id: Some(format!("{user}/{surface}")),
        surface: id::<Surface>(surface),
        ..request(user)
    }
}

/// A list as text that has every bit of every number, without what depends on when and where it was made.
fn text(mut list: Recommendation) -> String {
    list.applied.clear();
    list.impression.clear();
    list.searches.clear();
    if list.user_id.is_none() {
        (list.as_of, list.request_id, list.seed) = (Timestamp(0), String::new(), 0);
    }
    format!("{list:?}")
}

/// The same of what may be refused, since some tracks are gone.
fn said(list: segue::Result<Recommendation>) -> String {
    list.map_or_else(|error| format!("{:?}", error.kind()), text)
}

/// Everything that depends on where tracks are, by name.
fn ask(client: &Client, world: &World) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut add = |name: String, reply: String| all.push((name, reply));
    for (at, user) in world.users.iter().enumerate().take(LISTENERS) {
        for surface in SURFACES {
            let asked = exact(&user.user_id, surface);
            add(format!("{surface} of {at}"), said(client.recommend(asked)));
        }
        let asked =
            ExplainRequest { request: exact(&user.user_id, "radio"), track_id: id(format!("t{}", at * 11)) };
        let explained = client.explain(asked).map_err(|error| error.kind());
        add(format!("explained {at}"), format!("{explained:?}"));
        let seen = client.portrait(&user.user_id, AS_OF, &RequestContext::default()).unwrap();
        add(format!("portrait {at}"), format!("{seen:?}"));
        let seeds = vec![(id(format!("t{}", at * 5)), 1.0), (id(format!("t{}", at * 3 + 1)), -0.5)];
        let asked = SimilarRequest {
            user_id: Some(user.user_id.clone()),
            as_of: Some(AS_OF),
            exact: true,
            ..SimilarRequest::new(seeds)
        };
        add(format!("similar {at}"), said(client.similar(asked)));
        let asked = SearchRequest {
            vector: (at % 3 != 2).then(|| world.audio_vectors[at * 97].vector.clone()),
            text: (at % 3 != 0).then(|| "title".to_owned()),
            k: 25,
            exact: true,
            ..SearchRequest::new(space("audio"))
        };
        add(format!("search {at}"), said(client.search(asked)));
        let one = id::<TrackId>(format!("t{}", at * 17));
        add(format!("track {at}"), format!("{:?}", client.track(&one).map_err(|error| error.kind())));
        let vector = client.vector(&space("audio"), Some(STATIC), one.as_str());
        add(format!("vector {at}"), format!("{:?}", vector.map_err(|error| error.kind())));
    }
    let mut cursor = None;
    loop {
        let (page, next) = client.list_tracks(cursor, 211).unwrap();
        add(format!("page behind {cursor:?}"), format!("{page:?}"));
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    let mut page: Option<String> = None;
    loop {
        let (rows, next) = client.list_vectors(&space("audio"), None, page.as_deref(), 307).unwrap();
        add(format!("vectors behind {page:?}"), format!("{rows:?}"));
        page = next;
        if page.is_none() {
            break;
        }
    }
    add("generations".to_owned(), format!("{:?}", client.generations().unwrap()));
    all
}

#[track_caller]
pub(super) fn answer_alike(nodes: &[&Node], single: &Node, world: &World) {
    let expected = ask(&single.client(), world);
    assert!(expected.len() > 100);
    for (number, node) in nodes.iter().enumerate() {
        let found = ask(&node.client(), world);
        assert_eq!(found.len(), expected.len(), "node {number}");
        for ((name, expected), (_, found)) in expected.iter().zip(&found) {
            let differs = expected.bytes().zip(found.bytes()).position(|(a, b)| a != b);
            if let Some(at) = differs.or((expected.len() != found.len()).then_some(0)) {
                let part = |text: &str| {
                    String::from_utf8_lossy(&text.as_bytes()[at.saturating_sub(150)..]).into_owned()
                };
                panic!("node {number}, {name}:\n{:.400}\n{:.400}", part(expected), part(found));
            }
        }
    }
}

/// Folders of track shards in a node's directory.
pub(super) fn folders(node: &Node) -> BTreeSet<String> {
    let entries = std::fs::read_dir(node.dir.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("tracks-")).collect()
}

/// Nodes by track shard, once each has so many replicas, all of which vote, one leads, and nobody is behind.
pub(super) fn placed(client: &Client, replicas: usize) -> BTreeMap<String, BTreeSet<String>> {
    several_placed(client, usize::from(SHARDS), replicas)
}

/// The same of so many shards.
pub(super) fn several_placed(
    client: &Client,
    shards: usize,
    replicas: usize,
) -> BTreeMap<String, BTreeSet<String>> {
    until("every track shard is where it should be", || {
        let report = client.cluster_status().ok()?;
        let mut holders: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let known = report.replicas.iter().filter(|it| it.role != "unknown");
        for replica in known.filter(|it| it.group.starts_with("tracks-")) {
            if !replica.votes || replica.lag != Some(0) || replica.changing {
                return None;
            }
            holders.entry(replica.group.clone()).or_default().insert(replica.node.clone());
        }
        let led = |group: &String| {
            report.replicas.iter().any(|replica| replica.group == *group && replica.role == "leader")
        };
        let whole = |(group, nodes): (&String, &BTreeSet<String>)| nodes.len() == replicas && led(group);
        (holders.len() == shards && holders.iter().all(whole)).then_some(holders)
    })
}

/// Nodes by track shard, once each shard has three and its files are on these only.
#[track_caller]
pub(super) fn are_spread(client: &Client, nodes: &[Node]) -> BTreeMap<String, BTreeSet<String>> {
    let holders = placed(client, 3);
    let names = names(&client.cluster_status().unwrap(), nodes);
    until("files are where the shards are", || {
        let is_right = |(node, name): (&Node, &String)| {
            let held =
                holders.iter().filter(|(_, nodes)| nodes.contains(name)).map(|(group, _)| group.clone());
            folders(node) == held.collect()
        };
        nodes.iter().zip(&names).all(is_right).then_some(())
    });
    holders
}

/// Threads that use every node until they are stopped, and what they were refused with.
pub(super) struct Users {
    stop: Arc<AtomicBool>,
    refused: Arc<Mutex<Vec<String>>>,
    threads: Vec<thread::JoinHandle<usize>>,
}

impl Users {
    /// Two for each node: one asks for lists, one writes tracks there and reads them from the next node.
    pub(super) fn start(nodes: &[Node], world: &World) -> Self {
        let (stop, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let mut threads = Vec::new();
        for (number, node) in nodes.iter().enumerate() {
            let users: Vec<UserId> = world.users.iter().map(|user| user.user_id.clone()).collect();
            let (client, halt, complaints) = (node.client(), stop.clone(), refused.clone());
            threads.push(thread::spawn(move || {
                let asked = users.iter().cycle().take_while(|_| !halt.load(Ordering::Acquire));
                let ask = |user: &UserId| match client.recommend(request(user)) {
                    Ok(list) if list.degraded.iter().any(|words| words.contains("track shard")) => {
                        complaints.lock().push(format!("{:?}", list.degraded));
                    }
                    Ok(_) => {}
                    Err(error) => complaints.lock().push(format!("a list: {error}")),
                };
                asked.map(ask).count()
            }));
            let (writer, reader) = (node.client(), nodes[(number + 1) % nodes.len()].client());
            let (halt, complaints) = (stop.clone(), refused.clone());
            threads.push(thread::spawn(move || {
                let numbers = (0..).take_while(|_| !halt.load(Ordering::Acquire));
                let use_it = |round: u64| {
                    let mut new = track(50_000 + round, 0);
                    new.track_id = id(format!("w{number}-{round}"));
                    let written = writer.upsert_tracks(vec![new.clone()]).map(drop);
                    match written.and_then(|()| reader.track(&new.track_id)) {
                        Ok(found) if found == new => {}
                        Ok(found) => complaints.lock().push(format!("{found:?}")),
                        Err(error) => complaints.lock().push(format!("a track: {error}")),
                    }
                };
                numbers.map(use_it).count()
            }));
        }
        Self { stop, refused, threads }
    }

    /// How much was done, and what was refused.
    pub(super) fn stop(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Release);
        let done = self.threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        let refused = self.refused.lock().clone();
        (done, refused)
    }
}

#[test]
fn every_node_answers_as_one_database_wherever_track_shards_are_and_they_move_under_load() {
    let (single, nodes, world) = start(4, &[]);
    let clients: Vec<Client> = nodes.iter().map(Node::client).collect();
    settled_groups(&clients[0], 3, GROUPS);
    // Until somebody says otherwise every node holds everything, and spreading shards leaves those of tracks alone.
    until("all nodes hold all", || (nodes.iter().all(|node| folders(node).len() == 3)).then_some(()));
    let said = command(&nodes[1], &["rebalance", "--dry-run"]);
    assert!(!said.contains("tracks-"), "{said}");
    let said = command(&nodes[1], &["rebalance", "--tracks", "--dry-run"]);
    assert!(said.contains("nothing was done") && said.matches("tracks-").count() == 3, "{said}");
    command(&nodes[1], &["rebalance", "--tracks"]);
    let holders = are_spread(&clients[2], &nodes);
    let names = names(&clients[0].cluster_status().unwrap(), &nodes);
    assert!(holders.values().all(|nodes| nodes.len() == 3), "each shard is missing on one node: {holders:?}");
    let all: Vec<&Node> = nodes.iter().collect();
    answer_alike(&all, &single, &world);

    // Tracks, vectors, events and loads by nodes that have the shard and by ones that have not.
    for (round, clients) in [(1, &clients[..]), (2, &clients[1..])] {
        write(round, &world, &[single.client()]);
        write(round, &world, clients);
    }
    for one in [&single, &nodes[1]] {
        load(&one.client(), &world);
    }
    let gone: Vec<TrackId> = (0..40).map(|number| id(format!("t{}", number * 7 + 3))).collect();
    let late: Vec<FeedbackEvent> = (0..20)
        .map(|at: usize| FeedbackEvent {
            track_id: Some(id(format!("late{at}"))),
            listened_ms: Some(150_000),
            at: Some(AS_OF),
            ..FeedbackEvent::new(world.users[at].user_id.clone(), Action::Play)
        })
        .collect();
    let new: Vec<_> = (0..20)
        .map(|at| {
            let mut new = track(7_000 + at, 0);
            new.track_id = id(format!("late{at}"));
            new
        })
        .collect();
    for several in [&[single.client()][..], &clients[..]] {
        assert_eq!(several[0].delete_tracks(&gone).unwrap().0, 40);
        // Events that come before their tracks find them, whoever takes either.
        assert_eq!(several[several.len() / 2].feedback(late.clone()).unwrap().0, vec![true; 20]);
        several[several.len() - 1].upsert_tracks(new.clone()).unwrap();
    }
    for (at, user) in world.users.iter().enumerate().take(20) {
        let last = |client: &Client| {
            client.portrait(&user.user_id, AS_OF, &RequestContext::default()).unwrap().plays_total
        };
        assert_eq!(last(&clients[at % 4]), last(&single.client()), "{}", user.user_id);
    }
    answer_alike(&all, &single, &world);

    // A shard moves away from its leader while everybody reads and writes.
    let report = clients[0].cluster_status().unwrap();
    let led = report.replicas.iter().find(|it| it.group == "tracks-1" && it.role == "leader").unwrap();
    let from = led.node.clone();
    let to = names.iter().find(|name| !holders["tracks-1"].contains(*name)).unwrap();
    let users = Users::start(&nodes, &world);
    command(&nodes[3], &["move-shard", "tracks-1", "--from", &from, "--to", to]);
    until("the shard is there, and no more here", || {
        let holders = placed(&clients[1], 3);
        (holders["tracks-1"].contains(to) && !holders["tracks-1"].contains(&from)).then_some(())
    });
    let left = names.iter().position(|name| *name == from).unwrap();
    until("its files are removed", || (!folders(&nodes[left]).contains("tracks-1")).then_some(()));
    let (done, refused) = users.stop();
    eprintln!("{done} lists and writes while a track shard moved");
    assert_eq!(refused, Vec::<String>::new());
    assert!(done > 40, "{done}");

    // A node is emptied; those that are left have everything, and are alike.
    command(&nodes[0], &["drain", &names[3]]);
    command(&nodes[0], &["rebalance"]);
    until("it holds no track shard", || folders(&nodes[3]).is_empty().then_some(()));
    placed(&clients[0], 3);
    let user = &world.users[0].user_id;
    let lists: BTreeSet<String> =
        clients.iter().map(|client| text(client.recommend(exact(user, "home")).unwrap())).collect();
    assert_eq!(lists.len(), 1, "one list, whoever is asked");
    let check = same_everywhere(&nodes[0]);
    assert_eq!(check["problems"].as_array().unwrap().len(), 0, "{check}");
    assert_eq!(node_of(&clients[0].cluster_status().unwrap(), &nodes[3]), names[3]);
}
