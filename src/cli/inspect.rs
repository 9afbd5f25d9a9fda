//! `segue inspect`.

use std::path::PathBuf;

use segue_storage_format::inspect_file;

use super::args::OutputArgs;
use super::output::{print, print_json};
use crate::error::{Error, Result};

const EXAMPLES: &str = "\
Example:
  segue inspect ./segue-data/tracks-0/MANIFEST-0000000000000007";

/// Print what a file of the database holds.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct InspectArgs {
    /// Any segment file or manifest
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

impl InspectArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// `Corrupt` when the file is damaged or none of Segue's.
    pub fn run(self) -> Result<()> {
        let report = inspect_file(&self.file).map_err(|error| Error::Corrupt(format!("{error}")))?;
        if self.output.json {
            print_json(&report.to_json())?
        } else {
            print(&report.to_string())?
        }
        if report.damage.is_empty() {
            return Ok(());
        }
        Err(Error::Corrupt(format!(
            "{} pieces of the file are not as they were written",
            report.damage.len()
        )))
    }
}
