//! `segue cluster check`.

use super::output::{Align, count, print, print_json, table};
use crate::api::Client;
use crate::error::{Error, Result};
use crate::node::CheckReport;

/// Compares all replicas and prints what was found.
///
/// # Errors
/// `Corrupt` when replicas differ; `Unavailable` when some could not be read; those of the server.
pub(super) fn check(client: &Client, json: bool) -> Result<()> {
    let report = client.compare_replicas()?;
    if json {
        print_json(&report)?
    } else {
        print(&render(&report))?
    }
    if !report.differences.is_empty() {
        return Err(Error::Corrupt(format!("{} ranges of replicas differ", report.differences.len())));
    }
    if !report.problems.is_empty() {
        return Err(Error::Unavailable("not every replica could be compared".to_owned()));
    }
    Ok(())
}

fn render(report: &CheckReport) -> String {
    let text = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
    let mut rows = vec![text(&["group", "entry", "replicas", "records", "hash"])];
    for group in &report.groups {
        let numbers = (count(group.index), group.replicas.to_string(), count(group.records));
        rows.push(text(&[&group.group, &numbers.0, &numbers.1, &numbers.2, &group.hash]));
    }
    let align = [Align::Left, Align::Right, Align::Right, Align::Right, Align::Left];
    let differences: String = report
        .differences
        .iter()
        .map(|it| {
            format!(
                "{} on {} differs: {}, slots {} to {}: {} records, most replicas have {}\n",
                it.group, it.node, it.kind, it.slots.0, it.slots.1, it.records, it.expected_records
            )
        })
        .collect();
    let problems: String = report.problems.iter().map(|problem| format!("{problem}\n")).collect();
    let end = if differences.is_empty() && problems.is_empty() { "all replicas are equal\n" } else { "" };
    format!("{}\n{differences}{problems}{end}", table(&align, &rows))
}
