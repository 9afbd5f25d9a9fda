//! Three nodes of an older program become nodes of this one, one after another, while clients read and write at all of them.
//!
//! Needs the older program: `SEGUE_OLD_BINARY=/path/to/segue cargo test --test it upgraded`; docs/TESTING.md says how to build it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use parking_lot::Mutex;
use segue::types::{Action, ArtistId, FeedbackEvent, User, UserId};

use super::rolling::{Did, Patient};
use super::servers::{Node, address, endpoints, replicas_are_equal, request, settled, until};
use super::writers::all_are_known;
use crate::running::{Running, document_of, program, program_at, serve_with};
use crate::support::id;

/// Listeners that are asked about.
const LISTENERS: u32 = 40;

/// Starts a node with a program.
fn launch(node: &mut Node, program: &Path, flags: &[&str]) {
    let settings =
        ["storage.seal_rows=1000", "cluster.listen=127.0.0.1:0", "limits.request_timeout_ms=20000"];
    node.running = Some(Running::of(serve_with(program_at(program), node.dir.path(), &settings, flags)));
    node.running().until_ready();
}

/// Three nodes of the older program with a catalogue of their own.
fn old_nodes(old: &Path) -> Vec<Node> {
    let made = tempfile::tempdir().unwrap();
    let folder = made.path().display().to_string();
    let sizes = ["--tracks", "3000", "--listeners", "60", "--vectors", "--audio-dim", "32", "--cf-dim", "32"];
    document_of(program(), &[&["generate", "--out", &folder, "--seed", "5", "--json"][..], &sizes].concat());
    let mut nodes: Vec<Node> = (0..3).map(|_| Node::new()).collect();
    launch(&mut nodes[0], old, &["--cluster-init", "--user-shards", "2"]);
    let seed = address(&nodes[0]);
    nodes[1..].iter_mut().for_each(|node| launch(node, old, &["--join", &seed]));
    let endpoint = nodes[0].running().endpoint.clone();
    for (kind, space) in [("tracks", None), ("users", None), ("plays", None), ("vectors", Some("audio"))] {
        let file = space.map_or_else(|| format!("{kind}.parquet"), |space| format!("track_{space}.parquet"));
        let file = made.path().join(file).display().to_string();
        let mut arguments = vec!["load", kind, &file, "--endpoint", &endpoint, "--json"];
        arguments.extend(space.into_iter().flat_map(|space| ["--space", space]));
        document_of(program_at(old), &arguments);
    }
    settled(&nodes[2].client(), 3);
    nodes
}

/// What a client did, and the events that were acknowledged to it.
type Written = (Did, Vec<FeedbackEvent>);

fn event(user: &UserId, number: usize, count: usize) -> FeedbackEvent {
    FeedbackEvent {
        artist_id: Some(id::<ArtistId>(format!("artist{count}"))),
        event_id: Some(id(format!("upgrade{number}-{count}"))),
        at: Some(crate::support::AS_OF),
        ..FeedbackEvent::new(user.clone(), Action::FollowArtist)
    }
}

fn run(mut patient: Patient, number: usize, users: &[UserId], stop: &AtomicBool) -> Written {
    let mut events = Vec::new();
    for count in 0.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        if count % 8 == 0 {
            patient.move_on();
        }
        let user = &users[(number * 7 + count) % users.len()];
        match count % 3 {
            0 => {
                let new: UserId = id(format!("upgrade{number}-{count}"));
                if patient.ask(|client| client.upsert_users(vec![User::unknown(new.clone())])).is_some() {
                    patient.did.written.push(new);
                }
            }
            1 => {
                let event = event(user, number, count);
                if patient.ask(|client| client.feedback(vec![event.clone()])).is_some() {
                    events.push(event);
                }
            }
            _ => {
                let list = patient.ask(|client| client.recommend(request(user)));
                patient.did.lists += usize::from(list.is_some_and(|list| !list.tracks.is_empty()));
            }
        }
    }
    (patient.did, events)
}

#[test]
fn nodes_of_an_older_program_are_upgraded_one_after_another_under_load() {
    let Some(old) = std::env::var_os("SEGUE_OLD_BINARY").map(PathBuf::from) else {
        eprintln!("SKIPPED upgrade: SEGUE_OLD_BINARY names no older program (docs/TESTING.md)");
        return;
    };
    let mut nodes = old_nodes(&old);
    let client = nodes[0].client();
    let (listed, _) = client.list_users(None, LISTENERS).unwrap();
    let users: Arc<[UserId]> = listed.into_iter().map(|user| user.user_id).collect();
    assert_eq!(users.len(), LISTENERS as usize);
    let (known, stop) = (Arc::new(Mutex::new(endpoints(&nodes))), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..3)
        .map(|number| {
            let patient = Patient::new(known.clone(), number);
            let (users, stop) = (users.clone(), stop.clone());
            thread::spawn(move || run(patient, number, &users, &stop))
        })
        .collect();
    let new = Path::new(env!("CARGO_BIN_EXE_segue"));
    for at in 0..3 {
        let running = nodes[at].running.take().unwrap();
        running.terminate();
        assert!(running.wait().0.success(), "the older program stops in order");
        launch(&mut nodes[at], new, &[]);
        *known.lock() = endpoints(&nodes);
        settled(&nodes[at].client(), 3);
        // Every node, of either program, answers for listeners and takes writes now.
        for node in &nodes {
            let client = node.client();
            for user in &users[..4] {
                let list = until("a list", || client.recommend(request(user)).ok());
                assert!(!list.tracks.is_empty(), "step {at}: {user}");
            }
            let written: UserId = id(format!("step{at}-{}", node.running().pid()));
            until("a write", || client.upsert_users(vec![User::unknown(written.clone())]).ok());
        }
    }
    stop.store(true, Ordering::Release);
    let all: Vec<Written> = clients.into_iter().map(|thread| thread.join().unwrap()).collect();
    let written: Vec<UserId> = all.iter().flat_map(|(did, _)| did.written.clone()).collect();
    let events: Vec<FeedbackEvent> = all.iter().flat_map(|(_, events)| events.clone()).collect();
    let did = |of: fn(&Did) -> usize| all.iter().map(|(did, _)| of(did)).sum::<usize>();
    let slowest = all.iter().map(|(did, _)| did.slowest).max().unwrap_or_default();
    eprintln!(
        "3 upgrades: {} listeners and {} events written, {} lists, {} tried again, the slowest took {} ms",
        written.len(),
        events.len(),
        did(|did| did.lists),
        did(|did| did.tries),
        slowest.as_millis()
    );
    let failed: Vec<&String> = all.iter().flat_map(|(did, _)| &did.failed).collect();
    assert_eq!(failed, Vec::<&String>::new());
    assert!(written.len() > 10 && events.len() > 10 && did(|did| did.lists) > 10);
    all_are_known(&nodes, &written);
    // What was recorded is recorded: sent again it is not new.
    for node in &nodes {
        let client = node.client();
        for some in events.chunks(100) {
            let (accepted, _) = client.feedback(some.to_vec()).unwrap();
            assert!(accepted.iter().all(|new| !new), "an acknowledged event was lost");
        }
    }
    settled(&nodes[2].client(), 3);
    replicas_are_equal(&nodes[2], 3);
}
