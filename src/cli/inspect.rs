//! `segue inspect`.

use std::path::PathBuf;

use segue_storage_format::inspect_file;
use serde_json::json;

use super::args::OutputArgs;
use super::output::{print, print_json};
use crate::error::{Error, Result};
use crate::node::{FileText, describe};
use crate::storage::error::describe as describe_error;

const EXAMPLES: &str = "\
Example:
  segue inspect ./segue-data/tracks-0/MANIFEST-0000000000000007";

/// Print what a file of the database holds.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct InspectArgs {
    /// Any file of a data directory
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
        if let Some(text) = describe(&self.file)? {
            return self.print(&text);
        }
        let report = inspect_file(&self.file).map_err(|error| Error::Corrupt(describe_error(&error)))?;
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

    fn print(&self, text: &FileText) -> Result<()> {
        let file = self.file.display().to_string();
        if self.output.json {
            let fields: serde_json::Map<_, _> =
                text.fields.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
            let damage =
                text.damage.iter().map(|damage| json!({ "offset": damage.offset, "what": damage.what }));
            let damage: Vec<_> = damage.collect();
            print_json(&json!({ "file": file, "kind": text.kind, "content": fields, "damage": damage }))?;
        } else {
            let fields: String =
                text.fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
            let damage: String = text.damage.iter().map(|damage| format!("DAMAGED {damage}\n")).collect();
            print(&format!("{file}: {}\n{fields}{damage}", text.kind))?;
        }
        if text.damage.is_empty() {
            Ok(())
        } else {
            Err(Error::Corrupt(format!("{file} is not as it was written")))
        }
    }
}
