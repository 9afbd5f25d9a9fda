//! User shards on some of the nodes: four servers, three replicas of each of six shards. Every node answers for every listener
//! as one database does, while shards move and nodes come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use parking_lot::Mutex;
use segue::Segue;
use segue::api::Client;
use segue::node::ClusterReport;
use segue::pipeline::logged::LoggedList;
use segue::pipeline::portrait::Portrait;
use segue::pipeline::request::{
    RecommendRequest, Recommendation, RequestContext, SimilarUser, SimilarUsersRequest,
};
use segue::types::{Action, FeedbackEvent, Surface, TrackId, User, UserId, shard_of_slot, slot_of};

use super::servers::{Node, address, node_of, request, same_everywhere, tracks, until};
use super::writers::{Writers, all_are_known};
use crate::discovery::event;
use crate::running::run;
use crate::support::{AS_OF, World, id, small_segments, space, track};

/// User shards of the database.
pub(super) const SHARDS: u16 = 6;
/// Replicas of each.
const REPLICAS: usize = 3;

/// A world whose listeners have friends, of whom most are in other shards.
fn world() -> World {
    let mut world = World::generate(21, 1_200, 90);
    let ids: Vec<UserId> = world.users.iter().map(|user| user.user_id.clone()).collect();
    for (at, user) in world.users.iter_mut().enumerate() {
        user.social_consent = at % 5 != 0;
        user.friends = [1, 2, 7].map(|step| ids[(at + step) % ids.len()].clone()).to_vec();
        user.age_band = Some(["18-24", "25-34"][at % 2].to_owned());
    }
    world
}

fn exact(user: &UserId, surface: &str) -> RecommendRequest {
    RecommendRequest { exact: true, explain: true, surface: id::<Surface>(surface), ..request(user) }
}

/// What is asked of a database and of every node.
#[derive(Debug, PartialEq)]
pub(super) struct Answers {
    lists: Vec<Recommendation>,
    portraits: Vec<Portrait>,
    logged: Vec<Vec<LoggedList>>,
    similar: Vec<Vec<SimilarUser>>,
    pages: Vec<Vec<User>>,
    vectors: Vec<String>,
}

/// A page, and where the next one begins.
type Page<T, C> = (Vec<T>, Option<C>);

/// Everything that depends on where listeners are, by whoever answers.
struct Ask<'a> {
    recommend: &'a dyn Fn(RecommendRequest) -> Recommendation,
    portrait: &'a dyn Fn(&UserId) -> Portrait,
    logged: &'a dyn Fn(&UserId) -> Vec<LoggedList>,
    similar: &'a dyn Fn(SimilarUsersRequest) -> Vec<SimilarUser>,
    page: &'a dyn Fn(Option<UserId>, usize) -> Page<User, UserId>,
    vectors: &'a dyn Fn(Option<String>) -> Page<String, String>,
}

impl Ask<'_> {
    fn all(&self, world: &World) -> Answers {
        let users = || world.users.iter().map(|user| &user.user_id);
        let surfaces = ["discover_weekly", "home", "daily_mix"];
        let lists = users().flat_map(|user| surfaces.map(|surface| (self.recommend)(exact(user, surface))));
        let strip = |mut list: Recommendation| {
            list.applied.clear();
            list.impression.clear();
            list
        };
        let similar = |user: &UserId| (self.similar)(SimilarUsersRequest::new(user.clone(), 9));
        // The last listeners of the world have no vector.
        let with_vector = users().take(40);
        let (mut pages, mut cursor) = (Vec::new(), None);
        loop {
            let (page, next) = (self.page)(cursor, 13);
            pages.push(page);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        let (mut vectors, mut page) = (Vec::new(), None);
        loop {
            let (rows, next) = (self.vectors)(page);
            vectors.extend(rows);
            page = next;
            if page.is_none() {
                break;
            }
        }
        Answers {
            lists: lists.map(strip).collect(),
            portraits: users().map(self.portrait).collect(),
            logged: users().map(self.logged).collect(),
            similar: with_vector.map(similar).collect(),
            pages,
            vectors,
        }
    }
}

fn of_engine(engine: &Segue, world: &World) -> Answers {
    Ask {
        recommend: &|request| engine.recommend(request).unwrap(),
        portrait: &|user| engine.portrait(user, AS_OF, &RequestContext::default()).unwrap(),
        logged: &|user| engine.logged_lists(user, AS_OF, 5).unwrap(),
        similar: &|request| engine.similar_users(request).unwrap_or_default(),
        page: &|cursor, limit| engine.list_users(cursor, limit).unwrap(),
        vectors: &|page| {
            let (rows, next) = engine.list_vectors(&space("user_cf"), None, page.as_deref(), 17).unwrap();
            (rows.into_iter().map(|row| row.id).collect(), next)
        },
    }
    .all(world)
}

