//! `segue explain`.

use super::args::{BackendArgs, OutputArgs};
use super::backend::Backend;
use super::list::explanation;
use super::output::{print, print_json};
use super::recommend::RequestArgs;
use crate::error::Result;
use crate::pipeline::request::ExplainRequest;
use crate::types::TrackId;

const EXAMPLES: &str = "\
Examples:
  segue explain --user u1 --surface discover_weekly --track t42 --data ./segue-data
  segue explain --user u1 --surface radio --request-id 18c-7f --track t42 --json   (exactly that list)";

/// Why a track is, or is not, in a listener's list.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    /// The track in question
    #[arg(long, value_name = "ID")]
    track: TrackId,
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    backend: BackendArgs,
}

impl ExplainArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of the database and of printing.
    pub fn run(self) -> Result<()> {
        let backend = Backend::open(&self.backend)?;
        let answer =
            backend.explain(ExplainRequest { request: self.request.into(), track_id: self.track })?;
        if self.output.json {
            print_json(&answer)?;
        } else {
            let place = match answer.position {
                Some(position) => format!("listed at position {}", position + 1),
                None => format!("not listed: {}", answer.stage),
            };
            let numbers = answer.scores.as_ref().map(explanation).unwrap_or_default();
            print(&format!(
                "{} ({}): {place}\n     {}\n{numbers}",
                answer.title, answer.track_id, answer.reason
            ))?;
        }
        backend.close()
    }
}
