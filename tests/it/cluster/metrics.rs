//! What `/metrics` tells is what docs/OPERATIONS.md says it tells, and it moves.

use std::collections::BTreeSet;

use segue::node::NodeState;

use super::servers::{Node, address, leader, node_of, settled, three, until};

const DOCUMENT: &str = include_str!("../../../docs/OPERATIONS.md");

/// The names in a part of the document: those of every scrape, and those that come once there is something to tell.
fn documented() -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
    let (_, section) = DOCUMENT.split_once("\n## Metrics\n").expect("there is the section");
    let (always, rest) = section.split_once("\n### Once there is something to tell\n").expect("and this");
    let (later, _) = rest.split_once("\n### Alerts\n").expect("and that");
    (names(always), names(later))
}

fn names(text: &'static str) -> BTreeSet<&'static str> {
    let is_part = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    let words = text.split(|letter| !is_part(letter));
    words.filter(|word| word.starts_with("segue_")).collect()
}

/// The names of a scrape; those of a histogram's lines are the histogram's.
fn told(scrape: &str) -> BTreeSet<String> {
    let lines = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    lines.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// The sum of all values of a name whose labels hold `label`.
fn sum(scrape: &str, name: &str, label: &str) -> f64 {
    let values = scrape.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let is_it = rest.starts_with(['{', ' ']) && rest.contains(label);
        is_it.then(|| rest.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
    });
    values.sum()
}

fn scrapes(nodes: &[Node]) -> Vec<String> {
    nodes.iter().filter_map(|node| node.running.as_ref()).map(|running| running.get("/metrics")).collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_one_is_told() {
    let (mut nodes, _) = three();
    let (always, later) = documented();
    assert!(always.len() >= 60 && later.len() >= 10, "{} and {}", always.len(), later.len());
    // Of members only leaders tell, and not every node leads.
    let told: BTreeSet<String> = scrapes(&nodes).iter().flat_map(|scrape| told(scrape)).collect();
    let missing: Vec<_> = always.iter().filter(|name| !told.contains(**name)).collect();
    assert!(missing.is_empty(), "documented and not told: {missing:?}");
    let known = |name: &String| always.contains(name.as_str()) || later.contains(name.as_str());
    let unknown: Vec<_> = told.iter().filter(|name| name.starts_with("segue_") && !known(name)).collect();
    assert!(unknown.is_empty(), "told and not documented: {unknown:?}");
    let (_, alerts) = DOCUMENT.split_once("\n### Alerts\n").unwrap();
    let alerts = names(alerts);
    assert!(alerts.len() >= 15, "{alerts:?}");
    let unknown: Vec<_> = alerts.iter().filter(|it| !always.contains(*it) && !later.contains(*it)).collect();
    assert!(unknown.is_empty(), "alerts on nothing: {unknown:?}");

    let all = |nodes: &[Node], name: &str, label: &str| -> f64 {
        scrapes(nodes).iter().map(|scrape| sum(scrape, name, label)).sum()
    };
    assert_eq!(all(&nodes, "segue_group_missing_voters", ""), 0.0);
    for phase in ["step", "ready", "write", "apply", "map_change"] {
        let label = format!("phase=\"{phase}\"");
        assert!(all(&nodes, "segue_raft_phase_runs_total", &label) > 2.0, "{phase}");
        assert!(all(&nodes, "segue_raft_phase_microseconds_total", &label) > 100.0, "{phase}");
    }
    let (rounds, reads) = ("segue_group_read_rounds_total", "segue_group_read_round_reads_total");
    assert!(all(&nodes, rounds, "") > 0.0 && all(&nodes, reads, "") >= all(&nodes, rounds, ""));
    assert!(all(&nodes, "segue_log_segments", "") >= 3.0);

    // A leader that is killed is missed: by name, by the voters that are missing, and by who leads now.
    let killed = leader(&nodes, "users-0");
    let report = settled(&nodes[killed].client(), 3);
    let name = node_of(&report, &nodes[killed]);
    let others: Vec<usize> = (0..3).filter(|at| *at != killed).collect();
    let changes = |nodes: &[Node]| all(nodes, "segue_group_leader_changes_total", "group=\"users-0\"");
    let own = sum(
        &nodes[killed].running().get("/metrics"),
        "segue_group_leader_changes_total",
        "group=\"users-0\"",
    );
    let before = changes(&nodes) - own;
    nodes[killed].kill();
    until("another one leads, and both others know", || (changes(&nodes) >= before + 2.0).then_some(()));
    let member = format!("member=\"{name}\"");
    until("the dead node is missed in every group", || {
        let silent = all(&nodes, "segue_group_member_silent_seconds", &member);
        let missing = all(&nodes, "segue_group_missing_voters", "");
        let reports = all(&nodes, "segue_raft_unreachable_reports_total", "");
        (silent > 5.0 && missing == 5.0 && reports > 0.0).then_some(())
    });

    // A node with an empty disk takes its place: what it needs is sent as snapshots.
    let client = nodes[others[0]].client();
    client.set_node_state(&name, NodeState::Removed, false).unwrap();
    let mut joiner = Node::new();
    joiner.launch(&["--join", &address(&nodes[others[0]])]);
    joiner.running().until_ready();
    settled(&client, 3);
    let there = joiner.running().get("/metrics");
    let received = sum(&there, "segue_group_snapshots_received_total", "");
    assert!(received >= 5.0, "one of each group: {received}");
    until("their senders know that they arrived", || {
        let sent = all(&nodes, "segue_group_snapshots_sent_total", "");
        (sent >= 5.0 && all(&nodes, "segue_group_snapshots_made_total", "") >= 5.0).then_some(())
    });
    let bytes = sum(&there, "segue_snapshot_received_bytes_total", "");
    assert!(bytes > 10_000.0 && all(&nodes, "segue_snapshot_sent_bytes_total", "") >= bytes, "{bytes}");
    until("nothing is missing", || (all(&nodes, "segue_group_missing_voters", "") == 0.0).then_some(()));
}