fn of_node(client: &Client, world: &World) -> Answers {
    Ask {
        recommend: &|request| client.recommend(request).unwrap(),
        portrait: &|user| client.portrait(user, AS_OF, &RequestContext::default()).unwrap(),
        logged: &|user| client.logged_lists(user, AS_OF, 5).unwrap(),
        similar: &|request| client.similar_users(request).unwrap_or_default(),
        page: &|cursor, limit| client.list_users(cursor, u32::try_from(limit).unwrap()).unwrap(),
        vectors: &|page| {
            let (rows, next) = client.list_vectors(&space("user_cf"), None, page.as_deref(), 17).unwrap();
            (rows.into_iter().map(|row| row.id).collect(), next)
        },
    }
    .all(world)
}

/// Loads the world into a database of its own, as one node, and says what that answers.
fn load(dir: &std::path::Path, world: &World) -> Answers {
    let mut settings = small_segments();
    settings.storage.user_shards = SHARDS;
    let (engine, _) = Segue::open(dir, settings).unwrap();
    world.load(&engine);
    engine.checkpoint().unwrap();
    engine.refresh_statistics().unwrap();
    let shown = world.users.iter().step_by(2).map(|user| {
        let list = engine.recommend(exact(&user.user_id, "home")).unwrap();
        let served = event(user.user_id.as_str(), Action::Served, AS_OF);
        FeedbackEvent { impression: Some(list.impression), ..served }
    });
    assert!(engine.feedback(shown.collect()).unwrap().0.iter().all(|new| *new));
    let answers = of_engine(&engine, world);
    assert!(answers.logged.iter().step_by(2).all(|lists| lists.len() == 1 && lists[0].made_by.is_some()));
    engine.shutdown().unwrap();
    answers
}

fn is_user_shard(group: &str) -> bool {
    group.starts_with("users-")
}

/// Nodes by user shard, once every shard has as many replicas as it should, all vote, one leads, and nobody is behind. What
/// nodes say nothing of that are down does not count.
pub(super) fn placed(client: &Client) -> BTreeMap<String, BTreeSet<String>> {
    until("every user shard is where it should be", || {
        let report = client.cluster_status().ok()?;
        let mut holders: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for replica in report.replicas.iter().filter(|it| is_user_shard(&it.group) && it.role != "unknown") {
            if !replica.votes || replica.lag != Some(0) || replica.changing {
                return None;
            }
            holders.entry(replica.group.clone()).or_default().insert(replica.node.clone());
        }
        let led = |group: &String| {
            report.replicas.iter().any(|replica| replica.group == *group && replica.role == "leader")
        };
        let whole = |(group, nodes): (&String, &BTreeSet<String>)| nodes.len() == REPLICAS && led(group);
        (holders.len() == usize::from(SHARDS) && holders.iter().all(whole)).then_some(holders)
    })
}

pub(super) fn start(count: usize, settings: &[&str]) -> (Vec<Node>, World, Answers) {
    let mut nodes: Vec<Node> = (0..count).map(|_| Node::new()).collect();
    let world = world();
    let alone = load(nodes[0].dir.path(), &world);
    nodes[0].launch_with(settings, &["--cluster-init"]);
    nodes[0].running().until_ready();
    let seed = address(&nodes[0]);
    nodes[1..].iter_mut().for_each(|node| node.launch_with(settings, &["--join", &seed]));
    nodes.iter().for_each(|node| node.running().until_ready());
    (nodes, world, alone)
}

pub(super) fn names(report: &ClusterReport, nodes: &[Node]) -> Vec<String> {
    nodes.iter().map(|node| node_of(report, node)).collect()
}

