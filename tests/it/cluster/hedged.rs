//! A node that holds a shard stands still: whoever asks it for a listener asks another one beside it after a moment.

use std::time::{Duration, Instant};

use segue::types::{UserId, shard_of_slot, slot_of};

use super::placed::{SHARDS, command, names, placed, start};
use super::servers::{Node, request, same_everywhere, tracks, until};

/// A list took 2 s and more beside a holder that hangs; the longest delay is half a second, and a list may need two.
const LIST_MAX: Duration = Duration::from_millis(1_800);
/// Lists and look-ups to know holders by.
const KNOWN: usize = 30;

/// A counter of a node's `/metrics`, all labels with this text summed.
fn counted(node: &Node, name: &str, label: &str) -> u64 {
    let text = node.running().get("/metrics");
    let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}

/// Takes everything from a node that it leads, so that its silence stops no group.
fn lead_nothing(nodes: &[Node], asked: usize, name: &str) {
    let client = nodes[asked].client();
    until("it leads nothing", || {
        let report = client.cluster_status().ok()?;
        let led: Vec<_> =
            report.replicas.iter().filter(|it| it.node == name && it.role == "leader").collect();
        for replica in &led {
            let heir = report
                .replicas
                .iter()
                .find(|it| it.group == replica.group && it.votes && it.node != name && it.lag == Some(0));
            if let Some(heir) = heir {
                // Refused while a change is under way; it is tried again.
                let arguments = ["cluster", "transfer-leader", &replica.group, "--to", &heir.node];
                let endpoint = ["--endpoint", &nodes[asked].running().endpoint];
                crate::running::run(&[&arguments[..], &endpoint[..]].concat());
            }
        }
        led.is_empty().then_some(())
    });
}

#[test]
fn a_holder_that_hangs_costs_a_moment() {
    let (nodes, world, _) = start(4, &[]);
    command(&nodes[0], &["rebalance"]);
    let holders = placed(&nodes[0].client());
    let names = names(&nodes[0].client().cluster_status().unwrap(), &nodes);
    let asker = names.iter().position(|name| !holders["users-2"].contains(name)).unwrap();
    let client = nodes[asker].client();
    let in_shard = |user: &&UserId| shard_of_slot(slot_of(user.as_str()), SHARDS) == 2;
    let users: Vec<UserId> = world.users.iter().map(|user| &user.user_id).filter(in_shard).cloned().collect();
    assert!(users.len() > 3, "{}", users.len());
    for user in users.iter().cycle().take(KNOWN) {
        client.recommend(request(user)).unwrap();
        client.user(user).unwrap();
    }
    let expected: Vec<_> =
        users.iter().map(|user| tracks(&client.recommend(request(user)).unwrap())).collect();
    // Which holder is asked first is not said: of the three, one is.
    let mut worst = Duration::ZERO;
    let mut found = false;
    for victim in holders["users-2"].iter().map(|name| names.iter().position(|it| it == name).unwrap()) {
        lead_nothing(&nodes, asker, &names[victim]);
        let before = counted(&nodes[asker], "segue_far_hedges_total", "outcome=\"won\"");
        nodes[victim].running().signal("-STOP");
        for (user, expected) in users.iter().zip(&expected) {
            let begun = Instant::now();
            assert_eq!(tracks(&client.recommend(request(user)).unwrap()), *expected);
            worst = worst.max(begun.elapsed());
            let begun = Instant::now();
            client.user(user).unwrap();
            worst = worst.max(begun.elapsed());
        }
        nodes[victim].running().signal("-CONT");
        found = counted(&nodes[asker], "segue_far_hedges_total", "outcome=\"won\"") > before;
        if found {
            break;
        }
        until("it is back", || nodes[victim].client().user(&users[0]).ok());
    }
    eprintln!("beside a holder that hangs, the slowest of {} took {} ms", users.len() * 2, worst.as_millis());
    assert!(found, "no second holder was first although each was stopped");
    assert!(worst < LIST_MAX, "{worst:?}");
    let (asked, reads) = (
        counted(&nodes[asker], "segue_far_hedges_total", "outcome=\"asked\""),
        counted(&nodes[asker], "segue_far_reads_total", ""),
    );
    assert!(asked <= 32 + reads / 10, "{asked} of {reads} asked a second holder");
    placed(&client);
    same_everywhere(&nodes[asker]);
}
