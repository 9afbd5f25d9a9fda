//! `segue cluster move-shard`, `rebalance` and `repair`.

use super::cluster::find_node;
use super::output::{bytes, print, print_json};
use crate::api::Client;
use crate::error::Result;
use crate::node::{Placing, PlacingReport, ShardMove};

/// What is asked for, with nodes as the operator names them.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct MoveShardArgs {
    /// users-0, tracks-0, ...
    #[arg(value_name = "SHARD")]
    shard: String,
    /// The node that gives its replica up, once the new one has caught up
    #[arg(long, value_name = "NODE")]
    from: String,
    /// The node that gets one
    #[arg(long, value_name = "NODE")]
    to: String,
    /// Say what would happen and what it would endanger, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Of `rebalance`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RebalanceArgs {
    /// Also track shards that are on every node: afterwards each is on as many nodes as vote, and the others ask these
    #[arg(long)]
    tracks: bool,
    /// Say what would happen and what it would endanger, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Of `repair`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct PlaceArgs {
    /// Say what would happen and what it would endanger, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl MoveShardArgs {
    pub(super) fn run(self, client: &Client, json: bool) -> Result<()> {
        let report = client.cluster_status()?;
        let (from, to) = (find_node(&report, &self.from)?, find_node(&report, &self.to)?);
        place(client, Placing::Move { group: self.shard, from, to }, self.dry_run, json)
    }
}

impl RebalanceArgs {
    pub(super) fn run(self, client: &Client, json: bool) -> Result<()> {
        place(client, Placing::Rebalance { tracks: self.tracks }, self.dry_run, json)
    }
}

impl PlaceArgs {
    pub(super) fn run(self, client: &Client, what: Placing, json: bool) -> Result<()> {
        place(client, what, self.dry_run, json)
    }
}

fn place(client: &Client, what: Placing, dry_run: bool, json: bool) -> Result<()> {
    let report = client.place_shards(what, dry_run)?;
    if json { print_json(&report) } else { print(&render(&report)) }
}

fn render(report: &PlacingReport) -> String {
    let mut text = match (report.applied, report.moves.is_empty()) {
        (_, true) => "every shard is where it should be\n".to_owned(),
        (true, false) => "begun (`segue cluster status` shows how far it is):\n".to_owned(),
        (false, false) => "would do (nothing was done):\n".to_owned(),
    };
    for ShardMove { group, from, to, bytes: size } in &report.moves {
        let comes: Vec<&str> = to.iter().filter(|node| !from.contains(node)).map(String::as_str).collect();
        let goes: Vec<&str> = from.iter().filter(|node| !to.contains(node)).map(String::as_str).collect();
        let line = if from.is_empty() {
            format!("  {group}: from all nodes to {}", to.join(", "))
        } else {
            format!("  {group}: to {}, away from {}", comes.join(", "), goes.join(", "))
        };
        text += &format!("{line}; about {} to copy\n", bytes(*size));
    }
    if !report.moves.is_empty() {
        text += "  no replica goes before the new one has caught up and votes; when a leader moves, writes to its shard wait for a moment\n";
    }
    for note in &report.notes {
        text += &format!("  {note}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_says_where_from_where_to_and_how_much() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let one = ShardMove {
            group: "users-1".to_owned(),
            from: names(&["a", "b", "c"]),
            to: names(&["b", "c", "d"]),
            bytes: 3 << 20,
        };
        let report = PlacingReport { applied: false, moves: vec![one], notes: names(&["a note"]) };
        let text = render(&report);
        assert!(text.contains("nothing was done") && text.contains("users-1: to d, away from a;"), "{text}");
        assert!(text.ends_with("  a note\n"), "{text}");
        assert!(render(&PlacingReport::default()).contains("where it should be"));
    }
}
