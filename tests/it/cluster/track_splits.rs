//! A track shard is split in a cluster of real servers while clients write tracks and vectors at every node: nothing acknowledged is
//! lost, replicas are equal, and the death of the node that does it stops nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use segue::api::Client;
use segue::types::{GenerationId, TrackId, VectorRow, slot_of};

use super::servers::{Node, leader, replicas_of_groups_are_equal, settled_groups, three, until};
use super::splits::{command, done, request};
use super::targets::Targets;
use super::writers::track_named;
use crate::support::{audio_vector, id, space};

/// `map`, `meta`, a track shard, and two user shards.
const GROUPS: usize = 5;

/// What writers share.
#[derive(Default)]
struct Shared {
    targets: Targets,
    done: Mutex<Vec<TrackId>>,
    refused: Mutex<Vec<String>>,
}

/// Clients that write a track, its vector, and read it back.
pub(super) struct TrackWriters {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl TrackWriters {
    pub(super) fn start(count: usize, name: &str, nodes: &[Node]) -> Self {
        let shared = Arc::new(Shared::default());
        let writers = Self {
            threads: (0..count)
                .map(|number| {
                    let (shared, name) = (Arc::clone(&shared), format!("{name}{number}"));
                    thread::spawn(move || write(&shared, number, &name))
                })
                .collect(),
            shared,
        };
        writers.go_to(nodes);
        writers
    }

    pub(super) fn go_to(&self, nodes: &[Node]) {
        self.shared.targets.go_to(nodes);
    }

    pub(super) fn count(&self) -> usize {
        self.shared.done.lock().len()
    }

    pub(super) fn stop(self) -> (Vec<TrackId>, Vec<String>) {
        self.shared.targets.stop();
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        (self.shared.done.lock().clone(), self.shared.refused.lock().clone())
    }
}

fn write_one(client: &Client, name: &str) -> segue::Result<()> {
    client.upsert_tracks(vec![track_named(name)])?;
    let row = VectorRow { id: name.to_owned(), vector: audio_vector(5, 1) };
    client.upsert_vectors(&space("audio"), GenerationId::STATIC, vec![row])?;
    client.track(&id(name)).map(drop)
}

fn write(shared: &Shared, number: usize, name: &str) {
    for count in 0.. {
        let Some(at) = shared.targets.at(number + count) else { return };
        let name = format!("{name}-{count}");
        match Client::connect(&at).and_then(|client| write_one(&client, &name)) {
            Ok(()) => shared.done.lock().push(id(name)),
            Err(error) => {
                shared.refused.lock().push(error.to_string());
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Every track a node lists, each once.
#[track_caller]
pub(super) fn listed(client: &Client) -> BTreeSet<TrackId> {
    let (mut all, mut page) = (BTreeSet::new(), None);
    loop {
        let (tracks, next) = client.list_tracks(page, 500).unwrap();
        for track in tracks {
            assert!(all.insert(track.track_id.clone()), "{} is there twice", track.track_id);
        }
        page = next;
        if page.is_none() {
            return all;
        }
    }
}

/// Every node has what was acknowledged, with its vector.
#[track_caller]
pub(super) fn all_are_known(nodes: &[Node], written: &[TrackId]) {
    for node in nodes {
        let client = node.client();
        let known = listed(&client);
        for track in written {
            assert!(known.contains(track), "{track} was acknowledged");
        }
        for track in written.iter().step_by(5) {
            let vector = client.vector(&space("audio"), None, track.as_str()).unwrap();
            assert_eq!(vector, audio_vector(5, 1), "{track}");
        }
    }
}

#[test]
fn a_track_shard_is_split_while_clients_write_at_every_node() {
    let (nodes, world) = three();
    let clients: Vec<Client> = nodes.iter().map(Node::client).collect();
    settled_groups(&clients[0], 3, GROUPS);
    let before: BTreeSet<TrackId> = world.tracks.iter().map(|track| track.track_id.clone()).collect();
    assert_eq!(listed(&clients[1]), before);
    let (_, said) = command(&nodes[1], &["split-shard", "tracks-0", "--dry-run"]);
    assert!(said.contains("nothing was done") && said.contains("tracks-1 gets 2048 to 4095"), "{said}");
    let writers = TrackWriters::start(4, "s", &nodes);
    until("writers are at work", || (writers.count() > 20).then_some(()));
    let (is_done, said) = command(&nodes[2], &["split-shard", "tracks-0", "--wait"]);
    assert!(is_done && said.starts_with("done:"), "{said}");
    let count = writers.count();
    until("writers go on", || (writers.count() > count + 40).then_some(()));
    let (written, refused) = writers.stop();
    assert_eq!(refused, Vec::<String>::new());
    let moved = written.iter().filter(|track| slot_of(track.as_str()).0 >= 2_048).count();
    eprintln!("{} written, {moved} of them to the new shard", written.len());
    assert!(moved > 10);
    all_are_known(&nodes, &written);
    let mut expected = before;
    expected.extend(written);
    for client in &clients {
        assert_eq!(listed(client), expected);
    }
    settled_groups(&clients[0], 3, GROUPS + 1);
    replicas_of_groups_are_equal(&nodes[0], 3, GROUPS + 1);
    // What was split off is split again.
    done(&clients[0], "tracks-1", 3_000);
    for client in &clients {
        assert_eq!(listed(client), expected);
    }
    settled_groups(&clients[2], 3, GROUPS + 2);
    replicas_of_groups_are_equal(&nodes[2], 3, GROUPS + 2);
}

#[test]
fn the_node_that_splits_a_track_shard_is_killed_and_others_go_on() {
    let (mut nodes, world) = three();
    settled_groups(&nodes[0].client(), 3, GROUPS);
    let before: BTreeSet<TrackId> = world.tracks.iter().map(|track| track.track_id.clone()).collect();
    let mut group = "tracks-0".to_owned();
    let (mut at, mut shards) = (1_024_u16, GROUPS);
    let mut all = before;
    // Each time a little later into the split.
    for pause in [0, 60, 150, 400] {
        let writers = TrackWriters::start(4, &format!("k{pause}-"), &nodes);
        until("writers are at work", || (writers.count() > 20).then_some(()));
        let victim = leader(&nodes, &group);
        let other = (victim + 1) % nodes.len();
        nodes[other].client().split_shard(request(&group, Some(at))).unwrap();
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
        all.extend(written);
        assert!(listed(&nodes[victim].client()).is_superset(&all));
        replicas_of_groups_are_equal(&nodes[other], 3, shards);
        group = format!("tracks-{}", shards - GROUPS);
        at += 300;
    }
}
