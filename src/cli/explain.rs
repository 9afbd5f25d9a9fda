//! `segue explain`.

use std::path::PathBuf;

use super::args::{BackendArgs, OutputArgs};
use super::backend::Backend;
use super::html::page;
use super::list::explanation;
use super::output::{note, print, print_json};
use super::recommend::RequestArgs;
use crate::error::Result;
use crate::ingest::write_atomically;
use crate::pipeline::request::{ExplainRequest, RecommendRequest};
use crate::types::TrackId;

const EXAMPLES: &str = "\
Examples:
  segue explain --user u1 --surface discover_weekly --track t42 --data ./segue-data
  segue explain --user u1 --surface radio --request-id 18c-7f --track t42 --json   (exactly that list)
  segue explain --user u1 --surface daily_mix --html list.html --data ./segue-data";

/// Why a track is, or is not, in a listener's list.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    /// The track in question
    #[arg(long, value_name = "ID")]
    #[arg(required_unless_present = "html")]
    track: Option<TrackId>,
    /// Write the whole list with its funnel and scores as one page instead
    #[arg(long, value_name = "FILE", conflicts_with = "track")]
    html: Option<PathBuf>,
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
        let Some(track_id) = self.track else {
            let path = self.html.unwrap_or_else(|| PathBuf::from("list.html"));
            let request = RecommendRequest { explain: true, ..self.request.into() };
            let list = backend.recommend(request)?;
            write_atomically(&path, page(&list).as_bytes())?;
            note(&format!("wrote {}", path.display()));
            return backend.close();
        };
        let answer = backend.explain(ExplainRequest { request: self.request.into(), track_id })?;
        if self.output.json {
            print_json(&answer)?;
        } else {
            let place = match answer.position {
                Some(position) => format!("listed at position {}", position + 1),
                None => format!("not listed: {}", answer.stage),
            };
            let arm = answer.experiment.as_ref();
            let arm = arm.map(|of| format!(", arm {} of {}", of.arm, of.experiment)).unwrap_or_default();
            let numbers = answer.scores.as_ref().map(explanation).unwrap_or_default();
            print(&format!(
                "{} ({}): {place} ({}{arm})\n     {}\n{numbers}",
                answer.title, answer.track_id, answer.recipe, answer.reason
            ))?;
        }
        backend.close()
    }
}
