//! `segue cluster add-node`: what to run on the new machine, and how far the node that was started there is.
//!
//! A node comes by itself: `segue serve --join` asks for its place in the cluster, and nobody has to let it in. This command
//! says with which flags, refuses what cannot work, and waits until the node has everything it should.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use super::cluster::moving;
use super::output::{bytes, print, print_json};
use crate::api::Client;
use crate::error::{Error, Result};
use crate::node::{ClusterReport, NodeReport, NodeState};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Looks after which a node that is up to date gets no further replicas by itself.
const QUIET_LOOKS: u32 = 3;
/// Groups that every node has.
const EVERYWHERE: [&str; 2] = ["map", "meta"];

/// Of `add-node`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct AddNodeArgs {
    /// How the others will reach the cluster port of the new node
    #[arg(value_name = "HOST:PORT")]
    address: String,
    /// How long to wait for it, and then for each step of it
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
    /// Say what to run and what that means, and do not wait
    #[arg(long)]
    dry_run: bool,
}

impl AddNodeArgs {
    pub(super) fn run(self, client: &Client, json: bool) -> Result<()> {
        check_address(&self.address)?;
        let report = client.cluster_status()?;
        let plan = plan(&report, &self.address)?;
        if self.dry_run {
            if json {
                return print_json(&json!({ "dry_run": true, "consequences": plan }));
            }
            return print(&format!("would do (nothing was done):\n{}", lines(&plan)));
        }
        if !json {
            print(&lines(&plan))?;
        }
        let node = wait(client, &self.address, Duration::from_secs(self.timeout), |line| {
            if json { Ok(()) } else { print(&format!("{line}\n")) }
        })?;
        let said = format!("{} serves: it holds {}", node.0, node.1.join(", "));
        if json {
            return print_json(&json!({ "dry_run": false, "node": node.0, "groups": node.1 }));
        }
        print(&format!("{said}\n"))
    }
}

fn lines(plan: &[String]) -> String {
    plan.iter().map(|line| format!("  {line}\n")).collect()
}

fn check_address(address: &str) -> Result<()> {
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    match port.and_then(|port| port.parse::<u16>().ok()) {
        Some(1..) => Ok(()),
        _ => Err(Error::invalid("address", format!("must be HOST:PORT. address=`{address}`"))),
    }
}

fn at<'a>(report: &'a ClusterReport, address: &str) -> Option<&'a NodeReport> {
    report.nodes.iter().find(|node| node.address == address)
}

/// What to run, and what that means.
///
/// # Errors
/// `Unavailable` while nobody can be let in.
fn plan(report: &ClusterReport, address: &str) -> Result<Vec<String>> {
    if let Some(node) = at(report, address) {
        return Ok(vec![format!("{} is at {address} already", node.node)]);
    }
    let led = |group: &str| report.replicas.iter().any(|it| it.group == group && it.role == "leader");
    if !led("map") {
        return Err(Error::Unavailable(
            "the list of nodes has no leader, so no node can join; start the missing nodes first".to_owned(),
        ));
    }
    let answering: Vec<&NodeReport> = report.nodes.iter().filter(|node| node.problem.is_empty()).collect();
    let join: Vec<&str> = answering.iter().map(|node| node.address.as_str()).collect();
    let mut said = vec![
        "on the new machine, with an empty directory:".to_owned(),
        format!("  segue serve --data DIR --cluster-listen {address} --join {}", join.join(",")),
        "(behind another address: --cluster-listen 0.0.0.0:PORT --set cluster.advertise=HOST:PORT)"
            .to_owned(),
    ];
    let groups: BTreeSet<&str> = report.replicas.iter().map(|it| it.group.as_str()).collect();
    let size = |group: &&str| {
        let sizes = report.replicas.iter().filter(|it| it.group == **group).map(|it| it.bytes);
        sizes.max().unwrap_or(0)
    };
    let on_all = |group: &&&str| {
        let has = |node: &&&NodeReport| {
            report.replicas.iter().any(|it| it.group == ***group && it.node == node.node)
        };
        answering.iter().filter(has).count() == answering.len()
    };
    let copied: u64 = groups.iter().filter(on_all).map(size).sum();
    said.push(format!(
        "it copies every shard that is on all nodes, about {} at most; shards with places come with `rebalance`",
        bytes(copied)
    ));
    let serving = report.nodes.iter().filter(|node| node.state == NodeState::Serving).count();
    said.push(if serving < report.replication_factor as usize {
        format!("it gets votes once {} nodes serve, as many as vote", report.replication_factor)
    } else {
        "it follows, and takes a vote over when one is free".to_owned()
    });
    let unled: Vec<&str> = groups.into_iter().filter(|group| !led(group)).collect();
    if !unled.is_empty() {
        said.push(format!("without a leader now, so it waits for them: {}", unled.join(", ")));
    }
    Ok(said)
}

