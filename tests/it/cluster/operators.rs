//! What servers refuse of operators' commands, whoever sends them; what is forced is in the log.

use std::thread;
use std::time::Duration;

use segue::node::{ClusterReport, NodeState};
use segue::types::User;
use segue::{Error, ErrorKind};

use super::servers::{Node, leader, node_of, settled, three, until};
use crate::running::run;
use crate::support::id;

/// What a change would show of itself: the map's epoch, what is wanted of the nodes, and who leads.
fn state(report: &ClusterReport) -> (u64, Vec<NodeState>, Vec<(String, String)>) {
    let leads = report.replicas.iter().filter(|replica| replica.role == "leader");
    (
        report.epoch,
        report.nodes.iter().map(|node| node.state).collect(),
        leads.map(|replica| (replica.group.clone(), replica.node.clone())).collect(),
    )
}

#[test]
fn a_server_refuses_what_would_stop_groups_and_logs_what_is_forced() {
    let (mut nodes, _) = three();
    let client = nodes[0].client();
    let endpoint = nodes[0].running().endpoint.clone();
    let report = settled(&client, 3);
    let names: Vec<String> = nodes.iter().map(|node| node_of(&report, node)).collect();

    // Dry runs change nothing.
    let before = state(&report);
    let other = names[(leader(&nodes, "users-0") + 1) % 3].as_str();
    let dry_runs = [
        vec!["remove-node", &names[1]],
        vec!["drain", &names[1]],
        vec!["resume", &names[1]],
        vec!["transfer-leader", "users-0", "--to", other],
    ];
    for command in dry_runs {
        let arguments = [&["cluster"], &command[..], &["--dry-run", "--endpoint", &endpoint]].concat();
        let output = run(&arguments);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("nothing was done"), "{command:?}: {said}");
    }
    thread::sleep(Duration::from_millis(500));
    assert_eq!(state(&client.cluster_status().unwrap()), before);

    // With one node down, no other can be spared; whoever asks, the server says so.
    nodes[2].kill();
    until("it is missed", || {
        let report = client.cluster_status().ok()?;
        let silent = report.nodes.iter().filter(|node| !node.problem.is_empty()).count();
        let leads = report.replicas.iter().filter(|replica| replica.role == "leader").count();
        (silent == 1 && leads == 5).then_some(())
    });
    let epoch = client.cluster_status().unwrap().epoch;
    for wanted in [NodeState::Removed, NodeState::Draining] {
        for at in [0, 1] {
            let error = nodes[at].client().set_node_state(&names[1], wanted, false).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
            let Error::Endangers { node, dangers } = &error else { panic!("{error:?}") };
            assert_eq!(node, &names[1]);
            assert_eq!(dangers.matches("only 1 of 3 voters would answer").count(), 5, "{dangers}");
            assert!(error.to_string().contains("start the nodes that do not answer"), "{error}");
        }
    }
    let report = client.cluster_status().unwrap();
    assert_eq!((report.epoch, report.nodes[1].state), (epoch, NodeState::Serving));
    // The one that is down may go: the others are a majority without it.
    let plan = client.plan_node_state(&names[2], NodeState::Removed).unwrap();
    assert_eq!(plan.dangers, Vec::<String>::new());

    // By force it is done, and the log of the server that was asked says what and to whom.
    let forced = client.set_node_state(&names[1], NodeState::Draining, true).unwrap();
    assert_eq!(forced.dangers.len(), 5, "{forced:?}");
    let drained = client.cluster_status().unwrap();
    assert!(drained.nodes.iter().any(|it| it.node == names[1] && it.state == NodeState::Draining));
    let removal = run(&["cluster", "remove-node", &names[1], "--force-unsafe", "--endpoint", &endpoint]);
    assert!(removal.status.success(), "{}", String::from_utf8_lossy(&removal.stderr));
    assert_eq!(client.cluster_status().unwrap().nodes.len(), 2);
    let running = nodes[0].running.take().unwrap();
    running.terminate();
    let (_, log) = running.wait();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("an operator forced a change")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    for line in lines {
        for part in ["WARN", names[1].as_str(), "\"forced\":true", "users-0 would stop", "map would stop"] {
            assert!(line.contains(part), "no {part}: {line}");
        }
    }
}

/// Each of the two nodes can be spared, but not both: without a judge of both requests the third would be one of three voters.
#[test]
fn two_operators_at_the_same_time_do_not_stop_a_cluster_together() {
    let (nodes, _) = three();
    let report = settled(&nodes[0].client(), 3);
    let names: Vec<String> = nodes.iter().map(|node| node_of(&report, node)).collect();
    let outcomes: Vec<_> = thread::scope(|scope| {
        let remove = |at: usize| {
            let (client, name) = (nodes[at - 1].client(), &names[at]);
            scope.spawn(move || client.set_node_state(name, NodeState::Removed, false).map(drop))
        };
        [remove(1), remove(2)].into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(outcomes.iter().any(Result::is_ok), "one can be spared: {outcomes:?}");
    // Wherever the votes are now, they are with nodes that serve.
    nodes[0].client().upsert_users(vec![User::unknown(id("after-both"))]).unwrap();
    let served = settled_of_the_rest(&nodes[0]);
    assert!(served.nodes.len() + outcomes.iter().filter(|outcome| outcome.is_ok()).count() == 3);
}

/// The status once every group has a leader again.
fn settled_of_the_rest(node: &Node) -> ClusterReport {
    until("every group is led", || {
        let report = node.client().cluster_status().ok()?;
        let led = report.replicas.iter().filter(|replica| replica.role == "leader").count();
        (led == 5).then_some(report)
    })
}