pub(super) fn command(node: &Node, arguments: &[&str]) -> String {
    let all = [&["cluster"], arguments, &["--endpoint", &node.running().endpoint]].concat();
    let output = run(&all);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{all:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn refused(node: &Node, arguments: &[&str]) -> String {
    let all = [&["cluster"], arguments, &["--endpoint", &node.running().endpoint]].concat();
    let output = run(&all);
    assert!(!output.status.success(), "{all:?} should be refused");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Folders of user shards in a node's directory.
pub(super) fn folders(node: &Node) -> BTreeSet<String> {
    let entries = std::fs::read_dir(node.dir.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| is_user_shard(name)).collect()
}

#[track_caller]
pub(super) fn answer_alike(nodes: &[Node], world: &World, expected: &Answers) {
    for (number, node) in nodes.iter().enumerate() {
        let found = of_node(&node.client(), world);
        assert!(found.pages == expected.pages, "node {number}: pages of listeners");
        assert!(found.vectors == expected.vectors, "node {number}: vectors");
        assert!(found.portraits == expected.portraits, "node {number}: portraits");
        assert_eq!(found.logged, expected.logged, "node {number}");
        assert_eq!(found.similar, expected.similar, "node {number}");
        for (one, other) in expected.lists.iter().zip(&found.lists) {
            let what = format!("node {number}, {:?}, {}", one.user_id, one.recipe);
            assert_eq!((&one.degraded, tracks(one)), (&other.degraded, tracks(other)), "{what}");
            assert!(one == other, "{what}: the same tracks with other words or numbers");
        }
    }
}

/// Readers that ask all nodes for lists until they are stopped, and what they were refused with.
struct Readers {
    stop: Arc<AtomicBool>,
    refused: Arc<Mutex<Vec<String>>>,
    threads: Vec<thread::JoinHandle<usize>>,
}

impl Readers {
    fn start(nodes: &[Node], world: &World) -> Self {
        let (stop, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let users: Vec<UserId> = world.users.iter().map(|user| user.user_id.clone()).collect();
        let reader = |node: &Node| {
            let (client, users) = (node.client(), users.clone());
            let (stop, refused) = (stop.clone(), refused.clone());
            thread::spawn(move || {
                let mut asked = 0;
                for user in users.iter().cycle() {
                    if stop.load(Ordering::Acquire) {
                        break;
                    }
                    match client.recommend(request(user)) {
                        Ok(list) if list.degraded.iter().any(|it| it.contains("user shard")) => {
                            refused.lock().push(format!("{:?}", list.degraded));
                        }
                        Ok(_) => asked += 1,
                        Err(error) => refused.lock().push(error.to_string()),
                    }
                }
                asked
            })
        };
        let threads = nodes.iter().map(reader).collect();
        Self { stop, refused, threads }
    }

    fn stop(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Release);
        let asked = self.threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        let refused = self.refused.lock().clone();
        (asked, refused)
    }
}

#[test]
fn every_node_answers_for_every_listener_wherever_the_shard_is_and_shards_move_under_load() {
    let (nodes, world, alone) = start(4, &[]);
    let clients: Vec<Client> = nodes.iter().map(Node::client).collect();
    // Until somebody says otherwise every node holds everything.
    until("all nodes hold all", || (nodes.iter().all(|node| folders(node).len() == 6)).then_some(()));
    let before = clients[0].cluster_status().unwrap();
    let said = command(&nodes[1], &["rebalance", "--dry-run"]);
    assert!(said.contains("nothing was done") && said.matches("users-").count() == 6, "{said}");
    assert_eq!(clients[0].cluster_status().unwrap().epoch, before.epoch);
    command(&nodes[1], &["rebalance"]);
    let holders = placed(&clients[2]);
    let names = names(&before, &nodes);
    let held = |name: &String| holders.values().filter(|nodes| nodes.contains(name)).count();
    let counts: Vec<usize> = names.iter().map(held).collect();
    assert_eq!(counts.iter().sum::<usize>(), 18);
    assert!(counts.iter().all(|count| (4..=5).contains(count)), "{counts:?}");
    until("files are gone where the shard is not", || {
        (0..4).all(|at| folders(&nodes[at]).len() == counts[at]).then_some(())
    });
    assert!(command(&nodes[0], &["rebalance"]).contains("where it should be"));

    // As one database does.
    answer_alike(&nodes, &world, &alone);

    // A rule holds on every node from the moment any has acknowledged it; and events on tracks that come later find them.
    let by_id = world.by_id();
    let late: Vec<FeedbackEvent> = world
        .users
        .iter()
        .take(20)
        .map(|user| FeedbackEvent {
            track_id: Some(id::<TrackId>("late1")),
            listened_ms: Some(150_000),
            at: Some(AS_OF),
            ..FeedbackEvent::new(user.user_id.clone(), Action::Play)
        })
        .collect();
    let plays = |client: &Client, user: &UserId| {
        client.portrait(user, AS_OF, &RequestContext::default()).unwrap().plays_total
    };
    let known: Vec<u32> = world.users.iter().take(20).map(|user| plays(&clients[0], &user.user_id)).collect();
    assert_eq!(clients[1].feedback(late.clone()).unwrap().0, vec![true; 20]);
    assert_eq!(clients[2].feedback(late.clone()).unwrap().0, vec![false; 20], "seen before, by whoever");
    let mut wrong = late;
    let nobody =
        FeedbackEvent { artist_id: Some(id("a5")), ..FeedbackEvent::new(id("nobody"), Action::BlockArtist) };
    wrong.push(nobody);
    assert!(clients[0].feedback(wrong).is_err(), "a batch with a mistake");
    let mut new = track(7_000, 0);
    new.track_id = id("late1");
    clients[3].upsert_tracks(vec![new]).unwrap();
    for (at, user) in world.users.iter().take(20).enumerate() {
        assert_eq!(plays(&clients[at % 4], &user.user_id), known[at] + 1, "{}", user.user_id);
    }
    for (at, user) in world.users.iter().enumerate().skip(20).take(30) {
        let (writer, reader) = (&clients[at % 4], &clients[(at + 1) % 4]);
        let list = tracks(&reader.recommend(request(&user.user_id)).unwrap());
        let Some(first) = list.iter().find(|track| by_id.contains_key(*track)) else { continue };
        let artist = by_id[first].artists[0].id.clone();
        let event = FeedbackEvent {
            artist_id: Some(artist.clone()),
            ..FeedbackEvent::new(user.user_id.clone(), Action::BlockArtist)
        };
        writer.feedback(vec![event]).unwrap();
        let after = tracks(&reader.recommend(request(&user.user_id)).unwrap());
        let is_theirs = |track: &TrackId| {
            by_id.get(track).is_some_and(|it| it.artists.iter().any(|one| one.id == artist))
        };
        let shown = after.iter().find(|track| is_theirs(track));
        assert_eq!(shown, None, "{artist} was blocked by {}", user.user_id);
    }

    // A shard moves while others write and read, away from its leader.
    let writers = Writers::start(3, "m");
    writers.go_to(&nodes);
    let readers = Readers::start(&nodes, &world);
    let report = clients[0].cluster_status().unwrap();
    let led = report.replicas.iter().find(|it| it.group == "users-2" && it.role == "leader").unwrap();
    let from = led.node.clone();
    let to = names.iter().find(|name| !holders["users-2"].contains(*name)).unwrap();
    let other = holders["users-2"].iter().find(|name| **name != from).unwrap();
    let why = refused(&nodes[0], &["move-shard", "users-2", "--from", &from, "--to", other]);
    assert!(why.contains("a replica fewer"), "{why}");
    let moved = ["move-shard", "users-2", "--from", &from, "--to", to];
    let said = command(&nodes[3], &[&moved[..], &["--dry-run"]].concat());
    assert!(said.contains("nothing was done") && said.contains(to.as_str()), "{said}");
    let count = writers.count();
    command(&nodes[3], &moved);
    until("the shard is there, and no more here", || {
        let holders = placed(&clients[1]);
        (holders["users-2"].contains(to) && !holders["users-2"].contains(&from)).then_some(())
    });
    let left = names.iter().position(|name| *name == from).unwrap();
    until("its files are removed", || (!folders(&nodes[left]).contains("users-2")).then_some(()));
    command(&nodes[3], &moved);
    until("writers are at work", || (writers.count() > count + 20).then_some(()));
    let (asked, not_answered) = readers.stop();
    let (written, not_written) = writers.stop();
    eprintln!("{asked} lists, {} writes while a shard moved", written.len());
    assert!(asked > 20 && written.len() > 20);
    assert_eq!((not_answered, not_written), (vec![], vec![]));
    let moved_users =
        written.iter().filter(|user| shard_of_slot(slot_of(user.as_str()), SHARDS) == 2).count();
    assert!(moved_users > 0, "nobody was written to the shard that moved");
    all_are_known(&nodes, &written);

    // A node is emptied, and removed.
    command(&nodes[0], &["drain", &names[3]]);
    command(&nodes[0], &["rebalance"]);
    until("it holds no user shard", || folders(&nodes[3]).is_empty().then_some(()));
    let holders = placed(&clients[0]);
    assert!(holders.values().all(|nodes| !nodes.contains(&names[3])));
    all_are_known(&nodes, &written);
    command(&nodes[0], &["remove-node", &names[3]]);
    all_are_known(&nodes[..3], &written);
    let check = same_everywhere(&nodes[0]);
    assert_eq!(check["problems"].as_array().unwrap().len(), 0, "{check}");
    assert_eq!(check["groups"].as_array().unwrap().len(), 9, "{check}");
}
