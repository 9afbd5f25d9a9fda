//! `segue cluster recover`.

use std::path::PathBuf;

use super::output::{print, print_json};
use crate::error::Result;
use crate::node::{RecoveryReport, recover};

/// After a majority is lost for good: a survivor's directory goes on as a cluster of one.
#[derive(Debug, Clone, clap::Args)]
pub struct RecoverArgs {
    /// The survivor's data directory; its server must not run
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Data directory of another survivor, for what the first one lacks: shards that are on some of the nodes, and last entries. It is
    /// only read; its server must not run. May be given several times, with --plan and --apply alike
    #[arg(long, value_name = "DIR")]
    from: Vec<PathBuf>,
    /// Say what would happen, and what may be lost
    #[arg(long, conflicts_with = "apply", required_unless_present = "apply")]
    plan: bool,
    /// Do it, for the cluster that the plan named. The lost nodes can never come back with what they had
    #[arg(long, value_name = "CLUSTER_ID")]
    apply: Option<String>,
}

impl RecoverArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// See [`recover`].
    pub fn run(&self, json: bool) -> Result<()> {
        let report = recover(&self.data, &self.from, self.apply.as_deref())?;
        if json { print_json(&report) } else { print(&render(&report)) }
    }
}

fn render(report: &RecoveryReport) -> String {
    let head = match &report.new_cluster_id {
        Some(new) => format!("done: node {} is the only one of cluster {new} now\n", report.node),
        None => format!(
            "would do (nothing was done): node {} of cluster {} becomes the only node of a new cluster\n",
            report.node, report.cluster_id
        ),
    };
    let nodes: String = report
        .lost_nodes
        .iter()
        .map(|(node, address)| {
            let survives = report.others.iter().find(|(other, _)| other == node);
            let taken = survives.map_or_else(String::new, |(_, dir)| format!(" (read: `{}`)", dir.display()));
            format!("  {node} at {address}{taken} is given up; if it comes back, it is refused\n")
        })
        .collect();
    let groups: String = report
        .groups
        .iter()
        .map(|group| {
            let outlook =
                if group.problem.is_empty() { group.risk() } else { format!("CANNOT: {}", group.problem) };
            format!(
                "  {}: {}goes on behind entry {} of term {} (certainly committed: {}{}); {outlook}\n",
                group.group,
                group.origin(),
                group.continues_from,
                group.last_term,
                group.committed,
                if group.voted { "" } else { "; it did not vote" },
            )
        })
        .collect();
    let next = if report.applied {
        "start it with `segue serve`, and let new nodes join with empty directories\n".to_owned()
    } else {
        format!(
            "make sure that the nodes above are down for good; of several survivors take the one whose groups go on behind \
             the largest term, and of equal terms behind the largest entry, and name the others with --from; there, with the \
             same --from: --apply {}\n",
            report.cluster_id
        )
    };
    format!("{head}{nodes}{groups}{next}")
}
