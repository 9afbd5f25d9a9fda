//! `segue cluster`.

use std::time::Duration;

use clap::Subcommand;
use serde_json::json;

use super::args::OutputArgs;
use super::cluster_add::AddNodeArgs;
use super::cluster_check::check;
use super::cluster_place::{MoveShardArgs, PlaceArgs, RebalanceArgs};
use super::cluster_recover::RecoverArgs;
use super::cluster_split::SplitShardArgs;
use super::output::{Align, bytes, count, print, print_json, table};
use crate::api::Client;
use crate::error::{Error, Result};
use crate::node::{ClusterReport, NodeChange, NodeState, Placing, ReplicaReport};

const EXAMPLES: &str = "\
Any node of the cluster answers. A node is named by its 16 digits, or the first ones of them.

Examples:
  segue cluster status --endpoint http://127.0.0.1:7700
  segue cluster add-node 10.0.0.4:7702
  segue cluster drain 3f09 --dry-run
  segue cluster resume 3f09
  segue cluster transfer-leader tracks-0 --to 3f09
  segue cluster move-shard users-3 --from 3f09 --to 88a1 --dry-run
  segue cluster rebalance
  segue cluster split-shard users-3 --dry-run
  segue cluster split-shard tracks-0 --wait
  segue cluster split-shard users-0 --data ./segue-data
  segue cluster remove-node 3f09
  segue cluster check --json
  segue cluster recover --data ./node3 --plan
  segue cluster recover --data ./node3 --from ./node4 --plan";

/// Digits of a node's whole name.
const NODE_DIGITS: usize = 16;
/// Pause between two prints of `--watch`.
const WATCH_PAUSE: Duration = Duration::from_secs(1);

/// See and change the nodes of a cluster.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ClusterArgs {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    output: OutputArgs,
    /// A node's server, such as http://127.0.0.1:7700; several with commas between them stand in for each other
    #[arg(long, value_name = "URL", env = "SEGUE_ENDPOINT", global = true)]
    endpoint: Option<String>,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Nodes and replicas: who leads, who is behind, what is in danger
    Status {
        /// Print again every second
        #[arg(long)]
        watch: bool,
    },
    /// Compare all replicas of every group; fails when they differ
    Check,
    /// After a majority is lost for good: a survivor's directory goes on as a cluster of one
    Recover(RecoverArgs),
    /// What to run on a new machine; then waits until the node there has everything
    AddNode(AddNodeArgs),
    /// Before a node is stopped for long: it leads no more, and gives its votes to spare nodes
    Drain(Change),
    /// After a drain: it takes part as before
    Resume(Change),
    /// For ever: its replicas are given up, and it is not listened to again
    RemoveNode(Change),
    /// Put a shard on another node instead of one that has it
    MoveShard(MoveShardArgs),
    /// Spread shards evenly over all serving nodes; none stays on a node that drains
    Rebalance(RebalanceArgs),
    /// Give shards another node for one that does not answer
    Repair(PlaceArgs),
    /// Split a user or track shard in two while it serves; of a database that is alone, too
    SplitShard(SplitShardArgs),
    /// Have another replica lead a group
    TransferLeader {
        /// meta, tracks-0 (tracks-1, ...), users-0 (users-1, ...) or map
        #[arg(value_name = "GROUP")]
        group: String,
        /// The node that shall lead
        #[arg(long, value_name = "NODE")]
        to: String,
        /// Say what would happen, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Clone, clap::Args)]
struct Change {
    /// The node
    #[arg(value_name = "NODE")]
    node: String,
    /// Say what would happen and what it would endanger, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do it even if a group stops serving because of it; the server logs it
    #[arg(long)]
    force_unsafe: bool,
}

impl ClusterArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of the server; `Endangers` for what would stop a group.
    pub fn run(self) -> Result<()> {
        if let Command::Recover(args) = &self.command {
            return args.run(self.output.json);
        }
        if let Command::SplitShard(args) = &self.command
            && let Some(dir) = args.data()
        {
            return args.clone().run_offline(dir, self.output.json);
        }
        let endpoint = self
            .endpoint
            .as_deref()
            .ok_or_else(|| Error::invalid("endpoint", "name a node's server: --endpoint http://HOST:PORT"))?;
        let client = Client::connect(endpoint)?;
        let json = self.output.json;
        match self.command {
            Command::Status { watch } => status(&client, json, watch),
            Command::Check => check(&client, json),
            // Needs no server.
            Command::Recover(args) => args.run(json),
            Command::AddNode(args) => args.run(&client, json),
            Command::Drain(change) => set_state(&client, &change, NodeState::Draining, json),
            Command::Resume(change) => set_state(&client, &change, NodeState::Serving, json),
            Command::RemoveNode(change) => set_state(&client, &change, NodeState::Removed, json),
            Command::MoveShard(args) => args.run(&client, json),
            Command::Rebalance(args) => args.run(&client, json),
            Command::Repair(args) => args.run(&client, Placing::Repair, json),
            Command::SplitShard(args) => args.run(&client, json),
            Command::TransferLeader { group, to, dry_run } => {
                let report = client.cluster_status()?;
                let node = find_node(&report, &to)?;
                let from = leader_of(&report, &group)?;
                let what = if from == node {
                    format!("{node} leads {group} already")
                } else {
                    format!("{group}: leadership goes from {from} to {node}; writes wait for a moment")
                };
                if !dry_run {
                    client.transfer_leader(&group, &node)?;
                }
                say(&[what], dry_run, json)
            }
        }
    }
}