/// Waits until the node at an address is up to date in all it holds; its name and groups.
///
/// # Errors
/// `Unavailable` when it does not get on for `patience`.
fn wait(
    client: &Client,
    address: &str,
    patience: Duration,
    mut say: impl FnMut(&str) -> Result<()>,
) -> Result<(String, Vec<String>)> {
    let (mut said, mut since) = (String::new(), Instant::now());
    let (mut held, mut quiet) = (Vec::new(), 0);
    loop {
        let report = client.cluster_status()?;
        let (line, groups) = progress(&report, address);
        quiet = if groups.is_some() && groups.as_ref() == Some(&held) { quiet + 1 } else { 0 };
        if let Some(groups) = groups {
            held = groups;
        }
        if quiet >= QUIET_LOOKS
            && let Some(node) = at(&report, address)
        {
            return Ok((node.node.clone(), held));
        }
        if line != said {
            say(&line)?;
            (said, since) = (line, Instant::now());
        } else if quiet == 0 && since.elapsed() > patience {
            return Err(Error::Unavailable(format!(
                "the node does not get on: {said}; look at its log, and repeat the command. address=`{address}`"
            )));
        }
        std::thread::sleep(PAUSE);
    }
}

/// How far the node at an address is, and its groups once it is up to date in all of them.
fn progress(report: &ClusterReport, address: &str) -> (String, Option<Vec<String>>) {
    let Some(node) = at(report, address) else {
        return (format!("waiting for a node at {address} to join"), None);
    };
    if !node.problem.is_empty() {
        return (format!("{} has joined and does not answer: {}", node.node, node.problem), None);
    }
    let own: Vec<_> = report.replicas.iter().filter(|replica| replica.node == node.node).collect();
    let is_whole = |it: &&&crate::node::ReplicaReport| it.lag == Some(0) && it.moving != "coming";
    let whole = own.iter().filter(is_whole).count();
    let mut line = format!("{} is up to date in {whole} of {} groups", node.node, own.len());
    let coming: Vec<String> = own.iter().filter_map(|replica| moving(replica)).collect();
    if let Some(first) = coming.first() {
        line = format!("{line}; {}", first.trim_end());
    }
    let has = |group: &&str| own.iter().any(|replica| replica.group == **group);
    let is_done = whole == own.len() && EVERYWHERE.iter().all(has);
    (line, is_done.then(|| own.iter().map(|replica| replica.group.clone()).collect()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::node::ReplicaReport;

    fn replica(group: &str, node: &str, lag: Option<u64>) -> ReplicaReport {
        ReplicaReport {
            group: group.to_owned(),
            node: node.to_owned(),
            role: if node == "a" { "leader" } else { "follower" }.to_owned(),
            votes: node == "a",
            term: 1,
            last_index: 1,
            applied_index: 1,
            lag,
            log_bytes: 0,
            failure: String::new(),
            changing: false,
            moving: String::new(),
            bytes: 1 << 20,
            copy_bytes: 0,
            copied_bytes: 0,
            left_ms: None,
        }
    }

    fn report(replicas: Vec<ReplicaReport>, problem: &str) -> ClusterReport {
        let node = |name: &str, problem: &str| NodeReport {
            node: name.to_owned(),
            state: NodeState::Serving,
            address: format!("{name}:1"),
            api: String::new(),
            problem: problem.to_owned(),
        };
        ClusterReport {
            cluster_id: String::new(),
            epoch: 1,
            replication_factor: 3,
            answered_by: "a".to_owned(),
            nodes: vec![node("a", ""), node("b", problem)],
            replicas,
        }
    }

    #[test]
    fn a_node_is_there_when_it_is_up_to_date_in_what_every_node_has() {
        let old = [replica("map", "a", Some(0)), replica("meta", "a", Some(0))];
        let with = |own: &[ReplicaReport]| report([&old, own].concat(), "");
        let (line, groups) = progress(&with(&[]), "c:1");
        assert!(line.contains("waiting") && groups.is_none(), "{line}");
        assert_eq!(progress(&with(&[]), "b:1").1, None, "it has nothing yet");
        assert_eq!(progress(&with(&[replica("map", "b", Some(0))]), "b:1").1, None);
        let both = [replica("map", "b", Some(0)), replica("meta", "b", Some(4))];
        let (line, groups) = progress(&with(&both), "b:1");
        assert!(line.contains("1 of 2 groups") && groups.is_none(), "{line}");
        let both = [replica("map", "b", Some(0)), replica("meta", "b", Some(0))];
        assert_eq!(progress(&with(&both), "b:1").1, Some(vec!["map".to_owned(), "meta".to_owned()]));
        assert_eq!(progress(&report(old.to_vec(), "silent"), "b:1").1, None);
    }

    #[test]
    fn the_plan_names_nodes_that_answer_and_refuses_without_a_leader_of_the_list() {
        let of_a = vec![replica("map", "a", Some(0)), replica("users-0", "a", Some(0))];
        let plan_of = |problem: &str| plan(&report(of_a.clone(), problem), "c:1").unwrap().join("\n");
        let text = plan_of("silent");
        assert!(text.contains("--cluster-listen c:1 --join a:1\n") && text.contains("2.0 MiB"), "{text}");
        assert!(plan_of("").contains("--join a:1,b:1\n"));
        assert!(plan(&report(of_a, ""), "b:1").unwrap()[0].contains("already"));
        let error = plan(&report(vec![replica("map", "b", Some(0))], ""), "c:1").unwrap_err();
        assert!(error.to_string().contains("no leader"), "{error}");
        for wrong in ["c", ":1", "c:0", "c:x", "c:70000"] {
            assert!(check_address(wrong).is_err(), "{wrong}");
        }
        assert!(check_address("c.example:7702").is_ok());
    }
}
