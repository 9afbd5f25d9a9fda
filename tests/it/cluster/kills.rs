//! Leaders and followers are killed with -9, again and again, while others write.

use std::thread;
use std::time::{Duration, Instant};

use segue::types::{Action, FeedbackEvent, UserId};

use super::servers::{
    Node, address, leader, node_of, number, replicas_are_equal, request, settled, three, tracks, until,
};
use super::writers::{Writers, all_are_known};
use crate::running::run;

/// Writers beside each kill.
const WRITERS: usize = 4;

/// A percentile of durations in milliseconds.
fn percentile(times: &mut [u128], percent: usize) -> u128 {
    times.sort_unstable();
    times[(times.len() * percent).div_ceil(100).max(1) - 1]
}

#[test]
fn nodes_are_killed_under_load_and_nothing_acknowledged_is_lost() {
    let (mut nodes, world) = three();
    let by_id = world.by_id();
    let writers = Writers::start(WRITERS, "k");
    let (mut pauses, mut blocked) = (Vec::new(), Vec::new());
    let rounds = usize::try_from(number("SEGUE_CLUSTER_KILLS", 3)).unwrap();
    for round in 0..rounds {
        // Of three kills, one is of a follower.
        let group = ["users-0", "tracks-0", "users-0"][round % 3];
        let first = leader(&nodes, group);
        let victim = if round % 3 == 2 { (first + 1) % 3 } else { first };
        let others: Vec<usize> = (0..3).filter(|at| *at != victim).collect();
        writers.go_to(others.iter().map(|at| &nodes[*at]));
        let before = writers.count();
        until("writers are at work", || (writers.count() > before + 5).then_some(()));
        // A rule that is acknowledged just before the kill holds from then on.
        let listener = &world.users[round % world.users.len()].user_id;
        let list = tracks(&nodes[victim].client().recommend(request(listener)).unwrap());
        if let Some(track) = list.first() {
            let artist = by_id[track].artists[0].id.clone();
            let event = FeedbackEvent {
                artist_id: Some(artist.clone()),
                ..FeedbackEvent::new(listener.clone(), Action::BlockArtist)
            };
            nodes[victim].client().feedback(vec![event]).unwrap();
            blocked.push((listener.clone(), artist));
        }
        nodes[victim].kill();
        let killed = Instant::now();
        let again = until("writes go on", || writers.first_after(killed));
        if victim == first {
            pauses.push(again.duration_since(killed).as_millis());
        }
        for (listener, artist) in &blocked {
            let shown = tracks(&nodes[others[round % 2]].client().recommend(request(listener)).unwrap());
            let wrong = shown.iter().find(|track| by_id[*track].artists.iter().any(|it| it.id == *artist));
            assert_eq!(wrong, None, "round {round}: {artist} was blocked by {listener}");
        }
        nodes[victim].launch(&[]);
        nodes[victim].running().until_ready();
        settled(&nodes[victim].client(), 3);
    }
    let (written, refused) = writers.stop();
    let (median, worst) = (percentile(&mut pauses, 50), percentile(&mut pauses, 99));
    eprintln!(
        "{rounds} kills, {} of them of leaders: first write after {median} ms (p50), {worst} ms (p99); {} writes acknowledged, {} refused; \
         {pauses:?}",
        pauses.len(),
        written.len(),
        refused.len()
    );
    assert!(written.len() > 10 * rounds, "too few writes went through: {}", written.len());
    assert!(worst < 15_000, "{pauses:?}");
    all_are_known(&nodes, &written);
    replicas_are_equal(&nodes[0], 3);
    // The same request, the same state, the same list: on every node.
    let listener: &UserId = &world.users[1].user_id;
    let lists: Vec<_> =
        nodes.iter().map(|node| tracks(&node.client().recommend(request(listener)).unwrap())).collect();
    assert!(!lists[0].is_empty());
    assert!(lists.iter().all(|list| *list == lists[0]), "{lists:?}");
}

#[test]
fn nodes_are_restarted_in_turn_while_others_write() {
    let (mut nodes, _) = three();
    let writers = Writers::start(2, "r");
    for at in 0..3 {
        let others: Vec<usize> = (0..3).filter(|other| *other != at).collect();
        writers.go_to(others.iter().map(|other| &nodes[*other]));
        let endpoint = nodes[others[0]].running().endpoint.clone();
        let name = node_of(&nodes[others[0]].client().cluster_status().unwrap(), &nodes[at]);
        assert!(run(&["cluster", "drain", &name, "--endpoint", &endpoint]).status.success());
        until("it leads nothing", || {
            let report = nodes[others[0]].client().cluster_status().ok()?;
            (!report.replicas.iter().any(|it| it.node == name && it.role == "leader")).then_some(())
        });
        let running = nodes[at].running.take().unwrap();
        running.terminate();
        assert!(running.wait().0.success());
        nodes[at].launch(&[]);
        nodes[at].running().until_ready();
        let before = writers.count();
        assert!(run(&["cluster", "resume", &name, "--endpoint", &endpoint]).status.success());
        settled(&nodes[at].client(), 3);
        until("writers are at work", || (writers.count() > before + 5).then_some(()));
    }
    let (written, refused) = writers.stop();
    assert!(written.len() > 50, "too few writes went through: {}", written.len());
    assert_eq!(refused, Vec::<String>::new(), "a drained node takes nothing down with it");
    all_are_known(&nodes, &written);
    replicas_are_equal(&nodes[1], 3);
}

#[test]
fn a_node_whose_disk_is_gone_is_replaced_while_others_write() {
    let (mut nodes, _) = three();
    let writers = Writers::start(2, "d");
    let lost = node_of(&nodes[0].client().cluster_status().unwrap(), &nodes[2]);
    writers.go_to(&nodes[..2]);
    nodes[2].kill();
    nodes[2] = Node::new();
    let seed = address(&nodes[0]);
    // It begins with a snapshot: the log does not reach back to the first entry.
    nodes[2].launch(&["--join", &seed]);
    nodes[2].running().until_ready();
    let endpoint = nodes[0].running().endpoint.clone();
    let removed = run(&["cluster", "remove-node", &lost, "--endpoint", &endpoint]);
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    settled(&nodes[2].client(), 3);
    thread::sleep(Duration::from_millis(300));
    let (written, _) = writers.stop();
    assert!(written.len() > 20, "too few writes went through: {}", written.len());
    settled(&nodes[2].client(), 3);
    all_are_known(&nodes, &written);
    replicas_are_equal(&nodes[2], 3);
}