fn status(client: &Client, json: bool, watch: bool) -> Result<()> {
    loop {
        let report = client.cluster_status()?;
        if json {
            print_json(&report)?;
        } else {
            print(&render(&report))?;
        }
        if !watch {
            return Ok(());
        }
        std::thread::sleep(WATCH_PAUSE);
        if !json {
            print("\n")?;
        }
    }
}

/// Asks for a change; whether it may be done is the server's to say.
fn set_state(client: &Client, change: &Change, state: NodeState, json: bool) -> Result<()> {
    let report = client.cluster_status()?;
    // A node that was removed is in no list, and may be named again in full.
    let is_whole = change.node.len() == NODE_DIGITS;
    let node = find_node(&report, &change.node);
    let node = node.or_else(|error| if is_whole { Ok(change.node.clone()) } else { Err(error) })?;
    let NodeChange { mut consequences, dangers } = if change.dry_run {
        client.plan_node_state(&node, state)?
    } else {
        client.set_node_state(&node, state, change.force_unsafe)?
    };
    if change.dry_run && !dangers.is_empty() {
        consequences.push("it would be refused (--force-unsafe does it all the same):".to_owned());
    }
    consequences.extend(dangers);
    say(&consequences, change.dry_run, json)
}

fn say(what: &[String], dry_run: bool, json: bool) -> Result<()> {
    if json {
        return print_json(&json!({ "dry_run": dry_run, "consequences": what }));
    }
    let head = if dry_run { "would do (nothing was done):\n" } else { "done:\n" };
    let lines: String = what.iter().map(|line| format!("  {line}\n")).collect();
    print(&format!("{head}{lines}"))
}

pub(super) fn find_node(report: &ClusterReport, prefix: &str) -> Result<String> {
    let found: Vec<&String> =
        report.nodes.iter().map(|node| &node.node).filter(|node| node.starts_with(prefix)).collect();
    match found[..] {
        [] => Err(Error::not_found("node", prefix)),
        [node] => Ok(node.clone()),
        _ => Err(Error::invalid("node", format!("means several nodes; give more digits. node=`{prefix}`"))),
    }
}

fn leader_of(report: &ClusterReport, group: &str) -> Result<String> {
    let mut of_group = report.replicas.iter().filter(|replica| replica.group == group).peekable();
    if of_group.peek().is_none() {
        return Err(Error::not_found("group", group));
    }
    let leader = of_group.find(|replica| replica.role == "leader");
    let none = || Error::Unavailable(format!("the group has no leader now. group=`{group}`"));
    leader.map(|leader| leader.node.clone()).ok_or_else(none)
}

fn render(report: &ClusterReport) -> String {
    let text = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
    let mut nodes = vec![text(&["node", "state", "port", "cluster port", ""])];
    for node in &report.nodes {
        let state = match node.state {
            NodeState::Serving => "serving",
            NodeState::Draining => "draining",
            NodeState::Removed => "removed",
        };
        nodes.push(text(&[&node.node, state, &node.api, &node.address, &node.problem]));
    }
    let mut replicas = vec![text(&["group", "node", "role", "votes", "applied", "lag", "log", "files"])];
    for replica in &report.replicas {
        let votes = if replica.votes { "yes" } else { "no" };
        let lag = replica.lag.map_or_else(|| "?".to_owned(), count);
        let (applied, log) = (count(replica.applied_index), bytes(replica.log_bytes));
        let files = if replica.bytes == 0 { String::new() } else { bytes(replica.bytes) };
        let cells = [&replica.group, &replica.node, &replica.role, votes, &applied, &lag, &log, &files];
        replicas.push(text(&cells));
    }
    let moves: String = report.replicas.iter().filter_map(moving).collect();
    let failures = report.replicas.iter().filter(|replica| !replica.failure.is_empty());
    let failures: String = failures
        .map(|replica| format!("{} on {} failed: {}\n", replica.group, replica.node, replica.failure))
        .collect();
    let endangered = report.endangered();
    let health = if endangered.is_empty() {
        "every group bears the loss of a node\n".to_owned()
    } else {
        format!("the loss of one more node stops: {}\n", endangered.join(", "))
    };
    format!(
        "cluster {}, epoch {}, {} votes a group\n\n{}\n{}\n{failures}{moves}{health}",
        report.cluster_id,
        report.epoch,
        report.replication_factor,
        table(&[Align::Left; 5], &nodes),
        table(
            &[
                Align::Left,
                Align::Left,
                Align::Left,
                Align::Left,
                Align::Right,
                Align::Right,
                Align::Right,
                Align::Right,
            ],
            &replicas
        ),
    )
}

/// How far a replica is that comes or goes, as a line.
pub(super) fn moving(replica: &ReplicaReport) -> Option<String> {
    let ReplicaReport { group, node, copy_bytes, copied_bytes, left_ms, .. } = replica;
    match replica.moving.as_str() {
        "coming" if *copy_bytes > 0 => {
            let left =
                left_ms.map_or_else(String::new, |ms| format!(", about {} s left", ms.div_ceil(1_000)));
            let (done, all) = (bytes(*copied_bytes), bytes(*copy_bytes));
            Some(format!("{group} comes to {node}: {done} of {all} copied{left}\n"))
        }
        "coming" => Some(format!("{group} comes to {node}\n")),
        "leaving" => Some(format!("{group} leaves {node}\n")),
        _ => None,
    }
}
