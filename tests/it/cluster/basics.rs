//! A database becomes a cluster of three: what it shows, what its commands refuse, and what every node obeys.

use segue::api::Client;
use segue::node::NodeState;
use segue::types::{Action, ArtistId, FeedbackEvent, Timestamp};
use segue::{ErrorKind, Segue};

use super::servers::{Node, leader, node_of, replicas_are_equal, request, three, tracks, until};
use crate::running::{document, run};
use crate::support::{AS_OF, id, small_segments};

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
fn a_late_unblock_undoes_no_newer_block_whichever_nodes_they_reach() {
    let (nodes, world) = three();
    let clients: Vec<Client> = nodes.iter().map(Node::client).collect();
    let user = &world.users[0].user_id;
    let mut count = 0;
    // Whether a block holds that one node takes before an earlier unblock reaches the next.
    let mut holds = |at: usize| {
        count += 1;
        let artist: ArtistId = id(format!("late-{count}"));
        let says = |action, minutes_ago: i64| FeedbackEvent {
            artist_id: Some(artist.clone()),
            at: Some(Timestamp(AS_OF.0 - 60_000 * minutes_ago)),
            ..FeedbackEvent::new(user.clone(), action)
        };
        clients[at % 3].feedback(vec![says(Action::BlockArtist, 1)]).unwrap();
        clients[(at + 1) % 3].feedback(vec![says(Action::UnblockArtist, 2)]).unwrap();
        clients[(at + 2) % 3].user(user).unwrap().blocked_artists.contains(&artist)
    };
    // Nodes ask each other whether they are of one program, soon after their start.
    for at in 0..3 {
        until("the next node knows that all read such entries", || holds(at).then_some(()));
    }
    for at in 0..12 {
        assert!(holds(at), "node {at} and the next");
    }
    replicas_are_equal(&nodes[0], 3);
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

    // Every node tells about its replicas; what only leaders know adds up over the nodes.
    let metrics: Vec<String> = nodes.iter().map(|node| node.running().get("/metrics")).collect();
    for group in ["meta", "map", "tracks-0", "users-0", "users-1"] {
        let sum = |name: &str| -> f64 {
            let start = format!("segue_group_{name}{{group=\"{group}\"}} ");
            let value = |text: &String| {
                let line = text.lines().find_map(|line| line.strip_prefix(&start));
                line.unwrap_or_else(|| panic!("no {start}")).parse::<f64>().unwrap()
            };
            metrics.iter().map(value).sum()
        };
        let sums = [sum("leads"), sum("has_leader"), sum("voters"), sum("silent_voters"), sum("failed")];
        assert_eq!(sums, [1.0, 3.0, 3.0, 0.0, 0.0], "{group}");
        assert!(sum("applied_index") > 15.0, "{group}");
    }
    assert!(metrics[0].contains("segue_log_write_quantile_seconds{quantile=\"0.99\"}"), "{}", metrics[0]);

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
