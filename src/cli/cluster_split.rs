//! `segue cluster split-shard`, of a cluster, a single server or a directory.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::output::{bytes, print, print_json};
use crate::api::Client;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::node::{Segue, SplitReport, SplitRequest, SplitState};

/// Pause between two looks at a split that is waited for.
const PAUSE: Duration = Duration::from_millis(200);

/// What is asked for.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SplitShardArgs {
    /// users-0, users-1, tracks-0, ...
    #[arg(value_name = "SHARD")]
    shard: String,
    /// The first slot of the new shard [default: the middle of the shard's range]; with it the command can be repeated
    /// without splitting again
    #[arg(long, value_name = "SLOT")]
    at: Option<u16>,
    /// Say what would happen and what it would endanger, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Wait until it is done
    #[arg(long)]
    wait: bool,
    /// A data directory instead of a server, opened in-process (no server may have it open); waits until it is done
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl SplitShardArgs {
    /// The directory that is meant, if one is.
    pub(super) fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// Asks a server.
    ///
    /// # Errors
    /// Those of the server.
    pub(super) fn run(self, client: &Client, json: bool) -> Result<()> {
        let wait = self.wait;
        self.split(&|request| client.split_shard(request), wait, json)
    }

    /// Splits a shard of a directory.
    ///
    /// # Errors
    /// Who holds it, damage; `Conflict` for what cannot be split.
    pub(super) fn run_offline(self, dir: &Path, json: bool) -> Result<()> {
        if !dir.exists() {
            return Err(Error::not_found("data directory", dir.display()));
        }
        let (engine, _) = Segue::open(dir, Settings::default())?;
        self.split(&|request| engine.split_shard(&request), true, json)?;
        engine.shutdown()
    }

    fn split(self, ask: &dyn Fn(SplitRequest) -> Result<SplitReport>, wait: bool, json: bool) -> Result<()> {
        let Self { shard: group, at, dry_run, .. } = self;
        let mut report = ask(SplitRequest { group: group.clone(), at, dry_run })?;
        // From here on the split that was begun is meant, and no other one.
        let at = Some(report.gets.0);
        while wait && matches!(report.state, SplitState::Copying | SplitState::Switched) {
            std::thread::sleep(PAUSE);
            report = ask(SplitRequest { group: group.clone(), at, dry_run: false })?;
        }
        if json { print_json(&report) } else { print(&render(&report)) }
    }
}

fn render(report: &SplitReport) -> String {
    let SplitReport { state, group, keeps, new_group, gets, bytes: size, new_bytes, notes } = report;
    let head = match state {
        SplitState::Planned => "would do (nothing was done):",
        SplitState::Copying => "begun (ask again for how far it is):",
        SplitState::Switched => "the new shard serves, the old rows are being given up:",
        SplitState::Done => "done:",
    };
    let sizes = match new_bytes {
        0 if group.starts_with("tracks-") => format!("{} to share", bytes(*size)),
        0 => format!("about {} to copy", bytes(size / 2)),
        new => format!("{} there, {} in {group}", bytes(*new), bytes(*size)),
    };
    let mut text = format!(
        "{head}\n  {group} keeps slots {} to {}, {new_group} gets {} to {}; {sizes}\n",
        keeps.0,
        keeps.1.saturating_sub(1),
        gets.0,
        gets.1.saturating_sub(1)
    );
    for note in notes {
        text += &format!("  {note}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_says_which_slots_go_where() {
        let report = SplitReport {
            state: SplitState::Planned,
            group: "users-0".to_owned(),
            keeps: (0, 1_024),
            new_group: "users-2".to_owned(),
            gets: (1_024, 2_048),
            bytes: 6 << 20,
            new_bytes: 0,
            notes: vec!["a note".to_owned()],
        };
        let text = render(&report);
        assert!(text.contains("nothing was done") && text.contains("to copy"), "{text}");
        assert!(text.contains("users-0 keeps slots 0 to 1023, users-2 gets 1024 to 2047;"), "{text}");
        assert!(text.ends_with("  a note\n"), "{text}");
        let group = "tracks-0".to_owned();
        let shared = render(&SplitReport { group, ..report.clone() });
        assert!(shared.contains("6.0 MiB to share") && !shared.contains("copy"), "{shared}");
        let done = render(&SplitReport { state: SplitState::Done, new_bytes: 5, ..report });
        assert!(done.starts_with("done:") && done.contains("in users-0"), "{done}");
    }
}
