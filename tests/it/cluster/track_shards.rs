//! Three nodes with three track shards answer as one database with a single track shard, and bear the loss of a leader.

use segue::api::{Batch, Client};
use segue::node::{LoadKind, VectorRow};
use segue::pipeline::request::{RecommendRequest, Recommendation, SearchRequest};
use segue::types::{FeedbackEvent, Surface};
use segue::{ErrorKind, Segue};

use super::servers::{Node, address, leader, node_of, replicas_of_groups_are_equal, settled_groups, until};
use crate::running::run;
use crate::support::{AS_OF, STATIC, World, id, small_segments, space, track};

const SHARDS: u16 = 3;
/// Those, `map`, `meta` and `users-0`.
const GROUPS: usize = 6;

fn requests(world: &World) -> Vec<RecommendRequest> {
    let of = |at: usize| {
        let user = world.users[at].user_id.clone();
        let surface = ["discover_weekly", "radio", "made_for_you"][at % 3];
        RecommendRequest {
            as_of: Some(AS_OF),
            request_id: Some(format!("{user}/{surface}")),
            exact: true,
            ..RecommendRequest::new(user, Surface::new(surface).unwrap())
        }
    };
    (0..24).map(of).collect()
}

fn searches(world: &World) -> Vec<SearchRequest> {
    let near = |row: &VectorRow| SearchRequest {
        vector: Some(row.vector.clone()),
        k: 15,
        exact: true,
        ..SearchRequest::new(space("audio"))
    };
    world.audio_vectors.iter().step_by(97).map(near).collect()
}

/// Ids, scores and reasons in order.
fn listed(list: Recommendation) -> Vec<(String, f64, String)> {
    list.tracks.into_iter().map(|track| (track.track_id.into(), track.score, track.reason)).collect()
}

type Lists = Vec<Vec<(String, f64, String)>>;

fn ask(client: &Client, world: &World) -> Lists {
    let lists = requests(world).into_iter().map(|asked| listed(client.recommend(asked).unwrap()));
    lists.chain(searches(world).into_iter().map(|asked| listed(client.search(asked).unwrap()))).collect()
}

/// Things done through any node, one after the other.
pub(super) fn write(one: usize, world: &World, nodes: &[Client]) {
    for (at, user) in world.users.iter().take(12).enumerate() {
        let hide = FeedbackEvent {
            track_id: Some(id(format!("t{}", at * 6 + one))),
            at: Some(AS_OF),
            ..FeedbackEvent::new(user.user_id.clone(), segue::types::Action::HideTrack)
        };
        nodes[at % nodes.len()].feedback(vec![hide]).unwrap();
    }
    let new: Vec<_> = (0..30).map(|number| track(2_000 + number + 30 * one as u64, 0)).collect();
    let vectors = new.iter().map(|track| VectorRow {
        id: track.track_id.to_string(),
        vector: world.audio_vectors[track.track_id.as_str().len()].vector.clone(),
    });
    let vectors: Vec<VectorRow> = vectors.collect();
    nodes[one % nodes.len()].upsert_tracks(new).unwrap();
    nodes[(one + 1) % nodes.len()].upsert_vectors(&space("audio"), STATIC, vectors).unwrap();
}

/// A load of vectors of all tracks through one node: a segment in each shard, which the others fetch.
pub(super) fn load(client: &Client, world: &World) {
    let name = "audio again";
    let done = client.load_progress(name).unwrap();
    let mut loader = client.loader(name, done);
    let rows: Vec<VectorRow> = world
        .audio_vectors
        .iter()
        .map(|row| VectorRow { id: row.id.clone(), vector: row.vector.iter().rev().copied().collect() })
        .collect();
    loader.push(0, Batch::Vectors(space("audio"), STATIC, rows)).unwrap();
    loader.flush().unwrap();
    assert!(client.finish_load(name, LoadKind::Vectors, &|_| {}).unwrap().0.finished);
}

#[test]
fn three_nodes_with_several_track_shards_answer_as_one_database_with_one() {
    let world = World::generate(13, 1_200, 60);
    let mut nodes = [Node::new(), Node::new(), Node::new()];
    let single = Node::new();
    for (dir, shards) in [(single.dir.path(), 1), (nodes[0].dir.path(), SHARDS)] {
        let mut settings = small_segments();
        settings.storage.track_shards = shards;
        let (engine, _) = Segue::open(dir, settings).unwrap();
        world.load(&engine);
        engine.checkpoint().unwrap();
        engine.refresh_statistics().unwrap();
        engine.shutdown().unwrap();
    }
    let mut single = single;
    single.launch(&[]);
    single.running().until_ready();
    nodes[0].launch(&["--cluster-init"]);
    nodes[0].running().until_ready();
    let seed = address(&nodes[0]);
    // One asks for no number, one for another than there is: both join with the cluster's.
    nodes[1].launch(&["--join", &seed]);
    nodes[2].launch(&["--join", &seed, "--track-shards", "7"]);
    nodes.iter().for_each(|node| node.running().until_ready());
    settled_groups(&nodes[2].client(), 3, GROUPS);
    for node in &nodes {
        let last = node.dir.path().join(format!("tracks-{}", SHARDS - 1));
        assert!(last.exists() && !node.dir.path().join(format!("tracks-{SHARDS}")).exists());
    }
    let reference = single.client();
    let expected = ask(&reference, &world);
    assert!(expected.iter().map(Vec::len).sum::<usize>() > 500);
    let clients: Vec<Client> = nodes.iter().map(Node::client).collect();
    for client in &clients {
        assert_eq!(ask(client, &world), expected);
    }
    write(1, &world, std::slice::from_ref(&reference));
    write(1, &world, &clients);
    load(&reference, &world);
    load(&clients[1], &world);
    let expected = ask(&reference, &world);
    for client in &clients {
        assert_eq!(ask(client, &world), expected);
    }
    replicas_of_groups_are_equal(&nodes[0], 3, GROUPS);

    // Leadership of a shard goes where it is sent; who leads it may die.
    let from = leader(&nodes, "tracks-2");
    let to = (from + 1) % 3;
    let name = node_of(&clients[from].cluster_status().unwrap(), &nodes[to]);
    let sent = [
        "cluster",
        "transfer-leader",
        "tracks-2",
        "--to",
        &name,
        "--endpoint",
        &nodes[from].running().endpoint,
    ];
    assert!(run(&sent).status.success());
    until("it leads", || (leader(&nodes, "tracks-2") == to).then_some(()));
    assert_eq!(clients[from].transfer_leader("tracks-3", &name).unwrap_err().kind(), ErrorKind::NotFound);
    nodes[to].kill();
    let others: Vec<Client> =
        clients.iter().enumerate().filter(|(at, _)| *at != to).map(|(_, it)| it.clone()).collect();
    write(2, &world, std::slice::from_ref(&reference));
    until("writes go on", || {
        others[0].upsert_tracks((0..6).map(|number| track(number, 0)).collect()).ok().map(drop)
    });
    write(2, &world, &others);
    reference.upsert_tracks((0..6).map(|number| track(number, 0)).collect()).unwrap();
    let expected = ask(&reference, &world);
    for client in &others {
        assert_eq!(ask(client, &world), expected);
    }
    // A restart with all of them in the directory, by whoever names no number.
    nodes[to].launch(&[]);
    nodes[to].running().until_ready();
    settled_groups(&nodes[to].client(), 3, GROUPS);
    assert_eq!(ask(&nodes[to].client(), &world), expected);
    replicas_of_groups_are_equal(&nodes[to], 3, GROUPS);
}
