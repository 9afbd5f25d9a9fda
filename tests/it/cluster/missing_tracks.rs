//! What becomes of requests when nodes are gone that hold a track shard: one of three costs a moment, all of them are named.

use std::time::{Duration, Instant};

use segue::ErrorKind;
use segue::api::Client;
use segue::pipeline::request::{Recommendation, SearchRequest, SimilarRequest};
use segue::types::{Deadline, TrackId, shard_of_slot, slot_of};

use super::placed::{command, names};
use super::placed_tracks::{SHARDS, answer_alike, exact, folders, placed, start};
use super::servers::{Node, same_everywhere, until};
use crate::support::{AS_OF, World, id, space};

/// What a caller waits.
const WAITS: Duration = Duration::from_secs(15);

fn is_of(shard: u16, track: &TrackId) -> bool {
    shard_of_slot(slot_of(track.as_str()), SHARDS) == usize::from(shard)
}

/// Lists of all kinds, each of which must come within the deadline.
#[track_caller]
fn lists(client: &Client, world: &World, waits: Duration) -> Vec<Recommendation> {
    let mut all = Vec::new();
    for (at, user) in world.users.iter().enumerate().take(6) {
        let begun = Instant::now();
        let deadline = || Deadline::after(waits);
        let surface = ["radio", "home", "discover_weekly"][at % 3];
        let mut asked = exact(&user.user_id, surface);
        asked.deadline = deadline();
        all.push(client.recommend(asked).unwrap());
        let near = Some(world.audio_vectors[at * 31].vector.clone());
        let mut asked =
            SearchRequest { vector: near, k: 30, exact: true, ..SearchRequest::new(space("audio")) };
        asked.deadline = deadline();
        all.push(client.search(asked).unwrap());
        let seeds = vec![(seed(at), 1.0)];
        let mut asked = SimilarRequest { as_of: Some(AS_OF), exact: true, ..SimilarRequest::new(seeds) };
        asked.deadline = deadline();
        all.push(client.similar(asked).unwrap());
        assert!(begun.elapsed() < 3 * waits, "{:?}", begun.elapsed());
    }
    all
}

/// A track that has a vector and is not in the shard that goes.
fn seed(at: usize) -> TrackId {
    let known = (at * 7..).filter(|number| number % 5 != 4);
    known.map(|number| id::<TrackId>(format!("t{number}"))).find(|track| !is_of(1, track)).unwrap()
}

/// What was made without a shard says so, and shows nothing of it.
#[track_caller]
fn name_the_shard(lists: &[Recommendation]) {
    for list in lists {
        let named = list.degraded.iter().any(|words| words.contains("tracks-1"));
        assert!(named, "{:?} {:?}", list.user_id, list.degraded);
        assert!(list.tracks.len() >= 5, "{}", list.tracks.len());
        assert!(list.tracks.iter().all(|track| !is_of(1, &track.track_id)));
    }
}

#[test]
fn a_shard_none_of_whose_holders_answers_is_named_and_leaves_no_trace() {
    // One replica of each: the first node has all, until one shard goes to the last.
    let (single, mut nodes, world) = start(3, &["cluster.voters=1"]);
    let clients: Vec<Client> = nodes.iter().map(Node::client).collect();
    let names = names(&clients[0].cluster_status().unwrap(), &nodes);
    until("all nodes hold all", || (nodes.iter().all(|node| folders(node).len() == 3)).then_some(()));
    for shard in ["tracks-0", "tracks-2"] {
        command(&nodes[0], &["move-shard", shard, "--from", &names[0], "--to", &names[0]]);
    }
    command(&nodes[0], &["move-shard", "tracks-1", "--from", &names[0], "--to", &names[2]]);
    let holders = placed(&clients[0], 1);
    assert!(holders["tracks-1"].contains(&names[2]) && holders["tracks-0"].contains(&names[0]));
    until("files are where the shard is", || {
        let held = nodes.iter().map(|node| folders(node).len()).collect::<Vec<_>>();
        (held == [2, 0, 1]).then_some(())
    });
    answer_alike(&nodes.iter().collect::<Vec<_>>(), &single, &world);

    nodes[2].kill();
    for client in &clients[..2] {
        name_the_shard(&lists(client, &world, WAITS));
        let lost = (0..).map(|number| id::<TrackId>(format!("t{number}"))).find(|it| is_of(1, it)).unwrap();
        assert_eq!(client.track(&lost).unwrap_err().kind(), ErrorKind::Unavailable, "not that there is none");
        assert!(client.track(&seed(0)).is_ok());
        assert_eq!(client.list_tracks(None, 1_000).unwrap_err().kind(), ErrorKind::Unavailable);
    }
    // A node that starts meanwhile knows what is missing, too.
    nodes[1].kill();
    nodes[1].launch(&[]);
    nodes[1].running().until_ready();
    until("it has heard of the others", || nodes[1].client().track(&seed(0)).ok());
    name_the_shard(&lists(&nodes[1].client(), &world, WAITS));
    nodes[2].launch(&[]);
    nodes[2].running().until_ready();
    for node in &nodes {
        let client = node.client();
        until("the shard is asked again", || {
            let list = client.recommend(exact(&world.users[0].user_id, "home")).ok()?;
            list.degraded.iter().all(|words| !words.contains("track shard")).then_some(())
        });
    }
    answer_alike(&nodes.iter().collect::<Vec<_>>(), &single, &world);
    same_everywhere(&nodes[0]);
}

#[test]
fn a_holder_that_dies_costs_a_moment() {
    let (single, mut nodes, world) = start(4, &[]);
    let clients: Vec<Client> = nodes.iter().map(Node::client).collect();
    until("all nodes hold all", || (nodes.iter().all(|node| folders(node).len() == 3)).then_some(()));
    command(&nodes[0], &["rebalance", "--tracks"]);
    let holders = placed(&clients[0], 3);
    let names = names(&clients[0].cluster_status().unwrap(), &nodes);
    let lacks = |group: &str| names.iter().position(|name| !holders[group].contains(name)).unwrap();
    let asker = lacks("tracks-1");
    // Who leads the shard that the asker lacks dies: nobody is worse to lose.
    let report = clients[0].cluster_status().unwrap();
    let led = report.replicas.iter().find(|it| it.group == "tracks-1" && it.role == "leader").unwrap();
    let victim = names.iter().position(|name| *name == led.node).unwrap();
    assert_ne!(victim, asker);
    let whole = lists(&clients[asker], &world, WAITS);
    assert!(whole.iter().all(|list| list.degraded.iter().all(|words| !words.contains("track shard"))));
    nodes[victim].kill();
    let begun = Instant::now();
    let after = lists(&clients[asker], &world, WAITS);
    eprintln!("{} lists after a holder died: {} ms", after.len(), begun.elapsed().as_millis());
    for (one, other) in whole.iter().zip(&after) {
        assert_eq!((&one.degraded, &one.tracks), (&other.degraded, &other.tracks));
    }
    nodes[victim].launch(&[]);
    nodes[victim].running().until_ready();
    placed(&clients[asker], 3);
    answer_alike(&nodes.iter().collect::<Vec<_>>(), &single, &world);
    same_everywhere(&nodes[0]);
}
